"""The words both machines share: what one control period of experience is."""

import enum
import uuid

import msgspec
import numpy as np

Observation = dict[str, np.ndarray]
"""Named arrays as the sensors gave them: uint8 images of shape (height, width, 3) and float32 vectors of shape (n,)."""

Action = np.ndarray
"""Float32 vector of shape (n,), in the units and frame that the EnvSpec states."""


UNSCORED = "unscored"
"""In place of a reward model's version: it was asked, and had not answered when the step had to be recorded."""


WRITTEN = "written"
"""What versions of written rewards begin with (see rewards.written)."""


class Source(enum.IntEnum):
    """Who chose the executed action."""

    POLICY = 0
    HUMAN = 1
    DEMO = 2
    SCRIPT = 3


class Step(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One control period: what was seen, what was done, what came of it.

    Steps travel and rest, never transitions, so that each frame crosses the wire once and is stored once. The
    observation after the action is the next step's; only an episode's last step carries it, as `final_observation`.
    """

    episode: int
    """Number of the episode within its stream, from 0."""
    t: int
    """Control period within the episode, from 0."""
    observation: Observation
    action: Action
    """The action executed, after the override and the guard."""
    policy_action: Action | None = None
    """The action the policy wanted; None where no policy was asked (a demonstration)."""
    source: Source
    reward: float
    terminated: bool
    """The task ended (success or failure): no value follows."""
    truncated: bool
    """The time limit cut the episode: value does follow, so bootstrapping goes on from `final_observation`."""
    success: bool = False
    final_observation: Observation | None = None
    weights_version: int = 0
    """Version of the policy weights that wanted `policy_action`; 0 before the first."""
    held: bool = False
    """The robot held still, or its senses were stale: the action was refused by the guard, cut short by a person, or
    stopped from outside. Such a step is kept, and never trained on, nor is the one that led to it."""
    discarded: bool = False
    """Of an episode's last step: a person threw the episode away. It is kept, and not trained on from here on."""
    reward_by: str = ""
    """Who gave the reward: empty, the task (or whoever labelled the episode); else the version of the reward model, or
    UNSCORED: then the reward is unknown, not zero, until a label says what it is."""
    stamps: dict[str, float] = {}
    """Seconds: `monotonic` at observation, and what each stage of the loop took."""

    @property
    def ended(self) -> bool:
        """Whether this is the last step of its episode."""
        return self.terminated or self.truncated

    @property
    def claimed(self) -> bool:
        """Whether it is a model's word that this was a success or none: a written reward leaves that to the task."""
        return bool(self.reward_by) and not self.reward_by.startswith(f"{WRITTEN}-")

    @property
    def intervened(self) -> bool:
        """Whether somebody other than the policy chose the action while the policy was in charge."""
        return self.source in (Source.HUMAN, Source.SCRIPT)


def new_stream_id() -> str:
    """A random 128-bit stream id, as 32 hex digits: one per outbox file, never reused."""
    return uuid.uuid4().hex
