"""Write runs as rosbag2 folders with MCAP files, an episode each, for Foxglove and ros2 bag. Needs no ROS."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from envs.ros.bags import Bag, Offer, Recorded, StandardTypes
from learner.archive.config import ExportConfig
from learner.archive.formats.foreign import frame_names, needed, vector_names, without_frames
from learner.archive.formats.outgoing import facts_text
from wire.codec import encode_spec
from wire.specs import EnvSpec
from wire.store import EpisodeSummary, Row
from wire.types import Observation, Step

STEP = "/handrail/step"
"""Record of the step, without its images: what an import needs to have everything again."""
_QUIET_NS = 1_000_000_000
"""Time of the first message: bags do not like 0."""


class DataSet:
    """Writes one folder of bags."""

    def __init__(self, out: Path, spec: EnvSpec, info: Mapping[str, str], config: ExportConfig) -> None:
        self._out, self._spec, self._facts = out, spec, info
        self._types = StandardTypes()
        self._messages = _Messages()
        self._count = 0
        self._bag: Bag | None = None

    def add(self, summary: EpisodeSummary, rows: Sequence[Row]) -> None:
        """Write an episode as a bag of its own; time is that of the control rate, from 1 s on."""
        self._bag = bag = Bag(self._out, f"episode_{self._count:06d}", self._types)
        numbers: dict[str, int] = {}
        for row in rows:
            for topic, kind, data in self._of_step(row):
                self._write(bag, topic, kind, data, row.step.t, numbers)
        final = rows[-1].step.final_observation
        for topic, kind, data in self._seen(final or {}, len(rows)):
            self._write(bag, topic, kind, data, len(rows), numbers)
        about = {"spec": encode_spec(self._spec), "info": facts_text(self._facts), "stream": rows[0].stream}
        bag.finish({"handrail": "1", **about, "success": str(summary.success).lower()})
        self._bag = None
        self._count += 1

    def finish(self) -> dict[str, Any]:
        """Complete the folder."""
        return {"bags": self._count}

    def close(self) -> None:
        """Let go of a bag that was not completed."""
        if self._bag is not None:
            self._bag.abandon()

    def _write(self, bag: Bag, topic: str, kind: str, data: bytes, t: int, numbers: dict[str, int]) -> None:
        if not bag.knows(topic) and topic not in numbers:
            bag.offer(topic, Offer(kind))
        numbers[topic] = numbers.get(topic, 0) + 1
        at = self._at_ns(t)
        bag.write(Recorded(at, topic, numbers[topic], at, data))

    def _of_step(self, row: Row) -> Iterator[tuple[str, str, bytes]]:
        step = row.step
        yield from self._seen(step.observation, step.t)
        vectors = {"action": step.action, "policy_action": step.policy_action}
        for name, vector in vectors.items():
            if vector is not None:
                yield f"/handrail/{name}", "std_msgs/msg/Float64MultiArray", self._messages.vector(vector)
        for name, number in self._told(step).items():
            yield f"/handrail/{name}", "std_msgs/msg/Float64", self._messages.number(number)
        record = row.seq.to_bytes(8, "little") + without_frames(step, self._spec)
        yield STEP, "std_msgs/msg/UInt8MultiArray", self._messages.raw(record)

    def _seen(self, observation: Observation, t: int) -> Iterator[tuple[str, str, bytes]]:
        for name in vector_names(self._spec) if observation else ():
            vector = np.ravel(observation[name])
            yield f"/handrail/observation/{name}", "std_msgs/msg/Float64MultiArray", self._messages.vector(vector)
        for name in frame_names(self._spec) if observation else ():
            image = self._messages.image(observation[name], name, self._at_ns(t))
            yield f"/camera/{name}/image_raw", "sensor_msgs/msg/Image", image

    def _told(self, step: Step) -> dict[str, float]:
        flags = {"source": int(step.source), "held": step.held, "success": step.success, "ended": step.ended}
        return {"reward": step.reward} | {name: float(value) for name, value in flags.items()}

    def _at_ns(self, t: int) -> int:
        return _QUIET_NS + round(t * 1e9 / self._spec.rate_hz)


class _Messages:
    """ROS messages, serialised."""

    def __init__(self) -> None:
        stores = needed("rosbags.typesys")
        self._store: Any = stores.get_typestore(stores.Stores.ROS2_JAZZY)
        self._types: Mapping[str, Any] = self._store.types

    def vector(self, values: np.ndarray) -> bytes:
        """std_msgs/Float64MultiArray."""
        return self._multi("Float64MultiArray", np.asarray(values, np.float64))

    def raw(self, data: bytes) -> bytes:
        """std_msgs/UInt8MultiArray."""
        return self._multi("UInt8MultiArray", np.frombuffer(data, np.uint8))

    def number(self, value: float) -> bytes:
        """std_msgs/Float64."""
        return self._cdr("std_msgs/msg/Float64", data=value)

    def image(self, pixels: np.ndarray, frame: str, at_ns: int) -> bytes:
        """sensor_msgs/Image, rgb8."""
        seconds, rest = divmod(at_ns, 1_000_000_000)
        stamp = self._types["builtin_interfaces/msg/Time"](sec=seconds, nanosec=rest)
        header = self._types["std_msgs/msg/Header"](stamp=stamp, frame_id=frame)
        height, width, _ = pixels.shape
        size = {"height": height, "width": width, "step": 3 * width, "is_bigendian": 0, "encoding": "rgb8"}
        return self._cdr("sensor_msgs/msg/Image", header=header, data=np.ravel(pixels), **size)

    def _multi(self, name: str, values: np.ndarray) -> bytes:
        layout = self._types["std_msgs/msg/MultiArrayLayout"](dim=[], data_offset=0)
        return self._cdr(f"std_msgs/msg/{name}", layout=layout, data=values)

    def _cdr(self, kind: str, **fields: Any) -> bytes:
        return bytes(self._store.serialize_cdr(self._types[kind](**fields), kind))
