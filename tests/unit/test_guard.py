import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from envs.guard import JOINTS, Guard, GuardLimits, Vitals

SCALE = 0.05
LOW_M, HIGH_M = (0.2, -0.3, 0.0), (0.7, 0.3, 0.5)
ANY = st.floats(allow_nan=True, allow_infinity=True)
ACTION = st.lists(ANY, min_size=4, max_size=4)
UNITS = st.lists(st.floats(-1, 1), min_size=4, max_size=4)
INSIDE = st.tuples(*[st.floats(low, high) for low, high in zip(LOW_M, HIGH_M, strict=True)])


def limits(**changes):
    fields = {
        "low": (-1.0,) * 4,
        "high": (1.0,) * 4,
        "hold": (0.0, 0.0, 0.0, None),
        "metres_per_unit": SCALE,
        "workspace_low_m": LOW_M,
        "workspace_high_m": HIGH_M,
    }
    return GuardLimits(**{**fields, **changes})


@given(wanted=st.lists(ACTION, min_size=1, max_size=5), position=INSIDE)
def test_whatever_is_wanted_the_robot_gets_finite_slow_motion_inside_the_workspace(wanted, position):
    guard, at = Guard(limits()), np.array(position)
    for action in wanted:
        verdict = guard.apply(action, at)
        motion = SCALE * verdict.action[:3].astype(np.float64)
        assert verdict.action.dtype == np.float32
        assert np.isfinite(verdict.action).all()
        assert (np.abs(verdict.action) <= 1.0).all()
        assert np.linalg.norm(motion) <= 0.25 / 10 + 1e-6
        assert (at + motion >= np.array(LOW_M) - 1e-6).all()
        assert (at + motion <= np.array(HIGH_M) + 1e-6).all()
        assert verdict.held == (not np.isfinite(action).all())
        at = np.clip(at + motion, LOW_M, HIGH_M)


@given(position=st.tuples(*[st.floats(-3, 3)] * 3), wanted=UNITS)
def test_a_tool_outside_the_workspace_comes_back_slowly(position, wanted):
    motion = SCALE * Guard(limits(max_acceleration_m_s2=None)).apply(wanted, np.array(position)).action[:3]
    before = np.linalg.norm(np.clip(position, LOW_M, HIGH_M) - position)
    after = np.linalg.norm(np.clip(position + motion, LOW_M, HIGH_M) - position - motion)
    assert np.linalg.norm(motion) <= 0.025 + 1e-6
    assert after <= before + 1e-6


@given(
    first=st.lists(st.floats(-1, 1), min_size=4, max_size=4), second=st.lists(st.floats(-1, 1), min_size=4, max_size=4)
)
def test_velocity_changes_no_faster_than_the_acceleration_limit(first, second):
    guard = Guard(limits(workspace_low_m=None, workspace_high_m=None, max_acceleration_m_s2=1.0))
    a, b = (SCALE * 10 * guard.apply(action).action[:3].astype(np.float64) for action in (first, second))
    assert np.linalg.norm(a) <= 0.1 + 1e-6
    assert np.linalg.norm(b - a) <= 0.1 + 1e-6


@given(wanted=st.lists(st.floats(-1, 1, width=32), min_size=4, max_size=4))
def test_limits_of_none_change_nothing(wanted):
    free = limits(max_speed_m_s=None, max_acceleration_m_s2=None, workspace_low_m=None, workspace_high_m=None)
    verdict = Guard(free).apply(wanted)
    assert np.allclose(verdict.action, wanted, atol=1e-7)
    assert verdict.reason == ""


@pytest.mark.parametrize("name", ["max_speed_m_s", "max_acceleration_m_s2"])
def test_a_limit_of_zero_allows_no_motion_at_all(name):
    verdict = Guard(limits(**{name: 0.0})).apply([1.0, -1.0, 1.0, 0.5], np.array([0.4, 0.0, 0.2]))
    assert verdict.action.tolist() == [0.0, 0.0, 0.0, 0.5]


def test_a_workspace_that_begins_at_zero_keeps_the_tool_above_zero():
    verdict = Guard(limits()).apply([0.0, 0.0, -1.0, 0.0], np.array([0.4, 0.0, 0.0]))
    assert verdict.action[2] == 0.0


