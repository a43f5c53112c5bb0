"""What one archive file says of itself, read without its frames and without the bodies of its steps."""

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from wire.codec import DecodeError, decode_spec, encode_spec
from wire.database import EmptyError, is_being_written
from wire.errors import plain
from wire.labels import labels_since
from wire.specs import EnvSpec
from wire.store import EpisodeSummary, StepStore, StoreError
from wire.types import Source

ARCHIVE = "steps.sqlite"
CALIBRATION = "calibration"
"""The fact under which a file keeps its cameras' calibration: a name, or the calibration itself as JSON."""
_CALIBRATION_BEFORE = "camera_calibration"
"""The fact under which learners once kept its name."""
NO_CALIBRATION = "none"
_DEMONSTRATIONS = "demonstrations"
_DRIVERS = {Source.HUMAN: "person", Source.SCRIPT: "script", Source.DEMO: "demonstrator"}


class RunFacts(msgspec.Struct, frozen=True, kw_only=True):
    """One run, or one file of demonstrations, at a glance."""

    name: str
    """Its folder, or its file where that is not called steps.sqlite."""
    path: str
    """The file."""
    kind: str = "run"
    """run or demonstrations."""
    state: str = "finished"
    """finished; writing: a process has it open to append; empty: whoever made it never wrote anything."""
    problem: str = ""
    """What of the file cannot be read; empty: nothing was found."""
    task: str = ""
    robot: str = ""
    env: str = ""
    vectors: dict[str, int] = {}
    """Name -> length."""
    cameras: dict[str, tuple[int, int]] = {}
    """Name -> height and width in pixels."""
    calibration: str = NO_CALIBRATION
    """Its name, or 8 hex digits that are equal where the cameras' calibrations are; none: the file keeps none."""
    action: str = ""
    """Frame and names, e.g. base:x,y,z,gripper."""
    rate_hz: float = 0.0
    reward: str = ""
    """Definition and version."""
    agent: str = ""
    seed: str = ""
    note: str = ""
    human: str = "nobody"
    """Who else than the policy drove: nobody, person, script or demonstrator."""
    began: str = ""
    """ISO 8601 in UTC; empty where an old version made the file."""
    changed: str = ""
    steps: int = 0
    episodes: int = 0
    """Finished ones."""
    successes: int = 0
    successes_alone: int = 0
    """Of them those in which nobody helped."""
    human_steps: int = 0
    episode_steps: int = 0
    """Steps of the finished episodes."""
    mean_return: float | None = None
    labels: dict[str, int] = {}
    """Kind, then version of the model or, where there was none, whose word it is -> how many lie beside the file."""
    bytes: int = 0
    fingerprint: str = ""
    spec: str = ""
    """The environment's specification, as JSON."""

    @property
    def success_rate(self) -> float | None:
        """Share of the finished episodes that succeeded, with help or without."""
        return self.successes / self.episodes if self.episodes else None

    @property
    def human_share(self) -> float | None:
        """Share of the steps that somebody else than the policy drove."""
        if self.kind == _DEMONSTRATIONS:
            return 1.0
        return self.human_steps / self.episode_steps if self.episode_steps else None

    def env_spec(self) -> EnvSpec | None:
        """The specification; None where the file could not be read."""
        try:
            return decode_spec(self.spec)
        except DecodeError:
            return None

    def as_json(self) -> dict[str, Any]:
        """Plain values for a JSON document."""
        values = msgspec.to_builtins(self)
        spec = msgspec.json.decode(self.spec) if self.spec else None
        return values | {"success_rate": self.success_rate, "human_share": self.human_share, "spec": spec}


def run_name(path: Path) -> str:
    """What people call a file of steps: its folder, where it has the usual name."""
    return str(path.parent) if path.name == ARCHIVE else str(path)


def read_facts(path: Path) -> RunFacts:
    """The facts of a file; one that is damaged, or no archive, gets a `problem` instead of an exception."""
    known: dict[str, Any] = {"name": run_name(path), "path": str(path)} | _outside(path)
    try:
        with StepStore.read(path) as store:
            known |= _inside(store)
            try:
                known |= _of_episodes(store, known["kind"])
                known["labels"] = _labels(path)
            except StoreError as error:
                known["problem"] = plain(error, 400)
    except EmptyError:
        known["state"] = "writing" if is_being_written(path) else "empty"
    except StoreError as error:
        known["problem"] = plain(error, 400)
    return RunFacts(**known)


