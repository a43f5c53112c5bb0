"""Past runs as experience for this one: which of them fit, why others do not, and their steps as they count today."""

import itertools
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec

from envs.relabel import judge_of
from envs.workcell import Outcome
from learner.archive.facts import ARCHIVE, calibration_name, stated_calibration
from learner.learned_rewards import rewarded, rewards_of
from wire.database import StoreError
from wire.errors import UserError
from wire.specs import ArraySpec, EnvSpec
from wire.store import Row, StepStore
from wire.types import Observation, Step

log = logging.getLogger(__name__)

_TRAITS = {
    "task": "task",
    "env": "kind of environment",
    "robot": "robot",
    "action_names": "action",
    "action_frame": "action frame",
    "rate_hz": "control rate",
}
"""What two runs must share besides the shapes of their arrays: field of the spec -> what people call it."""


@dataclass(frozen=True)
class PastRun:
    """One past run, and whether it serves."""

    path: Path
    steps: int = 0
    reason: str = ""
    """Why it is left out; empty where it is taken."""
    relabelled: bool = False
    """Its rewards are computed anew, by the present definition."""
    reward: str = ""
    """Name and version of the definition that it was recorded with."""
    version: str = ""
    """Of the model whose rewards beside the archive count in the place of the recorded ones; empty: of none."""


def find_archives(places: list[str], *, own: Path | None = None) -> list[Path]:
    """The archives of runs, files, and folders of runs, however deep, each once, in the order of their names.

    Args:
        places: What `archive=` names.
        own: The archive of the run that asks, which is no past run.

    Raises:
        UserError: There is nothing, or no run in it.
    """
    found = {each.resolve(): each for place in places for each in _archives_in(Path(place))}
    if own is not None:
        found.pop(own.resolve(), None)
    return list(found.values())


def _archives_in(path: Path) -> list[Path]:
    if path.is_file():
        return [path]
    if not path.exists():
        raise UserError(f"archive= names a run, a folder of runs or a file of steps, and there is no {path}")
    found = sorted(path.rglob(ARCHIVE))
    if not found:
        raise UserError(f"there is no run in {path} (no {ARCHIVE} in it or below it); check archive=<folder>")
    return found


def examine(
    path: Path, spec: EnvSpec, calibration: str = "", version: str = "", *, any_reward: bool = False
) -> PastRun:
    """Open a past run and see whether it serves a run of `spec`; nothing of its frames is read.

    Args:
        path: Its archive.
        spec: Of the run that asks.
        calibration: Of that run's cameras, as `learner.camera_calibration` has it; empty: not stated.
        version: Of the model whose rewards are to count in the place of the recorded ones; empty: of none.
        any_reward: Nothing is learned from rewards, so they may be of any definition.
    """
    try:
        with StepStore.read(path) as store:
            steps = store.count()
            if not steps:
                return PastRun(path, reason="it holds no steps")
            reward = store.spec.reward
            theirs = calibration_name(stated_calibration(store.info))
            reason = _mismatch(spec, store.spec) or _other("camera calibration", calibration_name(calibration), theirs)
            if not reason and version:
                if not rewards_of(path, version):
                    reason = (
                        f"{version} has not given its steps their rewards: handrail rewards relabel model=<folder> "
                        f"runs=[{path}]"
                    )
                return PastRun(path, steps, reason, reward=reward, version=version)
            if not reason and spec.reward != reward and not any_reward:
                if judge_of(spec, store.spec) is None:
                    reason = (
                        f"its reward is {reward}, this run's {spec.reward}, which cannot be computed from "
                        "what it observed"
                    )
                return PastRun(path, steps, reason, reward=reward, relabelled=not reason)
            return PastRun(path, steps, reason, reward=reward)
    except StoreError as error:
        return PastRun(path, reason=str(error))


