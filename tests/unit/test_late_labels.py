"""Rewards that come after their steps: what nobody has judged is not learned from, and what is judged later is."""

from pathlib import Path

import msgspec
import numpy as np
import pytest
from rewarding import episode, spec

from learner.late_labels import LateLabels
from learner.learned_rewards import unrewarded
from learner.replay import Replay
from wire.labels import REWARD, Label, append_labels
from wire.store import Row
from wire.types import UNSCORED, Source, Step

STREAM = "a" * 32


def filled(steps: list[Step], capacity: int = 100) -> Replay:
    replay = Replay(spec("classifier-1"), capacity)
    for seq, step in enumerate(steps, start=1):
        replay.add(STREAM, step, seq)
    return replay


def unscored(number: int = 0, **changes: object) -> list[Step]:
    return episode(np.random.default_rng(number), number, success=False, reward_by=UNSCORED, **changes)


def batches(replay: Replay) -> set[int]:
    """Rows that online batches draw from."""
    rng = np.random.default_rng(0)
    return set(replay.online.sample(rng, 500).tolist()) if len(replay.online) else set()


def test_a_step_without_a_score_is_kept_and_not_drawn_until_a_label_comes(tmp_path: Path):
    archive = tmp_path / "steps.sqlite"
    replay = filled(unscored())
    late = LateLabels(archive, replay, by_model=True)
    assert (len(replay), len(replay.online), replay.unscored) == (6, 0, 6)
    append_labels(archive, [Label(STREAM, 3, 0.0, version="m"), Label(STREAM, 6, 1.0, version="m")])
    late.poll(0.0)
    assert (len(replay.online), replay.unscored, late.applied) == (2, 4, 2)
    drawn = replay.gather(np.array(sorted(batches(replay))))
    reward, mask = drawn["reward"], drawn["mask"]
    assert isinstance(reward, np.ndarray)
    assert isinstance(mask, np.ndarray)
    assert sorted(reward.tolist()) == [0.0, 1.0]
    assert mask[reward.argmax()] == 0.0  # A success is the end: nothing follows.
    assert mask[reward.argmin()] == 1.0


def test_a_label_may_come_before_its_step_has_been_taken_in(tmp_path: Path):
    archive, steps = tmp_path / "steps.sqlite", unscored()
    replay = filled(steps[:2])
    late = LateLabels(archive, replay, by_model=True)
    append_labels(archive, [Label(STREAM, 4, 1.0, version="m")])
    late.poll(0.0)
    assert late.applied == 0
    for seq, step in enumerate(steps[2:], start=3):
        replay.add(STREAM, step, seq)
    late.poll(10.0)
    assert late.applied == 1
    assert len(replay.online) == 1


def test_the_file_is_looked_at_about_once_a_second(tmp_path: Path):
    archive = tmp_path / "steps.sqlite"
    replay = filled(unscored())
    late = LateLabels(archive, replay, by_model=True)
    late.poll(0.0)
    append_labels(archive, [Label(STREAM, 3, 0.0, version="m")])
    late.poll(0.5)
    assert late.applied == 0
    late.poll(1.1)
    assert late.applied == 1


def test_a_success_that_is_taken_back_is_worth_nothing_and_value_follows_it():
    replay = filled(episode(np.random.default_rng(0), 0, success=True, reward_by="m-1"))
    last = max(batches(replay), key=lambda row: replay.gather(np.array([row]))["reward"][0])
    assert replay.relabel(STREAM, 6, success=False)
    drawn = replay.gather(np.array([last]))
    assert drawn["reward"][0] == 0.0
    assert drawn["mask"][0] == 1.0


def test_a_failure_that_a_person_saw_stays_an_end():
    steps = episode(np.random.default_rng(0), 0, success=False)
    steps[-1] = msgspec.structs.replace(steps[-1], terminated=True, truncated=False)
    replay = filled(steps)
    replay.relabel(STREAM, 6, success=False)
    mask = replay.gather(np.arange(100))["mask"]
    assert isinstance(mask, np.ndarray)
    assert sorted(mask[list(batches(replay))].tolist()) == [0.0, 1.0, 1.0, 1.0, 1.0, 1.0]


def test_a_model_does_not_overrule_a_person(tmp_path: Path):
    archive = tmp_path / "steps.sqlite"
    replay = filled(unscored())
    late = LateLabels(archive, replay, by_model=True)
    append_labels(archive, [Label(STREAM, 3, 0.0, source="person")])
    late.poll(0.0)
    append_labels(archive, [Label(STREAM, 3, 1.0, version="m")])
    late.poll(2.0)
    drawn = replay.gather(np.array(sorted(batches(replay))))
    assert drawn["reward"].tolist() == [0.0]


def drawn_from(replay: Replay) -> list[tuple[float, float]]:
    """Reward and mask of every transition, in the order of their steps."""
    rows = replay.rows_before(STREAM, len(replay), len(replay))
    assert rows is not None
    drawn = replay.gather(rows)
    return list(zip(drawn["reward"].tolist(), drawn["mask"].tolist(), strict=True))


def ended_at_the_robot(*, success: bool) -> list[Step]:
    """An episode under a classifier whose last step a person judged by a button."""
    steps = episode(np.random.default_rng(0), 0, success=True, reward_by="m")
    steps[-1] = msgspec.structs.replace(steps[-1], reward=float(success), success=success, reward_by="")
    return steps


