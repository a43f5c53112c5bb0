"""Settings of the actor; nothing heavy is imported here, because the command line reads this file too."""

from dataclasses import dataclass, field

from actor.external_config import POLICIES, ExternalConfig, PolicyServerConfig
from actor.hand_config import FRAMES, GRIPPERS, HAND, HANDS, HandConfig
from envs.config import EnvConfig, one_of

__all__ = ["FRAMES", "GRIPPERS", "HAND", "HANDS", "POLICIES", "ExternalConfig", "HandConfig", "PolicyServerConfig"]

HUMANS = ("none", "script", *HANDS)
SKILLS = ("expert", "noisy", "late", "lazy", "wrong", "value", "random")
"""Scripted people, for experiments; see envs.skills."""
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
    """Folder of the keys that links use; never the keys themselves, for configurations lie about in runs."""
    key: str | None = None
    """Which of them is ours; None: the only one."""
    keyed: tuple[str, ...] | None = None
    """The addresses whose links use them, for a peer without keys hears nothing that is said with keys; None: all."""
    outbox: str = "outbox.sqlite"
    """File in which steps wait until the learner has them on its disk."""
    outbox_cap_gb: float = 100.0
    """The most that waits there, in 10^9 bytes: at 90 % the robot pauses after the episode, at 100 % at once."""
    judge: str | None = None
    """Address of the reward service that says what a success is; None: the task does."""
    rewarder: str | None = None
    """Folder of a written reward that gives the reward in simulation; None: the task, or the judge, does."""
    judge_wait_s: float = 1.0
    """In simulation, whose time stands still: how long a step waits for its score. A robot never waits."""
    confirm_s: float = 1.5
    """With a person at the robot: how long it holds after a success that a reward service claims, for their no."""
    human: str = "none"
    """Who may take over: nobody, the task's scripted corrector (script), or a person with an instrument."""
    skill: str = "expert"
    """Of human=script: how well it helps, and when."""
    hand: HandConfig = field(default_factory=HandConfig)
    """Of a person: what the instrument's axes and buttons mean."""
    pace: str = "learner"
    """learner: simulate as fast as the learner keeps up; clock: one step per control period, as on a robot; a cell
    in real time always does."""
    max_lead_steps: int = 8
    """With pace=learner, how many steps the simulation may run ahead of learning."""
    trunk: str | None = None
    """File of the frozen trunk that the policy stands on, where that is not one of those installed."""
    external: ExternalConfig | None = None
    """Who drives in the place of the learner's policy."""
    seed: int = 0

    def __post_init__(self) -> None:
        """Raise ValueError naming the key, what was got and what is wanted."""
        one_of("human", self.human, HUMANS)
        one_of("pace", self.pace, PACES)
        one_of("human.skill", self.skill, SKILLS)
        if self.human in HANDS and not self.in_real_time:
            cure = "actor.pace=clock" if self.env.env == "gym" else "env.realtime=true"
            raise ValueError(f"human={self.human} needs time to pass as it does for people: set {cure}")
        if self.human in HANDS and self.hand.kind != self.human:
            raise ValueError(f"human={self.human} got the settings of human={self.hand.kind}")
        if self.rewarder is not None and (self.env.env != "sim" or self.env.in_real_time):
            raise ValueError(
                "a written reward is for simulated tasks, whose time stands still while it is asked: got "
                f"env={self.env.env}{' env.realtime=true' * self.env.in_real_time}; set reward=task, or env=sim"
            )
        if self.judge is not None and self.env.env == "gym":
            raise ValueError("a reward service judges a workcell's frames: set env=sim or env=ros, or reward=task")
        if not 0 <= self.confirm_s <= 60:
            raise ValueError(f"actor.confirm_s must be in 0..60, got {self.confirm_s}")
        if not 0 < self.judge_wait_s <= 60:
            raise ValueError(f"actor.judge_wait_s must be in 0..60 (0 excluded), got {self.judge_wait_s}")
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
    """Judge a run's policy, or one that is served elsewhere, on fresh episodes, alone."""

    run: str | None
    """Whose policy; None: an external one."""
    env: EnvConfig
    external: ExternalConfig | None = None
    insecure: bool = False
    keys: str | None = None
    key: str | None = None
    """These three as an actor's, for the link to an external policy."""
    json: str | None = None
    """File to write the facts to; None: eval.json in the run's folder, and none of an external policy."""
    episodes: int = 100
    seed: int = 1_000_000
    explore: bool = False
    """Draw actions from the policy's distribution, as in training, instead of taking its mode."""
    video: str | None = None
    """File to write a video of the first episodes to, e.g. eval.mp4."""
    video_episodes: int = 5

    def __post_init__(self) -> None:
        """Raise ValueError naming the key, what was got and what is wanted."""
        for key in ("episodes", "video_episodes"):
            if getattr(self, key) < 1:
                raise ValueError(f"{key} must be >= 1, got {getattr(self, key)}")
        if self.explore and self.external is not None:
            raise ValueError("explore=true is for a run's policy; one that is served elsewhere decides that itself")
        if (self.run is None) == (self.external is None):
            raise ValueError("judge the policy of a run, or an external one: set run=<folder>, or policy=external")


