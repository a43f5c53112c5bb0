"""Read MCAP files and rosbag2 folders of them: our exports as they were, a recorder's topics sampled at a rate."""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np

from learner.archive.config import ImportConfig, near
from learner.archive.formats.foreign import Foreign, ForeignEpisode, FormatError, frame_names, needed, with_frames
from learner.archive.formats.mcap_messages import Decoder, Sample, usable
from learner.archive.formats.mcap_out import STEP
from wire.codec import DecodeError, decode_spec
from wire.errors import plain
from wire.specs import EnvSpec
from wire.types import Step

_METADATA = "metadata.yaml"
_REQUESTED = ("requested_pose", "requested_gripper")
"""Topics of the guard that say what was asked of the robot, as `recorder_node` records them."""


@dataclass(frozen=True)
class _Bag:
    """One recording: its files and what its metadata say about it."""

    files: tuple[Path, ...]
    about: Mapping[str, str]


def read(path: Path, config: ImportConfig) -> Foreign:
    """The recordings in a folder, or in one file; raises FormatError where there are none."""
    bags = list(_bags(path))
    if not bags:
        raise FormatError(f"{path} holds no .mcap file; name a recording, or a folder of them")
    remarks: list[str] = []
    first = bags[0].about
    if "handrail" in first and not config.topics and config.action is None:
        spec, info = _kept(bags[0])
        episodes: Iterator[ForeignEpisode] = (_exact_episode(bag, spec) for bag in bags)
        return Foreign(episodes=episodes, spec=spec, info=info, task=spec.task, robot=spec.robot, rate_hz=spec.rate_hz)
    if config.rate_hz is None:
        raise FormatError("topics have no common rate; say at which they are sampled: rate_hz=10")
    return Foreign(
        episodes=itertools.chain.from_iterable(_sampled(bag, config, remarks) for bag in bags), remarks=remarks
    )


def _bags(path: Path) -> Iterator[_Bag]:
    if path.is_file():
        yield _Bag((path,), {})
        return
    for folder in sorted({file.parent for file in path.rglob("*.mcap")}):
        if not folder.name.endswith(".part"):
            yield _Bag(tuple(sorted(folder.glob("*.mcap"))), _about(folder / _METADATA))


def _about(file: Path) -> Mapping[str, str]:
    try:
        metadata = msgspec.yaml.decode(file.read_bytes())
        return msgspec.convert(metadata["rosbag2_bagfile_information"]["custom_data"], dict[str, str])
    except (OSError, msgspec.MsgspecError, KeyError, TypeError):
        return {}


def _kept(bag: _Bag) -> tuple[EnvSpec, dict[str, str]]:
    try:
        return decode_spec(bag.about["spec"]), msgspec.json.decode(bag.about["info"], type=dict[str, str])
    except (ValueError, KeyError) as error:
        raise FormatError(f"{bag.files[0].parent / _METADATA} is damaged: {plain(error)}") from None


def _samples(bag: _Bag, topics: Sequence[str] | None = None) -> Iterator[tuple[str, Sample]]:
    """Topic and message, in the order of the files."""
    decoder = Decoder()
    reading = needed("mcap.reader")
    for file in bag.files:
        try:
            with file.open("rb") as stream:
                reader = reading.NonSeekingReader(stream, validate_crcs=True)
                for schema, channel, message in reader.iter_messages(log_time_order=False):
                    if schema is not None and (topics is None or channel.topic in topics):
                        sample = decoder.decode(schema, channel, message)
                        if sample is not None:
                            yield channel.topic, sample
        except FormatError as error:
            raise FormatError(f"{file}: {error}") from None
        # What a torn or foreign file makes the reader raise depends on where it is torn.
        except Exception as error:
            raise FormatError(
                f"{file} is no intact MCAP file: {plain(error, 120)}; of a recording that was cut off "
                "`python -m envs.ros.recover` saves what there is"
            ) from None


def _exact_episode(bag: _Bag, spec: EnvSpec) -> ForeignEpisode:
    """An exported episode: records without images, and the images by their order."""
    cameras = {f"/camera/{name}/image_raw": name for name in frame_names(spec)}
    images: dict[str, list[np.ndarray]] = {name: [] for name in cameras.values()}
    records: list[bytes] = []
    for topic, sample in _samples(bag, [STEP, *cameras]):
        if topic == STEP:
            records.append(sample.values.tobytes())
        else:
            images[cameras[topic]].append(sample.values)
    n = len(records)
    if n == 0 or any(len(each) != n + 1 for each in images.values()):
        counts = {name: len(each) for name, each in images.items()}
        raise FormatError(f"{bag.files[0]} has {n} steps and {counts} images; wanted one image more than steps")
    stream, steps = bag.about.get("stream", "0" * 32), []
    for t, data in enumerate(records):
        frames, after = ({name: each[i] for name, each in images.items()} for i in (t, n))
        try:
            steps.append((stream, int.from_bytes(data[:8], "little"), with_frames(data[8:], frames, after)))
        except DecodeError as error:
            raise FormatError(f"{bag.files[0]}, step {t}: {error}") from None
    return _columns(steps)


