"""The service and the robot's end of it over real sockets, with a model that needs no training."""

import contextlib
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import numpy as np
import pytest
from rewarding import SIZE, Bright, episode, look, spec, write

from envs.judge import Judgement
from rewards.client import Scorer, ServiceJudge
from rewards.episodes import episodes_of
from rewards.relabel import Backfill, labels_for, relabel
from rewards.score import ModelError, RewardModel
from rewards.service import RewardService, reward_steps
from wire.labels import REWARD, effective, labels_since
from wire.scoring import Gate, Rule, Scored, Unscored
from wire.sockets import ActorSocket
from wire.store import StepStore, StoreError
from wire.types import UNSCORED

PATIENCE_S = 30.0
RNG = np.random.default_rng(0)


@contextlib.contextmanager
def running(model: RewardModel, bind: str = "tcp://127.0.0.1:*", run: Path | None = None) -> Iterator[RewardService]:
    service = RewardService(model, bind, run=run)
    stopped = threading.Event()
    thread = threading.Thread(target=service.serve, args=(stopped.is_set,), daemon=True)
    thread.start()
    try:
        yield service
    finally:
        stopped.set()
        thread.join()
        service.close()


@contextlib.contextmanager
def asking(address: str) -> Iterator[Scorer]:
    scorer = Scorer(address)
    scorer.start()
    with contextlib.closing(scorer):
        until(lambda: scorer.status.serving is not None)
        yield scorer


def until(condition) -> None:
    deadline_s = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline_s
        time.sleep(0.005)


def test_frames_that_are_sent_come_back_as_the_models_scores():
    with running(Bright()) as service, asking(service.address) as scorer:
        for done in (True, False):
            number = scorer.ask(look(RNG, done))
            assert number is not None
            answer = scorer.answer(number, PATIENCE_S)
            assert isinstance(answer, Scored)
            assert (answer.value > 0.5) == done
            assert answer.version == "bright-1"


def test_in_simulation_a_step_waits_for_its_score_and_the_rule_decides():
    with running(Bright(Rule(0.5, 2, 3))) as service, asking(service.address) as scorer:
        judge = ServiceJudge(scorer, wait_s=PATIENCE_S, lag=0)
        said = [judge.judge(look(RNG, done)) for done in (False, True, False, True)]
        assert said == [Judgement(False, "bright-1")] * 3 + [Judgement(True, "bright-1")]
        judge.begin_episode()
        assert not judge.judge(look(RNG, True)).success
        assert judge.unscored == 0


def test_the_gate_is_the_robots_to_look_at():
    rule = Rule(0.5, 1, 1, Gate("state", 0, low=2.0))
    with running(Bright(rule)) as service, asking(service.address) as scorer:
        judge = ServiceJudge(scorer, wait_s=PATIENCE_S, lag=0)
        assert judge.judge(look(RNG, True)) == Judgement(False, "bright-1")


def test_a_model_that_comes_later_with_a_gate_that_does_not_fit_costs_labels_and_no_episode(
    caplog: pytest.LogCaptureFixture,
):
    misfit = Rule(0.5, gate=Gate("state", 2, low=0.0))
    with running(Bright(misfit)) as service, asking(service.address) as scorer:
        judge = ServiceJudge(scorer, wait_s=PATIENCE_S, lag=0)
        assert [judge.judge(look(RNG, True)) for _ in range(2)] == [Judgement(False, UNSCORED)] * 2
        assert (judge.gate, judge.unscored) == (misfit.gate, 2)
    assert caplog.text.count("state[2]") == 1


@pytest.mark.parametrize("gate", [Gate("pose", 0, low=0.0), Gate("state", 2, low=0.0), Gate("front", 0, low=0.0)])
def test_a_run_without_what_the_gate_looks_at_is_refused_by_name(tmp_path: Path, gate: Gate):
    path, model = unscored_run(tmp_path), Bright(Rule(0.5, gate=gate))
    named = rf"steps\.sqlite: the gate of the bright model bright-1 looks at {gate.name}\[{gate.element}\]"
    with pytest.raises(ModelError, match=named):
        relabel(model, str(path))
    with (
        contextlib.closing(RewardService(model, "tcp://127.0.0.1:*", run=tmp_path)) as service,
        pytest.raises(ModelError, match=named),
    ):
        service.serve(lambda: False)
    assert labels_since(path)[0] == []


def test_a_robot_takes_in_what_has_come_and_never_waits():
    with running(Bright()) as service, asking(service.address) as scorer:
        judge = ServiceJudge(scorer, wait_s=0.0, lag=2)
        assert judge.judge(look(RNG, True)) == Judgement(False, "bright-1")
        # The answer to the first frame ends a later step, as soon as it is there.
        until(lambda: judge.judge(look(RNG, False)).success)


