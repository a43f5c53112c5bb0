"""What happens while the loop waits in real time."""

import subprocess
import sys
import threading
import time

import numpy as np
import pytest

from actor.attention import Attention, BackgroundPolicy
from actor.human import Event, Override
from actor.human.live import LiveChannel, Report
from envs.ticker import Ticker
from wire.types import Action, Source

DRIVE = Override(np.array([1.0, 0.0], np.float32), Source.HUMAN)


class Heart:
    def __init__(self) -> None:
        self.beats = 0

    def begin(self, within_s: float) -> None:
        pass

    def beat(self) -> None:
        self.beats += 1

    def rest(self) -> None:
        pass

    def tripped(self) -> bool:
        return False


class Mouse:
    """A device that reports when told."""

    name = "mouse"
    trouble = ""

    def __init__(self) -> None:
        self.report: Report | None = None

    def begin_episode(self, episode: int) -> None:
        pass

    def latest(self) -> Report | None:
        return self.report

    def events(self) -> list[Event]:
        return []

    def executed(self, action: Action, *, ours: bool) -> None:
        pass


class Clock:
    def __init__(self) -> None:
        self.now_s = 50.0

    def __call__(self) -> float:
        return self.now_s


def made() -> tuple[Mouse, Attention, Heart]:
    mouse, heart = Mouse(), Heart()
    return mouse, Attention(LiveChannel(mouse, silent_s=1e9), heart), heart


def test_a_long_wait_beats_all_along():
    _, attention, heart = made()
    began_s = time.monotonic()
    assert attention.pause(0.2)
    assert time.monotonic() - began_s >= 0.2
    assert heart.beats >= 3


def test_a_hand_cuts_the_wait_short_once_and_then_has_whole_periods():
    mouse, attention, _ = made()
    mouse.report = Report(time.monotonic(), DRIVE)
    assert not attention.pause(60.0)
    assert attention.poll() is DRIVE
    assert attention.pause(0.01)
    mouse.report = Report(time.monotonic())
    assert attention.poll() is None
    assert attention.pause(0.01)
    mouse.report = Report(time.monotonic(), DRIVE)
    assert not attention.pause(60.0)


def test_a_period_that_is_cut_short_is_followed_by_a_whole_one():
    ticker = Ticker(20.0)
    ticker.begin()
    ticker.wait(lambda seconds: False)
    began_s = time.monotonic()
    ticker.wait()
    assert time.monotonic() - began_s >= 0.045
    assert ticker.overruns == 0


class Slow:
    """A policy that answers when told."""

    def __init__(self) -> None:
        self.go, self.asked = threading.Event(), 0

    def reset(self) -> None:
        pass

    def act(self, observation):
        self.asked += 1
        self.go.wait(60)
        return observation["state"], 7


def test_a_person_waits_only_a_moment_for_a_slow_policy_whose_late_answer_is_never_used():
    mouse, attention, heart = made()
    slow = Slow()
    policy = BackgroundPolicy(slow, attention)
    mouse.report = Report(time.monotonic(), DRIVE)
    for number in range(3):
        assert policy.act({"state": np.array([number])}) == (None, 0)
        assert attention.poll() is DRIVE
    assert slow.asked == 1
    assert heart.beats > 0
    mouse.report = Report(time.monotonic())
    assert attention.poll() is None
    slow.go.set()
    wanted, version = policy.act({"state": np.array([9])})
    assert (wanted.tolist(), version) == ([9], 7)
    assert slow.asked == 2
    mouse.report = Report(time.monotonic(), DRIVE)
    wanted, version = policy.act({"state": np.array([10])})
    assert (wanted.tolist(), version) == ([10], 7)
    policy.close()


def test_a_policy_hears_between_two_answers_that_its_plans_are_void_and_never_while_it_thinks():
    class Plans:
        def __init__(self) -> None:
            self.said: list[str] = []
            self.go, self.thinking = threading.Event(), threading.Event()

        def reset(self) -> None:
            self.said.append("reset")

        def act(self, observation):
            self.said.append(f"begins {observation['state']}")
            self.thinking.set()
            self.go.wait(60)
            self.said.append("ends")
            return np.zeros(2, np.float32), 7

    mouse, attention, _ = made()
    plans = Plans()
    policy = BackgroundPolicy(plans, attention)
    mouse.report = Report(time.monotonic(), DRIVE)
    assert policy.act({"state": 0}) == (None, 0)
    assert plans.thinking.wait(60)
    policy.reset()
    assert plans.said == ["begins 0"]
    plans.go.set()
    mouse.report = Report(time.monotonic())
    for number in (1, 2):
        assert policy.act({"state": number})[0] is not None
    assert plans.said == ["begins 0", "ends", "reset", "begins 1", "ends", "begins 2", "ends"]
    policy.close()


def test_an_error_of_the_policy_reaches_the_loop():
    class Broken:
        def reset(self) -> None:
            pass

        def act(self, observation):
            raise RuntimeError("no weights yet")

    _, attention, _ = made()
    policy = BackgroundPolicy(Broken(), attention)
    for _ in range(2):
        with pytest.raises(RuntimeError, match="no weights yet"):
            policy.act({})
    policy.close()


def test_closing_gives_the_interpreter_its_own_ways_back():
    before_s = sys.getswitchinterval()
    policy = BackgroundPolicy(Slow(), made()[1])
    assert sys.getswitchinterval() < before_s
    policy.close()
    assert sys.getswitchinterval() == before_s


HUNG = """
import threading
from actor.attention import BackgroundPolicy

class Hung:
    def reset(self) -> None:
        pass

    def act(self, observation):
        begun.set()
        threading.Event().wait()

class Impatient:
    def wait_for(self, question):
        return False

begun = threading.Event()
policy = BackgroundPolicy(Hung(), Impatient())
print(policy.act({}), flush=True)
begun.wait()
policy.close()
print("closed", flush=True)
"""


@pytest.mark.process
def test_a_policy_that_never_answers_does_not_hold_the_process_up():
    done = subprocess.run([sys.executable, "-c", HUNG], capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (0, "(None, 0)\nclosed\n", "")


def test_a_dead_device_does_not_repeat_its_last_command_and_says_so(caplog):
    mouse, clock = Mouse(), Clock()
    channel = LiveChannel(mouse, clock=clock)
    assert (channel.poll(), channel.silent) == (None, True)
    mouse.report = Report(clock.now_s, DRIVE)
    assert channel.poll() is DRIVE
    clock.now_s += 0.0999
    assert channel.poll() is DRIVE
    assert channel.touched()
    caplog.clear()
    clock.now_s += 0.0002
    assert channel.poll() is None
    assert not channel.touched()
    assert channel.silent
    assert [record.message for record in caplog.records] == [
        "the mouse fell silent: age_s=0.10; the policy has control, check its cable"
    ]
    mouse.report = Report(clock.now_s)
    assert channel.poll() is None
    assert not channel.silent
    assert caplog.records[-1].message == "the mouse is back"


def test_a_device_that_dies_while_it_drives_ends_the_period_at_once_and_the_robot_does_not_go_on():
    mouse, attention, _ = made()
    now_s = time.monotonic()
    channel = LiveChannel(mouse)
    attention = Attention(channel, Heart())
    mouse.report = Report(now_s, DRIVE)
    assert attention.poll() is DRIVE
    began_s = time.monotonic()
    assert not attention.pause(60.0)
    assert time.monotonic() - began_s < 30.0
    assert attention.lost()
    assert attention.poll() is None
    assert attention.pause(0.01)
