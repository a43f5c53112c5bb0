"""Two SpaceMice for two arms: told apart by serial, each its own arm, and one that dies lets go of both."""

from pathlib import Path

import msgspec
import numpy as np
import pytest
from devices import COMPACT, WIRELESS, FakeHid, Plug, arm_spec, buttons, combined, split, turns, until

from actor.config import HandConfig
from actor.human import Event
from actor.human.hand import Hand
from actor.human.live import LiveChannel
from actor.human.mapping import Mapping
from actor.human.pair import Pair, halves, tool_rotation_of
from actor.human.spacemouse import SpaceMouse, choose_pair
from wire.errors import UserError
from wire.specs import EnvSpec

ARM = ("x", "y", "z", "rx", "ry", "rz", "gripper")
TWO = tuple(f"{side}_{name}" for side in ("left", "right") for name in ARM)
STAND = [0.0] * 6 + [1.0]


class Bench:
    """Two mice at their cables, and the pair of hands on them."""

    def __init__(self, folder: Path, spec: EnvSpec) -> None:
        self.plugs = {
            "left": Plug(folder / "hidraw3", COMPACT, "L7"),
            "right": Plug(folder / "hidraw1", WIRELESS, "R8"),
        }
        hid = FakeHid(*self.plugs.values())
        config = HandConfig(kind="spacemice", left="L7", right="R8", view_deg=0.0, dead_zone=0.0)
        wanted = choose_pair("L7", "R8", hid)
        self.mice = {side: SpaceMouse(serial, hid=hid) for side, serial in wanted.items()}
        parts = halves(spec)
        hands = {side: Hand(self.mice[side], Mapping(config, parts[side][0]), config) for side in parts}
        self.channel = LiveChannel(Pair(hands, {side: places for side, (_, places) in parts.items()}))

    def rest(self) -> None:
        """Both are at rest, and known to be."""
        self.plugs["left"].say(split(), turns())
        self.plugs["right"].say(combined(0, 0, 0, 0, 0, 0))
        until(lambda: not any(np.isnan(mouse.latest().axes).any() for mouse in self.mice.values()))
        assert self.channel.poll() is None
        assert not self.channel.silent

    def close(self) -> None:
        for mouse in self.mice.values():
            mouse.close()


@pytest.fixture
def bench(tmp_path: Path):
    made = Bench(tmp_path, arm_spec(*TWO))
    made.rest()
    yield made
    made.close()


def pushed(bench: Bench, side: str, *reports: bytes) -> np.ndarray:
    """What is wanted as soon as these reports are through; they repeat themselves, as those of a pushed mouse do."""

    def heard() -> bool:
        bench.plugs[side].say(*reports)
        return bench.channel.poll() is not None

    until(heard)
    return bench.channel.poll().action


def test_each_mouse_moves_its_own_arm_and_the_other_stands(bench: Bench):
    left = pushed(bench, "left", split(175, 0, 0), turns(0, 0, -70))
    np.testing.assert_allclose(left, [0.5, 0, 0, 0, 0, -0.2, 1, *STAND], atol=1e-6)
    bench.plugs["left"].say(split(), turns())
    until(lambda: bench.channel.poll() is None)
    right = pushed(bench, "right", combined(0, 35, 0, 0, 0, 0))
    np.testing.assert_allclose(right, [*STAND, 0, 0.1, 0, 0, 0, 0, 1], atol=1e-6)


def test_an_arm_that_stands_keeps_its_gripper_and_each_has_its_own_button(bench: Bench):
    told = np.zeros(14, np.float32)
    told[[6, 13]] = -0.5, 0.25
    bench.channel.executed(told)
    action = pushed(bench, "right", combined(350, 0, 0, 0, 0, 0))
    np.testing.assert_allclose(action[[6, 13]], [-0.5, 0.25])
    bench.plugs["right"].say(combined(0, 0, 0, 0, 0, 0))
    until(lambda: bench.channel.poll() is None)
    bench.plugs["left"].say(buttons(0), buttons(), buttons(1), buttons())
    until(lambda: bench.channel.poll() is not None)
    np.testing.assert_allclose(bench.channel.poll().action[[6, 13]], [1.0, 0.25])
    assert bench.channel.events() == [Event.SUCCESS]


