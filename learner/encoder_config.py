"""What of an agent's settings is about seeing; nothing heavy is imported here, as in learner.config."""

from wire.errors import require

ENCODERS = ("conv", "trunk")


def check_encoder(encoder: str, trunk: str | None, views: int) -> None:
    """Raise ValueError, naming the key, unless these settings of what sees go together."""
    require(encoder in ENCODERS, f"agent.encoder must be {' or '.join(ENCODERS)}, got {encoder}")
    require(trunk is None or encoder == "trunk", f"agent.trunk goes with agent.encoder=trunk, got agent.trunk={trunk}")
    require(1 <= views <= 16, f"agent.views must be in 1..16, got {views}")
    require(
        views == 1 or encoder == "trunk",
        f"agent.views={views} goes with agent.encoder=trunk: without a trunk every draw is a view of its own",
    )
