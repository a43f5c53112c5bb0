"""Which vision-language model, and what it may cost; nothing heavy is imported here."""

from dataclasses import dataclass

from wire.errors import require


@dataclass(frozen=True, kw_only=True)
class VlmConfig:
    """Where a vision-language model answers, how long that may take, and how much of it there may be."""

    model: str = ""
    """Its name at the endpoint; without one, a folder of a transformers model, or its name on the Hugging Face hub."""
    endpoint: str | None = None
    """Base address of an OpenAI-compatible server, e.g. http://127.0.0.1:8000/v1; None: the model runs here."""
    key_env: str = "OPENAI_API_KEY"
    """Environment variable that holds the endpoint's key. Never the key itself: configurations lie about in runs."""
    timeout_s: float = 60.0
    """For one answer, all of its attempts together."""
    retries: int = 3
    """Further attempts, ever later, where the endpoint is busy or cannot be reached."""
    parallel: int = 8
    """Questions under way at once, or in one batch of a model that runs here."""
    max_tokens: int = 400
    """Of one answer."""
    temperature: float = 0.0
    max_questions: int | None = None
    """Questions that may be sent in all; what the cache knows is free."""
    max_cost: float | None = None
    """Money that may be spent in all, at the prices below; exceeded by `parallel` answers at most."""
    price_in: float = 0.0
    """Of a million tokens sent."""
    price_out: float = 0.0
    """Of a million tokens answered."""
    cache: str | None = "vlm-cache.sqlite"
    """File of all answers so far: the same pictures and words are never paid for twice. None: nothing is kept."""

    def __post_init__(self) -> None:
        """Raise ValueError naming the key, what was got and what is wanted."""
        good = self.endpoint is None or self.endpoint.startswith(("http://", "https://"))
        require(good, f"vlm.endpoint must begin with http:// or https://, got {self.endpoint}")
        require(self.timeout_s > 0, f"vlm.timeout_s must be > 0, got {self.timeout_s}")
        for key in ("parallel", "max_tokens"):
            require(getattr(self, key) >= 1, f"vlm.{key} must be >= 1, got {getattr(self, key)}")
        for key in ("retries", "temperature", "price_in", "price_out", "max_questions", "max_cost"):
            value = getattr(self, key)
            require(value is None or value >= 0, f"vlm.{key} must be >= 0, got {value}")
        priced = self.price_in > 0 or self.price_out > 0
        require(
            self.max_cost is None or priced,
            f"vlm.max_cost={self.max_cost} needs the prices of a million tokens; set vlm.price_in and vlm.price_out",
        )
