"""A leader's pose as a hand: never a jump, never a step for somebody who is not heard, the same motion in any frame."""

import itertools

import numpy as np
import pytest
from devices import arm_spec
from scipy.spatial.transform import Rotation

from actor.config import HAND, HandConfig
from actor.human.following import BEHIND, REST_S, Following
from actor.human.hand import Hand
from actor.human.instrument import Controls, Pose
from actor.human.live import SILENT_S, LiveChannel
from actor.human.mapping import Mapping

SIX = ("x", "y", "z", "rx", "ry", "rz")
METRES, RADIANS = 0.025, 0.1


class Wand:
    """A leader that is where it is told."""

    name = "wand"

    def __init__(self) -> None:
        self.connection, self.trouble = 1, ""
        self.now_s, self.heard_s = 50.0, 50.0
        self.position, self.rotation = np.zeros(3), Rotation.identity()
        self.down: frozenset[int] = frozenset()
        self.presses: list[int] = []
        self.away = False

    def latest(self) -> Controls | None:
        pose = Pose(self.position.copy(), self.rotation.as_matrix())
        return None if self.away else Controls(self.heard_s, down=self.down, pose=pose)

    def pressed(self) -> list[int]:
        presses, self.presses = self.presses, []
        return presses

    def close(self) -> None:
        pass

    def move(self, x: float, y: float = 0.0, z: float = 0.0) -> None:
        self.position = self.position + np.array([x, y, z])

    def tick(self, seconds: float = 0.1) -> None:
        self.now_s += seconds
        self.heard_s = self.now_s


class Arm:
    """A wand, the hand on it, and a tool that does what it is told, within the action's box."""

    def __init__(self, *names: str, action_frame: str = "base", **keys: object) -> None:
        self.wand = Wand()
        self.rotation = Rotation.identity()
        self.position = np.zeros(3)
        self.action_frame = action_frame
        self.spec = arm_spec(*(names or ("x", "y", "z", "gripper")), frame=action_frame)
        fields = {"kind": "leader", "dead_zone": 0.0, "view_deg": 0.0, "clutch_button": 0, "gripper_button": 1}
        config = HandConfig(**(fields | {"success_button": 2} | keys))  # type: ignore[arg-type]
        mapping = Mapping(config, self.spec, lambda: self.rotation.as_matrix())
        following = Following(mapping, config, METRES, clock=lambda: self.wand.now_s)
        hand = Hand(self.wand, mapping, config, following=following, clock=lambda: self.wand.now_s)
        self.channel = LiveChannel(hand, clock=lambda: self.wand.now_s)
        self.mapping = mapping

    def period(self) -> np.ndarray | None:
        """One control period; the action, or None where nobody leads."""
        self.wand.tick()
        override = self.channel.poll()
        names = self.spec.action_names
        action = np.array([float(name == "gripper") for name in names], np.float32)
        action = action if override is None else override.action
        assert np.abs(action).max() <= 1.0
        base_from_action = self.rotation.as_matrix() if self.action_frame == "tool" else np.eye(3)
        twist = self.mapping.take(action)
        self.position = self.position + METRES * base_from_action @ twist[:3]
        turn = Rotation.from_rotvec(RADIANS * base_from_action @ twist[3:])
        self.channel.executed(action)
        self.rotation = turn * self.rotation
        return None if override is None else override.action

    def engage(self) -> None:
        """Press the button, which was up."""
        assert self.period() is None
        self.wand.down = frozenset({0})


def test_engaging_moves_nothing_wherever_the_leader_is_and_the_robot_then_moves_as_it_does():
    arm = Arm()
    for start in ((0.3, -0.2, 0.9), (0.31, -0.2, 0.9)):
        arm.wand.down = frozenset()
        arm.wand.position = np.array(start)
        arm.engage()
        before = arm.position
        action = arm.period()
        assert action is not None
        assert not action[:3].any()
        arm.wand.move(0.02, 0.0, -0.01)
        np.testing.assert_allclose(arm.period()[:3], [0.8, 0.0, -0.4], atol=1e-6)
        np.testing.assert_allclose(arm.period()[:3], 0.0, atol=1e-6)
        np.testing.assert_allclose(arm.position - before, [0.02, 0.0, -0.01], atol=1e-7)


def test_the_leader_moves_freely_while_it_is_not_engaged():
    arm = Arm()
    arm.engage()
    arm.period()
    arm.wand.down = frozenset()
    assert arm.period() is None
    arm.wand.move(0.05, 0.05, 0.05)
    assert arm.period() is None
    arm.wand.down = frozenset({0})
    assert not arm.period()[:3].any()
    assert not arm.position.any()


def test_scale_makes_large_motions_of_the_hand_small_ones_of_the_robot():
    arm = Arm(*SIX, scale=0.25, turn_scale=0.5)
    arm.engage()
    arm.period()
    for _ in range(4):
        arm.wand.move(0.0, 0.04, 0.0)
        arm.wand.rotation = Rotation.from_rotvec([0.0, 0.0, 0.1]) * arm.wand.rotation
        arm.period()
    np.testing.assert_allclose(arm.position, [0.0, 0.04, 0.0], atol=1e-6)
    np.testing.assert_allclose(arm.rotation.as_rotvec(), [0.0, 0.0, 0.2], atol=1e-6)


