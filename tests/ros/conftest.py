"""ROS 2 for the tests: the real client library, on a domain of this process alone."""

import importlib.util
import os

import pytest

collect_ignore_glob = [] if importlib.util.find_spec("rclpy") else ["test_*.py"]
"""Without ROS 2 (its wheels are for x86-64 Linux) nothing here can run."""


@pytest.fixture(scope="session", autouse=True)
def ros_domain(tmp_path_factory):
    """Nobody else's nodes are seen, on this machine or the network; the processes that tests start inherit it."""
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    os.environ["ROS_DOMAIN_ID"] = str(1 + (worker + os.getpid()) % 100)
    os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "LOCALHOST"
    os.environ["ROS_LOG_DIR"] = str(tmp_path_factory.mktemp("ros_log"))
    from envs.ros import settle_middleware

    settle_middleware()
