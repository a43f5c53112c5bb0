"""The simulated cell in real time, as its commander sees it: it goes on by itself, in a process of its own.

The client keeps a copy of the model and sets it to what the cell reports, so that senses, tasks and experts are those
of the simulated cell; only time and the robot are not ours.
"""

# MuJoCo's compiled module comes without type stubs.
# pyright: reportAttributeAccessIssue=false

import contextlib
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import mujoco
import numpy as np

from envs.cell_socket import Command, Hold, Restart, State, Watch, connect, decode_state
from envs.guard import JOINTS, Vitals
from envs.sim.cell import ARM_DOFS, FINGER_OPEN_M, SimCell
from envs.tabletop import LIMITS, TabletopTask
from wire.errors import UserError
from wire.types import Action

_START_S = 60.0
_ANSWER_S = 2.0


class CellGoneError(UserError, RuntimeError):
    """The cell's process does not answer any more."""


class RealtimeCell(SimCell):
    """A commander of a cell in real time; starts the cell's process where it is given no address."""

    arm_limits = LIMITS

    def __init__(
        self,
        task: TabletopTask,
        *,
        clearance_mm: float | None = None,
        obs: str = "state",
        scene_name: str = "plain",
        image_size: int = 64,
        path: str | None = None,
    ) -> None:
        """Connect to the cell.

        Args:
            task: Whose things stand on the table.
            clearance_mm: As the task was built with.
            obs: As for SimCell.
            scene_name: As for SimCell.
            image_size: As for SimCell.
            path: Socket of a cell that runs already; None starts one.

        Raises:
            CellGoneError: Where it does not answer.
        """
        self._undo = contextlib.ExitStack()
        self._number = 0
        try:
            self._path = path or self._undo.enter_context(served_cell(task.name, scene_name, clearance_mm=clearance_mm))
            self.stopper = f"unix:{self._path}"
            self._wire = connect(self._path)
            self._undo.callback(self._wire.close)
            self._wire.send(Watch())
            self._newest = self._first_state()
            self._shown = self._newest
            super().__init__(task, obs=obs, scene_name=scene_name, image_size=image_size)
        except BaseException as error:
            self._undo.close()
            if isinstance(error, OSError):
                raise CellGoneError(f"no simulated cell answers at {path}: {error.strerror}") from error
            raise

    def restart(self, places: dict[str, np.ndarray], hues: dict[str, float], rng: np.random.Generator) -> None:
        """Bring the arm home, and the task's things to their places; the cell is ours from now on."""
        super().restart(places, hues, rng)
        self._send_and_wait(
            Restart(self._next_number(), qpos=self.data.qpos.tobytes(), mocap_pos=self.data.mocap_pos.tobytes())
        )
        self._shown = self._newest

    def command(self, action: Action) -> None:
        """Set the target of the coming control period from a guarded action, shape (4,), in [-1, 1]."""
        self._send(Command(self._next_number(), action=tuple(action.tolist())))

    def advance(self) -> None:
        """Take in the senses as they are now."""
        self._drain()
        self._show(self._newest)

    def hold(self) -> None:
        """Stay where the robot is from now on, until the next command."""
        self._send_and_wait(Hold(self._next_number()))
        self._show(self._newest)

    def vitals(self) -> Vitals:
        """Age of the newest report of the joints, and of what was last observed; the force."""
        self._drain()
        now_ns = time.monotonic_ns()
        seen = dict.fromkeys((name for name in self.observation if name != "proprio"), self._shown.stamp_ns)
        stamps_ns = {JOINTS: self._newest.stamp_ns, **seen}
        return Vitals({name: (now_ns - stamp_ns) / 1e9 for name, stamp_ns in stamps_ns.items()}, self.force_n())

    def peak_force_n(self) -> float:
        """As SimCell's, since the last command."""
        return self._shown.peak_force_n

    def halted(self) -> str:
        """Why the cell refuses commands until the next reset."""
        self._drain()
        return self._newest.halted

    def close(self) -> None:
        """Hang up, and end the cell where it is ours; safe to call twice."""
        super().close()
        self._undo.close()

    def _show(self, state: State) -> None:
        data, self._shown = self.data, state
        data.qpos[:], data.qvel[:] = np.frombuffer(state.qpos), np.frombuffer(state.qvel)
        data.ctrl[:], data.mocap_pos[:] = np.frombuffer(state.ctrl), np.frombuffer(state.mocap_pos).reshape(-1, 3)
        self._gripper = float(2.0 * data.ctrl[ARM_DOFS] / FINGER_OPEN_M - 1.0)
        self._controller.target = np.array(state.target_m)
        mujoco.mj_forward(self.model, data)

    def _next_number(self) -> int:
        self._number += 1
        return self._number

    def _send(self, message: Command | Hold | Restart) -> None:
        try:
            self._wire.send(message)
        except OSError as error:
            raise CellGoneError(f"the simulated cell has ended: {error}; its robot no longer moves") from error

    def _send_and_wait(self, message: Hold | Restart) -> None:
        self._send(message)
        deadline_s = time.monotonic() + _ANSWER_S
        while self._newest.answered < message.number:
            if time.monotonic() > deadline_s:
                raise CellGoneError(f"the simulated cell has not answered for {_ANSWER_S:.0f} s")
            time.sleep(0.001)
            self._drain()

    def _drain(self) -> None:
        try:
            while (data := self._wire.receive()) is not None:
                self._newest = decode_state(data)
        except OSError as error:
            raise CellGoneError(f"the simulated cell has ended: {error}") from error

    def _first_state(self) -> State:
        deadline_s = time.monotonic() + _ANSWER_S
        while time.monotonic() < deadline_s:
            data = self._wire.receive()
            if data is not None:
                return decode_state(data)
            time.sleep(0.001)
        raise CellGoneError(f"the simulated cell at {self._path} shows nothing")


@contextlib.contextmanager
def served_cell(
    task_name: str, scene_name: str = "plain", *, clearance_mm: float | None = None, coasts: bool = False
) -> Iterator[str]:
    """A cell's process with its socket, whose path it yields; ended with the block."""
    with tempfile.TemporaryDirectory(prefix="handrail-") as folder:
        path = str(Path(folder) / "cell")
        clearance = "" if clearance_mm is None else f"{clearance_mm:g}"
        words = [path, task_name, scene_name, "coasts" if coasts else "stops", clearance]
        # A group of its own: what kills its commander's must not stop the robot's controller.
        process = subprocess.Popen([sys.executable, "-m", "envs.sim.served", *words], process_group=0)
        try:
            _wait_until_up(path, process)
            yield path
        finally:
            process.terminate()
            try:
                process.wait(_ANSWER_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _wait_until_up(path: str, process: "subprocess.Popen[bytes]") -> None:
    deadline_s = time.monotonic() + _START_S
    while True:
        try:
            return connect(path).close()
        except OSError as error:
            if process.poll() is not None or time.monotonic() > deadline_s:
                raise CellGoneError(
                    f"the simulated cell's process did not start (exit code {process.poll()}); its own message is above"
                ) from error
            time.sleep(0.02)
