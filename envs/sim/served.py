"""The simulated cell as a robot of its own: it runs in real time in its own process, whatever becomes of its commander.

`python -m envs.sim.served <socket> <task> <scene> <coasts> <clearance>`. Like the Cartesian controllers of real arms it
follows its last target until another comes; whoever wants the arm to stop must say so.
"""

# MuJoCo's compiled module comes without type stubs.
# pyright: reportAttributeAccessIssue=false

import contextlib
import os
import selectors
import signal
import sys
import time

import msgspec
import mujoco
import numpy as np

from envs.cell_socket import Command, Hold, Request, Restart, State, Watch, Wire, decode_request, listen
from envs.sim.cell import SimCell
from envs.tabletop import TabletopTask
from envs.tasks import build

TICK_NS = 10_000_000
_LATE_NS = 5 * TICK_NS
_UNUSED_S = 60.0
"""How long it waits for the first connection, and, once its parent is gone, for another one."""


class ServedCell(SimCell):
    """The cell's physics, ten milliseconds at a time."""

    def __init__(self, task: TabletopTask, scene_name: str, *, coasts: bool) -> None:
        """Build the cell; one that `coasts` goes on as last told beyond its target: the worst a controller can do."""
        super().__init__(task, obs="proprio", scene_name=scene_name)
        self._coasts = coasts
        self._motion_m = np.zeros(3)
        self._ticks = self._ticks_left = self.ticks_per_period()
        self._at_m = self.tool_position()
        self._speed_m_s = 0.0

    def put(self, qpos: np.ndarray, mocap_pos: np.ndarray) -> None:
        """Begin an episode in this state, the arm standing still; raises ValueError where it is none."""
        if qpos.shape != self.data.qpos.shape or mocap_pos.shape != self.data.mocap_pos.shape:
            raise ValueError(f"a state of {qpos.shape} and {mocap_pos.shape} is none of this cell")
        if not (np.isfinite(qpos).all() and np.isfinite(mocap_pos).all()):
            raise ValueError("a state holds a NaN or an infinity")
        self.restart({}, {}, np.random.default_rng(0))
        self.data.qpos[:], self.data.mocap_pos[:] = qpos, mocap_pos
        mujoco.mj_forward(self.model, self.data)
        self._controller.reset(self.data)
        self._motion_m[:] = 0.0
        self._at_m = self.tool_position()

    def command(self, action: np.ndarray) -> None:
        """Set the target of the coming control period, which begins now."""
        super().command(action)
        self._motion_m = self._handling.metres_per_unit * action[:3]
        self._ticks_left = self._ticks
        self._peak_force_n = 0.0

    def hold(self) -> None:
        """Stay where the robot is from now on, until the next command."""
        super().hold()
        self._motion_m[:] = 0.0

    def tick(self) -> None:
        """Let ten milliseconds pass."""
        if self._ticks_left > 0:
            self.integrate(1.0 - self._ticks_left / self._ticks)
            self._ticks_left -= 1
        else:
            self._controller.arrive(self.data)
            if self._coasts and np.any(self._motion_m):
                self._controller.move(self._inside(self._motion_m / self._ticks))
            self.integrate(0.0, TICK_NS / 1e9)
        mujoco.mj_forward(self.model, self.data)
        self._speed_m_s = float(np.linalg.norm(self.tool_position() - self._at_m)) / (TICK_NS / 1e9)
        self._at_m = self.tool_position()

    def state(self, halted: str, commanded_ns: int, held_ns: int) -> State:
        """The senses now."""
        x, y, z = self.target_position().tolist()
        return State(
            stamp_ns=time.monotonic_ns(),
            qpos=self.data.qpos.tobytes(),
            qvel=self.data.qvel.tobytes(),
            ctrl=self.data.ctrl.tobytes(),
            mocap_pos=self.data.mocap_pos.tobytes(),
            target_m=(x, y, z),
            speed_m_s=self._speed_m_s,
            peak_force_n=self._peak_force_n,
            halted=halted,
            commanded_ns=commanded_ns,
            held_ns=held_ns,
        )

    def _inside(self, motion_m: np.ndarray) -> np.ndarray:
        target_m = self.target_position()
        return np.clip(target_m + motion_m, self.limits.workspace_low_m, self.limits.workspace_high_m) - target_m


