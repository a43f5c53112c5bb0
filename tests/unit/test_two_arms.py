"""Two SpaceMice drive a foreign environment of two arms, through the actor as it is started."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import gymnasium
import numpy as np
import pytest
from acting import toy_weights
from devices import COMPACT, WIRELESS, FakeHid, Plug, combined, split, turns, until
from gymnasium.spaces import Box
from test_act import FillingUplink

from actor import act as act_module
from actor.config import HAND, ActorConfig, HandConfig
from actor.human.live import LiveChannel
from actor.human.make import whoever
from actor.human.spacemouse import SpaceMouse
from actor.policy import PolicySlot
from actor.watchdog import Unwatched
from envs.config import EnvConfig
from envs.gym_env import GymEnv, UnusableEnvError
from envs.make import make_env
from wire.errors import UserError
from wire.types import Source, Step

ARM = ("x", "y", "z", "rx", "ry", "rz", "gripper")
ID = "handrail-test/TwoArms-v0"
LENGTH = 12


class TwoArms(gymnasium.Env):
    """Two points that go where they are told, 5 cm a step at most."""

    metadata = {"render_modes": [], "render_fps": 50}
    action_names = tuple(f"{side}_{name}" for side in ("left", "right") for name in ARM)
    action_frame = "base"

    def __init__(self) -> None:
        self.observation_space, self.action_space = Box(-9, 9, (6,)), Box(-0.05, 0.05, (14,))
        self.at, self.t = np.zeros(6, np.float32), 0

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.at, self.t = np.zeros(6, np.float32), 0
        return self.at, {}

    def step(self, action):
        self.at = self.at + action[[0, 1, 2, 7, 8, 9]]
        self.t += 1
        return self.at, 0.0, False, self.t == LENGTH, {}


@pytest.fixture
def env() -> Iterator[GymEnv]:
    gymnasium.register(ID, entry_point=TwoArms)
    try:
        made = make_env(EnvConfig(env="gym", id=ID))
        yield made
        made.close()
    finally:
        del gymnasium.registry[ID]


@pytest.fixture
def plugs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Plug]:
    found = {"L7": Plug(tmp_path / "a", COMPACT, "L7"), "R8": Plug(tmp_path / "b", WIRELESS, "R8")}
    monkeypatch.setitem(sys.modules, "hid", FakeHid(*found.values()))
    return found


class OneEpisode(FillingUplink):
    """Ends the run after one episode; between its steps somebody does something with the devices."""

    def __init__(self, between: Callable[[int], None]) -> None:
        super().__init__(room_steps=10_000, nearly=LENGTH)
        self.between = between
        self.looks = 12

    def append(self, step: Step) -> None:
        super().append(step)
        self.between(len(self.steps))


def config(**hand: str) -> ActorConfig:
    chosen = HandConfig(**({"kind": "spacemice", "left": "L7", "right": "R8", "view_deg": 0.0} | hand))  # type: ignore
    return ActorConfig(env=EnvConfig(env="gym", id=ID), human="spacemice", hand=chosen, pace="clock")


def test_either_hand_has_both_arms_and_one_that_is_pulled_out_gives_both_back(
    env: GymEnv, plugs: dict[str, Plug], caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
):
    # Longer than a busy machine may keep a thread waiting.
    monkeypatch.setitem(LiveChannel.__init__.__kwdefaults__, "silent_s", 1.0)
    left, right = plugs["L7"], plugs["R8"]

    def read_out() -> None:
        """Both drivers have taken in everything."""
        counts = {plug: plug.reads for plug in (left, right) if plug.there}
        until(lambda: all(not plug.reports and plug.reads > reads + 1 for plug, reads in counts.items()))

    def between(done: int) -> None:
        if done < 3:
            left.say(split(), turns())
            right.say(combined(*[0] * 6))
        elif done < 6:
            left.say(split(350))
        elif done < 9:
            left.say(split())
            right.say(combined(0, 350, 0, 0, 0, 0))
        elif right.there:
            right.pull()
        read_out()

    uplink = OneEpisode(between)
    policy = PolicySlot(env.wire_spec)
    policy.load(toy_weights(env.wire_spec))
    act_module._run(config(), env, policy, uplink, Unwatched())  # type: ignore[arg-type]
    steps = uplink.steps
    assert [step.t for step in steps] == list(range(LENGTH))
    assert [step.source for step in steps] == [Source.POLICY] * 3 + [Source.HUMAN] * 6 + [Source.POLICY] * 3
    still = [0.0] * 6
    for step in steps[3:6]:
        np.testing.assert_allclose(step.action[[*range(6), *range(7, 13)]], [1, *still[1:], *still], atol=1e-6)
    for step in steps[6:9]:
        np.testing.assert_allclose(step.action[[*range(6), *range(7, 13)]], [*still, 0, 1, *still[2:]], atol=1e-6)
    # Whatever the person did not press stays as the policy left it.
    assert {float(step.action[13]) for step in steps[3:6]} == {float(steps[2].action[13])}
    assert all(step.policy_action is not None for step in steps)
    assert (
        "the pair of SpaceMice has lost its right one: the SpaceMouse Wireless (cabled) was unplugged (read error); "
        "plug it in again; the policy has control"
    ) in caplog.text


def test_what_cannot_be_is_one_sentence_and_no_device_stays_open(env: GymEnv, plugs: dict[str, Plug], tmp_path: Path):
    with pytest.raises(UserError, match="there is no SpaceMouse R9"), whoever(config(right="R9"), env):
        pass
    SpaceMouse("R8", hid=FakeHid(plugs["R8"])).close()
    taken = SpaceMouse("R8", hid=FakeHid(plugs["R8"]))
    with pytest.raises(UserError, match=r"R8, path .* drives another robot already"), whoever(config(), env):
        pass
    taken.close()
    SpaceMouse("L7", hid=FakeHid(plugs["L7"])).close()
    one = ActorConfig(env=EnvConfig(env="gym", id=ID), human="spacemouse", hand=HAND["spacemouse"], pace="clock")
    with pytest.raises(UserError, match="drives robots whose action has x, y, z"), whoever(one, env):
        pass
    with pytest.raises(ValueError, match=r"needs time to pass as it does for people: set actor.pace=clock"):
        ActorConfig(env=EnvConfig(env="gym", id=ID), human="spacemice", hand=config().hand)


def test_an_environment_may_name_its_actions_but_only_all_of_them(env: GymEnv, monkeypatch: pytest.MonkeyPatch):
    assert env.wire_spec.action_names == TwoArms.action_names
    assert env.wire_spec.action_frame == "base"
    assert [hold is None for hold in env.limits.hold] == [name.endswith("gripper") for name in TwoArms.action_names]
    monkeypatch.setattr(TwoArms, "action_names", ("left_x",))
    with pytest.raises(UnusableEnvError, match="wanted 14 different names, or none"):
        GymEnv(ID)
