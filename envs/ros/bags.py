"""One episode as a rosbag2 folder: metadata.yaml and an MCAP file, `<name>.part` until it is complete. No ROS in here.

What was written before a crash is in the .part folder up to the last `flush`, and `mcap recover` reads it: nothing in
the file is rewritten later, only appended. Needs the packages mcap and rosbags, of
the extra `cell`.
"""

import contextlib
import importlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import msgspec

from wire.errors import UserError

PART = ".part"
_CHUNK_BYTES = 4 << 20
"""A few pictures to a chunk: large enough to be written in one go, small enough to be read in one."""
_VERSION = 9
"""Of metadata.yaml, as ROS 2 Jazzy and later write it."""


_QOS = "offered_qos_profiles"
"""Where rosbag2 looks for it in a channel."""


class RecordingError(UserError, RuntimeError):
    """Nothing can be recorded; the text says why and what to do."""


@dataclass(frozen=True, order=True)
class Recorded:
    """A message as it was heard, serialised; ordered by when it was."""

    heard_ns: int
    """Wall clock, as rosbag2 has it: nanoseconds since 1970."""
    topic: str
    sequence: int
    """The publisher's count of it, from 1; 0 where the middleware tells none."""
    sent_ns: int = field(compare=False)
    data: bytes = field(compare=False, repr=False)


@dataclass(frozen=True)
class Offer:
    """What is known of a topic when its first message is written."""

    kind: str
    """Of the messages, e.g. geometry_msgs/msg/PoseStamped."""
    qos: tuple[dict[str, Any], ...] = ()
    """Of its publishers, as metadata.yaml writes it."""


class Types(Protocol):
    """Knows the definitions of message types."""

    def definition(self, kind: str) -> tuple[str, str]:
        """Text (as in .msg files, with everything it refers to) and RIHS01 hash of a type."""
        ...


class StandardTypes:
    """The messages of ROS 2 itself."""

    def __init__(self) -> None:
        """Load them; raises RecordingError where the packages for it are missing."""
        stores = needed("rosbags.typesys")
        needed("mcap.writer")
        self._store = stores.get_typestore(stores.Stores.ROS2_JAZZY)
        self._known: dict[str, tuple[str, str]] = {}

    def definition(self, kind: str) -> tuple[str, str]:
        """Text and RIHS01 hash of a type."""
        if kind not in self._known:
            self._known[kind] = self._store.generate_msgdef(kind, ros_version=2)[0], self._store.hash_rihs01(kind)
        return self._known[kind]


@dataclass
class _Channel:
    id: int
    topic: str
    offer: Offer
    digest: str
    count: int = 0


