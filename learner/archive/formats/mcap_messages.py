"""ROS messages as arrays: those kinds of which it is plain what their numbers are."""

import io
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from learner.archive.formats.foreign import FormatError, needed
from wire.errors import plain

_CHANNELS = {"rgb8": (3, None), "bgr8": (3, [2, 1, 0]), "mono8": (1, [0, 0, 0])}
_LARGEST_PIXELS = 8 << 20


class Sample(NamedTuple):
    """A message as an array: a vector (n,), or a uint8 image (height, width, 3)."""

    at_ns: int
    values: np.ndarray


def usable(samples: Sequence[Sample]) -> bool:
    """Whether messages could be columns of one array."""
    return len({(sample.values.shape, sample.values.dtype) for sample in samples}) == 1 and samples[0].values.size > 0


class Decoder:
    """Decodes CDR with the definitions that a file brings along."""

    def __init__(self) -> None:
        stores = needed("rosbags.typesys")
        self._parse = stores.get_types_from_msg
        self._store: Any = stores.get_typestore(stores.Stores.ROS2_JAZZY)

    def decode(self, schema: Any, channel: Any, message: Any) -> Sample | None:
        """A message; None of a kind that is no array, or of another encoding."""
        as_array = _KINDS.get(schema.name)
        if as_array is None or channel.message_encoding != "cdr":
            return None
        try:
            if schema.name not in self._store.types:
                self._store.register(self._parse(schema.data.decode(), schema.name))
            values = as_array(self._store.deserialize_cdr(message.data, schema.name))
        except FormatError:
            raise
        # Whatever bytes that are no such message make the parser raise.
        except Exception as error:
            raise FormatError(f"a message of {channel.topic} is no {schema.name}: {plain(error, 100)}") from None
        return Sample(message.log_time, values)


def _numbers(*values: Any) -> np.ndarray:
    return np.concatenate([np.ravel(np.asarray(value, np.float64)) for value in values])


def _pose(pose: Any) -> np.ndarray:
    position, turn = pose.position, pose.orientation
    return _numbers(position.x, position.y, position.z, turn.x, turn.y, turn.z, turn.w)


def _pair(first: Any, second: Any) -> np.ndarray:
    return _numbers(first.x, first.y, first.z, second.x, second.y, second.z)


def _image(message: Any) -> np.ndarray:
    if message.encoding not in _CHANNELS:
        raise FormatError(f"images are encoded as {plain(message.encoding, 20)}; wanted {', '.join(_CHANNELS)}")
    channels, order = _CHANNELS[message.encoding]
    if message.step < message.width * channels or len(message.data) != message.step * message.height:
        raise FormatError(f"an image of {message.width}x{message.height} has {len(message.data)} bytes")
    lines = np.asarray(message.data, np.uint8).reshape(message.height, message.step)
    pixels = lines[:, : message.width * channels].reshape(message.height, message.width, channels)
    return pixels.copy() if order is None else pixels[..., order]


def _compressed(message: Any) -> np.ndarray:
    image = needed("PIL.Image").open(io.BytesIO(bytes(message.data)))
    if image.width * image.height > _LARGEST_PIXELS:
        raise FormatError(f"an image claims {image.width}x{image.height} pixels")
    return np.asarray(image.convert("RGB"))


_KINDS: dict[str, Callable[[Any], np.ndarray]] = {
    "geometry_msgs/msg/Pose": _pose,
    "geometry_msgs/msg/PoseStamped": lambda message: _pose(message.pose),
    "geometry_msgs/msg/Twist": lambda message: _pair(message.linear, message.angular),
    "geometry_msgs/msg/TwistStamped": lambda message: _pair(message.twist.linear, message.twist.angular),
    "geometry_msgs/msg/Wrench": lambda message: _pair(message.force, message.torque),
    "geometry_msgs/msg/WrenchStamped": lambda message: _pair(message.wrench.force, message.wrench.torque),
    "sensor_msgs/msg/JointState": lambda message: _numbers(message.position),
    "sensor_msgs/msg/Image": _image,
    "sensor_msgs/msg/CompressedImage": _compressed,
    "std_msgs/msg/Bool": lambda message: _numbers(message.data),
    "std_msgs/msg/Float32": lambda message: _numbers(message.data),
    "std_msgs/msg/Float64": lambda message: _numbers(message.data),
    "std_msgs/msg/Int32": lambda message: _numbers(message.data),
    "std_msgs/msg/Float32MultiArray": lambda message: _numbers(message.data),
    "std_msgs/msg/Float64MultiArray": lambda message: _numbers(message.data),
    "std_msgs/msg/UInt8MultiArray": lambda message: np.asarray(message.data, np.uint8),
}
