"""A thousand strangers at the learner's port cost the robot little, and nothing once they are gone."""

import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median

import pytest
from counts import count
from experience import make_spec, make_step

from actor.uplink import Uplink
from learner.inbox import Inbox
from wire.allowed import ALLOWED, AllowList, learner_keys
from wire.keys import actor_keys, make_pair

PEERS = 1000
KEPT = 0.8
"""The bar: this share of the throughput is kept."""
HANDSHAKE_S = 5.0
SPEC = make_spec(size=64)
STEPS = [make_step(SPEC, number) for number in range(100)]
WINDOW_S = 1.0
ROUNDS = count(ci=5, nightly=50)


@pytest.fixture(autouse=True)
def _descriptors() -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 8192), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


class Flooder:
    """The program that floods, told what to do."""

    def __init__(self, port: int) -> None:
        program = [sys.executable, str(Path(__file__).with_name("flooder.py")), str(port), str(PEERS)]
        self.process = subprocess.Popen(program, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def tell(self, word: str) -> int:
        """Give the word; how many are connected then."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(word + "\n")
        self.process.stdin.flush()
        return int(self.process.stdout.readline())


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[tuple[Inbox, Uplink, Flooder]]:
    learner, robot = make_pair(tmp_path / "keys", "learner"), make_pair(tmp_path / "keys", "robot-1")
    assert learner != robot
    AllowList(tmp_path / "keys" / ALLOWED).add("robot-1", robot.public)
    inbox = Inbox("tcp://127.0.0.1:*", tmp_path / "steps.sqlite", SPEC, run="x", keys=learner_keys(tmp_path / "keys"))
    inbox.start()
    uplink = Uplink(inbox.address, tmp_path / "outbox.sqlite", SPEC, keys=actor_keys(tmp_path / "keys"))
    uplink.start()
    flooder = Flooder(int(inbox.address.rpartition(":")[2]))
    yield inbox, uplink, flooder
    flooder.process.kill()
    flooder.process.communicate()
    uplink.close(1)
    inbox.close(0)


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def throughput(uplink: Uplink, numbers: Iterator[int]) -> float:
    """Steps per second that reach the learner's disk, as many as both sides can do."""
    first, start_s = uplink.status.acked_seq, time.monotonic()
    while time.monotonic() - start_s < WINDOW_S:
        if uplink.status.unacked < 64:
            uplink.append(STEPS[next(numbers) % len(STEPS)])
        else:
            time.sleep(0.001)
    return (uplink.status.acked_seq - first) / (time.monotonic() - start_s)


def settled(wanted: int, within_s: float) -> float:
    """Wait until no more than so many descriptors are open; the seconds that it took."""
    start_s = time.monotonic()
    while descriptors() > wanted:
        assert time.monotonic() - start_s < within_s, f"{descriptors()} descriptors are open, {wanted} were before"
        time.sleep(0.05)
    return time.monotonic() - start_s


def test_a_thousand_strangers_leave_the_robot_its_throughput_and_give_the_descriptors_back(
    lab: tuple[Inbox, Uplink, Flooder],
):
    inbox, uplink, flooder = lab
    numbers = iter(range(10**9))
    throughput(uplink, numbers)
    before, most = descriptors(), 0
    quiet, flooded = [], []
    for _ in range(ROUNDS):
        quiet.append(throughput(uplink, numbers))
        flooder.tell("flood")
        flooded.append(throughput(uplink, numbers))
        most = max(most, descriptors())
        flooder.tell("leave")
        settled(before, 2 * HANDSHAKE_S)
    connected = flooder.tell("flood")
    flooder.tell("hold")
    back_s = settled(before, 2 * HANDSHAKE_S)
    kept = median(flooded) / median(quiet)
    print(
        f"S5: {PEERS} raw peers, {ROUNDS} rounds: {kept:.0%} of {median(quiet):.0f} steps/s kept "
        f"(quiet {min(quiet):.0f}..{max(quiet):.0f}, flooded {min(flooded):.0f}..{max(flooded):.0f}); "
        f"{most - before} descriptors more, back {back_s:.1f} s after {connected} peers fell silent"
    )
    assert uplink.flush(20)
    assert inbox.status.archived == uplink.status.acked_seq == uplink.status.appended
    assert inbox.status.damaged == 0
    assert most - before > PEERS // 5
    assert kept >= KEPT
