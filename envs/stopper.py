"""How a process of its own stops a robot: light enough for a watchdog that must be up in no time."""

from typing import Protocol

from wire.errors import UserError


class Stopper(Protocol):
    """A connection to the robot that can do one thing, and does not pass through its commander."""

    def hold(self, reason: str) -> None:
        """Make the robot stay where it is and refuse commands until the next reset; raises OSError if it cannot."""
        ...

    def reachable(self) -> bool:
        """Whether `hold` would reach the robot now; called every few milliseconds."""
        ...

    def close(self) -> None:
        """Hang up."""
        ...


def open_stopper(address: str) -> Stopper:
    """The stopper at a cell's address: unix:<path> of a simulated one in real time, ros:<node> of a guard in ROS 2."""
    kind, _, place = address.partition(":")
    if kind == "unix":
        from envs.cell_socket import SocketStopper

        return SocketStopper(place)
    if kind == "ros":
        from envs.ros.stopper import RosStopper

        return RosStopper(place)
    raise UserError(f"nothing can stop a robot at {address}; wanted unix:<path> or ros:<node of the guard>")