def _columns(rows: Sequence[tuple[str, int, Step]]) -> ForeignEpisode:
    steps = [step for *_, step in rows]
    last = steps[-1]
    looks = [*(step.observation for step in steps), last.final_observation or last.observation]
    return ForeignEpisode(
        observations={name: np.stack([look[name] for look in looks]) for name in last.observation},
        actions=np.stack([step.action for step in steps]),
        rewards=np.array([step.reward for step in steps]),
        terminated=last.terminated,
        success=any(step.success for step in steps),
        exact=rows,
    )


def _sampled(bag: _Bag, config: ImportConfig, remarks: list[str]) -> Iterator[ForeignEpisode]:
    """A recording as an episode: at every tick the newest message of each topic, and what was then asked for."""
    heard: dict[str, list[Sample]] = {}
    for topic, sample in _samples(bag):
        heard.setdefault(topic, []).append(sample)
    for samples in heard.values():
        samples.sort(key=lambda sample: sample.at_ns)
    name = bag.files[0].parent.name
    actions = _action_topics(heard, config, name)
    senses = _sense_topics(heard, config, actions, name)
    assert config.rate_hz is not None
    period_ns = round(1e9 / config.rate_hz)
    begin = max(heard[topic][0].at_ns for topic in senses)
    end = min(max(heard[topic][-1].at_ns for topic in actions), min(heard[topic][-1].at_ns for topic in senses))
    ticks = np.arange(begin, end + 1, period_ns)
    # What was asked for before the first tick counts until something else is.
    first = min(heard[topic][0].at_ns for topic in actions)
    ticks = ticks[ticks + period_ns >= first]
    if len(ticks) < 2:
        remarks.append(f"{name} holds no two control periods in which all topics spoke, and was left out")
        return
    observations = {_array_name(topic): _held(heard[topic], ticks) for topic in senses}
    asked = [_held(heard[topic], ticks[:-1] + period_ns - 1) for topic in actions]
    if not remarks:
        remarks.append(f"observations are {', '.join(senses)}; actions are {', '.join(actions)}, as their messages say")
    yield ForeignEpisode(observations=observations, actions=np.concatenate(asked, axis=1).astype(np.float32))


def _action_topics(heard: Mapping[str, list[Sample]], config: ImportConfig, name: str) -> list[str]:
    if config.action is not None:
        return [_known(topic, heard, name) for topic in config.action.split(",")]
    found = [topic for end in _REQUESTED for topic in heard if topic.endswith(f"/{end}")]
    if not found:
        raise FormatError(
            f"{name} does not tell what was asked of the robot; name the topic: action={next(iter(heard))}"
        )
    return found


def _sense_topics(
    heard: Mapping[str, list[Sample]], config: ImportConfig, actions: Sequence[str], name: str
) -> list[str]:
    if config.topics:
        return [_known(topic, heard, name) for topic in config.topics]
    found = [topic for topic, samples in heard.items() if topic not in actions and usable(samples)]
    if not found:
        raise FormatError(f"{name} holds no topic that could be an observation; it has {', '.join(heard)}")
    return sorted(found)


def _known(topic: str, heard: Mapping[str, list[Sample]], name: str) -> str:
    if topic not in heard:
        raise FormatError(
            f"{name} has no readable topic {topic}{near(topic, list(heard))}; it has {', '.join(sorted(heard))}"
        )
    if not usable(heard[topic]):
        raise FormatError(f"{name}: the messages of {topic} are not all of one size")
    return topic


def _held(samples: Sequence[Sample], ticks: np.ndarray) -> np.ndarray:
    """The newest message at each tick, (n, ...); before the first one the first."""
    times = np.array([sample.at_ns for sample in samples])
    places = np.maximum(np.searchsorted(times, ticks, side="right") - 1, 0)
    return np.stack([samples[place].values for place in places])


def _array_name(topic: str) -> str:
    return topic.strip("/").replace("/", ".")[-64:]
