"""A policy served in one process drives, or is judged, in another; its death is survived, its steps are kept."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from acting import random_weights
from front_door import Command, read, until
from proposing import leave
from rooms import cell

from envs.config import EnvConfig
from envs.make import make_env
from wire.store import StepStore, StoreError
from wire.types import Step

pytestmark = [pytest.mark.process, pytest.mark.timeout(300)]

REACH = ("task=reach", "obs=state")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of reach with a policy and critics, neither of them trained."""
    folder = tmp_path_factory.mktemp("run")
    env = make_env(EnvConfig(task="reach", obs="state"))
    env.close()
    StepStore.open(folder / "steps.sqlite", env.wire_spec, {}).close()
    (folder / "policy.weights").write_bytes(random_weights(env.wire_spec))
    leave(folder, env.wire_spec, version=5)
    return folder


@pytest.fixture
def server(tmp_path: Path, run: Path) -> Iterator[Command]:
    with Started(tmp_path, "policy", "serve", f"run={run}", "bind=tcp://127.0.0.1:*", "noise=0.5") as command:
        until(lambda: " proposes at " in command.said, command)
        yield command


class Started:
    """A command that does not outlive its block."""

    def __init__(self, folder: Path, *words: str) -> None:
        self.command = Command(folder, *words)

    def __enter__(self) -> Command:
        return self.command

    def __exit__(self, *_: object) -> None:
        if self.command.process.poll() is None:
            self.command.kill_rooms()


def address(server: Command) -> str:
    return server.said.strip().rpartition(" ")[2]


def driven_by(server: Command, run: Path) -> tuple[str, ...]:
    return (*REACH, "policy=external", f"policy_address={address(server)}", f"steer={run}", "external.candidates=4")


def steps_of(archive: Path) -> list[Step]:
    try:
        with StepStore.read(archive) as store:
            return [row.step for row in store.rows()]
    except StoreError:
        return []  # Not there yet, or its first transaction is still under way.


def test_a_served_policy_is_judged_and_where_it_dies_the_evaluation_ends_in_words(
    server: Command, run: Path, tmp_path: Path
):
    words = ("eval", *driven_by(server, run), "external.deadline_s=1")
    judged = Command(tmp_path, *words, "episodes=2", "json=said.json")
    assert judged.ends() == 0, judged.said
    facts = read(tmp_path / "said.json")
    assert facts["episodes"] == 2
    assert facts["policy"].endswith("-1")
    assert facts["steer"] == str(run)
    with Started(tmp_path, *words, "episodes=100000", "external.patience_s=0.5") as judging:
        until(lambda: "driven by" in judging.said, judging)
        server.process.terminate()
        server.ends()
        assert judging.ends() == 2, judging.said
        assert "Traceback" not in judging.said


def test_an_actor_drives_by_it_and_sends_what_it_did_to_the_learner(server: Command, run: Path, tmp_path: Path):
    env = make_env(EnvConfig(task="reach", obs="state"))
    env.close()
    with cell(tmp_path, env.wire_spec) as learner:
        learner.start("learner")
        words = ("actor", *driven_by(server, run), f"learner={learner.address}", "human=none")
        with Started(tmp_path, *words) as actor:
            until(lambda: len(steps_of(learner.archive)) > 10, actor)
            (room,) = server.rooms()
            os.kill(room, signal.SIGKILL)
            until(lambda: "waiting for the policy at" in actor.said, actor)
            actor.interrupt()
            actor.ends()
    steps = steps_of(learner.archive)
    driven = [step for step in steps if not step.held]
    assert all(step.policy_action is not None and step.weights_version == 5 for step in driven)
    assert "episode 0" in actor.said


def test_a_policy_for_something_else_is_refused_before_anything_moves(server: Command, tmp_path: Path):
    words = ("eval", "task=pick_cube", "obs=state", "policy=external", f"policy_address={address(server)}")
    refused = Command(tmp_path, *words, "episodes=1")
    assert refused.ends() == 2
    assert "does not fit: it looks at" in refused.said
    assert "Traceback" not in refused.said