class Slow(Bright):
    """Does not answer before it may."""

    def __init__(self) -> None:
        super().__init__()
        self.may = threading.Event()

    def score(self, batch):
        self.may.wait()
        return super().score(batch)


def test_a_service_that_thinks_too_long_leaves_steps_unscored():
    model = Slow()
    with running(model) as service, asking(service.address) as scorer:
        judge = ServiceJudge(scorer, wait_s=0.0, lag=2)
        said = [judge.judge(look(RNG, True)) for _ in range(5)]
        assert said == [Judgement(False, "bright-1")] * 2 + [Judgement(False, UNSCORED)] * 3
        assert judge.unscored == 3
        model.may.set()
        until(lambda: judge.judge(look(RNG, False)).by == "bright-1")


def test_a_service_that_dies_and_comes_back_is_found_again():
    with running(Bright()) as service:
        address = service.address
    with contextlib.ExitStack() as stack:
        scorer = Scorer(address)
        with running(Bright(), address):
            scorer.start()
            stack.callback(scorer.close)
            until(lambda: scorer.status.serving is not None)
            judge = ServiceJudge(scorer, wait_s=0.2, lag=0)
        assert judge.judge(look(RNG, True)) == Judgement(False, UNSCORED)
        with running(Bright(), address):
            until(lambda: judge.judge(look(RNG, False)).by == "bright-1")


class Torn(Bright):
    def score(self, batch):
        found = super().score(batch)
        return found._replace(value=np.full_like(found.value, np.nan))


def test_a_model_that_answers_nan_is_no_score():
    with running(Torn()) as service, asking(service.address) as scorer:
        number = scorer.ask(look(RNG, True))
        assert number is not None
        assert isinstance(scorer.answer(number, PATIENCE_S), Unscored)


def test_what_is_no_message_does_not_keep_the_service_from_others():
    with running(Bright()) as service, ActorSocket(service.address) as stranger:
        for _ in range(200):
            stranger.send(RNG.bytes(50))
            stranger.wait(0.001)
        with asking(service.address) as scorer:
            number = scorer.ask(look(RNG, True))
            assert number is not None
            assert isinstance(scorer.answer(number, PATIENCE_S), Scored)


def test_a_model_without_a_rule_cannot_be_served():
    with pytest.raises(ModelError, match="relabel"):
        RewardService(Bright(rule=None), "tcp://127.0.0.1:*")


def unscored_run(folder: Path, *, late: tuple[int, ...] = (2, 3)) -> Path:
    """Three episodes; in the second one the service was away in some steps, in which the task was done."""
    rng = np.random.default_rng(0)
    episodes = [episode(rng, number, success=False, reward_by="bright-1") for number in range(3)]
    done = look(rng, True)
    for t in late:
        episodes[1][t] = msgspec.structs.replace(episodes[1][t], reward_by=UNSCORED)
    episodes[1][late[-1] + 1] = msgspec.structs.replace(episodes[1][late[-1] + 1], observation=done)
    return write(folder / "steps.sqlite", episodes, of=spec("classifier-1"))


def test_what_was_recorded_without_a_score_is_labelled_from_the_archive(tmp_path: Path):
    path = unscored_run(tmp_path)
    with running(Bright(), run=tmp_path):
        until(lambda: labels_since(path)[0])
    labels = labels_since(path)[0]
    assert [label.seq for label in labels] == list(range(7, 13))  # The whole episode, and no other.
    assert [label.value for label in labels] == [0, 0, 0, 1, 0, 0]
    assert {(label.source, label.version) for label in labels} == {("model", "bright-1")}
    assert all(label.score is not None for label in labels)


def test_where_rewards_are_shaped_every_state_is_scored_once_and_what_was_judged_live_stays_judged(tmp_path: Path):
    path = unscored_run(tmp_path)
    for _ in range(2):
        backfill = Backfill(Bright(), path, every=True)
        while backfill.work():
            pass
        backfill.close()
    labels = labels_since(path)[0]
    kinds = [(label.seq, label.kind) for label in labels]
    assert kinds[:7] == [(seq, "score") for seq in range(1, 7)] + [(1, "start")]
    assert kinds[7:14] == [(seq, "success") for seq in range(7, 13)] + [(7, "start")]
    assert len(kinds) == 21
    assert effective(labels).keys() == {(label.stream, label.seq) for label in labels if label.kind == "success"}
    assert all(label.score is not None and label.version == "bright-1" for label in labels)


