"""Records what a cell's topics say, an episode of the guard to a rosbag2 folder, without ever being in anybody's way.

It publishes nothing but its own diagnostics. Messages are written as they came: serialised, with their publisher's
count.

An episode begins when the guard's state counts up, and ends when the next one begins, when the guard has refused
requests or been silent for ten seconds, when the folder's share of the disk is used up, or with this process.
"""

import logging
import math
import shutil
import time
from datetime import UTC, datetime
from pathlib import Path

from diagnostic_msgs.msg import DiagnosticStatus
from rclpy.node import Node
from rclpy.serialization import deserialize_message

from envs.ros.bags import PART, Bag, Recorded, RecordingError, StandardTypes
from envs.ros.config import RobotConfig
from envs.ros.diagnostics import Diagnostics, status, values_of
from envs.ros.listening import listen
from envs.ros.pose_guard import FOLLOWING, HOLDING

log = logging.getLogger(__name__)

PERIOD_S = 0.02
"""Between two looks at what has come."""
TAIL_S = 10.0
"""An episode goes on for so long after the guard last said that the robot may be commanded."""
RESERVE_BYTES = 1_000_000_000
"""Of the disk, for everybody else on it."""
_FLUSH_S = 1.0


class Recorder:
    """Listens and writes; its owner calls `tick` every 20 ms, and `close` in the end."""

    def __init__(
        self, node: Node, robot: RobotConfig, folder: Path, *, images: bool, max_gb: float, guard: str = "guard"
    ) -> None:
        """Subscribe.

        Args:
            node: Whose subscriptions they are.
            robot: What the cell is called.
            folder: Of the recordings; made where there is none.
            images: Record the cameras too.
            max_gb: What the folder may hold, with what lies in it already, 1e9 bytes.
            guard: Name of the guard's node, which tells the episodes.

        Raises:
            RecordingError: Where the folder cannot be used, or the packages for it are missing.
        """
        if not (math.isfinite(max_gb) and max_gb > 0):
            raise RecordingError(f"max_gb must be more than 0, got {max_gb:g}")
        self._types = StandardTypes()
        self._folder, self._max_bytes = folder.expanduser(), round(max_gb * 1e9)
        self._held = self._tidy()
        self._sources = listen(node, robot, guard=guard, images=images)
        self._states = node.resolve_topic_name(f"{guard}/state")
        self._bag: Bag | None = None
        self._episode: int | None = None
        """The newest that the guard told of; none before its first state."""
        self._live_s = -math.inf
        self._flush_s = 0.0
        self._stopped = ""
        """Why nothing is recorded although an episode is on; empty: nothing is wrong."""
        self._lost_before: dict[str, int] = {}
        self._diagnostics = Diagnostics(node, {})
        log.info("%d topics will be recorded to %s, an episode at a time", len(self._sources), self._folder)

    def tick(self) -> None:
        """Write what has come."""
        self._drain()
        now_s = time.monotonic()
        if self._bag is not None and now_s - self._live_s > TAIL_S:
            self._end(f"the robot could not be commanded for {TAIL_S:g} s")
        if now_s >= self._flush_s:
            self._flush_s = now_s + _FLUSH_S
            self._settle()
        self._diagnostics.publish([self._status()])

    def close(self) -> None:
        """Complete the episode."""
        self._drain()
        self._end("the recorder was told to stop")

    def _drain(self) -> None:
        # In the order in which it came, whatever the topic: an episode's first message is the guard's that it began.
        for message in sorted(message for source in self._sources.values() for message in source.take()):
            if message.topic == self._states:
                self._hear(message.data)
            if self._bag is not None:
                self._write(self._bag, message)

    def _hear(self, data: bytes) -> None:
        values = values_of(deserialize_message(data, DiagnosticStatus))
        if not (begun := values.get("begun", "")).isdecimal():
            return
        episode, live = int(begun), values.get("mode") in (FOLLOWING, HOLDING)
        begins = self._episode is not None and episode != self._episode
        if live or begins:
            self._live_s = time.monotonic()
        if begins:
            self._end("the next episode began")
            self._stopped = ""
        self._episode = episode
        if episode > 0 and self._bag is None and not self._stopped and (live or begins):
            self._begin(episode)

    def _begin(self, episode: int) -> None:
        name = f"{datetime.now(UTC):%Y%m%dT%H%M%S.%f}Z_episode_{episode:04d}"
        try:
            self._held = _size(self._folder)
            self._stopped = self._no_room(0)
            if not self._stopped:
                self._bag = Bag(self._folder, name, self._types)
        except OSError as error:
            self._stopped = f"{self._folder / name} cannot be written: {error.strerror}"
        if self._stopped:
            log.error("episode %d is not recorded: %s", episode, self._stopped)
        else:
            self._lost_before = {topic: source.lost for topic, source in self._sources.items()}

    def _write(self, bag: Bag, message: Recorded) -> None:
        try:
            if not bag.knows(message.topic):
                bag.offer(message.topic, self._sources[message.topic].offer())
            bag.write(message)
        except OSError as error:
            self._fail(bag, error)
            return
        if self._held + bag.size > self._max_bytes:
            self._stop_for(self._no_room(bag.size) or "its share of the disk is used up")

    def _settle(self) -> None:
        if self._bag is None:
            return
        try:
            self._bag.flush()
            if full := self._no_room(self._bag.size):
                self._stop_for(full)
        except OSError as error:
            self._fail(self._bag, error)

    def _no_room(self, more: int) -> str:
        if self._held + more >= self._max_bytes:
            most_gb = self._max_bytes / 1e9
            return f"{self._folder} holds the {most_gb:g} GB that it may; move recordings away, or raise max_gb"
        if (free := shutil.disk_usage(self._folder).free) < RESERVE_BYTES:
            return f"the disk of {self._folder} has only {free / 1e9:.2f} GB left; make room on it"
        return ""

    def _stop_for(self, reason: str) -> None:
        self._stopped = reason
        log.error("recording stops: %s; it goes on with the next episode that there is room for", reason)
        self._end(reason)

    def _fail(self, bag: Bag, error: OSError) -> None:
        self._bag = None
        self._stopped = f"{bag.abandon()} cannot be written: {error.strerror}"
        log.error("recording stops: %s; it is tried again with the next episode", self._stopped)

    def _end(self, reason: str) -> None:
        bag, self._bag = self._bag, None
        if bag is None:
            return
        lost = {topic: source.lost - self._lost_before[topic] for topic, source in self._sources.items()}
        about = {"ended": reason, "lost": " ".join(f"{topic}:{n}" for topic, n in lost.items() if n) or "nothing"}
        try:
            folder = bag.finish(about)
        except OSError as error:
            self._fail(bag, error)
            return
        silent = [topic for topic in self._sources if not bag.knows(topic)]
        log.info(
            "recorded %s: %d messages, %.1f MB, lost %s, silent were %s; ended as %s",
            folder,
            sum(bag.counts.values()),
            bag.size / 1e6,
            about["lost"],
            ", ".join(silent) or "none",
            reason,
        )

    def _status(self) -> DiagnosticStatus:
        text = self._stopped or (f"recording {self._bag.folder.name}" if self._bag else "waiting for an episode")
        level = DiagnosticStatus.ERROR if self._stopped else DiagnosticStatus.OK
        used = self._held + (self._bag.size if self._bag else 0)
        lost = sum(source.lost for source in self._sources.values())
        silent = " ".join(topic for topic, source in self._sources.items() if source.silent)
        values = {"folder": self._folder, "used_gb": f"{used / 1e9:.3f}", "lost": lost, "silent": silent}
        return status("recorder", level, text, **values)

    def _tidy(self) -> int:
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            held = _size(self._folder)
        except OSError as error:
            raise RecordingError(f"folder {self._folder} cannot be used: {error.strerror}; set folder") from error
        for part in sorted(self._folder.glob(f"*{PART}")):
            log.warning("%s was never completed; python -m envs.ros.recover %s reads what is in it", part, part)
        return held


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
