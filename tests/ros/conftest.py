"""ROS 2 for the tests: the real client library, on a domain of each module's own."""

import importlib.util
import itertools
import os

import pytest

collect_ignore_glob = [] if importlib.util.find_spec("rclpy") else ["test_*.py"]
"""Without ROS 2 (its wheels are for x86-64 Linux) nothing here can run."""
_COUNT = itertools.count()


@pytest.fixture(scope="module", autouse=True)
def ros_domain(tmp_path_factory):
    """Nobody else's nodes are seen, on this machine or the network; the processes that tests start inherit it.

    A domain for each module, because nodes that a test kills leave locks in shared memory that the next might run into.
    """
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    # Two workers on one machine get even and odd ones; more of them are kept apart by their process numbers.
    os.environ["ROS_DOMAIN_ID"] = str(1 + (worker % 2 + 2 * (os.getpid() + next(_COUNT))) % 100)
    os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "LOCALHOST"
    os.environ["ROS_LOG_DIR"] = str(tmp_path_factory.mktemp("ros_log"))
    os.environ["ROS_HOME"] = str(tmp_path_factory.mktemp("ros_home"))
    from envs.ros import settle_middleware

    settle_middleware()
