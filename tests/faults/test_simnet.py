"""Delivery under deterministic simulation: whatever network, disks and processes do, nothing lost, nothing twice."""

import random
from collections.abc import Callable

import pytest
import simnet
from counts import count
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test
from simnet import SimNet

from wire import link

pytestmark = pytest.mark.timeout(7200)


@pytest.fixture(autouse=True)
def small_credit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(link, "CREDIT_RECORDS", simnet.CREDIT_RECORDS)
    monkeypatch.setattr(link, "CREDIT_BYTES", simnet.CREDIT_BYTES)


@pytest.fixture(autouse=True)
def quiet(caplog: pytest.LogCaptureFixture) -> None:
    """A history logs what it does to the link: a million histories would log nothing else."""
    caplog.set_level("CRITICAL")


WORK = ("append", "turn_actor", "turn_learner", "deliver_up", "deliver_down", "commit", "tick")
FAULTS = ("drop", "corrupt", "repeat", "reorder", "cut", "unplug", "plug", "crash_actor", "power_cut", "crash_learner")
FAULTS += ("restore_archive", "fail_commit", "break_disk", "damaged", "skip", "finish")
SECONDS = (0.05, 0.05, 0.1, 0.3, 1.5, 6.0)


def events(net: SimNet, rng: random.Random) -> dict[str, Callable[[], object]]:
    """Everything that may happen, each event choosing what it concerns."""

    def which() -> int:
        return rng.getrandbits(8)

    def flip() -> bool:
        return rng.random() < 0.5

    def reorder() -> None:
        (net.deliver_up if flip() else net.deliver_down)(which(), which())

    return {
        "append": lambda: net.append(which(), rng.randint(1, 3)),
        "turn_actor": lambda: net.turn_actor(which()),
        "turn_learner": net.turn_learner,
        "deliver_up": lambda: net.deliver_up(which()),
        "deliver_down": lambda: net.deliver_down(which()),
        "commit": net.commit,
        "tick": lambda: net.tick(rng.choice(SECONDS)),
        "sync": lambda: net.sync(which()),
        "forget": lambda: net.forget(which()),
        "publish": net.publish,
        "copy_archive": net.copy_archive,
        "drop": lambda: net.drop(which(), which(), flip()),
        "corrupt": lambda: net.corrupt(which(), which(), flip(), rng.getrandbits(16)),
        "repeat": lambda: net.repeat(which(), which(), flip()),
        "reorder": reorder,
        "cut": lambda: net.cut(which(), rng.randint(0, 3)),
        "unplug": lambda: net.unplug(which(), rng.randint(0, 3)),
        "plug": lambda: net.plug(which()),
        "crash_actor": lambda: net.crash_actor(which(), rng.randint(0, 3)),
        "power_cut": lambda: net.power_cut(which()),
        "crash_learner": lambda: net.crash_learner(rng.randint(0, 3)),
        "restore_archive": net.restore_archive,
        "fail_commit": net.fail_commit,
        "break_disk": lambda: net.break_disk(flip()),
        "damaged": lambda: net.append(which(), damaged=True),
        "skip": lambda: net.append(which(), skip=rng.randint(1, 99)),
        "finish": net.finish,
    }


def history(seed: int, length: int = 80) -> SimNet:
    """Play one history: the seed decides what can happen in it, and what does."""
    rng = random.Random(seed)
    net = SimNet(actors=rng.randint(1, 3))
    # Each history has its own few kinds of fault: where all happen at once, none gets far.
    weights = dict.fromkeys(WORK, 6) | dict.fromkeys(("sync", "forget", "publish", "copy_archive"), 1)
    weights |= dict.fromkeys(rng.sample(FAULTS, rng.randint(0, 5)), rng.choice((1, 3)))
    possible = events(net, rng)
    for name in rng.choices(list(weights), list(weights.values()), k=length):
        possible[name]()
    return net


def test_histories_lose_nothing_double_nothing_keep_the_order_and_come_to_rest():
    n = count(ci=10_000, nightly=1_000_000)
    accepted = archived = rejected = taken = 0
    slowest_s = 0.0
    for seed in range(n):
        try:
            net = history(seed)
            slowest_s = max(slowest_s, net.calm())
        except BaseException as error:
            error.add_note(f"history({seed}) shows it again")
            raise
        accepted += sum(len(actor.accepted) for actor in net.actors)
        archived += sum(len(seqs) for seqs in net.archive.ever.values())
        rejected += sum(len(seqs) for seqs in net.archive.rejected.values())
        taken += sum(len(actor.lost - net.archive.done(actor.outbox.stream)) for actor in net.actors)
    assert archived > n
    print(
        f"\nD5: {n} simulated histories, {accepted} steps accepted, {archived} archived, {rejected} damaged at their "
        f"source and named, {taken} taken by power cuts before a sync, 0 lost, 0 duplicated, order kept; a quiet "
        f"network drained in at most {slowest_s:.1f} simulated seconds"
    )


class Histories(RuleBasedStateMachine):
    """The same events in the hands of Hypothesis, which shrinks a history that fails to its shortest."""

    @initialize(actors=st.integers(1, 3))
    def begin(self, actors: int) -> None:
        self.net = SimNet(actors)

    def teardown(self) -> None:
        if hasattr(self, "net"):
            self.net.calm()


WHICH = st.integers(0, 2)
INDEX = st.integers(0, 7)
KEPT = st.integers(0, 3)
ARGUMENTS: dict[str, dict[str, st.SearchStrategy]] = {
    "append": {
        "which": WHICH,
        "count": st.integers(1, 5),
        "skip": st.sampled_from([0, 0, 1, 99]),
        "damaged": st.booleans(),
    },
    "turn_actor": {"which": WHICH},
    "turn_learner": {},
    "deliver_up": {"which": WHICH, "index": INDEX},
    "deliver_down": {"which": WHICH, "index": INDEX},
    "commit": {},
    "tick": {"seconds": st.sampled_from(SECONDS)},
    "sync": {"which": WHICH},
    "forget": {"which": WHICH},
    "publish": {},
    "copy_archive": {},
    "drop": {"which": WHICH, "index": INDEX, "up": st.booleans()},
    "corrupt": {"which": WHICH, "index": INDEX, "up": st.booleans(), "position": st.integers(0, 999)},
    "repeat": {"which": WHICH, "index": INDEX, "up": st.booleans()},
    "cut": {"which": WHICH, "kept": KEPT},
    "unplug": {"which": WHICH, "kept": KEPT},
    "plug": {"which": WHICH},
    "crash_actor": {"which": WHICH, "kept": KEPT},
    "power_cut": {"which": WHICH},
    "crash_learner": {"kept": KEPT},
    "restore_archive": {},
    "fail_commit": {},
    "break_disk": {"broken": st.booleans()},
    "finish": {},
}


def _rule(name: str, arguments: dict[str, st.SearchStrategy]) -> Callable:
    def event(self: Histories, **values: object) -> None:
        getattr(self.net, name)(**values)

    event.__name__ = name
    return rule(**arguments)(event)


for _name, _arguments in ARGUMENTS.items():
    setattr(Histories, _name, _rule(_name, _arguments))


def test_hypothesis_finds_no_history_that_breaks_a_promise():
    n = count(ci=100, nightly=20_000)
    run_state_machine_as_test(Histories, settings=settings(max_examples=n, stateful_step_count=60))
    print(f"\nD5: {n} histories chosen by Hypothesis, 0 broken promises")
