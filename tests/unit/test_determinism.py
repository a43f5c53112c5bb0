"""The same archive and seed give the same parameters, also through a checkpoint half-way."""

import json
import sqlite3
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from learning import digest
from test_replay import SPEC, step

from learner.config import LearnerConfig, RlpdConfig
from learner.console import LearnerConsole
from learner.inbox import Inbox
from learner.run import open_run
from learner.train import Trainer
from wire.store import Row, StepStore
from wire.types import Source

pytestmark = pytest.mark.usefixtures("compiled_once")

STREAM = "ab" * 16
STEPS = 130


def fill(path: Path) -> None:
    with StepStore.open(path, SPEC) as store:
        for number in range(STEPS):
            episode, t = divmod(number, 10)
            source = Source.HUMAN if t % 3 == 0 else Source.POLICY
            final = number + 0.5 if t == 9 else None
            store.insert(STREAM, number + 1, step(episode, t, number / 10, source=source, final=final))
        store.commit()


def learn(run: Path, steps: int, seed: int = 0, **changes: Any) -> tuple[str, dict[str, int]]:
    """Train on the archive until so many of its steps have had their update; digest of the state, and counters."""
    agent = RlpdConfig(utd=2, actor_period=2, batch_size=16, critics=3, subset=2, hidden=[16])
    settings: dict[str, Any] = {"agent": agent, "resume": True, "min_online": 20, "tensorboard": False}
    config = LearnerConfig(run=str(run), seed=seed, steps=steps, **settings | changes)
    opened = open_run(config)
    inbox = Inbox("tcp://127.0.0.1:*", opened.archive, None, run="r")
    inbox.start()
    try:
        with LearnerConsole() as console, StepStore.read(opened.archive) as archived:
            trainer = Trainer(config, opened, SPEC, inbox, console)
            trainer.recall(None, archived)
            trainer.train()
            found = digest(trainer._state)
            trainer.save()
            trainer.close()
    finally:
        inbox.close(0.0)
    return found, {"blocks": trainer.limiter.done, "steps": trainer.progress.env_steps, "version": trainer.version}


@pytest.fixture
def runs(tmp_path: Path) -> list[Path]:
    found = [tmp_path / name for name in "abc"]
    for path in found:
        fill(path / "steps.sqlite")
    return found


def test_a_hundred_updates_from_one_archive_and_seed_give_one_digest_also_when_resumed(runs: list[Path]):
    whole, counted = learn(runs[0], 100)
    assert (counted["blocks"], counted["steps"]) == (100, STEPS)
    again, _ = learn(runs[1], 100)
    assert whole == again
    half, counted = learn(runs[2], 50)
    assert half != whole
    assert counted["blocks"] == 50
    resumed, counted = learn(runs[2], 100)
    assert counted["blocks"] == 100
    assert resumed == whole
    print(f"\nT2: 100 blocks of updates from one archive and seed, twice and once resumed at 50: digest {whole[:16]}")


def test_what_a_tie_to_the_human_has_learned_is_resumed_too(runs: list[Path]):
    whole, _ = learn(runs[0], 40, interventions="lagrange")
    learn(runs[1], 20, interventions="lagrange")
    assert learn(runs[1], 40, interventions="lagrange")[0] == whole


def test_takeovers_cost_what_they_should_from_the_archive_on(runs: list[Path]):
    digests = {
        learn(run, 20, interventions="takeover", agent=RlpdConfig(hidden=[16], batch_size=16, takeover_cost=cost))[0]
        for run, cost in zip(runs, (0.0, 0.1, 0.1), strict=True)
    }
    assert len(digests) == 2


def test_another_seed_gives_other_parameters(runs: list[Path]):
    assert learn(runs[0], 10, seed=0)[0] != learn(runs[1], 10, seed=1)[0]


def lines(run: Path, key: str) -> int:
    return sum(key in line for line in (run / "metrics.jsonl").read_text().splitlines())


def test_a_resumed_run_does_not_write_its_old_episodes_again(runs: list[Path]):
    learn(runs[0], 10)
    learn(runs[0], 20)
    assert lines(runs[0], "episode/") == 0


