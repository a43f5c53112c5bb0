"""Which runs and which of their episodes somebody means, with a plain reason for each run left out."""

from pathlib import Path

from learner.archive.catalogue import resolve
from learner.archive.config import Selection
from learner.archive.facts import RunFacts
from wire.specs import EnvSpec
from wire.store import EpisodeSummary, StepStore

_EQUAL = ("task", "robot", "reward", "action", "calibration", "agent", "kind")


def wanted_spec(selection: Selection) -> EnvSpec | None:
    """The specification that `like=` names; raises StoreError or NoArchive where it names no readable run."""
    if selection.like is None:
        return None
    with StepStore.read(resolve(Path(selection.like))) as store:
        return store.spec


def why_not(facts: RunFacts, selection: Selection, like: EnvSpec | None) -> str:
    """Why a run is left out, in a few words; empty: it is not."""
    for key in _EQUAL:
        wanted, got = getattr(selection, key), getattr(facts, key)
        if wanted is not None and got != wanted:
            return facts.problem or f"{key} is {got or 'not known'}, wanted {wanted}"
    if like is not None:
        spec = facts.env_spec()
        if spec is None:
            return facts.problem or "its specification cannot be read"
        return "; ".join(spec.differences(like))
    return ""


def fits(episode: EpisodeSummary, selection: Selection, kind: str) -> bool:
    """Whether an episode is chosen; of demonstrations every step counts as driven by somebody."""
    helped = episode.length if kind == "demonstrations" else episode.human_steps
    if selection.intervention is not None and selection.intervention not in _helped(helped, episode.length):
        return False
    if selection.success is not None and episode.success != selection.success:
        return False
    return selection.min_return is None or episode.episode_return >= selection.min_return


def _helped(steps: int, length: int) -> tuple[str, ...]:
    if steps == 0:
        return ("none",)
    return ("some", "only") if steps >= length else ("some",)