KEEPS = ("success", "all")


@dataclass(frozen=True, kw_only=True)
class JudgeConfig:
    """Judge every policy that an offline learner leaves in its run, while it goes on learning."""

    run: str
    env: EnvConfig
    episodes: int = 20
    seed: int = 2_000_000

    def __post_init__(self) -> None:
        """Raise ValueError naming the key, what was got and what is wanted."""
        if self.episodes < 1:
            raise ValueError(f"learner.evaluate_episodes must be >= 1, got {self.episodes}")
        if self.env.env == "ros":
            raise ValueError("policies are judged in simulation, never on a robot by themselves; set evaluate_period=0")


@dataclass(frozen=True, kw_only=True)
class EpisodesConfig:
    """Collect episodes with a run's policy, exploring."""

    run: str
    out: str
    """File to write."""
    env: EnvConfig
    episodes: int = 30
    seed: int = 0

    def __post_init__(self) -> None:
        """Raise ValueError naming the key, what was got and what is wanted."""
        if self.episodes < 1:
            raise ValueError(f"episodes must be >= 1, got {self.episodes}")


@dataclass(frozen=True, kw_only=True)
class DemosConfig:
    """Record demonstrations: by a task's scripted expert, or by a person with an instrument."""

    out: str
    env: EnvConfig
    human: str = "script"
    """Who shows it: the task's scripted expert (script), or a person with an instrument."""
    hand: HandConfig = field(default_factory=HandConfig)
    """Of a person: what the instrument's axes and buttons mean."""
    episodes: int = 20
    """Successful episodes that the file shall hold in the end."""
    keep: str = "success"
    """success: others are not written; all: they are, and do not count."""
    resume: bool = False
    """Add to a file that is there."""
    noise: float = 0.3
    """Standard deviation of the noise on the expert's motion, in action units."""
    judge: str | None = None
    """Address, on this machine, of the reward service that says what a success is; None: the task does."""
    rewarder: str | None = None
    """Folder of a written reward that gives the reward; None: the task, or the judge, does."""
    seed: int = 0

    def __post_init__(self) -> None:
        """Raise ValueError naming the key, what was got and what is wanted."""
        one_of("human", self.human, HUMANS)
        one_of("keep", self.keep, KEEPS)
        if self.human == "none":
            raise ValueError(
                f"demonstrations need somebody who shows the task: --script, or human={'|'.join(HANDS)}; got human=none"
            )
        if self.human in HANDS and self.hand.kind != self.human:
            raise ValueError(f"human={self.human} got the settings of human={self.hand.kind}")
        if self.episodes < 1:
            raise ValueError(f"episodes must be >= 1, got {self.episodes}")
        if self.noise < 0:
            raise ValueError(f"noise must be >= 0, got {self.noise}")


@dataclass(frozen=True, kw_only=True)
class TeleopConfig:
    """Drive an arm by hand and show what the instrument says."""

    hand: HandConfig
    env: EnvConfig = field(default_factory=lambda: EnvConfig(realtime=True))
    dry: bool = False
    """Without a robot: axes and buttons, and what they would mean for an arm whose tool points down."""
    seed: int = 0

    def __post_init__(self) -> None:
        """Raise ValueError naming the key, what was got and what is wanted."""
        if not (self.dry or self.env.in_real_time):
            raise ValueError("teleop needs time to pass as it does for people: set env.realtime=true, or dry=true")


@dataclass(frozen=True, kw_only=True)
class ShowConfig:
    """Draw recorded episodes."""

    path: str
    """File of steps: demonstrations, or a run's archive."""
    out: str
    """The picture to write, a PNG."""
    video: str | None = None
    """File to write a video of them to, e.g. demos.mp4."""
    episodes: int = 20
    """At most so many, the last ones."""
    episode: int | None = None
    """This one alone, counted from 0 in the order in which they ended."""
