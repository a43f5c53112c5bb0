"""What a run's own evidence says about intervening: when a person helped, what came after, and what to do now.

Pure functions of the run's episodes, so that the console, the report and the tests read the same numbers. The protocol
behind the advice is that of HIL-SERL (Luo et al. 2025, arXiv 2410.21845): short corrections, early and often, that
bring the robot back to where the policy can go on; no long ones that drive all the way, for they teach values that the
policy cannot reach; and fewer as success rises.
"""

import enum
from collections.abc import Sequence
from dataclasses import dataclass

from learner.progress import WINDOW, EpisodeResult, Spell
from wire.statistics import wilson_interval

STOP_AT = 0.9
"""Success alone, of a window, from which on help teaches little."""
GOOD, DROP = 0.8, 0.2
"""Once a window stood at GOOD and then fell by DROP, help is wanted again."""
LONG = 0.5
"""Share of its episode beyond which an intervention is long: it rather does the task than corrects the policy."""
FEW = 10
"""Episodes below which a rate says nothing."""
SPARSE = 0.25
"""Share of a window's episodes in which somebody helped, below which help is sparse."""
_MOSTLY_HUMAN = 0.9


@dataclass(frozen=True)
class Rate:
    """Successes of so many episodes."""

    successes: int
    n: int

    @property
    def value(self) -> float:
        """The rate; 0 of nothing."""
        return self.successes / self.n if self.n else 0.0

    @property
    def ci95(self) -> tuple[float, float]:
        """Its 95 % interval (Wilson)."""
        return wilson_interval(self.successes, self.n)

    def apart_from(self, other: "Rate") -> bool:
        """Whether the two intervals do not even touch: what is called a difference here."""
        (low, high), (their_low, their_high) = self.ci95, other.ci95
        return low > their_high or high < their_low

    def __str__(self) -> str:
        if not self.n:
            return "no episode"
        low, high = self.ci95
        return f"{self.successes} of {self.n} ({self.value:.0%}, interval {low:.0%} to {high:.0%})"


@dataclass(frozen=True)
class Phase:
    """A stretch of a run in which somebody kept helping."""

    first: int
    last: int
    """Indices of the first and the last episode with help."""
    from_step: int
    to_step: int
    """Environment steps of the run, from the first intervention to the end of the last episode with help."""
    helped: int
    """Episodes with help."""
    spells: tuple[Spell, ...]
    before: Rate
    after: Rate
    """Success alone in up to 20 episodes before it, and after it as far as the next phase."""

    @property
    def human_steps(self) -> int:
        """Steps that a person drove."""
        return sum(spell.length for spell in self.spells)


class Do(enum.Enum):
    """What to do about intervening now."""

    WAIT = "wait"
    HELP = "help"
    GO_ON = "go on"
    SHORTER = "shorter"
    LET_GO = "let go"
    LEAVE = "leave it"
    STOP = "hands off"


@dataclass(frozen=True)
class Advice:
    """What the evidence says about intervening now, in one sentence with its numbers."""

    do: Do
    why: str

    def __str__(self) -> str:
        return f"{self.do.value}: {self.why}"


def alone(episodes: Sequence[EpisodeResult]) -> Rate:
    """How often the policy succeeded without help; an episode with help counts as none."""
    return Rate(sum(episode.alone for episode in episodes), len(episodes))


def human_share(episodes: Sequence[EpisodeResult]) -> float:
    """Share of the steps that a person drove."""
    steps = sum(episode.length for episode in episodes)
    return sum(episode.human_steps for episode in episodes) / steps if steps else 0.0


def all_spells(episodes: Sequence[EpisodeResult]) -> list[Spell]:
    """Every intervention, in order."""
    return [spell for episode in episodes for spell in episode.spells]


def drove_it(episode: EpisodeResult) -> bool:
    """Whether a person did the task rather than correct the policy: one intervention was most of the episode."""
    return any(spell.length > LONG * episode.length for spell in episode.spells)


