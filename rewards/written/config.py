"""Settings of `handrail rewards write`; nothing heavy is imported here: the command line reads it too."""

from dataclasses import dataclass, field, fields

from envs.config import EnvConfig
from rewards.vlm.config import VlmConfig
from wire.errors import require, require_untouched

_ENV = EnvConfig(obs="state")


@dataclass(frozen=True, kw_only=True)
class WriteConfig:
    """`handrail rewards write`: a reward function as a language model, or a person, writes it for a simulated task."""

    out: str
    goal: str = ""
    """What is wanted, in words: 'grasp the cube and lift it by 10 cm'."""
    source: str | None = None
    """File with a reward function by a person, tested in the place of a model's."""
    env: EnvConfig = field(default_factory=lambda: _ENV)
    runs: list[str] = field(default_factory=list)
    """Recorded episodes to test it on; none: a clumsy script records some in simulation."""
    episodes: int = 60
    """Of that script."""
    min_auc: float = 0.9
    """How well the returns of an episode must tell success from failure, for a reward to be accepted: the area under
    the ROC curve; 0.5 is chance, and below it a reward prefers failures."""
    attempts: int = 5
    """Of a model: what was wrong with one goes back to it for the next."""
    seed: int = 0
    vlm: VlmConfig = field(default_factory=lambda: VlmConfig(max_tokens=4000))

    def __post_init__(self) -> None:
        """Raise ValueError naming the key, what was got and what is wanted."""
        require(self.attempts >= 1, f"attempts must be >= 1, got {self.attempts}")
        require(self.episodes >= 10, f"episodes must be >= 10, got {self.episodes}")
        require(self.seed >= 0, f"seed must be >= 0, got {self.seed}")
        self._check_idle()
        require(0.5 < self.min_auc <= 1, f"min_auc must be in 0.5..1 (0.5, chance, excluded), got {self.min_auc}")
        require(
            bool(self.runs) or (self.env.env == "sim" and self.env.obs == "state" and not self.env.realtime),
            f"a script records episodes with env=sim obs=state, got env={self.env.env} obs={self.env.obs}"
            + " env.realtime=true" * self.env.realtime
            + "; set those, or test on recorded runs: runs=[runs/<run>]",
        )
        require(
            self.source is not None or bool(self.goal.strip()),
            "goal must say what is wanted: goal='grasp the cube and lift it by 10 cm'; or set source=<file.py>",
        )
        require(
            self.source is not None or bool(self.vlm.model),
            "a language model writes the reward: set vlm.model, and vlm.endpoint where a server has it; or write it "
            "yourself: source=<file.py>",
        )

    def _check_idle(self) -> None:
        if self.source is not None:
            require_untouched(self, ("attempts",), f"is a language model's, and source={self.source} a person's text")
        if self.runs:
            why = "is of the episodes that a script records, and runs= names recorded ones"
            require_untouched(self, ("episodes", "seed"), why)
            for each in fields(EnvConfig):
                got = getattr(self.env, each.name)
                require(got == getattr(_ENV, each.name), f"{each.name}={got} {why}; drop it")