def action_space(spec: EnvSpec) -> str:
    """Frame and names of an action in one word."""
    return f"{spec.action_frame}:{','.join(spec.action_names)}"


def stated_calibration(info: Mapping[str, str]) -> str:
    """What a file's facts say of its cameras' calibration; empty: nothing."""
    return info.get(CALIBRATION) or info.get(_CALIBRATION_BEFORE, "")


def calibration_name(text: str) -> str:
    """Equal exactly where two calibrations are: 8 hex digits of JSON, which may stand for it, and a name as it is."""
    return hashlib.sha256(text.encode()).hexdigest()[:8] if text.startswith("{") else text


def size_of(path: Path) -> int:
    """Bytes of a file and of its log."""
    return sum(file.stat().st_size for suffix in ("", "-wal") if (file := Path(f"{path}{suffix}")).exists())


def _outside(path: Path) -> dict[str, Any]:
    """What the file system says."""
    try:
        changed = max(file.stat().st_mtime for suffix in ("", "-wal") if (file := Path(f"{path}{suffix}")).exists())
    except (OSError, ValueError):
        return {}
    return {
        "state": "writing" if is_being_written(path) else "finished",
        "changed": datetime.fromtimestamp(changed, UTC).isoformat(timespec="seconds"),
        "bytes": size_of(path),
    }


def _inside(store: StepStore) -> dict[str, Any]:
    spec, info = store.spec, store.info
    return {
        "kind": _DEMONSTRATIONS if info.get("kind") == _DEMONSTRATIONS else "run",
        "task": spec.task,
        "robot": spec.robot,
        "env": spec.env,
        "vectors": {
            name: int(array.shape[0]) if len(array.shape) == 1 else -1
            for name, array in spec.observation.items()
            if not array.is_frame
        },
        "cameras": {name: array.shape[:2] for name, array in spec.observation.items() if array.is_frame},
        "calibration": calibration_name(stated_calibration(info)) or NO_CALIBRATION,
        "action": action_space(spec),
        "rate_hz": spec.rate_hz,
        "reward": spec.reward,
        "agent": info.get("agent", ""),
        "seed": info.get("seed", ""),
        "note": info.get("note", ""),
        "began": store.began,
        "steps": store.last_row(),
        "fingerprint": spec.fingerprint(),
        "spec": encode_spec(spec),
    }


def _of_episodes(store: StepStore, kind: str) -> dict[str, Any]:
    episodes = store.episodes()
    sums = _sums(episodes)
    if kind == _DEMONSTRATIONS:
        sums["successes_alone"] = 0
    return {
        **sums,
        "human": "demonstrator" if kind == _DEMONSTRATIONS else _driver(store, episodes),
    }


def _labels(path: Path) -> dict[str, int]:
    labels, _ = labels_since(path)
    return dict(Counter(f"{label.kind} {label.version or label.source}" for label in labels))


def _sums(episodes: Iterable[EpisodeSummary]) -> dict[str, Any]:
    episodes = list(episodes)
    returns = [episode.episode_return for episode in episodes]
    return {
        "episodes": len(episodes),
        "successes": sum(episode.success for episode in episodes),
        "successes_alone": sum(episode.success and episode.human_steps == 0 for episode in episodes),
        "human_steps": sum(episode.human_steps for episode in episodes),
        "episode_steps": sum(episode.length for episode in episodes),
        "mean_return": sum(returns) / len(returns) if returns else None,
    }


def _driver(store: StepStore, episodes: list[EpisodeSummary]) -> str:
    """Who helped, by the first step of the first episode in which somebody did."""
    helped = next((episode for episode in episodes if episode.human_steps), None)
    if helped is None:
        return "nobody"
    source = store.first_helper(helped)
    return "nobody" if source is None else _DRIVERS.get(source, "nobody")
