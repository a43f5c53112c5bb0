"""A person's hand wins, whatever the policy does with the processor; and clocks on the wall decide nothing."""

import itertools
import math
import random
import subprocess
import sys
import time

import numpy as np
import pytest
from counts import count

from actor.attention import Attention, BackgroundPolicy
from actor.human import Event, Override
from actor.human.live import LiveChannel, Report
from actor.loop import run_episode
from actor.pacing import CellPace
from actor.watchdog import watched
from envs.config import EnvConfig
from envs.guard import Guard
from envs.make import make_env
from wire.types import Action, Source, Step

pytestmark = [pytest.mark.sim, pytest.mark.process]

PROMISE_S = 0.050
HELD_S, FREE_S = 0.15, 0.25
MINE = np.array([0.0, 0.5, 0.0, 1.0], np.float32)


class Hand:
    """Touches its device at random moments, again and again; the clock alone says when."""

    name = "hand"
    trouble = ""

    def __init__(self, seed: int) -> None:
        rng, at_s = random.Random(seed), time.monotonic() + 0.5
        self.touches_s: list[float] = []
        for _ in range(10_000):
            self.touches_s.append(at_s)
            at_s += HELD_S + FREE_S + rng.uniform(0.0, 0.2)

    def begin_episode(self, episode: int) -> None:
        pass

    def events(self) -> list[Event]:
        return []

    def executed(self, action: Action, *, ours: bool) -> None:
        pass

    def last_touch_s(self) -> float:
        now_s = time.monotonic()
        return max((at_s for at_s in self.touches_s[:1] if at_s <= now_s), default=-1.0)

    def latest(self) -> Report:
        now_s = time.monotonic()
        while len(self.touches_s) > 1 and self.touches_s[1] <= now_s:
            self.touches_s.pop(0)
        mine = 0.0 <= now_s - self.touches_s[0] < HELD_S
        return Report(now_s, Override(MINE, Source.HUMAN) if mine else None)


class Quick:
    def reset(self) -> None:
        pass

    def act(self, observation):
        return np.array([0.0, -0.5, 0.0, 1.0], np.float32), 1


class Hog(Quick):
    """Computes for 0.15 s and never lets go of the interpreter's lock of its own will."""

    def reset(self) -> None:
        pass

    def act(self, observation):
        until_s = time.monotonic() + 0.15
        while time.monotonic() < until_s:
            sum(range(1000))
        return super().act(observation)


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("policy", [Quick(), Hog()], ids=["quick policy", "policy that hogs the interpreter"])
def test_a_touch_is_executed_within_50_ms_at_any_policy_load(policy: Quick, request: pytest.FixtureRequest):
    env = make_env(EnvConfig(task="reach", realtime=True))
    wanted, latencies_s, both, steps = count(ci=15, nightly=200), list[float](), 0, list[Step]()
    hand = Hand(seed=1)
    human = Attention(LiveChannel(hand), heart := Beats())
    env.pause = human.pause
    mind = BackgroundPolicy(policy, human)

    def note(step: Step) -> None:
        nonlocal both
        before = steps[-1].source if steps and steps[-1].episode == step.episode else None
        steps.append(step)
        if step.source is Source.HUMAN and before is Source.POLICY and not step.held:
            np.testing.assert_array_equal(step.action, MINE)
            latencies_s.append(env.cell._newest.commanded_ns / 1e9 - hand.last_touch_s())
            both += step.policy_action is not None

    try:
        for episode in itertools.count():
            run_episode(
                env,
                mind,
                human,
                Guard(env.limits),
                CellPace(),
                note,
                episode=episode,
                seed=episode,
                stopped=lambda: len(latencies_s) >= wanted,
                heart=heart,
            )
            if len(latencies_s) >= wanted:
                break
    finally:
        mind.close()
        env.close()
    ordered_ms = sorted(1000 * seconds for seconds in latencies_s)
    p99_ms = ordered_ms[math.ceil(0.99 * wanted) - 1]
    print(
        f"R6: {request.node.callspec.id}: {wanted} touches, executed after p50 {ordered_ms[wanted // 2]:.0f} "
        f"p99 {p99_ms:.0f} p100 {ordered_ms[-1]:.0f} ms; both actions recorded in {both}"
    )
    assert ordered_ms[0] > 0.0
    # The worst of 15 may be the scheduler's, beside other tests; the worst but one may not.
    assert (p99_ms if count(0, 1) else ordered_ms[-2]) <= 1000 * PROMISE_S


class Beats:
    """A heart that only counts."""

    def begin(self, within_s: float) -> None:
        pass

    def beat(self) -> None:
        pass

    def rest(self) -> None:
        pass

    def tripped(self) -> bool:
        return False


def test_a_wall_clock_that_leaps_by_hours_holds_nothing_and_reorders_nothing(monkeypatch: pytest.MonkeyPatch):
    leaps, real = itertools.cycle((3600.0, -3600.0, 0.0)), time.time  # noqa: TID251
    env = make_env(EnvConfig(task="reach", realtime=True))
    steps: list[Step] = []
    try:
        with watched(env.stopper) as heart:
            human = Attention(LiveChannel(Hand(seed=2)), heart)
            env.pause = human.pause
            # Whatever reads the wall clock in this process, in Python, is told another hour each time.
            monkeypatch.setattr(time, "time", lambda: real() + next(leaps))
            monkeypatch.setattr(time, "time_ns", lambda: int(1e9 * (real() + next(leaps))))
            mind = BackgroundPolicy(Quick(), human)
            run_episode(
                env,
                mind,
                human,
                Guard(env.limits),
                CellPace(),
                steps.append,
                episode=0,
                seed=3,
                stopped=lambda: len(steps) >= 15,
                heart=heart,
            )
            mind.close()
            assert (heart.tripped(), env.halted()) == (False, "")
    finally:
        env.close()
    stamps_s = [step.stamps["monotonic"] for step in steps]
    refused = [step for step in steps if step.held and step.source is Source.HUMAN]
    print(f"R7: {len(steps)} periods, wall clock +-1 h at every reading: {len(refused)} holds, 0 reordered")
    assert [step.t for step in steps] == list(range(len(steps)))
    assert stamps_s == sorted(stamps_s)
    assert np.ptp(np.diff(stamps_s)) < 1.0
    assert not refused


def test_what_watches_and_what_waits_reads_no_wall_clock():
    code = (
        "import os, threading, time, actor.watchdog as w, envs.ticker as t\n"
        "def wall(*_): raise AssertionError('the wall clock was read')\n"
        "time.time = time.time_ns = time.localtime = time.gmtime = wall\n"
        "words = memoryview(bytearray(40)).cast('q')\n"
        "heart = w.Watched(words)\n"
        "class S:\n"
        "    def hold(self, reason): pass\n"
        "    def reachable(self): return True\n"
        "w.log.disabled = True\n"
        "watcher = threading.Thread(target=w.watch, args=(words, S(), os.getppid()))\n"
        "watcher.start()\n"
        "while not words[w._ECHO]: time.sleep(0.001)\n"
        "heart.begin(60); heart.beat()\n"
        "while not heart.tripped(): time.sleep(0.001)\n"
        "ticker = t.Ticker(100.0); ticker.begin(); ticker.wait()\n"
        "words[w._OVER] = 1; watcher.join()\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)
