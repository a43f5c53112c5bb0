"""The workcell over ROS 2 topics: the same protocol, the same tasks, a robot that other nodes drive."""

import os
from pathlib import Path

PROFILE = Path(__file__).with_name("fastdds.xml")


def settle_middleware() -> None:
    """Before ROS starts in this process: Fast DDS with room for pictures, unless the user has another profile."""
    os.environ.setdefault("FASTDDS_DEFAULT_PROFILES_FILE", str(PROFILE))
