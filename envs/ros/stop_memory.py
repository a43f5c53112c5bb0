"""An emergency stop outlasts the guard: kept in a file until somebody releases it, also across a crash or a reboot."""

import logging
import os
from pathlib import Path

from rclpy.node import Node

log = logging.getLogger(__name__)


class StopMemory:
    """Why the emergency stop of one guard is in force, on disk."""

    def __init__(self, node: Node) -> None:
        """Name the file, in $ROS_HOME (else ~/.ros), after the node and its domain; nothing is written yet."""
        home = Path(os.environ.get("ROS_HOME") or "~/.ros").expanduser()
        name = node.get_fully_qualified_name().replace("/", "-")
        self.path = home / "handrail" / f"e_stop-{os.environ.get('ROS_DOMAIN_ID', '0')}{name}"

    def reason(self) -> str:
        """Of the stop that is in force; empty: none is."""
        try:
            return self.path.read_text(errors="replace").strip() or "its reason was not kept"
        except FileNotFoundError:
            return ""
        except OSError as error:
            # What cannot be read may be a stop.
            return f"{self.path} cannot be read: {error.strerror}"

    def keep(self, reason: str) -> None:
        """Keep it; where that cannot be done the log says so, and the stop ends with the guard."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self.path.write_text(f"{reason}\n")
        except OSError as error:
            log.error("the emergency stop will not outlast the guard: %s: %s", self.path, error.strerror)

    def forget(self) -> str:
        """Forget it; why that cannot be done, or an empty string."""
        try:
            self.path.unlink(missing_ok=True)
        except OSError as error:
            return f"{self.path} cannot be deleted: {error.strerror}"
        return ""
