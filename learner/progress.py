"""What the run has achieved so far: the numbers people watch and the summary they keep."""

from collections import deque
from dataclasses import dataclass, field

from wire.types import Source, Step

WINDOW = 20
"""Episodes over which rates are running means."""


@dataclass(frozen=True)
class Spell:
    """One intervention: a stretch of steps, without a gap, that a person drove."""

    at_step: int
    """Environment steps of the run before its first."""
    t: int
    """Control period of its episode in which it began."""
    length: int
    """Steps."""


@dataclass(frozen=True)
class EpisodeResult:
    """One finished episode."""

    at_step: int
    """Environment steps of the run at its end."""
    length: int
    episode_return: float
    success: bool
    human_steps: int
    held_steps: int
    """Steps in which the robot was held: kept, and never trained on."""
    human_so_far: int
    """Human steps of the run at its end."""
    toggles: int | None
    """How often a gripper was told to go to its other side; None where there is no gripper."""
    spells: tuple[Spell, ...] = ()
    """The interventions in it, in order."""

    @property
    def helped(self) -> bool:
        """Somebody drove for a while."""
        return self.human_steps > 0

    @property
    def finished_by_human(self) -> bool:
        """A person drove it into its success."""
        return self.success and bool(self.spells) and self.spells[-1].t + self.spells[-1].length == self.length

    @property
    def alone(self) -> bool:
        """The policy succeeded without help; success that a person brought about is not the policy's."""
        return self.success and not self.helped


@dataclass
class _Open:
    length: int = 0
    episode_return: float = 0.0
    human_steps: int = 0
    held_steps: int = 0
    spells: list[Spell] = field(default_factory=list)
    driven: bool = False
    """By a person, in its newest step."""
    toggles: int = 0
    grips: tuple[bool, ...] | None = None
    """Whether each gripper was last told to open."""

    def drive(self, at_step: int) -> None:
        """One more step by a person, the run's number `at_step`, before it is counted."""
        if self.driven:
            last = self.spells.pop()
            self.spells.append(Spell(last.at_step, last.t, last.length + 1))
        else:
            self.spells.append(Spell(at_step, self.length, 1))


@dataclass
class Progress:
    """Counts steps and episodes of every stream."""

    grippers: tuple[int, ...] = ()
    """Entries of the action that command a gripper."""
    env_steps: int = 0
    human_steps: int = 0
    held_steps: int = 0
    episodes: list[EpisodeResult] = field(default_factory=list)
    _recent: deque[EpisodeResult] = field(default_factory=lambda: deque(maxlen=WINDOW))
    _open: dict[str, _Open] = field(default_factory=dict)

    def add(self, stream: str, step: Step) -> EpisodeResult | None:
        """Count one step; returns the episode's result where the step ended it and nobody threw it away."""
        self.env_steps += 1
        helped = step.source in (Source.HUMAN, Source.SCRIPT)
        self.human_steps += helped
        self.held_steps += step.held
        if step.t == 0:
            self._open.pop(stream, None)  # An actor that died left an episode without an end.
        episode = self._open.setdefault(stream, _Open())
        if helped:
            episode.drive(self.env_steps - 1)
        episode.driven = helped
        episode.length += 1
        episode.episode_return += step.reward
        episode.human_steps += helped
        episode.held_steps += step.held
        grips = tuple(bool(step.action[entry] > 0) for entry in self.grippers)
        if episode.grips is not None:
            episode.toggles += sum(now != before for now, before in zip(grips, episode.grips, strict=True))
        episode.grips = grips
        if not step.ended:
            return None
        del self._open[stream]
        if step.discarded:
            return None
        result = EpisodeResult(
            at_step=self.env_steps,
            length=episode.length,
            episode_return=episode.episode_return,
            success=step.success,
            human_steps=episode.human_steps,
            held_steps=episode.held_steps,
            human_so_far=self.human_steps,
            toggles=episode.toggles if self.grippers else None,
            spells=tuple(episode.spells),
        )
        self.episodes.append(result)
        self._recent.append(result)
        return result

    @property
    def success_rate(self) -> float:
        """Share of the last 20 episodes in which the policy succeeded without help."""
        return _mean([episode.alone for episode in self._recent])

    @property
    def intervention_rate(self) -> float:
        """Share of human steps in the last 20 episodes."""
        steps = sum(episode.length for episode in self._recent)
        return sum(episode.human_steps for episode in self._recent) / steps if steps else 0.0

    def human_minutes(self, rate_hz: float) -> float:
        """Minutes for which a person drove, at `rate_hz` control periods a second."""
        return self.human_steps / rate_hz / 60.0

    @property
    def episode_length(self) -> float:
        """Mean length of the last 20 episodes, in steps."""
        return _mean([episode.length for episode in self._recent])

    @property
    def toggles(self) -> float | None:
        """Mean toggles of the gripper in the last 20 episodes; None where there is no gripper."""
        counts = [episode.toggles for episode in self._recent if episode.toggles is not None]
        return _mean(counts) if counts else None

    def reached(self, rate: float) -> bool:
        """Whether a full window of episodes stands at `rate` or above now."""
        return len(self._recent) == WINDOW and self.success_rate >= rate

    def steps_to(self, rate: float) -> int | None:
        """Environment steps at which a full window first stood at `rate`, or None."""
        reached = self._first(rate)
        return None if reached is None else reached.at_step

    def human_steps_to(self, rate: float) -> int | None:
        """Human steps until a full window first stood at `rate`, or None."""
        reached = self._first(rate)
        return None if reached is None else reached.human_so_far

    def _first(self, rate: float) -> EpisodeResult | None:
        """The episode with which a full window first stood at `rate`."""
        for episode, (_, success) in zip(self.episodes[WINDOW - 1 :], self.curve(), strict=True):
            if success >= rate:
                return episode
        return None

    def curve(self) -> list[tuple[int, float]]:
        """(environment steps, success without help over the last 20 episodes), from the 20th episode on."""
        alone = [episode.alone for episode in self.episodes]
        ends = range(WINDOW, len(alone) + 1)
        return [(self.episodes[end - 1].at_step, _mean(alone[end - WINDOW : end])) for end in ends]


def _mean(values: list[bool] | list[int]) -> float:
    return sum(values) / len(values) if values else 0.0
