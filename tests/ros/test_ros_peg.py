"""A task that begins with something in the hand, over real topics."""

import numpy as np
import pytest
from ros_nodes import Spectator, nodes, until

from envs.config import EnvConfig
from envs.make import make_env
from envs.testing import check_env
from envs.workcell import GuardedEnv

pytestmark = [pytest.mark.process, pytest.mark.sim]
CONFIG = EnvConfig(env="ros", task="peg_insert", obs="state")


@pytest.fixture(scope="module")
def cell(tmp_path_factory):
    """A simulated robot with a peg in its hand, and its guard."""
    folder = tmp_path_factory.mktemp("cell")
    with nodes() as start, Spectator() as spectator:
        start("sim_robot_node", folder, task="peg_insert", clearance_mm=2.0)
        start("guard_node", folder)
        until(lambda: spectator.guard("ready") == "True", "the guard")
        yield spectator


def test_a_peg_in_the_hand_keeps_the_contract_over_topics(cell):
    check_env(lambda: make_env(CONFIG))


def test_the_hand_stays_shut_and_what_it_holds_goes_where_it_goes(cell):
    env = GuardedEnv(make_env(CONFIG))
    before = env.reset(seed=1)[0]["object"]
    for _ in range(5):
        after, *_ = env.step(np.array([0.5, 0.0, -0.5], np.float32))
    moved_m = after["object"][3:6] - before[3:6]
    assert moved_m == pytest.approx([0.025, 0.0, -0.025], abs=0.006)
    assert after["object"][6:9] == pytest.approx(before[6:9], abs=0.002)
    assert after["proprio"][7] == pytest.approx(0.020, abs=0.001)
    env.close()
