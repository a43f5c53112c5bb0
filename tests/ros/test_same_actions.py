"""A recorded episode, once as arrays and once as messages: the policy must not see the difference."""

import numpy as np
import pytest
from acting import random_weights
from pretend_robot import SIM, PretendRobot
from ros_nodes import until
from scipy.spatial.transform import Rotation

from actor.policy import PolicySlot
from envs.config import EnvConfig
from envs.guard import Guard
from envs.make import make_env
from envs.ros.cell import RosCell
from envs.tasks import TASKS

pytestmark = [pytest.mark.sim, pytest.mark.process]
SIZE = 32
STEPS = 12


def record(obs):
    """Observations of an episode of the simulated cell, with what a robot would have to report for each."""
    env = make_env(EnvConfig(task="pick_cube", obs=obs, image_size=SIZE))
    env.reset(seed=3)
    expert, guard, found = env.expert(np.random.default_rng(0)), Guard(env.limits), []
    for _ in range(STEPS):
        observation, *_ = env.step(guard.apply(expert.propose(), env.target_position()).action)
        cell = env.cell
        proprio = observation["proprio"]
        turned = Rotation.from_matrix(cell.body_rotation("cube"))
        cube = (cell.body_position("cube"), turned.as_quat())
        told = (proprio[:7], proprio[8:11], proprio[7], proprio[11])
        exact = (cell.data.qpos[:7].copy(), cell.tool_position(), cell.finger_width())
        found.append((observation, told, exact, cube))
    spec = env.wire_spec
    env.close()
    return spec, found


@pytest.mark.parametrize("obs", ["state", "pixels"])
def test_the_same_policy_gives_the_same_actions_through_ros_as_in_process(obs):
    spec, recorded = record(obs)
    policy = PolicySlot(spec, explores=False)
    policy.load(random_weights(spec))
    with PretendRobot() as robot:
        cell = RosCell(TASKS["pick_cube"](), SIM, obs=obs, image_size=SIZE)
        assert spec.policy_differences(env_spec_of(cell, spec)) == []
        worst = 0.0
        for observation, told, exact, cube in recorded:
            robot.show(observation, exact, cube)
            # Where the gripper was told to go is the cell's own knowledge.
            cell.command(np.array([0.0, 0.0, 0.0, told[3]], np.float32))
            until(lambda cell=cell, told=told: shows(cell, told, robot), "the robot's new state")
            seen = cell.observe()
            assert all(np.allclose(seen[name], observation[name], atol=1e-6) for name in observation)
            actions = [policy.act(each)[0] for each in (observation, seen)]
            worst = max(worst, float(np.abs(actions[0] - actions[1]).max()))
        cell.close()
    print(f"through ROS 2 and in process, {obs}: actions differ by {worst:.1e} at most over {len(recorded)} steps")
    assert worst <= 1e-6


def shows(cell, told, robot):
    """Whether all senses are from after the robot's last change."""
    cell.advance()
    heard = all(each.stamp_ns > robot.changed_ns for each in cell.senses.inputs().values())
    return heard and np.allclose(cell.tool_position(), told[1], atol=1e-6)


def env_spec_of(cell, spec):
    """The spec of an environment over the cell, for what a policy has to do with."""
    from envs.workcell import WorkcellEnv

    return WorkcellEnv(cell, TASKS[spec.task]()).wire_spec
