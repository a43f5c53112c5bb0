"""Settings of the actor; nothing heavy is imported here, because the command line reads this file too."""

from dataclasses import dataclass, field

from envs.config import EnvConfig, one_of

HUMANS = ("none", "script")
PACES = ("learner", "clock")


@dataclass(frozen=True, kw_only=True)
class ActorConfig:
    """One actor: its environment, its person, its learner."""

    env: EnvConfig = field(default_factory=EnvConfig)
    learner: str = "tcp://127.0.0.1:5555"
    """Address of the learner."""
    insecure: bool = False
    """Permit an address off loopback without keys: the link is then neither encrypted nor authenticated."""
    keys: str | None = None
    """Folder of the keys that the link uses; never the keys themselves, for configurations lie about in runs."""
    key: str | None = None
    """Which of them is ours; None: the only one."""
    outbox: str = "outbox.sqlite"
    """File in which steps wait until the learner has them on its disk."""
    outbox_cap_gb: float = 100.0
    """The most that waits there, in 10^9 bytes: at 90 % the robot pauses after the episode, at 100 % at once."""
    human: str = "none"
    """Who may take over: none, or script (the task's scripted corrector)."""
    pace: str = "learner"
    """learner: simulate as fast as the learner keeps up; clock: one step per control period, as on a robot; a cell
    in real time always does."""
    max_lead_steps: int = 8
    """With pace=learner, how many steps the simulation may run ahead of learning."""
    seed: int = 0

    def __post_init__(self) -> None:
        """Raise ValueError naming the key, what was got and what is wanted."""
        one_of("human", self.human, HUMANS)
        one_of("pace", self.pace, PACES)
        if self.max_lead_steps < 1:
            raise ValueError(f"actor.max_lead_steps must be >= 1, got {self.max_lead_steps}")
        if not 0.1 <= self.outbox_cap_gb <= 1e6:
            raise ValueError(f"actor.outbox_cap_gb must be in 0.1..1e6, got {self.outbox_cap_gb}")
        if self.seed < 0:
            raise ValueError(f"seed must be >= 0, got {self.seed}")

    @property
    def in_real_time(self) -> bool:
        """Whether control periods are those of a clock, so that being late matters."""
        return self.pace == "clock" or self.env.in_real_time

    @property
    def outbox_cap_bytes(self) -> int:
        """The cap in bytes."""
        return int(self.outbox_cap_gb * 1e9)


@dataclass(frozen=True, kw_only=True)
class EvalConfig:
    """Judge a run's policy on fresh episodes, alone."""

    run: str
    env: EnvConfig
    episodes: int = 100
    seed: int = 1_000_000
    video: str | None = None
    """File to write a video of the first episodes to, e.g. eval.mp4."""
    video_episodes: int = 5

    def __post_init__(self) -> None:
        """Raise ValueError naming the key, what was got and what is wanted."""
        for key in ("episodes", "video_episodes"):
            if getattr(self, key) < 1:
                raise ValueError(f"{key} must be >= 1, got {getattr(self, key)}")


@dataclass(frozen=True, kw_only=True)
class DemosConfig:
    """Record demonstrations by a task's scripted expert."""

    out: str
    env: EnvConfig
    episodes: int = 20
    """Successful episodes to keep; failed ones are not written."""
    noise: float = 0.3
    """Standard deviation of the noise on the expert's motion, in action units."""
    seed: int = 0

    def __post_init__(self) -> None:
        """Raise ValueError naming the key, what was got and what is wanted."""
        if self.episodes < 1:
            raise ValueError(f"episodes must be >= 1, got {self.episodes}")
        if self.noise < 0:
            raise ValueError(f"noise must be >= 0, got {self.noise}")