class Bag:
    """Writes one episode. After an OSError from any method, `abandon` it."""

    def __init__(self, folder: Path, name: str, types: Types) -> None:
        """Begin `folder/name.part`."""
        writer = needed("mcap.writer")
        self._types = types
        self.folder = folder / f"{name}{PART}"
        """Where it is now."""
        self._complete = folder / name
        self.folder.mkdir(parents=True)
        self._file = self.folder / f"{name}_0.mcap"
        self._stream = self._file.open("xb")
        self._writer = writer.Writer(self._stream, chunk_size=_CHUNK_BYTES, compression=writer.CompressionType.LZ4)
        self._writer.start(profile="ros2", library="handrail")
        self._channels: dict[str, _Channel] = {}
        self._schemas: dict[str, int] = {}
        self._first_ns = self._last_ns = 0
        self._pending = 0

    @property
    def size(self) -> int:
        """Bytes written, and those that wait to be, before they are compressed."""
        if self._stream.closed:
            return sum(path.stat().st_size for path in self.folder.iterdir())
        return self._stream.tell() + self._pending

    @property
    def counts(self) -> dict[str, int]:
        """Topic -> messages."""
        return {each.topic: each.count for each in self._channels.values()}

    def knows(self, topic: str) -> bool:
        """Whether there was a message of the topic."""
        return topic in self._channels

    def offer(self, topic: str, offer: Offer) -> None:
        """Announce a topic, once, before its first message."""
        text, digest = self._types.definition(offer.kind)
        if offer.kind not in self._schemas:
            self._schemas[offer.kind] = self._writer.register_schema(offer.kind, "ros2msg", text.encode())
        about = {_QOS: _yaml(list(offer.qos)), "topic_type_hash": digest}
        number = self._writer.register_channel(topic, "cdr", self._schemas[offer.kind], about)
        self._channels[topic] = _Channel(number, topic, offer, digest)

    def write(self, message: Recorded) -> None:
        """Append a message of a topic that was announced."""
        channel = self._channels[message.topic]
        before = self._stream.tell()
        self._writer.add_message(
            channel.id, message.heard_ns, message.data, message.sent_ns or message.heard_ns, message.sequence
        )
        channel.count += 1
        self._pending = self._pending + len(message.data) if self._stream.tell() == before else 0
        self._first_ns = min(self._first_ns or message.heard_ns, message.heard_ns)
        self._last_ns = max(self._last_ns, message.heard_ns)

    def flush(self) -> None:
        """From here on the messages so far outlive this process."""
        self._writer.flush()
        self._pending = 0

    def finish(self, about: dict[str, str]) -> Path:
        """Write the index and metadata.yaml, with what there is to say `about` it; the folder, under its own name."""
        self._writer.finish()
        self._stream.close()
        (self.folder / "metadata.yaml").write_text(_yaml(self._metadata(about)))
        self.folder = self.folder.rename(self._complete)
        return self.folder

    def abandon(self) -> Path:
        """Leave it as it is: the .part folder."""
        # What the disk did not take is lost, and the file is closed all the same.
        with contextlib.suppress(OSError):
            self._stream.close()
        return self.folder

    def _metadata(self, about: dict[str, str]) -> dict[str, Any]:
        span = {
            "starting_time": {"nanoseconds_since_epoch": self._first_ns},
            "duration": {"nanoseconds": self._last_ns - self._first_ns},
            "message_count": sum(self.counts.values()),
        }
        topics = [
            {
                "topic_metadata": {
                    "name": each.topic,
                    "type": each.offer.kind,
                    "serialization_format": "cdr",
                    _QOS: list(each.offer.qos),
                    "type_description_hash": each.digest,
                },
                "message_count": each.count,
            }
            for each in self._channels.values()
        ]
        return {
            "rosbag2_bagfile_information": {
                "version": _VERSION,
                "storage_identifier": "mcap",
                **span,
                "topics_with_message_count": topics,
                # Of the bag: that of its chunks is the storage's own affair.
                "compression_format": "",
                "compression_mode": "",
                "relative_file_paths": [self._file.name],
                "files": [{"path": self._file.name, **span}],
                "custom_data": about,
                "ros_distro": "",
            }
        }


def recover(part: Path, types: Types) -> Path:
    """Complete what a recorder that was killed left behind: everything up to its last whole chunk.

    Args:
        part: A .part folder.
        types: Of its messages.

    Returns:
        The complete folder, beside it; the .part folder stays.

    Raises:
        RecordingError: Where there is nothing in it.
    """
    file = next(part.glob("*.mcap"), None)
    if part.suffix != PART or file is None:
        raise RecordingError(f"{part} is no unfinished recording: wanted a folder <name>{PART} with a .mcap file in it")
    name = f"{part.name.removesuffix(PART)}_recovered"
    if found := [path for path in (part.parent / name, part.parent / f"{name}{PART}") if path.exists()]:
        raise RecordingError(f"{found[0]} is there already; delete it, or {part}")
    bag = Bag(part.parent, name, types)
    for schema, channel, message in _whole(file):
        if not bag.knows(channel.topic):
            bag.offer(channel.topic, Offer(schema.name, tuple(msgspec.yaml.decode(channel.metadata[_QOS]))))
        bag.write(Recorded(message.log_time, channel.topic, message.sequence, message.publish_time, message.data))
    if not bag.counts:
        raise RecordingError(f"nothing can be read of {file}; delete {bag.abandon()} and {part}")
    return bag.finish({"ended": "the recorder was killed; recovered"})


def _whole(file: Path) -> Iterator[tuple[Any, Any, Any]]:
    """Schema, channel and message, up to where the file is torn."""
    with file.open("rb") as stream:
        reader = needed("mcap.reader").NonSeekingReader(stream, validate_crcs=True)
        # In the order of the file: sorting would read all of it, and stumble over its end, before the first one. What
        # the end looks like depends on where it is: a short read, a broken chunk, a wrong sum.
        with contextlib.suppress(Exception):
            yield from reader.iter_messages(log_time_order=False)


def needed(module: str) -> Any:
    """A module of the extra `cell`; raises RecordingError, which says what to install, where it is missing."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        package = module.partition(".")[0]
        raise RecordingError(
            f"recording needs the package {package}: pip install -e '.[cell]' -c constraints.txt"
        ) from error


def _yaml(value: Any) -> str:
    return msgspec.yaml.encode(value).decode()