def test_a_head_start_is_whole_before_the_first_policy_is_sent_and_a_run_makes_one_once(tmp_path: Path):
    fill(demos := tmp_path / "demos.sqlite")
    agent = RlpdConfig(hidden=[8], batch_size=8, utd=2)
    config = LearnerConfig(
        run=str(tmp_path / "run"), agent=agent, demos=str(demos), head_start=7, resume=True, tensorboard=False
    )
    run = open_run(config)
    inbox = Inbox("tcp://127.0.0.1:*", run.archive, SPEC, run="r")
    inbox.start()
    try:
        with LearnerConsole() as console, StepStore.read(demos) as shown:
            stopped = Trainer(config, run, SPEC, inbox, console)
            stopped.recall(shown, None)
            polls = iter(range(100))
            stopped.train(interrupted=lambda: next(polls) == 3)
            stopped.save()
            stopped.close()
            first = Trainer(config, run, SPEC, inbox, console)
            first.recall(shown, None)
            untrained, sent = digest(first._state), first.version
            first.train(interrupted=lambda: first.version > 0)
            assert (sent, first.version, first.limiter.done) == (0, 1, 0)
            assert digest(stopped._state) != untrained
            assert digest(first._state) not in (untrained, digest(stopped._state))
            first.save()
            first.close()
            second = Trainer(config, run, SPEC, inbox, console)
            second.recall(shown, None)
            assert second.version > 0, "it has nothing to wait for"
            assert digest(second._state) == digest(first._state)
            second.close()
    finally:
        inbox.close(0.0)


def begun(path: Path, **changes: Any) -> str:
    """Begin a run and stop it before its first step; digest of what it had and left in its checkpoint."""
    settings = {"agent": RlpdConfig(hidden=[8], critics=2), "tensorboard": False} | changes
    config = LearnerConfig(run=str(path), **settings)
    run = open_run(config)
    inbox = Inbox("tcp://127.0.0.1:*", run.archive, SPEC, run="r")
    inbox.start()
    try:
        with LearnerConsole() as console:
            trainer = Trainer(config, run, SPEC, inbox, console)
            trainer.recall(None, None)
            found = digest(trainer._state)
            trainer.save()
            trainer.close()
    finally:
        inbox.close(0.0)
    return found


def test_a_run_begun_anew_has_nothing_of_the_start_that_was_stopped_before_its_first_step(tmp_path: Path):
    stopped = begun(tmp_path / "run", seed=0)
    anew = begun(tmp_path / "run", seed=1)
    assert anew == begun(tmp_path / "other", seed=1) != stopped
    assert begun(tmp_path / "run", seed=2, resume=True) == anew, "what is resumed is the newest start"
    begun(tmp_path / "run", agent=RlpdConfig(hidden=[12]))


def test_a_run_begun_anew_with_another_ones_networks_keeps_those(runs: list[Path]):
    learn(runs[0], 10, agent=(agent := RlpdConfig(hidden=[8], critics=2, batch_size=8)))
    wanted = begun(runs[0].parent / "wanted", agent=agent, init=str(runs[0]))
    stopped = begun(run := runs[0].parent / "run", agent=agent)
    assert begun(run, agent=agent, init=str(runs[0])) == wanted != stopped


def test_steps_that_arrive_while_a_run_is_resumed_are_counted_once(tmp_path: Path):
    fill(tmp_path / "steps.sqlite")
    config = LearnerConfig(run=str(tmp_path), agent=RlpdConfig(hidden=[8]), resume=True, tensorboard=False)
    run = open_run(config)
    inbox = Inbox("tcp://127.0.0.1:*", run.archive, None, run="r")
    inbox.start()
    inbox.close(0.0)
    inbox.resumed_row = 100  # As if the last thirty had come after the inbox opened the archive.
    with LearnerConsole() as console, StepStore.read(run.archive) as archived:
        trainer = Trainer(config, run, SPEC, inbox, console)
        trainer.recall(None, archived)
        trainer.close()
    assert trainer.progress.env_steps == trainer.limiter.arrived == 100