def judged_by_a_person(folder: Path, *, success: bool, reward: str = "classifier-1") -> Path:
    """An episode in which the service was away once and which a person ended; a model would say otherwise of its end.

    The state before the last one looks done where the person says that it is not: the claim came a period later.
    """
    rng = np.random.default_rng(0)
    steps = episode(rng, 0, success=True, reward_by="bright-1")
    steps[1] = msgspec.structs.replace(steps[1], reward_by=UNSCORED)
    looks = look(rng, not success)
    steps[5] = msgspec.structs.replace(
        steps[5], observation=looks, final_observation=looks, reward=float(success), success=success, reward_by=""
    )
    return write(folder / "steps.sqlite", [steps], of=spec(reward))


def exhaust(backfill: Backfill) -> None:
    while backfill.work():
        pass


def backfilled(path: Path) -> None:
    with contextlib.closing(Backfill(Bright(), path)) as backfill:
        exhaust(backfill)


@pytest.mark.parametrize("label", [backfilled, lambda path: relabel(Bright(), str(path))], ids=["late", "relabel"])
@pytest.mark.parametrize("pressed", [True, False])
def test_the_state_that_a_person_ended_an_episode_in_gets_a_score_and_no_verdict(tmp_path: Path, label, pressed: bool):
    path = judged_by_a_person(tmp_path, success=pressed)
    label(path)
    found = {each.seq: each for each in labels_since(path)[0] if each.kind != "start"}
    assert [found[seq].kind for seq in range(1, 7)] == ["success"] * 5 + ["score"]
    assert (found[6].value > 0.5) != pressed
    assert [found[seq].value for seq in range(1, 6)] == [0.0] * 5, "what a person refused is not claimed a step before"


def test_what_a_person_said_at_the_robot_is_no_change_by_relabelling(tmp_path: Path):
    done = relabel(Bright(), str(judged_by_a_person(tmp_path, success=True)))
    assert (done.successes, done.changed) == (1, 0)


def test_an_outcome_by_the_task_is_the_models_to_judge_anew(tmp_path: Path):
    path = judged_by_a_person(tmp_path, success=True, reward="sparse-1")
    assert relabel(Bright(), str(path)).changed == 1
    assert {label.kind for label in labels_since(path)[0]} == {"success", "start"}


def test_a_service_that_starts_again_labels_nothing_twice(tmp_path: Path):
    path = unscored_run(tmp_path)
    for _ in range(2):
        backfill = Backfill(Bright(), path)
        while backfill.work():
            pass
        backfill.close()
    assert len(labels_since(path)[0]) == 6


def long_unscored_run(folder: Path, *, episodes: int = 3, length: int = 50) -> Path:
    """Episodes of which nothing was scored, each done in state 30 and no other."""
    rng = np.random.default_rng(0)
    found = [episode(rng, n, success=False, length=length, reward_by=UNSCORED) for n in range(episodes)]
    for steps in found:
        steps[31] = msgspec.structs.replace(steps[31], observation=look(rng, True))
    return write(folder / "steps.sqlite", found, of=spec("classifier-1"))


@pytest.mark.parametrize("every", [False, True])
def test_between_two_looks_at_the_socket_no_more_than_a_batch_of_late_states_is_scored(tmp_path: Path, every: bool):
    path, model, most = long_unscored_run(tmp_path), Bright(), 0
    with contextlib.closing(Backfill(model, path, every=every)) as backfill:
        before = 0
        while backfill.work():
            most, before = max(most, model.scored - before), model.scored
    assert 0 < most <= 16
    labels = labels_since(path)[0]
    assert [label.seq for label in labels if label.kind == "success" and label.value] == [31, 81, 131]
    assert len(labels) == model.scored == 150 + 3 * every


def test_k_of_n_is_counted_across_batches_of_late_states(tmp_path: Path):
    rng = np.random.default_rng(0)
    steps = episode(rng, 0, success=False, length=40, reward_by=UNSCORED)
    for t in range(14, 20):
        steps[t] = msgspec.structs.replace(steps[t], observation=look(rng, True))
    path = write(tmp_path / "steps.sqlite", [steps], of=spec("classifier-1"))
    with contextlib.closing(Backfill(Bright(Rule(0.5, 5, 5)), path)) as backfill:
        exhaust(backfill)
    assert [label.seq for label in labels_since(path)[0] if label.value] == [18, 19]


