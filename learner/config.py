"""Settings of the learner; nothing heavy is imported here, because the command line reads this file too."""

import difflib
from dataclasses import dataclass, field
from typing import Any

from envs.config import EnvConfig, one_of
from learner.agent_config import (
    AGENTS,
    AgentConfig,
    BcConfig,
    CalQlConfig,
    CplConfig,
    CqlConfig,
    GqnConfig,
    HgDaggerConfig,
    IqlConfig,
    QcConfig,
    RlpdConfig,
    SacConfig,
    Td3BcConfig,
)
from learner.trunk_config import TrunkConfig
from wire.errors import require

__all__ = [
    "AGENTS",
    "LEARNED_REWARDS",
    "AgentConfig",
    "BcConfig",
    "CalQlConfig",
    "CplConfig",
    "CqlConfig",
    "GqnConfig",
    "HgDaggerConfig",
    "IqlConfig",
    "LearnerConfig",
    "QcConfig",
    "RlpdConfig",
    "SacConfig",
    "Td3BcConfig",
    "TrunkConfig",
    "learner_config",
]

MODES = ("online", "offline")
WEIGHTINGS = ("none", "return", "advantage")
_WARMUP = 300
_HEAD_START = 1000
INTERVENTIONS = ("plain", "lagrange", "takeover")
PLACES = ("auto", "host", "device")
LEARNED_REWARDS = ("preference", "written")
"""Kinds of models that give rewards themselves, not success."""
_LIVE = ("written", "online")
"""Of these and a mode: what a simulated actor asks in every step."""


