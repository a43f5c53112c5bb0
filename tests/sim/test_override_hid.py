"""A SpaceMouse's raw reports, at 100 Hz, through the real driver to the robot: how fast, how smoothly, how safely."""

import itertools
import math
import random
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from counts import count
from devices import FakeHid, Plug, buttons, split
from test_override import Beats, Hog, Quick

from actor.attention import Attention, BackgroundPolicy
from actor.config import HandConfig
from actor.human.hand import Hand
from actor.human.live import LiveChannel
from actor.human.mapping import Mapping
from actor.human.spacemouse import SpaceMouse
from actor.loop import run_episode
from actor.pacing import CellPace
from envs.config import EnvConfig
from envs.guard import Guard
from envs.make import make_env
from wire.types import Source, Step

pytestmark = [pytest.mark.sim, pytest.mark.process]

PROMISE_S, RELEASE_S = 0.050, 0.100
RATE_HZ = 100.0
HELD_S, FREE_S = 0.15, 0.25
MINE = np.array([0.0, 0.5, 0.0, 1.0], np.float32)
PUSH = split(left=-round(350 * (0.5 * 0.9 + 0.1)))
"""To the person's right is the robot's left, y, when they face each other."""


class Finger:
    """Pushes its mouse at random moments and reports at 100 Hz meanwhile, three times zero at last, as the real do."""

    def __init__(self, plug: Plug) -> None:
        self.plug = plug
        self.touched_s: list[float] = []
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._push)

    def __enter__(self) -> "Finger":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _push(self) -> None:
        rng = random.Random(1)
        self.plug.say(split())
        while not self._over.wait(FREE_S + rng.uniform(0.0, 0.2)):
            began_s = time.monotonic()
            self.touched_s.append(began_s)
            while time.monotonic() - began_s < HELD_S:
                self.plug.say(PUSH)
                self._over.wait(1 / RATE_HZ)
            self.plug.say(split(), split(), split())


@pytest.fixture
def plug(tmp_path: Path) -> Plug:
    return Plug(tmp_path / "hidraw0")


class Rig:
    """The simulated cell in real time, driven by a policy and a SpaceMouse."""

    def __init__(self, plug: Plug, policy: Quick) -> None:
        self.env = make_env(EnvConfig(task="reach", realtime=True))
        self.mouse = SpaceMouse(hid=FakeHid(plug), rest=0.1)
        config = HandConfig()
        mapping = Mapping(config, self.env.wire_spec, self.env.tool_rotation)
        self.human = Attention(LiveChannel(Hand(self.mouse, mapping, config)), Beats())
        self.env.pause = self.human.pause
        self.mind = BackgroundPolicy(policy, self.human)

    def run(self, note: Callable[[Step], None], stopped: Callable[[], bool]) -> None:
        for episode in itertools.count():
            run_episode(
                self.env,
                self.mind,
                self.human,
                Guard(self.env.limits),
                CellPace(),
                note,
                episode=episode,
                seed=episode,
                stopped=stopped,
            )
            if stopped():
                return

    def close(self) -> None:
        self.mind.close()
        self.mouse.close()
        self.env.close()


@pytest.fixture
def rig(plug: Plug, request: pytest.FixtureRequest) -> Iterator[Rig]:
    made = Rig(plug, request.param)
    yield made
    made.close()


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("rig", [Hog()], ids=["policy that hogs the interpreter"], indirect=True)
def test_a_raw_report_is_executed_within_50_ms_under_full_load(rig: Rig, plug: Plug):
    wanted, latencies_s, steps = count(ci=15, nightly=200), list[float](), list[Step]()

    def note(step: Step) -> None:
        before = steps[-1].source if steps and steps[-1].episode == step.episode else None
        steps.append(step)
        if step.source is Source.HUMAN and before is Source.POLICY and not step.held:
            np.testing.assert_allclose(step.action, MINE, atol=3e-3)
            latencies_s.append(rig.env.cell._newest.commanded_ns / 1e9 - finger.touched_s[-1])

    with Finger(plug) as finger:
        rig.run(note, lambda: len(latencies_s) >= wanted)
    ordered_ms = sorted(1000 * seconds for seconds in latencies_s)
    p99_ms = ordered_ms[math.ceil(0.99 * wanted) - 1]
    both = sum(step.policy_action is not None for step in steps if step.source is Source.HUMAN)
    print(
        f"raw HID at {RATE_HZ:.0f} Hz: {wanted} touches, executed after p50 {ordered_ms[wanted // 2]:.0f} "
        f"p99 {p99_ms:.0f} p100 {ordered_ms[-1]:.0f} ms; both actions recorded in {both} human steps"
    )
    assert ordered_ms[0] > 0.0
    # The worst of 15 may be the scheduler's, beside other tests; the worst but one may not.
    assert (p99_ms if count(0, 1) else ordered_ms[-2]) <= 1000 * PROMISE_S


