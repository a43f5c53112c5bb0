"""What the simulated robot shall do at its next reset, as the text of a parameter."""

import json
from collections.abc import Collection

import numpy as np

EPISODE = "episode"
"""Name of the parameter."""


def encode_episode(places: dict[str, np.ndarray], hues: dict[str, float], seed: int) -> str:
    """The arguments of TabletopCell.restart; `seed` stands for its generator."""
    return json.dumps({"places": {name: list(map(float, p)) for name, p in places.items()}, "hues": hues, "seed": seed})


def decode_episode(
    text: str, things: Collection[str]
) -> tuple[dict[str, np.ndarray], dict[str, float], np.random.Generator]:
    """The arguments of SimCell.restart; raises ValueError where they fit no cell with these `things`."""
    try:
        wanted = json.loads(text)
        places = {str(name): np.array(pose, np.float64) for name, pose in wanted["places"].items()}
        hues = {str(name): float(hue) for name, hue in wanted["hues"].items()}
        rng = np.random.default_rng(int(wanted["seed"]))
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise ValueError(f"{text[:80]} is no episode: {type(error).__name__}: {error}") from error
    for name, pose in places.items():
        if pose.shape != (7,) or not np.isfinite(pose).all():
            raise ValueError(f"{name} shall be at {pose}, wanted x, y, z and a quaternion")
        if name not in things:
            raise ValueError(
                f"there is no {name} on this table but {', '.join(things) or 'nothing'}; start it with task:="
            )
    return places, hues, rng