@dataclass(frozen=True)
class LearnerConfig:
    """One run of the learner."""

    run: str
    """Folder of the run: archive, checkpoints, metrics, summary."""
    agent: AgentConfig
    bind: str = "tcp://127.0.0.1:5555"
    insecure: bool = False
    """Permit an address off loopback without keys: the link is then neither encrypted nor authenticated."""
    keys: str | None = None
    """Folder of the keys that the link uses; never the keys themselves, for configurations lie about in runs."""
    seed: int = 0
    steps: int = 3000
    """Environment steps after which training stops; gradient steps, where mode=offline."""
    mode: str = "online"
    """online: with actors; offline: from `archive` and `demos` alone."""
    evaluate_period: int = 1000
    """With mode=offline, gradient steps between two policies that are judged in simulation; 0 judges none."""
    init: str | None = None
    """An earlier run, offline or not, whose networks and optimisers this one begins with."""
    warmup_steps: int | None = None
    """Environment steps that the policy of `init` drives, frozen, before the first update (WSRL, Zhou et al. 2024,
    arXiv 2412.07762, who take 5,000 in simulation); None is 300, some ten episodes, with `init` and 0 without."""
    stop_at: float | None = None
    """Stop earlier, once this share of the last 20 episodes succeeded without help."""
    resume: bool = False
    demos: str | None = None
    """Demonstrations file (a steps.sqlite) to learn from beside the run's own experience."""
    env: EnvConfig | None = None
    """Where given, actors of another environment are turned away; else the first actor decides."""
    reward: str = "task"
    """task; classifier: success is what a reward model sees, and what could not be asked is labelled later; preference:
    what the model of `reward_version` gives every step afterwards, beside the archives of past runs and of this one;
    written: what it gives every step as a simulated actor acts, or, with mode=offline, has given those of past runs."""
    reward_version: str = ""
    shaping: float = 0.0
    """With reward=classifier: how much a state's log-odds of success, bounded, count as a potential whose difference is
    added to rewards (Ng, Harada and Russell 1999); 0: not at all. What is best to do stays the same."""
    interventions: str = "plain"
    """What corrections teach beside what they show: nothing, to stay near a consistent human, what not to do."""
    preferences: str | None = None
    """With agent=cpl: what was preferred of `archive`, a file of handrail rewards prefer segment=<steps>."""
    archive: list[str] = field(default_factory=list)
    """Past runs to learn from beside this one (Replay Across Experiments, Tirumala et al. 2024, arXiv 2311.15951):
    runs, folders of runs, or files of steps."""
    archive_share: float = 0.5
    """Past runs' part of `agent.prior_share`; demonstrations and interventions have the rest of it."""
    weighting: str = "none"
    """How past trajectories are drawn: alike (none), or the good ones more often, by their return or by their advantage
    over what their first observation promises (Hong et al. 2023, arXiv 2306.13085)."""
    weighting_temperature: float = 0.1
    """Of that softmax; lower is pickier."""
    camera_calibration: str = ""
    """Of the cameras: a name, or the digits that `handrail archive show` prints of one that a run keeps. Kept with the
    run; past runs of another one are left out."""
    symmetries: list[str] = field(default_factory=list)
    """Of mirror and translation, those by which batches are augmented; a task declares what is true of it."""
    capacity: int = 200_000
    """Transitions in memory, of this run and again of past ones; the oldest online ones make room."""
    head_start: int | None = None
    """Update blocks on past runs and demonstrations alone, before the first environment step; None is 1,000 with
    `archive`, unless `init` brings what was learned, and 0 without."""
    min_online: int = 100
    """Online transitions before batches draw from them."""
    keep_on: str = "auto"
    """Where images, or their features, are kept: host, device, or auto: on the GPU where they fit."""
    devices: int = 1
    """Devices that share every minibatch; 0 is all."""
    publish_period: int = 10
    """Environment steps between two sets of weights for the actors."""
    checkpoint_period_s: float = 60.0
    tensorboard: bool = True
    wandb: bool = False

    def __post_init__(self) -> None:
        """Raise ValueError naming the key, what was got and what is wanted."""
        for key in ("steps", "learner.capacity", "learner.min_online", "learner.publish_period"):
            value = getattr(self, key.removeprefix("learner."))
            require(value >= 1, f"{key} must be >= 1, got {value}")
        require(
            self.mode == "offline" or self.min_online <= self.capacity,
            f"learner.min_online must be <= learner.capacity ({self.capacity}), got {self.min_online}: batches would "
            "never draw from what the actors bring",
        )
        for key in ("archive_share", "weighting_temperature"):
            value = getattr(self, key)
            require(0 <= value <= 1, f"learner.{key} must be in 0..1, got {value}")
        require(self.weighting_temperature > 0, "learner.weighting_temperature must be > 0, got 0")
        one_of("learner.weighting", self.weighting, WEIGHTINGS)
        for name in self.symmetries:
            one_of("learner.symmetries", name, ("mirror", "translation"))
        self._check_preferences()
        self._check_head_start()
        self._check_archive()
        self._check_mode()
        require(self.seed >= 0, f"seed must be >= 0, got {self.seed}")
        period_s = self.checkpoint_period_s
        require(period_s > 0, f"learner.checkpoint_period_s must be > 0, got {period_s}")
        require(
            self.stop_at is None or 0 < self.stop_at <= 1,
            f"stop_at is a success rate in 0..1 (0 excluded), got {self.stop_at}",
        )
        self._check_devices()
        self._check_features()
        self._check_reward()
        self._check_interventions()
        self._check_shaping()

    def _check_reward(self) -> None:
        one_of("the learner's reward", self.reward, ("task", "classifier", *LEARNED_REWARDS))
        learned = self.reward in LEARNED_REWARDS
        require(
            learned == bool(self.reward_version),
            f"reward={'|'.join(LEARNED_REWARDS)} and reward_version go together; set both",
        )
        require(
            not learned or self.mode == "online" or self.demos is None,
            f"with mode=offline reward={self.reward}:<folder> is for the steps of past runs: name demonstrations in "
            "archive= too, instead of with demos=",
        )
        require(
            self.reward != "preference" or self.mode == "offline" or self._sees_pixels,
            "reward=preference:<folder> needs frames in the archive, where every step is rewarded; set obs=pixels, got "
            "obs=state",
        )

    def _check_preferences(self) -> None:
        by_preferences = isinstance(self.agent, CplConfig)
        require(
            by_preferences == (self.preferences is not None),
            "agent=cpl goes with preferences=<file of handrail rewards prefer segment=<steps>>, and no other agent: "
            f"got agent={self.agent.name} preferences={self.preferences}",
        )
        plain = not self.symmetries and self.demos is None and self.weighting == "none"
        require(
            not by_preferences or (self.mode == "offline" and plain),
            "agent=cpl learns from segments of past runs: set mode=offline, name demonstrations in archive= too, and "
            "drop learner.symmetries and learner.weighting",
        )

    def _check_interventions(self) -> None:
        got = self.interventions
        near = difflib.get_close_matches(got, INTERVENTIONS, n=1)
        hint = f"; did you mean {near[0]}?" if near else ""
        require(
            got in INTERVENTIONS, f"learner.interventions must be one of {', '.join(INTERVENTIONS)}, got {got}{hint}"
        )
        require(
            got == "plain" or isinstance(self.agent, SacConfig),
            f"learner.interventions={got} goes with agent=rlpd or sac, got agent={self.agent.name}; drop one of them",
        )
        share = getattr(self.agent, "prior_share", 1.0)
        require(
            got != "lagrange" or share > 0,
            f"learner.interventions=lagrange needs human actions in every batch: agent.prior_share > 0, got {share}",
        )

    def _check_shaping(self) -> None:
        got = self.shaping
        require(0 <= got <= 10, f"learner.shaping must be in 0..10, got {got}; 0 is off")
        require(
            not got or self.reward == "classifier",
            f"learner.shaping={got:g} is made of what a success classifier thinks, and here the task gives the reward; "
            "set reward=classifier:<folder>, or drop it",
        )
        require(
            not got or self._sees_pixels,
            f"learner.shaping={got:g} needs frames in the archive, where every state is scored; set obs=pixels, got "
            "obs=state",
        )
        require(
            not got or not isinstance(self.agent, BcConfig),
            f"learner.shaping={got:g} goes with agents that learn from rewards, got agent={self.agent.name}; drop it",
        )

    @property
    def labelled_by(self) -> str:
        """Version of the model whose labels, beside the archives, are the rewards; empty: recorded rewards count."""
        return "" if (self.reward, self.mode) == _LIVE else self.reward_version

    @property
    def rewarding(self) -> dict[str, Any]:
        """What the returns depend on, see learner.shaping.spec_of_returns."""
        return {"scale": self.shaping, "by_model": bool(self.labelled_by)}

    @property
    def _sees_pixels(self) -> bool:
        """Whether there are frames in the archive, as far as it is known beforehand."""
        return self.env is None or self.env.env != "sim" or self.env.obs == "pixels"

    @property
    def may_keep_on_device(self) -> bool:
        """Whether frames may be kept there: past runs are joined, and symmetries applied, on the host."""
        return self.devices == 1 and not self.archive and not self.symmetries

    def _check_devices(self) -> None:
        one_of("learner.keep_on", self.keep_on, PLACES)
        require(self.devices >= 0, f"learner.devices must be >= 0, got {self.devices}")
        require(
            self.keep_on != "device" or self.may_keep_on_device,
            "learner.keep_on=device is for one device, without archive= and learner.symmetries; set it to auto",
        )

    def _check_features(self) -> None:
        """What one frame's features, and windows of several steps, are not made for."""
        seen, windows = self.agent.encoder == "trunk", isinstance(self.agent, QcConfig | GqnConfig)
        for holds, name in ((seen, "agent.encoder=trunk"), (windows, f"agent={self.agent.name}")):
            require(
                not (holds and self.mode == "offline"), f"{name} learns beside actors; drop mode=offline, or {name}"
            )
            require(not (holds and self.symmetries), f"{name} knows no symmetries; drop learner.symmetries, or {name}")

    def _check_archive(self) -> None:
        if not self.archive or self.mode == "offline":
            return
        require(
            not isinstance(self.agent, BcConfig),
            f"agent={self.agent.name} imitates, and archive= holds more than what is worth imitating; drop archive=",
        )
        share = getattr(self.agent, "prior_share", 0.0)
        require(
            share > 0,
            f"archive= is drawn from by agent.prior_share, which is {share:g} with agent={self.agent.name}; set "
            "agent.prior_share=0.5, say, or drop archive=",
        )

    def _check_head_start(self) -> None:
        if self.head_start is None:
            return
        require(self.head_start >= 0, f"learner.head_start must be >= 0, got {self.head_start}")
        require(
            self.head_start == 0 or bool(self.archive) or self.demos is not None,
            "learner.head_start learns from past runs and demonstrations, and none are named; set archive= or demos=",
        )
        require(
            self.head_start == 0 or self.mode == "online",
            "mode=offline is nothing but a head start: say how long by steps=, and drop learner.head_start",
        )

    def _check_mode(self) -> None:
        one_of("mode", self.mode, MODES)
        require(self.evaluate_period >= 0, f"learner.evaluate_period must be >= 0, got {self.evaluate_period}")
        warmup = self.warmup_steps
        require(warmup is None or warmup >= 0, f"learner.warmup_steps must be >= 0, got {warmup}")
        require(
            self.mode == "online" or bool(self.archive) or self.demos is not None,
            "mode=offline learns from past runs, and none are named; set archive=<run or folder of runs> or demos=",
        )
        require(
            self.mode == "offline" or not getattr(self.agent, "neighbours", False),
            "agent.neighbours looks among data that stays as it is: set mode=offline, or agent.neighbours=false",
        )
        require(
            self.mode == "online" or self.stop_at is None,
            f"stop_at is about episodes beside the learner, and with mode=offline there are none: say how long by "
            f"steps=, and drop stop_at={self.stop_at}",
        )
        require(
            self.mode == "online" or self.devices == 1,
            f"mode=offline learns on one device, got learner.devices={self.devices}; drop one of them",
        )

    @property
    def blocks_ahead(self) -> int:
        """Update blocks before the first environment step."""
        if self.head_start is not None:
            return self.head_start
        return _HEAD_START if self.archive and self.init is None else 0

    @property
    def warmup(self) -> int:
        """Environment steps before the first update."""
        if self.warmup_steps is not None:
            return self.warmup_steps
        return 0 if self.init is None else _WARMUP


def learner_config(values: dict[str, Any]) -> LearnerConfig:
    """A typed configuration from plain values, the agent's class chosen by its name.

    Raises:
        ValueError: Naming the key, what was got and what is wanted.
    """
    values = dict(values)
    agent = dict(values.pop("agent", {"name": "rlpd"}))
    kind = AGENTS.get(agent.get("name", ""))
    if kind is None:
        near = difflib.get_close_matches(str(agent.get("name")), AGENTS, n=1)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise ValueError(f"agent must be one of {', '.join(AGENTS)}, got {agent.get('name')}{hint}")
    env = values.pop("env", None)
    return LearnerConfig(**values, agent=kind(**agent), env=None if env is None else EnvConfig(**env))