@pytest.mark.parametrize("rig", [Quick()], ids=["quick policy"], indirect=True)
@pytest.mark.parametrize("how", ["unplugged", "out of range"])
def test_a_device_that_dies_in_mid_push_moves_the_robot_no_longer_than_100_ms(
    rig: Rig, plug: Plug, how: str, caplog: pytest.LogCaptureFixture
):
    steps: list[Step] = []
    died_s: list[float] = []
    released_s: list[float] = []
    dying = threading.Event()

    def push() -> None:
        while not dying.is_set():
            plug.say(PUSH)
            time.sleep(1 / RATE_HZ)
        # In the middle of a period, when the loop is waiting for its end.
        plug.say(PUSH)
        died_s.append(time.monotonic())
        if how == "unplugged":
            plug.pull()

    plug.say(split())
    finger = threading.Thread(target=push)

    def note(step: Step) -> None:
        steps.append(step)
        if len(steps) == 3:
            finger.start()
        if sum(step.source is Source.HUMAN for step in steps) == 3:
            threading.Timer(0.03, dying.set).start()
        if died_s and step.source is Source.POLICY:
            released_s.append(rig.env.cell._newest.commanded_ns / 1e9)

    hold = rig.env.cell.hold

    def noted_hold() -> None:
        if died_s:
            released_s.append(time.monotonic())
        hold()

    rig.env.cell.hold = noted_hold
    rig.run(note, lambda: len(steps) >= 14)
    finger.join()
    took_s = min(released_s) - died_s[0]
    last = max(number for number, step in enumerate(steps) if step.source is Source.HUMAN)
    print(f"{how}: the robot was held {1000 * took_s:.0f} ms after the last report")
    # 100 ms after the last report it counts as silent, and the loop looks every 5 ms, when the machine lets it.
    assert took_s <= RELEASE_S + (0.0 if how == "unplugged" else PROMISE_S)
    assert steps[last].held
    assert all(step.source is Source.POLICY and not step.held for step in steps[last + 1 :])
    assert len(steps[last + 1 :]) >= 3
    assert [step.t for step in steps] == list(range(len(steps)))
    why = "was unplugged (read error)" if how == "unplugged" else "fell silent"
    assert f"the SpaceMouse Compact {why}" in caplog.text


@pytest.mark.parametrize("rig", [Quick()], ids=["quick policy"], indirect=True)
def test_the_policy_takes_over_smoothly_from_the_target_as_the_person_leaves_it(rig: Rig, plug: Plug):
    steps: list[Step] = []
    targets: list[np.ndarray] = []

    def note(step: Step) -> None:
        steps.append(step)
        targets.append(rig.env.target_position().copy())

    with Finger(plug):
        rig.run(note, lambda: len(steps) >= 40)
    handed_back = [
        number
        for number in range(1, len(steps))
        if steps[number - 1].source is Source.HUMAN and steps[number].source is Source.POLICY and steps[number].t
    ]
    assert handed_back
    limits = rig.env.limits
    most = limits.max_acceleration_m_s2 / limits.rate_hz**2 + limits.max_speed_m_s / limits.rate_hz
    for number in handed_back:
        moved = np.linalg.norm(targets[number] - targets[number - 1])
        # From where the person left the target, and no further than one period's motion.
        assert moved <= limits.max_speed_m_s / limits.rate_hz + 1e-6
        changed = 0.025 * np.linalg.norm(steps[number].action[:3] - steps[number - 1].action[:3])
        assert changed <= most


@pytest.mark.parametrize("rig", [Quick()], ids=["quick policy"], indirect=True)
def test_buttons_on_the_mouse_shut_the_gripper_and_end_the_episode_with_a_reward(rig: Rig, plug: Plug):
    steps: list[Step] = []

    def note(step: Step) -> None:
        steps.append(step)
        if len(steps) == 2:
            plug.say(buttons(0), buttons())
        if len(steps) == 10:
            plug.say(buttons(1), buttons())

    rig.run(note, lambda: any(step.ended for step in steps))
    gripped = [step for step in steps if step.source is Source.HUMAN]
    assert len(gripped) >= 3
    assert all(step.action[3] == -1.0 and not step.action[:3].any() for step in gripped)
    last = steps[-1]
    assert (last.reward, last.terminated, last.truncated, last.success) == (1.0, True, False, True)
