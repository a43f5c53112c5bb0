"""Corrections on the simulated arm: from a person's axes to its motion and back, and no jump at any change of hands."""

import itertools

import numpy as np
import pytest
from devices import Pad
from points import Line
from scipy.spatial.transform import Rotation

from actor.config import HandConfig
from actor.human.hand import Hand
from actor.human.live import LiveChannel
from actor.human.mapping import Mapping
from actor.loop import run_episode
from actor.pacing import CellPace
from envs.config import EnvConfig
from envs.guard import Guard
from envs.make import make_env
from envs.tabletop import METRES_PER_UNIT, TOOL_ROTATION
from wire.types import Source, Step

pytestmark = pytest.mark.sim


class Rig:
    """The simulated arm, whose time stands still between periods, and a pad in somebody's hand."""

    def __init__(self, **keys: object) -> None:
        self.env = make_env(EnvConfig(task="reach"))
        config = HandConfig(**({"dead_zone": 0.0} | keys))  # type: ignore[arg-type]
        self.pad = Pad()
        mapping = Mapping(config, self.env.wire_spec, self.env.tool_rotation)
        clock = lambda: self.pad.now_s  # noqa: E731
        self.channel = LiveChannel(Hand(self.pad, mapping, config, clock=clock), clock=clock)
        assert self.channel.poll() is None

    def run(self, policy, note, length: int, seed: int = 0) -> list[Step]:
        steps: list[Step] = []

        def record(step: Step) -> None:
            steps.append(step)
            note(len(steps))

        run_episode(
            self.env,
            policy,
            self.channel,
            Guard(self.env.limits),
            CellPace(),
            record,
            episode=0,
            seed=seed,
            stopped=lambda: len(steps) >= length,
        )
        return steps


@pytest.mark.parametrize("frame", ["base", "tool"])
def test_the_arm_moves_as_the_hand_does_seen_from_the_hand_in_every_frame_and_from_every_side(frame: str):
    rng = np.random.default_rng(11)
    for _ in range(4):
        view_deg, axes = float(rng.uniform(-360, 360)), rng.uniform(-0.3, 0.3, 3)
        axes *= 0.3 / np.abs(axes).max()
        rig = Rig(frame=frame, view_deg=view_deg)
        at_m: list[np.ndarray] = []

        def note(done: int, rig: Rig = rig, axes: np.ndarray = axes, at_m: list = at_m) -> None:
            at_m.append(rig.env.cell.tool_position())
            rig.pad.stand(*(axes if done < 9 else ()))

        steps = rig.run(Standing(), note, 14)
        assert [step.source for step in steps] == [Source.POLICY] + [Source.HUMAN] * 8 + [Source.POLICY] * 5
        turned = Rotation.from_euler("z", view_deg, degrees=True).as_matrix()
        room_from_hand = turned if frame == "base" else np.array(TOOL_ROTATION)
        seen = room_from_hand.T @ (at_m[-1] - at_m[0]) / METRES_PER_UNIT / 8
        # What is left is how well the controller of the arm tracks.
        np.testing.assert_allclose(seen, axes, atol=0.04)
        rig.env.close()


class Standing(Line):
    """Stands still, and leaves the gripper as it sees it."""

    def act(self, observation):
        return np.array([0.0, 0.0, 0.0, observation["proprio"][-1]], np.float32), 1


class Wild(Standing):
    """Wants another direction at full speed in every period, and leaves the gripper as it sees it."""

    def __init__(self, seed: int) -> None:
        self._rng = np.random.default_rng(seed)
        self.seen_m: list[np.ndarray] = []

    def act(self, observation):
        self.seen_m.append(observation["proprio"][-4:-1].astype(np.float64))
        return np.array([*self._rng.uniform(-1, 1, 3), observation["proprio"][-1]], np.float32), 1


@pytest.mark.parametrize("seed", range(4))
def test_whoever_takes_over_or_hands_back_the_target_never_jumps_and_the_gripper_stays(seed: int):
    rig, rng = Rig(), np.random.default_rng(seed)
    policy, length = Wild(seed), 60
    targets_m, measured_m, grips = [], [], []
    holding = False

    def note(done: int) -> None:
        nonlocal holding
        targets_m.append(rig.env.target_position())
        measured_m.append(rig.env.cell.tool_position())
        grips.append(float(rig.env.cell.observe()["proprio"][-1]))
        if rng.random() < 0.3:
            holding = not holding
        if done == 20:
            rig.pad.presses.append(0)
        rig.pad.now_s += 0.1
        rig.pad.stand(*(rng.uniform(-1, 1, 3) if holding else ()))

    rig.env.task.max_episode_steps = 10**6
    steps = rig.run(policy, note, length, seed)
    limits, period_s = rig.env.limits, 1 / rig.env.limits.rate_hz
    changes = sum(a.source is not b.source for a, b in itertools.pairwise(steps))
    assert changes >= 8
    assert limits.max_speed_m_s is not None
    assert limits.max_acceleration_m_s2 is not None
    moved_m = np.diff(targets_m, axis=0)
    for number, step in enumerate(steps[1:]):
        # The target goes on from where the last period left it, by what was recorded as executed.
        np.testing.assert_allclose(moved_m[number], METRES_PER_UNIT * step.action[:3], atol=1e-6)
    assert np.linalg.norm(moved_m, axis=1).max() <= limits.max_speed_m_s * period_s + 1e-6
    assert np.linalg.norm(np.diff(moved_m, axis=0), axis=1).max() <= limits.max_acceleration_m_s2 * period_s**2 + 1e-6
    # The policy, asked in every period, sees the arm where it is then, whoever moved it there.
    np.testing.assert_allclose(policy.seen_m[1:length], measured_m[: length - 1], atol=1e-6)
    # Only the press changes the gripper, and nobody but a person pressed.
    assert grips[:20] == [1.0] * 20
    assert grips[20:] == [-1.0] * (length - 20)
    rig.env.close()
