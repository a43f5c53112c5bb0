"""What the axes and buttons of a person's instrument mean, as ROS parameters: `human.<key>` of docs/human.md.

One that is not given is as it is for that instrument. A button that means nothing is -1, for ROS has no null.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

from actor.config import HAND, HandConfig
from handrail_nodes import parameters

PREFIX = "human."
KEYS = [each.name for each in dataclasses.fields(HandConfig) if each.name != "kind"]
ALL = parameters.wanted(HandConfig, KEYS, prefix=PREFIX, optional=True)


def hand(human: str, values: Mapping[str, Any], **more: Any) -> HandConfig:
    """The instrument's own settings, with what was given, and `more`, in the place of them; raises ValueError."""
    given = {key: values[f"{PREFIX}{key}"] for key in KEYS if values.get(f"{PREFIX}{key}") is not None}
    meant = {key: None if key.endswith("_button") and value == -1 else value for key, value in given.items()}
    return dataclasses.replace(HAND.get(human, HandConfig()), **meant, **more)