@pytest.mark.parametrize("wanted", [None, "left", [1.0], [np.nan, 0, 0, 0], np.ones((2, 2)), [np.inf, 0, 0, 0]])
def test_what_is_no_action_holds_the_arm_and_keeps_the_gripper(wanted):
    guard = Guard(limits())
    guard.apply([0.1, 0.0, 0.0, -0.7], np.array([0.4, 0.0, 0.2]))
    verdict = guard.apply(wanted, np.array([0.4, 0.0, 0.2]))
    assert verdict.held
    assert verdict.reason
    assert np.allclose(verdict.action, [0.0, 0.0, 0.0, -0.7])


@pytest.mark.parametrize("position", [None, np.full(3, np.nan), np.zeros(2)])
def test_a_workspace_cannot_be_kept_without_knowing_where_the_tool_is(position):
    verdict = Guard(limits()).apply([1.0, 0.0, 0.0, 0.0], position)
    assert verdict.held
    assert "workspace" in verdict.reason


def test_a_diagonal_is_slowed_without_turning():
    slowed = Guard(limits(metres_per_unit=0.025)).apply([1.0, 1.0, -1.0, 0.0], np.array([0.4, 0.0, 0.2])).action[:3]
    assert np.allclose(slowed, np.array([1.0, 1.0, -1.0]) / np.sqrt(3.0), atol=1e-6)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"low": (1.0,) * 4, "high": (-1.0,) * 4}, "low must not be above high"),
        ({"low": (-1.0,) * 3}, "equally long"),
        ({"rate_hz": 0.0}, "rate_hz must be > 0, got 0.0"),
        ({"rate_hz": float("nan")}, "rate_hz"),
        ({"hold": (0.0, 0.0, float("nan"), None)}, "hold must be finite"),
        ({"workspace_low_m": HIGH_M, "workspace_high_m": LOW_M}, "workspace is empty"),
        ({"workspace_low_m": None}, "go together"),
        ({"max_speed_m_s": -0.1}, "max_speed_m_s must be >= 0 or None, got -0.1"),
        ({"metres_per_unit": 0.0}, "metres_per_unit must be > 0"),
        *[
            ({name: bad}, f"{name} must be >= 0 or None, got {bad}")
            for name in ("max_speed_m_s", "max_acceleration_m_s2", "max_force_n", "max_camera_age_s", "max_joint_age_s")
            for bad in (-1.0, float("nan"))
        ],
        ({"workspace_high_m": None}, "go together"),
        ({"low": (float("nan"),) * 4}, "low must not be above high"),
        ({"metres_per_unit": -0.1}, "metres_per_unit must be > 0"),
        ({"rate_hz": -5.0}, "rate_hz must be > 0, got -5.0"),
    ],
)
def test_limits_that_make_no_sense_are_refused_by_name(changes, words):
    with pytest.raises(ValueError, match=words):
        limits(**changes)


AT = np.array([0.4, 0.0, 0.2])
MOVE = [0.1, 0.0, 0.0, 0.5]


@pytest.mark.parametrize(
    ("limit", "sense"),
    [
        ("max_force_n", lambda value: Vitals(force_n=value)),
        ("max_camera_age_s", lambda value: Vitals({"front": value})),
        ("max_joint_age_s", lambda value: Vitals({JOINTS: value})),
    ],
)
def test_a_vital_limit_of_none_is_off_and_one_of_zero_is_a_limit(limit, sense):
    for bound, value, holds in [
        (None, 1e9, False),
        (0.0, 0.0, False),
        (0.0, 1e-9, True),
        (0.1, 0.1, False),
        (0.1, 0.1001, True),
        (0.1, float("nan"), True),
        (0.1, float("inf"), True),
    ]:
        verdict = Guard(limits(**{limit: bound})).apply(MOVE, AT, sense(value))
        assert verdict.held == holds, (bound, value)
        assert bool(verdict.reason) == holds
        assert verdict.action[0] == (0.0 if holds else np.float32(0.1))


@pytest.mark.parametrize(
    ("vitals", "words"),
    [
        (Vitals(force_n=61.0), "presses with 61 N, the limit is 60 N"),
        (Vitals({"front": 0.05, "wrist": 0.201}), "wrist was last heard of 201 ms ago, the limit is 200 ms"),
        (Vitals({"joints": 0.051, "front": 0.0}), "joints was last heard of 51 ms ago, the limit is 50 ms"),
    ],
)
def test_the_default_limits_hold_and_say_why(vitals, words):
    verdict = Guard(limits()).apply(MOVE, AT, vitals)
    assert verdict.held
    assert words in verdict.reason
    assert not Guard(limits()).apply(MOVE, AT, Vitals({"front": 0.2, "joints": 0.05}, force_n=60.0)).held
