"""What a push means is the same motion in the room, whatever frames it is told in."""

import itertools

import numpy as np
import pytest
from devices import arm_spec

from actor.config import HandConfig
from actor.human.mapping import Mapping
from envs.tabletop import TOOL_ROTATION
from wire.errors import UserError

SIX = ("x", "y", "z", "rx", "ry", "rz", "gripper")
FULL = {"dead_zone": 0.0, "view_deg": 0.0}


def random_rotation(rng: np.random.Generator) -> np.ndarray:
    q, r = np.linalg.qr(rng.normal(size=(3, 3)))
    q = q * np.sign(np.diag(r))
    return q if np.linalg.det(q) > 0 else -q


def about_up(degrees: float) -> np.ndarray:
    angle = np.deg2rad(degrees)
    return np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])


@pytest.mark.parametrize(("frame", "action_frame"), [*itertools.product(("base", "tool"), repeat=2)])
def test_a_push_moves_the_tool_the_same_way_whatever_frame_the_action_is_in(frame: str, action_frame: str):
    rng = np.random.default_rng(5)
    for _ in range(50):
        tool, axes, view = random_rotation(rng), rng.uniform(-1, 1, 6), float(rng.uniform(-360, 360))
        config = HandConfig(frame=frame, view_deg=view, dead_zone=0.0)
        action = Mapping(config, arm_spec(*SIX, frame=action_frame), lambda tool=tool: tool).motion(tuple(axes))
        assert action is not None
        base_from_action = np.eye(3) if action_frame == "base" else tool
        base_from_hand = about_up(view) if frame == "base" else tool
        for part in (slice(0, 3), slice(3, 6)):
            # There and back again: what the robot does in the room, seen from the hand, is what the hand did.
            in_room = base_from_action @ action[part]
            np.testing.assert_allclose(base_from_hand.T @ in_room, axes[part], atol=1e-6)
        assert action[6] == 0.0


def test_the_tool_may_turn_while_the_hand_pushes_on():
    tools = iter([np.eye(3), np.eye(3), about_up(90)])
    mapping = Mapping(HandConfig(frame="tool", dead_zone=0.0), arm_spec(), lambda: next(tools))
    np.testing.assert_allclose(mapping.motion((1.0, 0, 0, 0, 0, 0)), [1, 0, 0, 0], atol=1e-7)
    np.testing.assert_allclose(mapping.motion((1.0, 0, 0, 0, 0, 0)), [0, 1, 0, 0], atol=1e-7)


def test_by_default_the_person_faces_the_robot_and_pushes_away_what_comes_to_the_robot():
    mapping = Mapping(HandConfig(dead_zone=0.0), arm_spec())
    for axes, wanted in [((1, 0, 0), [-1, 0, 0, 0]), ((0, 1, 0), [0, -1, 0, 0]), ((0, 0, 1), [0, 0, 1, 0])]:
        np.testing.assert_array_equal(mapping.motion((*axes, 0, 0, 0)), wanted)


def test_in_the_tools_frame_of_a_tool_that_points_down_up_is_out_of_the_hand():
    mapping = Mapping(HandConfig(frame="tool", dead_zone=0.0), arm_spec(), lambda: np.array(TOOL_ROTATION))
    for axes, wanted in [((1, 0, 0), [1, 0, 0, 0]), ((0, 1, 0), [0, -1, 0, 0]), ((0, 0, 1), [0, 0, -1, 0])]:
        np.testing.assert_array_equal(mapping.motion((*axes, 0, 0, 0)), wanted)


def test_a_dead_zone_has_no_step_at_its_edge_and_full_deflection_stays_full():
    mapping = Mapping(HandConfig(dead_zone=0.2, view_deg=0.0, scale=0.5), arm_spec())
    assert mapping.motion((0.2, -0.2, 0.1, 0, 0, 0)) is None
    edge, half, full = (mapping.motion((value, 0, 0, 0, 0, 0)) for value in (0.2001, -0.6, 1.0))
    assert edge is not None
    assert half is not None
    assert full is not None
    assert 0 < edge[0] < 1e-3
    assert half[0] == pytest.approx(-0.25)
    assert full[0] == pytest.approx(0.5)
    assert full.dtype == np.float32


