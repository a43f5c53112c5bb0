"""What is measured of recorded episodes."""

import numpy as np
import pytest
from devices import arm_spec

from wire.quality import measure, recorded_episodes, remarks
from wire.store import Row
from wire.types import Source, Step

SPEC = arm_spec()


def episode(
    actions: list[list[float]], *, number: int = 0, ended: bool = True, success: bool = True, **changes: object
):
    """Steps with these actions (x, y, z, gripper); the last one ends the episode."""
    steps = []
    for t, action in enumerate(actions):
        last = ended and t == len(actions) - 1
        seen = {"state": np.array([number, t], np.float32)}
        fields: dict = {
            "episode": number,
            "t": t,
            "observation": seen,
            "action": np.array(action, np.float32),
            "source": Source.DEMO,
            "reward": float(last and success),
            "terminated": last,
            "truncated": False,
            "success": last and success,
            "final_observation": seen if last else None,
        }
        steps.append(Step(**fields | changes))
    return steps


def test_steps_that_ask_for_nothing_are_idle_and_a_gripper_that_moves_is_not():
    still, moving = [0.0, 0.0, 0.0, 1.0], [0.5, 0.0, 0.0, 1.0]
    shut = [0.0, 0.0, 0.0, -1.0]
    quality = measure(episode([still, still, moving, still, shut, shut, moving, moving]), SPEC)
    assert quality.idle == 4 / 8
    assert quality.idle_at_start == 2
    assert measure(episode([still, still]), SPEC).idle_at_start == 2


def test_an_action_at_its_limit_or_at_the_greatest_speed_is_saturated():
    free, limit, speed = [0.5, 0.5, 0.0, 1.0], [1.0, 0.2, 0.0, 1.0], [0.6, 0.8, 0.0, 1.0]
    assert measure(episode([free, limit, speed, free]), SPEC).saturated == 0.5
    assert measure(episode([free, free, free, free]), SPEC).saturated == 0.0


def test_jerk_is_nothing_for_a_ramp_and_grows_with_shaking():
    ramp = measure(episode([[t / 10, 0, 0, 1.0] for t in range(8)]), SPEC)
    shaking = measure(episode([[0.5 * (-1) ** t, 0, 0, 1.0] for t in range(8)]), SPEC)
    assert ramp.roughness == pytest.approx(0.0, abs=1e-7)
    # Second differences of +-0.5 are 2 in one dimension of three.
    assert shaking.roughness == pytest.approx(2 / np.sqrt(3))
    assert measure(episode([[0.5, 0, 0, 1.0]] * 2), SPEC).roughness == 0.0


def test_remarks_name_what_is_out_of_the_ordinary_beside_the_others():
    calm = [measure(episode([[0.1 * (t % 3), 0.2, 0, 1.0] for t in range(10)]), SPEC)] * 4
    assert remarks(calm[0], calm) == []
    wild = measure(episode([[0.9 * (-1) ** t, 0, 0, 1.0] for t in range(30)], success=False), SPEC)
    assert remarks(wild, [*calm, wild]) == ["failed", "3.0x the shortest", "rough"]
    held = measure(episode([[0.0, 0, 0, 1.0]] * 10, held=True), SPEC)
    assert remarks(held, [*calm, held]) == ["idle", "held"]


def test_episodes_are_told_apart_in_streams_that_interleave_and_one_without_an_end_is_given_last():
    ours, theirs, rest = episode([[0] * 4] * 3), episode([[0] * 4] * 2, ended=False), episode([[0] * 4], number=1)
    order = [("a", ours[0]), ("b", theirs[0]), ("a", ours[1]), ("b", theirs[1]), ("a", ours[2]), ("b", rest[0])]
    found = list(recorded_episodes(Row(n, stream, n, step) for n, (stream, step) in enumerate(order, 1)))
    assert [(each.stream, len(each.steps), each.ended) for each in found] == [
        ("a", 3, True),
        ("b", 2, False),
        ("b", 1, True),
    ]
