"""What a person wants, from their axes to the motion in the room and back, and as it is recorded; in every frame."""

import itertools
from pathlib import Path

import numpy as np
import pytest
from devices import Pad
from hypothesis import given, settings
from hypothesis import strategies as st
from points import METRES, Line, point_env, recorded, require_whole
from scipy.spatial.transform import Rotation

from actor.config import HandConfig
from actor.human.hand import Hand
from actor.human.live import LiveChannel
from actor.human.mapping import Mapping
from actor.loop import run_episode
from actor.pacing import CellPace
from envs.guard import Guard
from envs.workcell import WorkcellEnv
from wire.types import Source, Step

FRAMES = [*itertools.product(("base", "tool"), repeat=2)]
AXES = st.lists(st.floats(-1, 1), min_size=3, max_size=3).filter(lambda axes: np.abs(axes).max() > 0.05)


def rig(frame: str, action_frame: str, view_deg: float, seed: int) -> tuple[Pad, LiveChannel, WorkcellEnv]:
    tool = Rotation.random(random_state=seed).as_matrix()
    env = point_env(6, action_frame=action_frame, tool=tool)
    config = HandConfig(frame=frame, view_deg=view_deg, dead_zone=0.0)
    pad = Pad()
    pad.stand()
    hand = Hand(pad, Mapping(config, env.wire_spec, env.tool_rotation), config, clock=lambda: pad.now_s)
    channel = LiveChannel(hand, clock=lambda: pad.now_s)
    # Every axis was seen at rest, and is believed from now on.
    assert channel.poll() is None
    return pad, channel, env


def room_from_hand(frame: str, view_deg: float, tool: np.ndarray) -> np.ndarray:
    return Rotation.from_euler("z", view_deg, degrees=True).as_matrix() if frame == "base" else tool


@pytest.mark.parametrize(("frame", "action_frame"), FRAMES)
@settings(max_examples=40, deadline=None)
@given(axes=AXES, view_deg=st.floats(-360, 360), seed=st.integers(0, 2**31 - 1))
def test_what_the_tool_did_seen_as_the_person_sees_it_is_what_the_hand_did(
    frame: str, action_frame: str, axes: list[float], view_deg: float, seed: int
):
    pad, channel, env = rig(frame, action_frame, view_deg, seed)
    # A push along a diagonal may leave the action's box, whose corners lie elsewhere in another frame.
    pad.stand(*(0.5 * value for value in axes))
    before = env.cell.at_m
    steps: list[Step] = []
    run_episode(
        env, Line(), channel, Guard(env.limits), CellPace(), steps.append, episode=0, seed=0, stopped=lambda: False
    )
    moved_units = (env.cell.at_m - before) / METRES / len(steps)
    seen = room_from_hand(frame, view_deg, env.cell.tool).T @ moved_units
    np.testing.assert_allclose(seen, 0.5 * np.array(axes), atol=1e-5)
    for step in steps:
        # Both in the action's frame, whatever the hand's: the archive says nothing of hands.
        base_from_action = np.eye(3) if action_frame == "base" else env.cell.tool
        np.testing.assert_allclose(base_from_action @ step.action[:3], moved_units, atol=1e-5)
        np.testing.assert_allclose(step.policy_action, [0.1, 0.0, 0.0, 1.0], atol=1e-6)
        assert step.source is Source.HUMAN


def test_a_correction_counts_from_the_very_next_step_and_is_on_disk_with_what_the_policy_wanted(tmp_path: Path):
    pad, channel, env = rig("base", "base", 180.0, 0)
    pushes = {2: (1.0,), 4: ()}
    steps = recorded(tmp_path, env, channel, lambda done: pad.stand(*pushes[done]) if done in pushes else None)
    require_whole(steps, 6)
    assert [step.source for step in steps] == [0, 0, 1, 1, 0, 0]
    for step in steps:
        wanted = [-1.0, 0, 0, 1] if step.source is Source.HUMAN else [0.1, 0, 0, 1]
        np.testing.assert_allclose(step.action, wanted, atol=1e-6)
        np.testing.assert_allclose(step.policy_action, [0.1, 0, 0, 1], atol=1e-6)


def test_the_gripper_stays_as_it_was_at_takeover_and_at_hand_back(tmp_path: Path):
    pad, channel, env = rig("base", "base", 180.0, 0)
    env.cell.gripper = -1.0
    pushes = {1: (1.0,), 3: (), 4: (0.0, 1.0)}
    steps = recorded(tmp_path, env, channel, lambda done: pad.stand(*pushes[done]) if done in pushes else None)
    assert [step.source for step in steps] == [0, 1, 1, 0, 1, 1]
    assert {float(step.action[3]) for step in steps} == {-1.0}