def test_axes_are_ordered_first_and_signed_then():
    config = HandConfig(axes=(2, 0, 1, 5, 4, 3), signs=(1, -1, 1, -1, 1, 1), turn_scale=0.5, **FULL)
    action = Mapping(config, arm_spec(*SIX)).motion((0.1, 0.2, 0.3, 0.4, 0.6, 0.8))
    np.testing.assert_allclose(action, [0.3, -0.1, 0.2, -0.4, 0.3, 0.2, 0.0], atol=1e-6)


def test_what_the_robot_cannot_do_takes_no_control():
    mapping = Mapping(HandConfig(**FULL), arm_spec())
    assert mapping.motion((0, 0, 0, 1.0, 1.0, 1.0)) is None
    one_turn = Mapping(HandConfig(**FULL), arm_spec("x", "y", "z", "rz"))
    np.testing.assert_array_equal(one_turn.motion((0, 0, 0, 0, 0, 1.0)), [0, 0, 0, 1])
    assert one_turn.gripper is None


def test_any_order_of_the_actions_names_is_kept():
    action = Mapping(HandConfig(**FULL), arm_spec("gripper", "z", "y", "x")).motion((0.1, 0.2, 0.3, 0, 0, 0))
    np.testing.assert_allclose(action, [0.0, 0.3, 0.2, 0.1], atol=1e-7)


def test_beyond_full_scale_is_full_scale():
    np.testing.assert_array_equal(Mapping(HandConfig(**FULL), arm_spec()).motion((9, 0, 0, 0, 0, 0)), [1, 0, 0, 0])


@pytest.mark.parametrize(
    ("names", "frame", "human", "problem"),
    [
        (("a0", "a1"), "none", {}, "human=spacemouse drives robots whose action has x, y, z .*; toy has a0, a1; set"),
        (("x", "y"), "base", {}, "drives robots whose action has x, y, z"),
        (("x", "y", "z"), "camera", {}, "needs actions in frame base or tool, got camera"),
        (("x", "y", "z"), "base", {"frame": "tool"}, "does not say how its tool is turned; set human.frame=base"),
        (("x", "y", "z"), "tool", {}, "does not say how its tool is turned"),
    ],
)
def test_a_robot_that_cannot_be_driven_so_is_refused(names: tuple[str, ...], frame: str, human: dict, problem: str):
    with pytest.raises(UserError, match=problem):
        Mapping(HandConfig(**human), arm_spec(*names, frame=frame))


@pytest.mark.parametrize(
    ("wrong", "problem"),
    [
        ({"frame": "tol"}, "human.frame must be one of base, tool, got tol; did you mean tool?"),
        ({"dead_zone": 1.0}, "human.dead_zone must be in 0..0.9, got 1.0"),
        ({"scale": 0.0}, "human.scale must be in 0..1 (0 excluded), got 0.0"),
        ({"axes": (0, 1, 2, 3, 4, 4)}, "human.axes must hold each of 0 to 5 once, got [0, 1, 2, 3, 4, 4]"),
        ({"signs": (1, 1, 1, 1, 1, 2)}, "human.signs must be six of 1 and -1, got [1, 1, 1, 1, 1, 2]"),
        ({"end_button": 0}, "human.gripper_button and human.end_button are both 0"),
        ({"gripper_button": -1}, "human.gripper_button must be >= 0, or null for none, got -1"),
        ({"view_deg": float("nan")}, "human.view_deg must be in -360..360 degrees, got nan"),
    ],
)
def test_settings_that_make_no_sense_are_refused(wrong: dict, problem: str):
    with pytest.raises(ValueError) as error:  # noqa: PT011
        HandConfig(**wrong)
    assert str(error.value) == problem
