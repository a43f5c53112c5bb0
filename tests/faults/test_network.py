"""Delivery over real sockets through a network that misbehaves: nothing lost, nothing twice, and it always recovers."""

import random
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import pytest
from counts import count
from experience import assert_same_step, make_spec, make_step
from proxy import DOWN, UP, FaultProxy, Toxics

from actor.uplink import Uplink
from learner.inbox import Inbox
from wire.store import StepStore

SPEC = make_spec(size=16)
STEPS = [make_step(SPEC, number) for number in range(80)]
RECOVERY_S = 60.0
"""The promise is that it recovers; the machine may be busy. Undisturbed it takes seconds: see the figure printed."""
_PERIOD_S = 0.01
_ACT_EVERY = 8
_AT_ONCE = 6


class Outcome(NamedTuple):
    """What came of one scenario."""

    archived: int
    duplicates: int
    corrupted: int
    connections: int
    weights: int
    recovery_s: float


Act = Callable[[FaultProxy, random.Random], object]
_LINGER_S = {"stall": 7.0}
"""How long it goes on after the last step: a stall until both ends have given the connection up."""


def toxic(**toxics: float) -> Act:
    def act(proxy: FaultProxy, rng: random.Random) -> None:
        proxy.toxics = Toxics(**toxics)  # type: ignore[arg-type]

    return act


def stall(proxy: FaultProxy, rng: random.Random) -> None:
    if rng.random() < 0.5:
        proxy.stall()
    else:
        proxy.heal()


def greet_badly(proxy: FaultProxy, rng: random.Random) -> None:
    proxy.corrupt_next(rng.choice((UP, DOWN)), 64)
    proxy.reset()


SCENARIOS: dict[str, Act] = {
    "latency": toxic(latency_s=0.05),
    "jitter": toxic(jitter_s=0.1),
    "bandwidth": toxic(bytes_per_s=200_000),
    "slicer": toxic(slice_bytes=1),
    "stall": lambda proxy, rng: proxy.stall(),
    "stutter": stall,
    "half-close": lambda proxy, rng: proxy.half_close(rng.choice((UP, DOWN))),
    "reset": lambda proxy, rng: proxy.reset(),
    "cut": lambda proxy, rng: proxy.cut(rng.choice((0.0, 0.2, 1.0))),
    "corrupt up": lambda proxy, rng: proxy.corrupt_next(UP),
    "corrupt down": lambda proxy, rng: proxy.corrupt_next(DOWN),
    "corrupt headers up": lambda proxy, rng: proxy.corrupt_next(UP, 9),
    "corrupt headers down": lambda proxy, rng: proxy.corrupt_next(DOWN, 9),
    "corrupt greetings": greet_badly,
    "corrupt all": toxic(corrupt=0.2),
}


def mix(proxy: FaultProxy, rng: random.Random) -> None:
    """Anything at all, one thing upon another."""
    kind = rng.choice(("toxics", "heal", *SCENARIOS))
    if kind == "toxics":
        proxy.toxics = Toxics(
            latency_s=rng.choice((0.0, 0.02)),
            jitter_s=rng.choice((0.0, 0.05)),
            bytes_per_s=rng.choice((0.0, 300_000.0)),
            slice_bytes=rng.choice((0, 0, 1, 100)),
            corrupt=rng.choice((0.0, 0.0, 0.05)),
        )
    elif kind == "heal":
        proxy.heal()
    else:
        SCENARIOS[kind](proxy, rng)


def play(folder: Path, act: Act, seed: int, linger_s: float) -> Outcome:
    """Send all steps through a proxy on which `act` is called now and then, then heal it and wait for the rest."""
    rng = random.Random(seed)
    folder.mkdir()
    sets = [bytes([version]) * 20_000 for version in range(20)]
    taken: list[bytes] = []
    inbox = Inbox("tcp://127.0.0.1:*", folder / "steps.sqlite", SPEC, run="network")
    inbox.start()
    proxy = FaultProxy(inbox.address, seed)
    uplink = Uplink(
        proxy.address, folder / "outbox.sqlite", SPEC, on_weights=lambda data, version: taken.append(data) is None
    )
    uplink.start()
    pause = threading.Event()
    try:
        for number, step in enumerate(STEPS):
            uplink.append(step)
            if number % _ACT_EVERY == 0:
                act(proxy, rng)
                inbox.publish(sets[number // _ACT_EVERY], 1 + number // _ACT_EVERY)
            pause.wait(_PERIOD_S)
        pause.wait(linger_s)
        proxy.heal()
        healed_s = time.monotonic()
        last = sets[(len(STEPS) - 1) // _ACT_EVERY]
        while uplink.status.unacked or not taken or taken[-1] != last:
            waited_s = time.monotonic() - healed_s
            assert waited_s < RECOVERY_S, f"not recovered: {uplink.status}, {inbox.status}"
            pause.wait(0.01)
        recovery_s = time.monotonic() - healed_s
    finally:
        uplink.close(0)
        inbox.close(0)
        proxy.close()
    assert set(taken) <= set(sets)
    assert uplink.status.refused == inbox.status.refused == 0, "what was damaged on the way is sent again, not refused"
    with StepStore.read(folder / "steps.sqlite") as store:
        rows = list(store.rows())
        assert store.damaged == 0
    assert [row.seq for row in rows] == list(range(1, len(STEPS) + 1))
    for row in rows:
        assert_same_step(row.step, STEPS[row.seq - 1])
    return Outcome(
        len(rows), inbox.status.duplicates, proxy.corrupted, proxy.connections, len(taken), round(recovery_s, 2)
    )


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Future[Outcome]]]:
    """All scenarios, several at once: they mostly wait."""
    folder = tmp_path_factory.mktemp("network")
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        yield {
            name: pool.submit(play, folder / name, act, seed, _LINGER_S.get(name, 0.0))
            for seed, (name, act) in enumerate(SCENARIOS.items())
        }


@pytest.mark.parametrize("name", SCENARIOS)
def test_everything_arrives_once_in_order_and_as_it_was_through_a_network_with(
    name: str, outcomes: dict[str, Future[Outcome]]
):
    outcome = outcomes[name].result()
    assert outcome.archived == len(STEPS)
    assert ("corrupt" in name) == (outcome.corrupted > 0)
    if name in ("stall", "half-close", "reset", "cut", "corrupt greetings"):
        assert outcome.connections > 1, "the fault did not reach the connection"
    print(f"\nD5: {name}: {outcome}")


def test_any_mix_of_faults_loses_nothing_and_doubles_nothing(tmp_path: Path):
    n = count(ci=4, nightly=200)
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        outcomes = list(
            pool.map(lambda seed: play(tmp_path / str(seed), mix, seed, (0.0, 0.5, 2.5, 8.0)[seed % 4]), range(n))
        )
    print(
        f"\nD5: {n} mixes of network faults over real sockets, {sum(o.archived for o in outcomes)} steps, 0 lost, "
        f"0 duplicated, order kept; {sum(o.corrupted for o in outcomes)} bits flipped on the way, "
        f"{sum(o.connections for o in outcomes)} connections; slowest recovery "
        f"{max(o.recovery_s for o in outcomes):.1f} s"
    )