@pytest.mark.parametrize("pressed", [True, False])
@pytest.mark.parametrize("source", ["model", "outcome"])
def test_a_label_that_is_no_persons_leaves_what_a_button_at_the_robot_said(tmp_path: Path, source: str, pressed: bool):
    archive = tmp_path / "steps.sqlite"
    replay = filled(ended_at_the_robot(success=pressed))
    before = drawn_from(replay)
    assert before[-1] == (float(pressed), 0.0)
    append_labels(archive, [Label(STREAM, 6, float(not pressed), source=source, version="m")])
    LateLabels(archive, replay, by_model=True).poll(0.0)
    assert drawn_from(replay) == before


def test_a_persons_later_label_overrules_the_button(tmp_path: Path):
    archive = tmp_path / "steps.sqlite"
    replay = filled(ended_at_the_robot(success=True))
    append_labels(archive, [Label(STREAM, 6, 0.0, source="person")])
    LateLabels(archive, replay, by_model=True).poll(0.0)
    assert drawn_from(replay)[-1] == (0.0, 1.0)


def test_a_models_own_claim_may_be_taken_back_by_a_later_model(tmp_path: Path):
    archive = tmp_path / "steps.sqlite"
    replay = filled(episode(np.random.default_rng(0), 0, success=True, reward_by="m"))
    append_labels(archive, [Label(STREAM, 6, 0.0, version="m-2")])
    LateLabels(archive, replay, by_model=True).poll(0.0)
    assert drawn_from(replay)[-1] == (0.0, 1.0)


def test_the_outcome_of_demonstrations_that_a_task_rewarded_is_the_models_to_overrule(tmp_path: Path):
    archive = tmp_path / "steps.sqlite"
    replay = filled(episode(np.random.default_rng(0), 0, success=True))
    append_labels(archive, [Label(STREAM, 6, 0.0, version="m")])
    LateLabels(archive, replay, by_model=True, reward="sparse-1").poll(0.0)
    assert drawn_from(replay)[-1] == (0.0, 1.0)


def test_where_the_task_gives_the_reward_only_people_are_heard(tmp_path: Path):
    archive = tmp_path / "steps.sqlite"
    replay = filled(episode(np.random.default_rng(0), 0, success=False))
    late = LateLabels(archive, replay, by_model=False)
    append_labels(archive, [Label(STREAM, 2, 1.0, version="m"), Label(STREAM, 3, 1.0, source="person")])
    late.poll(0.0)
    assert late.applied == 1
    drawn = replay.gather(np.array(sorted(batches(replay))))
    assert sorted(np.asarray(drawn["reward"]).tolist()) == [0.0] * 5 + [1.0]


def test_with_a_model_of_rewards_its_version_alone_is_heard(tmp_path: Path):
    archive = tmp_path / "steps.sqlite"
    rows = [Row(n, STREAM, n, step) for n, step in enumerate(episode(np.random.default_rng(0), 0, success=True), 1)]
    replay = filled([unrewarded(row).step for row in rows])
    assert (len(replay.online), replay.unscored) == (0, 6), "what the task said of them is not known here"
    late = LateLabels(archive, replay, by_model=False, version="v2")
    told = [Label(STREAM, seq, -0.1 * seq, version="v2", kind=REWARD) for seq in range(1, 7)]
    others = [told[0]._replace(version="v1"), Label(STREAM, 2, 1.0, source="person"), Label(STREAM, 3, 1.0)]
    append_labels(archive, [*others, *told[1:]])
    late.poll(0.0)
    assert (len(replay.online), replay.unscored) == (5, 1)
    drawn = replay.gather(np.array(sorted(batches(replay))))
    np.testing.assert_allclose(sorted(drawn["reward"]), [-0.6, -0.5, -0.4, -0.3, -0.2], rtol=1e-6)
    assert drawn["mask"].all(), "a reward that knows no success ends nothing"
    append_labels(archive, [told[1]._replace(value=-0.9)])
    late.poll(10.0)
    assert replay.gather(np.array(sorted(batches(replay))))["reward"].min() == np.float32(-0.9), "the newest counts"


def test_an_intervention_without_a_score_reaches_both_sources_once_it_has_one():
    replay = filled(unscored(source=Source.HUMAN))
    assert len(replay.prior) == 0
    replay.relabel(STREAM, 2, success=False)
    replay.relabel(STREAM, 2, success=True)
    assert (len(replay.online), len(replay.prior)) == (1, 1)


def test_what_waits_for_ever_makes_room_for_what_is_known():
    replay = Replay(spec("classifier-1"), 12)
    seq = 0
    for number in range(8):
        steps = unscored(number) if number < 4 else episode(np.random.default_rng(number), number, success=False)
        for step in steps:
            seq += 1
            replay.add(STREAM, step, seq)
    assert len(replay) == 12
    assert replay.unscored <= 6
    assert len(replay.online) + replay.unscored == 12
    assert not replay.relabel(STREAM, 1, success=True)  # Forgotten long ago.


def test_a_discarded_episode_leaves_nothing_waiting():
    steps = unscored()
    steps[-1] = msgspec.structs.replace(steps[-1], discarded=True)
    replay = filled(steps)
    assert (len(replay), replay.unscored) == (0, 0)