def test_damaged_steps_are_left_out_and_nobody_waits_for_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    fill(tmp_path / "steps.sqlite")
    db = sqlite3.connect(tmp_path / "steps.sqlite")
    with db:
        db.execute("UPDATE steps SET body = zeroblob(length(body)) WHERE id BETWEEN 55 AND 84")
    db.close()
    backlogs: list[int] = []

    class Watched(Inbox):
        def set_trained(self, n: int) -> None:
            backlogs.append(STEPS - n)

    config = LearnerConfig(
        run=str(tmp_path), agent=RlpdConfig(hidden=[8], batch_size=8), resume=True, tensorboard=False, steps=100
    )
    run = open_run(config)
    inbox = Watched("tcp://127.0.0.1:*", run.archive, None, run="r")
    inbox.start()
    try:
        with LearnerConsole() as console, StepStore.read(run.archive) as archived:
            trainer = Trainer(config, run, SPEC, inbox, console)
            trainer.recall(None, archived)
            trainer.train()
            trainer.close()
    finally:
        inbox.close(0.0)
    assert trainer.progress.env_steps == 100
    assert trainer.replay.orphans == 1
    assert backlogs[-1] == 0
    assert "warning: 30 steps in" in capsys.readouterr().out


def facts(run: Path) -> dict[str, Any]:
    return json.loads((run / "summary.json").read_text())


def test_the_summary_counts_the_whole_archive_and_all_processes(runs: list[Path]):
    learn(runs[0], 10)
    first = facts(runs[0])
    learn(runs[0], 20)
    second = facts(runs[0])
    assert first["env_steps"] == second["env_steps"] == first["link"]["archived"] == second["link"]["archived"] == STEPS
    assert (first["gradient_steps"], second["gradient_steps"]) == (20, 40)
    assert second["wall_s"] >= first["wall_s"] > 0
    assert second["success"] is None
    assert second["human"] is None


def test_without_demonstrations_the_normaliser_is_of_the_first_steps_though_a_person_helped_at_once(tmp_path: Path):
    (tmp_path / "run").mkdir()
    fill(tmp_path / "source.sqlite")
    with StepStore.read(tmp_path / "source.sqlite") as store:
        arriving = list(store.rows())

    class OneByOne(Inbox):
        def drain(self, max_n: int) -> list[Row]:
            return [arriving.pop(0)] if arriving else []

    agent = RlpdConfig(hidden=[8], critics=2, batch_size=8)
    config = LearnerConfig(run=str(tmp_path / "run"), agent=agent, min_online=20, steps=25, tensorboard=False)
    run = open_run(config)
    inbox = OneByOne("tcp://127.0.0.1:*", run.archive, SPEC, run="r")
    inbox.start()
    inbox.close(0.0)
    with LearnerConsole() as console:
        trainer = Trainer(config, run, SPEC, inbox, console)
        trainer.recall(None, None)
        trainer.train()
        trainer.close()
    assert trainer.limiter.waived == 19, "the twentieth step ends an episode, so its transition is whole at once"
    # Every step shows a tenth of its number, and the first is a person's; two episodes end, at 9.5 and 19.5.
    seen = [*(number / 10 for number in range(20)), 9.5, 19.5]
    assert float(trainer._state.normaliser["mean"][0]) == pytest.approx(np.mean(seen))


def test_a_held_robot_is_seen_in_the_metrics_and_in_the_summary(tmp_path: Path):
    fill(tmp_path / "steps.sqlite")
    arriving = [
        Row(STEPS + t, STREAM, STEPS + t, step(13, t, 0.0, held=t > 1, final=1.0 if t == 3 else None)) for t in range(4)
    ]

    class Arriving(Inbox):
        def drain(self, max_n: int) -> list[Row]:
            rows, arriving[:] = arriving[:max_n], arriving[max_n:]
            return rows

    config = LearnerConfig(run=str(tmp_path), agent=RlpdConfig(hidden=[8]), resume=True, tensorboard=False)
    run = open_run(config)
    inbox = Arriving("tcp://127.0.0.1:*", run.archive, None, run="r")
    inbox.start()
    inbox.close(0.0)
    with LearnerConsole() as console, StepStore.read(run.archive) as archived:
        trainer = Trainer(config, run, SPEC, inbox, console)
        trainer.recall(None, archived)
        trainer.close()
    [line] = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert line["guard/holds"] == facts(tmp_path)["held_steps"] == 2
