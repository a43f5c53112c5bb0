"""Settings of policies that are served by one process and drive a robot in another."""

from dataclasses import dataclass

from wire.proposing import MOST_CANDIDATES, MOST_CHUNK

POLICIES = ("learner", "external")


@dataclass(frozen=True, kw_only=True)
class ExternalConfig:
    """A policy that is served elsewhere, and who chooses among what it proposes."""

    address: str
    steer: str | None = None
    """Folder of a run whose critics choose, or their file; None: what is proposed first is done."""
    candidates: int = 10
    """Proposals to choose from."""
    temperature: float = 0.0
    """Of the softmax over values that a proposal is drawn by; 0: the best is taken."""
    execute: int | None = None
    """Actions of a proposed chunk that are carried out before the policy is asked anew; None: all."""
    deadline_s: float | None = None
    """How long an answer is waited for before the robot holds; None: half a control period in real time, else 5 s."""
    patience_s: float = 2.0
    """After so long without an answer in time the episode ends, and the robot holds until the policy is back."""

    def __post_init__(self) -> None:
        """Raise ValueError naming the key, what was got and what is wanted."""
        for key, most in (("candidates", MOST_CANDIDATES), ("execute", MOST_CHUNK)):
            value = getattr(self, key)
            if value is not None and not 1 <= value <= most:
                raise ValueError(f"external.{key} must be in 1..{most}, got {value}")
        if not 0 <= self.temperature < float("inf"):
            raise ValueError(f"external.temperature must be >= 0 and finite, got {self.temperature}")
        if self.deadline_s is not None and not 0 < self.deadline_s <= 60:
            raise ValueError(f"external.deadline_s must be in 0..60 (0 excluded), got {self.deadline_s}")
        if not 0 < self.patience_s <= 600:
            raise ValueError(f"external.patience_s must be in 0..600 (0 excluded), got {self.patience_s}")

    def deadline_for(self, rate_hz: float, *, in_real_time: bool) -> float:
        """Seconds that an answer is waited for, at a control rate."""
        if self.deadline_s is not None:
            return self.deadline_s
        return 0.5 / rate_hz if in_real_time else 5.0


@dataclass(frozen=True, kw_only=True)
class PolicyServerConfig:
    """Serve a run's policy to robots elsewhere."""

    run: str
    bind: str = "tcp://127.0.0.1:5557"
    insecure: bool = False
    """Permit an address off loopback without keys."""
    keys: str | None = None
    """Folder of the keys that the link uses."""
    candidates: int = 50
    """The most proposals in one answer."""
    noise: float = 0.0
    """Standard deviation of what is added to every proposal, in action units: a worse policy, to try steering with."""
    seed: int = 0

    def __post_init__(self) -> None:
        """Raise ValueError naming the key, what was got and what is wanted."""
        if not 1 <= self.candidates <= MOST_CANDIDATES:
            raise ValueError(f"candidates must be in 1..{MOST_CANDIDATES}, got {self.candidates}")
        if not 0 <= self.noise < float("inf"):
            raise ValueError(f"noise must be >= 0 and finite, got {self.noise}")
        if self.seed < 0:
            raise ValueError(f"seed must be >= 0, got {self.seed}")