@pytest.mark.parametrize(("side", "model"), [("left", "Compact"), ("right", "Wireless (cabled)")])
@pytest.mark.parametrize("how", ["unplugged", "out of range"])
def test_one_that_dies_lets_go_of_both_arms_and_is_named(
    bench: Bench, side: str, model: str, how: str, caplog: pytest.LogCaptureFixture
):
    other = "right" if side == "left" else "left"
    push = {"left": split(350), "right": combined(350, 0, 0, 0, 0, 0)}
    # Both are pushed; the other one goes on.
    pushed(bench, side, push[side])
    pushed(bench, other, push[other])
    bench.plugs[side].say(push[side])
    if how == "unplugged":
        bench.plugs[side].pull()

    def gone() -> bool:
        bench.plugs[other].say(push[other])
        return bench.channel.poll() is None

    until(gone)
    assert bench.channel.lost()
    why = "was unplugged (read error); plug it in again" if how == "unplugged" else "fell silent; check its cable"
    said = f"the pair of SpaceMice has lost its {side} one: the SpaceMouse {model} {why}; the policy has control"
    assert said in [record.getMessage() for record in caplog.records]
    bench.plugs[side].put_back()
    bench.plugs["left"].say(split(), turns())
    bench.plugs["right"].say(combined(0, 0, 0, 0, 0, 0))

    def back() -> bool:
        bench.channel.poll()
        return not bench.channel.silent

    until(back)
    assert caplog.records[-1].getMessage() == "the pair of SpaceMice is back"


def test_which_is_the_left_one_is_never_guessed(tmp_path: Path):
    hid = FakeHid(Plug(tmp_path / "a", COMPACT, "L7"), Plug(tmp_path / "b", COMPACT, "R8"))
    here = f"SpaceMouse Compact (serial L7, path {tmp_path}/a), SpaceMouse Compact (serial R8, path {tmp_path}/b)"
    need = "human=spacemice needs human.left=<serial or path> and human.right=<serial or path>"
    for left, right, problem in [
        (None, None, f"{need}; connected: {here}"),
        ("L7", None, f"{need}; connected: {here}"),
        ("L7", "R9", f"there is no SpaceMouse R9; connected: {here}; set human.right to one of them"),
        (
            "L7",
            f"{tmp_path}/a",
            f"human.left and human.right are both the SpaceMouse Compact (serial L7, path "
            f"{tmp_path}/a); connected: {here}",
        ),
    ]:
        with pytest.raises(UserError) as error:
            choose_pair(left, right, hid)
        assert str(error.value) == problem
    with pytest.raises(UserError, match="connected: none"):
        choose_pair(None, None, FakeHid())
    with pytest.raises(UserError, match="there is no SpaceMouse; plug one in"):
        choose_pair("L7", "R8", FakeHid())


def test_halves_may_be_of_any_size_and_in_any_order():
    spec = arm_spec("right_gripper", "left_x", "right_x", "left_y", "right_z", "left_z", "right_y")
    parts = halves(spec)
    assert parts["left"][0].action_names == ("x", "y", "z")
    assert parts["left"][0].action.shape == (3,)
    assert parts["right"][0].action_names == ("gripper", "x", "z", "y")
    np.testing.assert_array_equal(parts["left"][1], [1, 3, 5])
    np.testing.assert_array_equal(parts["right"][1], [0, 2, 4, 6])


@pytest.mark.parametrize("names", [("x", "y", "z", "gripper"), ("left_x", "left_y", "left_z"), (*TWO, "middle_x")])
def test_an_action_that_is_not_of_two_arms_is_refused(names: tuple[str, ...]):
    with pytest.raises(UserError, match=r"drives two arms whose action names begin with left_ and right_ .*; toy has"):
        halves(arm_spec(*names))


def test_each_arm_has_its_own_tool_and_one_rotation_is_none_of_two():
    both = np.array([np.eye(3), np.diag([1.0, -1.0, -1.0])])
    for number, side in enumerate(("left", "right")):
        rotation = tool_rotation_of(side, lambda: both)
        assert rotation is not None
        np.testing.assert_array_equal(rotation(), both[number])
        one = tool_rotation_of(side, lambda: np.eye(3))
        assert one is not None
        assert one() is None
    assert tool_rotation_of("left", None) is None
    spec = msgspec.structs.replace(arm_spec(*TWO), action_frame="tool")
    mapping = Mapping(HandConfig(view_deg=0.0, dead_zone=0.0), halves(spec)["right"][0], rotation)
    np.testing.assert_allclose(mapping.motion((0, 1, 0, 0, 0, 0))[:3], [0, -1, 0])


@pytest.mark.parametrize(
    ("wrong", "problem"),
    [
        ({"left": "A1"}, "human.left goes with human=spacemice, got human=spacemouse; drop it"),
        ({"kind": "spacemice", "left": "A1", "right": "A1"}, "human.left and human.right are both A1: one SpaceMouse "
         "drives one arm"),
        ({"kind": "spacemice", "device": "A1"}, "human=spacemice takes two devices: set human.left and human.right, "
         "drop human.device"),
        ({"clutch_button": 7}, "human.clutch_button goes with human=leader, got human=spacemouse; drop it"),
        ({"kind": "leader", "clutch_button": 0}, "human.gripper_button and human.clutch_button are both 0"),
        ({"radians_per_unit": 0.0}, "human.radians_per_unit must be > 0, got 0.0"),
    ],
)  # fmt: skip
def test_settings_of_two_devices_or_a_leader_that_make_no_sense_are_refused(wrong: dict, problem: str):
    with pytest.raises(ValueError) as error:  # noqa: PT011
        HandConfig(**wrong)
    assert str(error.value) == problem