def find_phases(episodes: Sequence[EpisodeResult], gap: int = WINDOW // 2) -> list[Phase]:
    """The phases of help: episodes with help that are at most `gap` episodes without it apart."""
    helped = [index for index, episode in enumerate(episodes) if episode.helped]
    groups: list[list[int]] = []
    for index in helped:
        if groups and index - groups[-1][-1] <= gap + 1:
            groups[-1].append(index)
        else:
            groups.append([index])
    begins = [*(group[0] for group in groups), len(episodes)]
    return [_phase(episodes, group, until) for group, until in zip(groups, begins[1:], strict=True)]


def _phase(episodes: Sequence[EpisodeResult], group: list[int], until: int) -> Phase:
    first, last = group[0], group[-1]
    spells = tuple(all_spells([episodes[index] for index in group]))
    return Phase(
        first=first,
        last=last,
        from_step=spells[0].at_step,
        to_step=episodes[last].at_step,
        helped=len(group),
        spells=spells,
        before=alone(episodes[max(0, first - WINDOW) : first]),
        after=alone(episodes[last + 1 : min(until, last + 1 + WINDOW)]),
    )


def best_before(episodes: Sequence[EpisodeResult]) -> Rate:
    """The best full window that lies wholly before the last one."""
    ends = range(WINDOW, len(episodes) - WINDOW + 1)
    return max((alone(episodes[end - WINDOW : end]) for end in ends), key=lambda rate: rate.value, default=Rate(0, 0))


def next_alone(episodes: Sequence[EpisodeResult], *, driven: bool, within: int = 5) -> Rate:
    """How the next episode without help went, after those with help that was long (`driven`) or short.

    Args:
        episodes: Of the run, in order.
        driven: After episodes that a person drove rather than corrected, or after the others with help.
        within: How many episodes later the next one may be.
    """
    outcomes = []
    for index, episode in enumerate(episodes):
        if episode.helped and drove_it(episode) == driven:
            later = (each for each in episodes[index + 1 : index + 1 + within] if not each.helped)
            outcomes += [following.success for following in [next(later, None)] if following is not None]
    return Rate(sum(outcomes), len(outcomes))


def advise(episodes: Sequence[EpisodeResult]) -> Advice:
    """What the evidence so far says about intervening now."""
    if not episodes:
        return Advice(Do.WAIT, "no episode has ended yet")
    recent = episodes[-WINDOW:]
    now, share = alone(recent), human_share(recent)
    if len(episodes) >= FEW and share >= _MOSTLY_HUMAN:
        return Advice(
            Do.LET_GO,
            f"a person drove {share:.0%} of the steps of the last {len(recent)} episodes, so nothing shows what the "
            "policy can do; hand back after a second or two",
        )
    if len(episodes) < FEW:
        return Advice(
            Do.HELP,
            f"{_episodes(len(episodes))} so far, too few to judge by; early is when short corrections are worth most: "
            "a second or two, whenever it is stuck or about to fail",
        )
    if now.value >= STOP_AT:
        return Advice(Do.STOP, f"success alone stands at {now}; help teaches little from here on")
    return _below_the_level(episodes, now)


def _below_the_level(episodes: Sequence[EpisodeResult], now: Rate) -> Advice:
    recent, best = episodes[-WINDOW:], best_before(episodes)
    if best.value >= GOOD and now.value <= best.value - DROP:
        sure = "more than chance explains" if now.apart_from(best) else "though so few episodes may show that by chance"
        return Advice(Do.HELP, f"success alone fell from {best.value:.0%} to {now}, {sure}; correct it briefly again")
    helped = [episode for episode in recent if episode.helped]
    if not helped:
        return _without_help(episodes, now)
    driven = [episode for episode in helped if drove_it(episode)]
    if 2 * len(driven) >= len(helped):
        return Advice(
            Do.SHORTER,
            f"in {len(driven)} of the last {len(helped)} episodes with help a person drove most of the way, while "
            f"success alone stands at {now}; bring it back on its way, then let go",
        )
    if now.value < 0.5 and len(helped) < SPARSE * len(recent):
        return Advice(
            Do.HELP,
            f"success alone stands at {now}, and only {len(helped)} of these episodes had help; short corrections "
            "more often",
        )
    return Advice(
        Do.GO_ON,
        f"corrections in {len(helped)} of the last {len(recent)} episodes, success alone {now}; fewer as it rises",
    )


def _without_help(episodes: Sequence[EpisodeResult], now: Rate) -> Advice:
    earlier = alone(episodes[-2 * WINDOW : -WINDOW])
    nobody = f"nobody has helped in the last {min(len(episodes), WINDOW)} episodes"
    if not any(episode.helped for episode in episodes):
        nobody = "nobody has helped in this run"
    if earlier.n >= FEW and now.value >= earlier.value + 0.1:
        sure = "" if now.apart_from(earlier) else ", which so few episodes may show by chance"
        return Advice(Do.LEAVE, f"{nobody}, and success alone rose from {earlier.value:.0%} to {now}{sure}")
    rises = f"after {earlier.value:.0%} in the {earlier.n} before" if earlier.n else "with none before to compare with"
    return Advice(
        Do.HELP, f"{nobody}, and success alone stands at {now}, {rises}; short corrections may show it the way"
    )


def _episodes(n: int) -> str:
    return "1 episode" if n == 1 else f"{n} episodes"