class Peer(Wire):
    """Somebody who is connected."""

    watches = False
    answered = 0


class Server:
    """Keeps the cell's time, obeys its commander, and tells the others what there is to see."""

    def __init__(self, path: str, cell: ServedCell) -> None:
        self._cell = cell
        self._selector = selectors.DefaultSelector()
        self._listener = listen(path)
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._peers: list[Peer] = []
        self._commander: Peer | None = None
        self._halted = "no episode has begun"
        self._commanded_ns = self._held_ns = 0
        self._parent = os.getppid()
        self._used_s = time.monotonic()

    def run(self) -> None:
        """Serve until nobody needs the cell any more."""
        next_ns = time.monotonic_ns() + TICK_NS
        while self._needed():
            while (left_ns := next_ns - time.monotonic_ns()) > 0:
                self._serve(left_ns / 1e9)
            self._serve(0.0)
            self._cell.tick()
            self._show(self._peers)
            # Time that was missed is not made up for: a robot does not move faster because its computer was stopped.
            late = time.monotonic_ns() - next_ns > _LATE_NS
            next_ns = (time.monotonic_ns() if late else next_ns) + TICK_NS

    def _needed(self) -> bool:
        now_s = time.monotonic()
        if self._peers:
            self._used_s = now_s
        orphaned = os.getppid() != self._parent
        return not (now_s - self._used_s > _UNUSED_S or (orphaned and not self._peers))

    def _serve(self, timeout_s: float) -> None:
        for key, _ in self._selector.select(timeout_s):
            if key.fileobj is self._listener:
                peer = Peer(self._listener.accept()[0])
                self._peers.append(peer)
                self._selector.register(peer, selectors.EVENT_READ)
            else:
                self._listen_to(key.fileobj)  # pyright: ignore[reportArgumentType]

    def _listen_to(self, peer: Peer) -> None:
        try:
            while (data := peer.receive()) is not None:
                self._obey(peer, decode_request(data))
        except (OSError, msgspec.MsgspecError, ValueError):
            self._selector.unregister(peer)
            self._peers.remove(peer)
            peer.close()

    def _obey(self, peer: Peer, request: Request) -> None:
        match request:
            case Command():
                self._command(peer, np.array(request.action, np.float64))
            case Hold():
                self._cell.hold()
                self._halted = self._halted or request.halt
                self._held_ns = time.monotonic_ns()
            case Restart():
                self._cell.put(np.frombuffer(request.qpos), np.frombuffer(request.mocap_pos).reshape(-1, 3))
                self._commander, self._halted = peer, ""
                self._commanded_ns = self._held_ns = 0
            case Watch():
                peer.watches = True
                return
        peer.answered = request.number
        if isinstance(request, Hold | Restart):
            # Whoever asked for it waits for it.
            self._show([peer])

    def _command(self, peer: Peer, action: np.ndarray) -> None:
        if peer is not self._commander:
            self._halt("a second commander sent a target; end one of the two, then reset")
        elif action.shape != self._cell.action.shape or not (np.abs(action) <= 1.0).all():
            self._halt(f"a command is no action of {self._cell.action.shape} in [-1, 1]: {action}")
        elif not self._halted:
            self._cell.command(action)
            self._commanded_ns = time.monotonic_ns()

    def _halt(self, reason: str) -> None:
        self._cell.hold()
        if not self._halted:
            self._halted, self._held_ns = reason, time.monotonic_ns()

    def _show(self, peers: list[Peer]) -> None:
        state = self._cell.state(self._halted, self._commanded_ns, self._held_ns)
        for peer in [peer for peer in peers if peer.watches]:
            # One that does not read, or is gone, misses it; the next `receive` notices which.
            with contextlib.suppress(OSError):
                peer.send(msgspec.structs.replace(state, answered=peer.answered))


def main() -> None:
    """Serve a cell until SIGTERM."""
    path, task_name, scene_name, coasts, clearance = sys.argv[1:]
    task = build(task_name, float(clearance) if clearance else None)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # A robot's controller is a computer of its own; where we may, this one is not kept waiting by ours.
    with contextlib.suppress(OSError, AttributeError):
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
    Server(path, ServedCell(task, scene_name, coasts=coasts == "coasts")).run()


if __name__ == "__main__":
    main()
