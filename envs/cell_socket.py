"""What travels between a cell that runs in a process of its own and those who command, watch or stop it.

Plain messages over a Unix socket that keeps their bounds, readable by its owner alone. A watchdog speaks this too, so
nothing heavy is imported here.
"""

import contextlib
import os
import socket

import msgspec

MESSAGE_BYTES = 1 << 16


class Command(msgspec.Struct, tag=True, frozen=True):
    """A commander's target for the coming control period; refused while the cell is halted."""

    number: int
    """Messages are numbered from 1; `State.answered` says how far they have been obeyed or refused."""
    action: tuple[float, ...]


class Hold(msgspec.Struct, tag=True, frozen=True):
    """Stay where the robot is: from anybody, at any time."""

    number: int
    halt: str = ""
    """Why every command shall be refused until the next Restart; empty: the next command may move the robot again."""


class Restart(msgspec.Struct, tag=True, frozen=True):
    """Begin an episode in this state. Whoever sends it is the commander from now on, and nothing is halted any more."""

    number: int
    qpos: bytes
    mocap_pos: bytes


class Watch(msgspec.Struct, tag=True, frozen=True):
    """Send me every State from now on."""


class State(msgspec.Struct, tag=True, frozen=True):
    """What the cell's senses say, every 10 ms; arrays are float64."""

    stamp_ns: int
    """When this was so: CLOCK_MONOTONIC, which is one clock for all processes of a machine."""
    qpos: bytes
    qvel: bytes
    ctrl: bytes
    mocap_pos: bytes
    target_m: tuple[float, float, float]
    speed_m_s: float
    """Of the tool, over the last 10 ms."""
    peak_force_n: float
    """Largest since the last command (see envs.tabletop.TabletopCell)."""
    halted: str
    """Why commands are refused; empty: they are not."""
    commanded_ns: int
    """When the last command was obeyed."""
    held_ns: int
    """When the last Hold was obeyed."""
    answered: int = 0
    """The receiver's last message that was obeyed or refused."""


Request = Command | Hold | Restart | Watch
_REQUESTS = msgspec.msgpack.Decoder(Request)
_STATES = msgspec.msgpack.Decoder(State)
_ENCODER = msgspec.msgpack.Encoder()


class Wire:
    """One end of a connection; raises OSError where the other end is gone, and never waits to send."""

    def __init__(self, connection: socket.socket) -> None:
        connection.setblocking(False)
        self._socket = connection

    def send(self, message: Request | State) -> bool:
        """Send; False where the other end has not read for so long that there is no room."""
        try:
            self._socket.send(_ENCODER.encode(message))
        except BlockingIOError:
            return False
        return True

    def receive(self) -> bytes | None:
        """The next message, or None where none has come yet."""
        try:
            data = self._socket.recv(MESSAGE_BYTES)
        except BlockingIOError:
            return None
        if not data:
            raise ConnectionResetError("the other end of the cell's socket is gone")
        return data

    def fileno(self) -> int:
        """For selectors."""
        return self._socket.fileno()

    def close(self) -> None:
        """Hang up."""
        self._socket.close()


def decode_request(data: bytes) -> Request:
    """A message to the cell; raises msgspec.MsgspecError where it is malformed."""
    return _REQUESTS.decode(data)


def decode_state(data: bytes) -> State:
    """A message from the cell; raises msgspec.MsgspecError where it is malformed."""
    return _STATES.decode(data)


def listen(path: str) -> socket.socket:
    """A listening socket at `path`, for its owner alone."""
    server = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    # The folder's mode keeps others out before this does: between bind and chmod the socket has the umask's.
    server.bind(path)
    os.chmod(path, 0o600)  # noqa: PTH101
    server.listen()
    server.setblocking(False)
    return server


def connect(path: str) -> Wire:
    """Connect, at once; raises OSError."""
    client = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    try:
        client.connect(path)
    except OSError:
        client.close()
        raise
    return Wire(client)


class SocketStopper:
    """Halts a cell through a connection of its own, whatever its commander does."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._wire = connect(path)
        self._number = 0

    def hold(self, reason: str) -> None:
        """Halt the cell; raises OSError where it cannot be reached."""
        self._number += 1
        if not self._wire.send(Hold(self._number, halt=reason)):
            raise BlockingIOError("the cell does not read what it is sent")

    def reachable(self) -> bool:
        """Whether `hold` would reach the cell now; connects again where the connection was lost."""
        try:
            while self._wire.receive() is not None:
                pass
        except OSError:
            with contextlib.suppress(OSError):
                self._wire.close()
                self._wire = connect(self._path)
            return False
        return True

    def close(self) -> None:
        """Hang up."""
        self._wire.close()