class Allowed(Bright):
    """Scores several moments at once only when it may, and once for each time."""

    def __init__(self) -> None:
        super().__init__()
        self.may, self.waits = threading.Semaphore(0), threading.Event()

    def score(self, batch):
        if len(batch["front"]) > 1:
            self.waits.set()
            self.may.acquire()
        return super().score(batch)


def test_a_robot_is_answered_while_episodes_wait_to_be_labelled_late(tmp_path: Path):
    model = Allowed()
    with running(model, run=tmp_path) as service, asking(service.address) as scorer:
        path = long_unscored_run(tmp_path, episodes=12)
        try:
            assert model.waits.wait(PATIENCE_S)
            number, answer = scorer.ask(look(RNG, True)), None
            assert number is not None
            for _ in range(5):  # The question may take a batch or two to come.
                model.may.release()
                answer = answer or scorer.answer(number, 0.2)
            assert isinstance(answer, Scored)
            assert not labels_since(path)[0][2 * 50 :]
        finally:
            model.may.release(1000)
        until(lambda: len(labels_since(path)[0]) == 12 * 50)


def test_labels_that_cannot_be_written_are_written_later_and_nothing_is_scored_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    path, model = unscored_run(tmp_path), Bright()

    def refuse(archive: Path, labels: object) -> None:
        raise StoreError("the disk is full")

    with contextlib.closing(Backfill(model, path)) as backfill:
        with monkeypatch.context() as patched:
            patched.setattr("rewards.relabel.append_labels", refuse)
            with pytest.raises(StoreError, match="full"):
                exhaust(backfill)
        exhaust(backfill)
    assert len(labels_since(path)[0]) == model.scored == 6


def test_an_archive_that_is_not_there_yet_is_waited_for(tmp_path: Path):
    backfill = Backfill(Bright(), tmp_path / "steps.sqlite")
    assert not backfill.work()
    unscored_run(tmp_path)
    while backfill.work():
        pass
    backfill.close()
    assert backfill.labelled == 6


def test_relabelling_says_what_changed_and_a_newer_version_counts(tmp_path: Path):
    rng = np.random.default_rng(0)
    path = write(tmp_path / "steps.sqlite", [episode(rng, n, success=n == 0) for n in range(3)])
    done = relabel(Bright(), str(tmp_path))
    assert (done.steps, done.successes, done.episodes, done.changed) == (18, 1, 3, 0)
    never = Bright(Rule(1 - 1e-9))
    never.version = "bright-2"
    assert relabel(never, str(path)).changed == 1
    labels = labels_since(path)[0]
    assert [label.seq for label in labels if label.kind == "start"] == 2 * [1, 7, 13]
    counts = effective(labels)
    assert len(counts) == 18
    assert {label.version for label in counts.values()} == {"bright-2"}
    assert not any(label.value for label in counts.values())


def test_a_run_of_other_cameras_is_refused_by_name(tmp_path: Path):
    path = write(tmp_path / "steps.sqlite", [episode(np.random.default_rng(0), 0, success=True)])
    with pytest.raises(ModelError, match="side"):
        relabel(Bright(inputs={"side": (SIZE, SIZE, 3)}), str(path))


def test_a_model_without_a_rule_gives_rewards_and_says_nothing_of_success(tmp_path: Path):
    path = write(tmp_path / "steps.sqlite", [episode(np.random.default_rng(0), 0, success=True)])
    with StepStore.read(path) as store:
        (only,) = episodes_of(store)
    labels = labels_for(Bright(rule=None), only)
    assert {label.kind for label in labels} == {REWARD}
    assert 0.9 < labels[-1].value < 1.0
    assert relabel(Bright(rule=None), str(path)).rewards == pytest.approx(sum(label.value for label in labels))
    assert effective(labels_since(path)[0]) == {}


def test_every_step_of_a_run_gets_the_reward_of_the_newest_model_once(tmp_path: Path):
    rng = np.random.default_rng(0)
    path = write(tmp_path / "steps.sqlite", [episode(rng, n, success=n == 0) for n in range(2)])
    models = [Bright(rule=None), Bright(rule=None), Bright(rule=None)]
    models[2].version = "bright-2"
    for model, known in zip(models, (12, 12, 24), strict=True):
        stopped = threading.Event()
        thread = threading.Thread(target=reward_steps, args=(model, tmp_path, stopped), daemon=True)
        thread.start()
        until(lambda known=known: len(labels_since(path)[0]) == known)
        stopped.set()
        thread.join()
    labels = labels_since(path)[0]
    assert {label.kind for label in labels} == {REWARD}
    assert [label.version for label in labels] == ["bright-1"] * 12 + ["bright-2"] * 12
    assert [label.seq for label in labels[12:]] == list(range(1, 13))