def read_steps(run: PastRun, spec: EnvSpec, say: Callable[[str], None]) -> Iterator[tuple[str, int, Step]]:
    """(stream, seq, step) of a run that serves, with the observations and the reward of `spec`.

    Damaged steps are left out and said. A run that is being written is read up to what it held when this began.
    """
    with StepStore.read(run.path) as store:
        judge = judge_of(spec, store.spec) if run.relabelled else None
        rows = store.rows() if judge is None else _relabelled(store.rows(), judge)
        if run.version:
            rows = rewarded(rows, rewards_of(run.path, run.version), run.version)
        for row in rows:
            yield row.stream, row.seq, _projected(row.step, spec)
        for line in store.damage:
            log.error("damaged: %s", line)
        if store.damaged:
            say(f"warning: {store.damaged} steps in {run.path} are damaged and were left out")


def relabel(episode: list[Step], judge: Callable[[Observation], Outcome]) -> list[Step]:
    """An episode as another definition of its reward has it: it may end earlier, or by its time limit alone."""
    found = []
    for step, following in itertools.zip_longest(episode, episode[1:]):
        after = step.final_observation if following is None else following.observation
        if after is None or (following is not None and following.t != step.t + 1):
            found.append(step)  # What came of it is not known, so no transition will begin with it.
            continue
        outcome = judge(after)
        terminated = outcome.success or outcome.failure
        ended = terminated or step.ended
        # The task gives the reward now, whoever gave it then, and where nobody did.
        changes = {"reward": outcome.reward, "reward_by": "", "success": outcome.success, "terminated": terminated}
        changes |= {"truncated": ended and not terminated, "final_observation": after if ended else None}
        found.append(msgspec.structs.replace(step, **changes, discarded=ended and episode[-1].discarded))
        if ended:
            break
    return found


def _relabelled(rows: Iterator[Row], judge: Callable[[Observation], Outcome]) -> Iterator[Row]:
    """Whole episodes, each when its last step has come."""
    under_way: dict[str, list[Row]] = {}
    for row in rows:
        episode = under_way.setdefault(row.stream, [])
        if episode and episode[-1].step.episode != row.step.episode:
            yield from _relabelled_episode(episode, judge)
            episode.clear()
        episode.append(row)
    for episode in under_way.values():
        yield from _relabelled_episode(episode, judge)


def _relabelled_episode(rows: list[Row], judge: Callable[[Observation], Outcome]) -> Iterator[Row]:
    steps = relabel([row.step for row in rows], judge)
    return (row._replace(step=step) for row, step in zip(rows, steps, strict=False))


def _mismatch(ours: EnvSpec, theirs: EnvSpec) -> str:
    """Why steps of `theirs` are none of `ours`, in one line; empty where they are."""
    if ours.action != theirs.action:
        return f"its action is {_text(theirs.action)}, this run's {_text(ours.action)}"
    for field, name in _TRAITS.items():
        if reason := _other(name, getattr(ours, field), getattr(theirs, field)):
            return reason
    for name, array in ours.observation.items():
        # More than we observe is no harm: it is left away.
        if name not in theirs.observation:
            return f"it has no observation {name}; it has {', '.join(theirs.observation)}"
        if array != theirs.observation[name]:
            return f"its observation {name} is {_text(theirs.observation[name])}, this run's {_text(array)}"
    return ""


def _other(name: str, ours: object, theirs: object) -> str:
    if ours == theirs:
        return ""
    here, there = (each if each not in ("", None) else "not stated" for each in (ours, theirs))
    return f"its {name} is {_plainly(there)}, this run's {_plainly(here)}"


def _plainly(value: object) -> str:
    if isinstance(value, tuple):
        return " ".join(map(str, value))
    return f"{value:g}" if isinstance(value, float) else f"{value}"


def _text(array: ArraySpec) -> str:
    bounds = "" if array.low is None else f" in {array.low:g}..{array.high:g}"
    return f"{array.shape} {array.dtype}{bounds}{f' [{array.unit}]' if array.unit else ''}"


def _projected(step: Step, spec: EnvSpec) -> Step:
    if step.observation.keys() == spec.observation.keys():
        return step
    final = step.final_observation
    return msgspec.structs.replace(
        step,
        observation={name: step.observation[name] for name in spec.observation},
        final_observation=None if final is None else {name: final[name] for name in spec.observation},
    )