@pytest.mark.parametrize(("hand", "action"), [*itertools.product(("base", "tool"), repeat=2)])
def test_wherever_the_leader_goes_the_robot_goes_the_same_way_in_the_room_in_every_frame(hand: str, action: str):
    rng = np.random.default_rng(7)
    for _ in range(20):
        view = float(rng.uniform(-360, 360))
        arm = Arm(*SIX, action_frame=action, view_deg=view, frame=hand)
        arm.rotation = tool = Rotation.random(random_state=int(rng.integers(1 << 31)))
        arm.wand.rotation = leader = Rotation.random(random_state=int(rng.integers(1 << 31)))
        arm.wand.position = begun = rng.uniform(-1, 1, 3)
        arm.engage()
        arm.period()
        for _ in range(12):
            arm.wand.move(*rng.uniform(-0.01, 0.01, 3))
            arm.wand.rotation = Rotation.from_rotvec(rng.uniform(-0.04, 0.04, 3)) * arm.wand.rotation
            arm.period()
        # What is left to do.
        arm.period()
        moved, turned = arm.wand.position - begun, (arm.wand.rotation * leader.inv()).as_rotvec()
        room_from_leader = Rotation.from_euler("z", view, degrees=True) if hand == "base" else tool * leader.inv()
        np.testing.assert_allclose(arm.position, room_from_leader.apply(moved), atol=1e-6)
        np.testing.assert_allclose((arm.rotation * tool.inv()).as_rotvec(), room_from_leader.apply(turned), atol=1e-6)


def test_a_robot_that_cannot_keep_up_stops_soon_after_its_leader_and_does_not_make_up_for_it():
    arm = Arm()
    arm.engage()
    arm.period()
    for _ in range(5):
        arm.wand.move(0.2, 0.0, 0.0)
        assert arm.period()[0] == pytest.approx(1.0)
    after = 0
    while arm.period()[0] > 1e-6:
        after += 1
    assert after <= BEHIND
    # Turning back counts from where the robot is.
    arm.wand.move(-0.01)
    assert arm.period()[0] == pytest.approx(-0.4, abs=1e-6)


def test_what_the_guard_held_back_is_not_lost_but_no_more_than_two_actions_are_owed():
    arm = Arm()
    arm.engage()
    arm.period()
    arm.wand.move(0.01, 0.0, 0.0)
    arm.wand.tick()
    override = arm.channel.poll()
    arm.channel.executed(np.zeros(4, np.float32))
    np.testing.assert_allclose(arm.period()[:3], override.action[:3])


def test_a_period_that_was_the_policys_is_not_taken_for_the_leaders():
    arm = Arm()
    arm.engage()
    # The person cuts in during the policy's period: it is engaged before the policy's action is reported.
    arm.wand.tick()
    assert arm.channel._driving is False
    assert arm.channel.touched()
    arm.channel.executed(np.array([1.0, 1.0, 1.0, 1.0], np.float32))
    assert not arm.period()[:3].any()


@pytest.mark.parametrize("how", ["silent", "away", "leapt"])
def test_a_leader_that_was_lost_lets_go_and_must_be_engaged_anew(how: str, caplog: pytest.LogCaptureFixture):
    arm = Arm()
    arm.engage()
    arm.wand.move(0.01, 0.0, 0.0)
    assert arm.period() is not None
    if how == "silent":
        arm.wand.now_s += SILENT_S + 0.001
        assert arm.channel.poll() is None
        assert arm.channel.lost()
    elif how == "away":
        arm.wand.away = True
        assert arm.period() is None
        arm.wand.away = False
    else:
        arm.wand.move(0.0, 0.5, 0.0)
    # Its button is down all the time.
    for _ in range(3):
        assert arm.period() is None
    assert ("leapt as no hand does" in caplog.text) == (how == "leapt")
    arm.wand.down = frozenset()
    assert arm.period() is None
    arm.wand.down = frozenset({0})
    assert not arm.period()[:3].any()


def test_a_button_that_is_down_from_the_first_message_on_engages_nothing():
    arm = Arm()
    arm.wand.down = frozenset({0})
    for _ in range(5):
        assert arm.period() is None
    arm.wand.down = frozenset()
    assert arm.period() is None
    arm.wand.down = frozenset({0})
    assert arm.period() is not None


def test_a_new_episode_begins_from_where_the_robot_was_brought():
    arm = Arm()
    arm.engage()
    arm.period()
    arm.wand.move(0.04, 0.0, 0.0)
    arm.channel.begin_episode(2)
    assert not arm.period()[:3].any()


def test_without_a_button_the_leader_has_control_while_it_moves_and_a_little_longer():
    arm = Arm(clutch_button=None)
    for _ in range(20):
        # Noise of the sensor, and slow drift.
        arm.wand.move(0.0005, 0.0, 0.0)
        assert arm.period() is None
    moved = 0
    for _ in range(5):
        arm.wand.move(0.02, 0.0, 0.0)
        moved += arm.period() is not None
    assert moved >= 4
    assert arm.position[0] <= 0.02 * (moved - 1) + 1e-6, "engaging jumped"
    kept = 0
    while arm.period() is not None:
        kept += 1
    assert kept == pytest.approx(REST_S / 0.1, abs=1)


def test_its_buttons_shut_the_gripper_and_label_without_the_clutch():
    arm = Arm()
    arm.period()
    arm.wand.presses = [1, 2]
    np.testing.assert_array_equal(arm.period(), [0, 0, 0, -1])
    assert [event.value for event in arm.channel.events()] == ["success"]


def test_the_defaults_ask_for_a_button():
    assert HAND["leader"].clutch_button == 0
