"""Past runs serve where they fit, and where they do not, one line says why."""

from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
import pytest
from experience import make_spec, make_step
from learning import vector_spec

from envs.tasks.reach import TOLERANCE_M, Reach
from learner.archive.facts import CALIBRATION, calibration_name
from learner.config import CplConfig, LearnerConfig, RlpdConfig
from learner.past_runs import examine, find_archives, read_steps, relabel
from learner.pool import Pool, open_pool
from learner.run import Run
from wire.errors import UserError
from wire.specs import ArraySpec, EnvSpec
from wire.store import StepStore
from wire.types import UNSCORED, Source, Step

SPEC = make_spec()


def record(
    path: Path, spec: EnvSpec = SPEC, *, steps: int = 10, stream: str = "a", first: int = 0, **info: str
) -> Path:
    """A run's archive with whole episodes of five steps."""
    path.mkdir(parents=True, exist_ok=True)
    with StepStore.open(path / "steps.sqlite", spec, info) as store:
        for number in range(first, first + steps):
            store.insert(stream * 32, number + 1, make_step(spec, number))
        store.commit()
    return path


def opened(folder: Path, spec: EnvSpec = SPEC, **changes: object) -> tuple[Pool, list[str]]:
    said: list[str] = []
    config = LearnerConfig(run=str(folder / "mine"), **{"agent": RlpdConfig(), "archive": [str(folder)]} | changes)  # type: ignore[arg-type]
    own = Run(folder / "mine").archive
    pool, _ = open_pool(spec, config, own=own, say=said.append)
    return pool, said


def test_all_runs_below_a_folder_are_found_and_ones_own_is_not(tmp_path):
    for name in ("runs/one", "runs/deep/two", "runs/mine"):
        record(tmp_path / name)
    own = tmp_path / "runs/mine/steps.sqlite"
    found = find_archives([str(tmp_path / "runs")], own=own)
    assert [path.parent.name for path in found] == ["two", "one"]
    one = tmp_path / "runs/one/steps.sqlite"
    assert find_archives([str(one.parent), str(one)]) == [one]


@pytest.mark.parametrize(("name", "said"), [("nothing", "there is no"), ("empty", "there is no run in")])
def test_where_there_is_no_run_it_is_said(tmp_path, name: str, said: str):
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match=said):
        find_archives([str(tmp_path / name)])


def changed(**fields: object) -> Callable[[EnvSpec], EnvSpec]:
    return lambda spec: msgspec.structs.replace(spec, **fields)


ACTION = ArraySpec(shape=(7,), dtype="float32", low=-1, high=1)
SMALLER = {"front": ArraySpec(shape=(8, 8, 3), dtype="uint8"), "state": SPEC.observation["state"]}
BIGGER = {**SPEC.observation, "front": ArraySpec(shape=(16, 16, 3), dtype="uint8")}
REASONS = {
    "its task is push, this run's reach": changed(task="push"),
    "its kind of environment is ros, this run's sim": changed(env="ros"),
    "its robot is ur5e, this run's arm": changed(robot="ur5e"),
    "its action frame is end_effector, this run's base": changed(action_frame="end_effector"),
    "its control rate is 10, this run's 20": changed(rate_hz=10.0),
    "its action is (7,) float32 in -1..1, this run's (4,) float32 in -1..1": changed(
        action=ACTION, action_names=tuple("abcdefg")
    ),
    "it has no observation wrist; it has front, state": changed(observation=SMALLER),
    "its observation front is (16, 16, 3) uint8, this run's (8, 8, 3) uint8": changed(observation=BIGGER),
    "its reward is dense-2, this run's sparse-1, which cannot be computed from what it observed": changed(
        reward="dense-2"
    ),
}


@pytest.mark.parametrize("reason", REASONS)
def test_a_run_of_something_else_is_left_out_with_a_plain_reason(tmp_path, reason: str):
    theirs = REASONS[reason](SPEC)
    with StepStore.open(tmp_path / "steps.sqlite", theirs) as store:
        step = make_step(theirs, 0)
        store.insert(
            "a" * 32,
            1,
            msgspec.structs.replace(step, action=np.zeros(theirs.action.shape, np.float32), policy_action=None),
        )
        store.commit()
    assert examine(tmp_path / "steps.sqlite", SPEC).reason == reason


DESCRIBED = '{"front":{"fx":60.0}}'


def test_time_limits_and_bounds_of_returns_may_differ(tmp_path):
    path = record(tmp_path, msgspec.structs.replace(SPEC, max_episode_steps=99, return_bounds=(0.0, 9.0)))
    assert examine(path / "steps.sqlite", SPEC).reason == ""


@pytest.mark.parametrize(
    ("theirs", "ours", "reason"),
    [
        ("cell-1", "cell-1", ""),
        ("cell-1", "cell-2", "its camera calibration is cell-1, this run's cell-2"),
        ("", "cell-2", "its camera calibration is not stated, this run's cell-2"),
        (DESCRIBED, "", f"its camera calibration is {calibration_name(DESCRIBED)}, this run's not stated"),
        (DESCRIBED, calibration_name(DESCRIBED), ""),
    ],
)
@pytest.mark.parametrize("key", [CALIBRATION, "camera_calibration"], ids=["today", "as learners once wrote it"])
def test_cameras_that_were_calibrated_otherwise_saw_something_else(
    tmp_path, key: str, theirs: str, ours: str, reason: str
):
    path = record(tmp_path, **({key: theirs} if theirs else {}))
    assert examine(path / "steps.sqlite", SPEC, ours).reason == reason


def test_what_is_damaged_or_empty_or_no_archive_is_named_and_the_rest_serves(tmp_path):
    record(tmp_path / "good")
    record(tmp_path / "empty", steps=0)
    (tmp_path / "torn").mkdir()
    whole = (tmp_path / "good" / "steps.sqlite").read_bytes()
    (tmp_path / "torn" / "steps.sqlite").write_bytes(b"no database at all" * 100)
    (tmp_path / "half").mkdir()
    (tmp_path / "half" / "steps.sqlite").write_bytes(whole[: len(whole) // 3])
    pool, said = opened(tmp_path)
    assert len(pool) == 10
    text = "\n".join(said)
    for name in ("empty", "torn"):
        assert f"{tmp_path / name / 'steps.sqlite'} is left out: " in text
    assert "past runs: " in said[-1]


def test_a_run_that_is_being_written_is_read_as_far_as_it_is(tmp_path):
    record(tmp_path / "live")
    with StepStore.open(tmp_path / "live" / "steps.sqlite", SPEC) as store:
        store.insert("a" * 32, 11, make_step(SPEC, 10))
        store.commit()
        store.insert("a" * 32, 12, make_step(SPEC, 11))
        pool, _ = opened(tmp_path)
    assert len(pool) == 10, "the eleventh step has no next observation yet, the twelfth was never committed"


def test_copies_of_a_run_count_once(tmp_path):
    record(tmp_path / "one")
    record(tmp_path / "copy")
    record(tmp_path / "later", stream="a", first=10)  # The same outbox, which served another run later.
    pool, said = opened(tmp_path)
    assert len(pool) == 20
    assert any("10 of its 10 steps are those of another run" in line for line in said)


@pytest.mark.parametrize("name", ["a-chosen", "z-chosen"])
def test_of_a_filtered_run_and_the_whole_one_every_episode_counts_whichever_comes_first(tmp_path, name: str):
    record(tmp_path / name, steps=5)
    record(tmp_path / name, steps=5, first=10)
    record(tmp_path / "full", steps=15)
    pool, said = opened(tmp_path)
    assert len(pool) == 15
    assert any("10 of its" in line and "are those of another run" in line for line in said)


def test_what_we_do_not_observe_is_left_away(tmp_path):
    record(tmp_path / "more")
    fewer = msgspec.structs.replace(SPEC, observation={"state": SPEC.observation["state"]})
    pool, _ = opened(tmp_path, fewer)
    assert pool.replay.gather(pool.rows)["observation"].keys() == {"state"}


def test_the_newest_runs_have_the_room_that_there_is(tmp_path):
    import os

    for age, name in enumerate(("new", "old")):
        path = record(tmp_path / name, stream="ab"[age], steps=10) / "steps.sqlite"
        os.utime(path, (1e9 - age, 1e9 - age))
    pool, said = opened(tmp_path, capacity=15, min_online=10)
    assert len(pool) == 10
    assert any(f"{tmp_path / 'old' / 'steps.sqlite'} is left out" in s and "learner.capacity=15" in s for s in said)


def test_where_no_run_serves_the_reasons_are_the_error(tmp_path):
    record(tmp_path / "one", make_spec(task="push"))
    with pytest.raises(UserError, match=r"none of the 1 past runs .* its task is push, this run's reach"):
        opened(tmp_path)


# Rewards that are defined otherwise today.

OBJECT = ArraySpec(shape=(6,), dtype="float32")
TODAY = vector_spec(task="reach", reward=Reach.reward, observation={"object": OBJECT}, actions=4)


def seen(distance_m: float) -> dict[str, np.ndarray]:
    return {"object": np.array([0, 0, 0, distance_m, 0, 0], np.float32)}


def reached(distances_m: list[float], **last: object) -> list[Step]:
    """An episode of an older reach, without any reward, that sees these distances one after the other."""
    steps = []
    for t, distance_m in enumerate(distances_m[:-1]):
        end = t == len(distances_m) - 2
        fields: dict = {"reward": 0.0, "terminated": False, "truncated": end} | (last if end else {})
        steps.append(
            Step(
                episode=0,
                t=t,
                observation=seen(distance_m),
                action=np.zeros(4, np.float32),
                source=Source.POLICY,
                final_observation=seen(distances_m[-1]) if end else None,
                **fields,
            )
        )
    return steps


def test_an_episode_ends_where_todays_reward_says_so():
    near, far = TOLERANCE_M / 2, TOLERANCE_M * 2
    got = relabel(reached([far, far, near, far]), Reach().judge)
    assert [(step.reward, step.success, step.terminated, step.truncated) for step in got] == [
        (0.0, False, False, False),
        (1.0, True, True, False),
    ]
    np.testing.assert_array_equal(got[-1].final_observation["object"], seen(near)["object"])  # type: ignore[index]


def test_what_was_a_success_and_is_none_today_was_cut_by_time():
    far = TOLERANCE_M * 2
    (*_, last) = relabel(reached([far, far], terminated=True, truncated=False, success=True, reward=1.0), Reach().judge)
    assert (last.reward, last.success, last.terminated, last.truncated) == (0.0, False, False, True)


def test_what_never_got_a_score_counts_where_todays_reward_needs_none(tmp_path):
    older = msgspec.structs.replace(TODAY, reward="classifier")
    with StepStore.open(tmp_path / "steps.sqlite", older) as store:
        for step in reached([0.1, 0.1, 0.001]):
            store.insert("a" * 32, step.t + 1, msgspec.structs.replace(step, reward_by=UNSCORED))
        store.commit()
    pool, said = opened(tmp_path, TODAY)
    assert (len(pool), pool.replay.unscored) == (2, 0)
    assert not any("wait for a label" in line for line in said)


def record_unscored(path: Path, unscored: int, *, of: int) -> None:
    """A run of which the first steps have no reward that anybody knows."""
    with StepStore.open(path / "steps.sqlite", SPEC) as store:
        for number in range(of):
            by = UNSCORED if number < unscored else ""
            store.insert("a" * 32, number + 1, msgspec.structs.replace(make_step(SPEC, number), reward_by=by))
        store.commit()


def test_how_many_transitions_wait_for_a_label_is_said_whatever_the_reward_is(tmp_path):
    record_unscored(tmp_path, 5, of=10)
    pool, said = opened(tmp_path)
    assert len(pool) == 5
    assert "5 transitions wait for a label and are left out: relabel their runs again" in said


def test_where_all_transitions_wait_for_a_label_that_is_the_error(tmp_path):
    record_unscored(tmp_path, 5, of=5)
    with pytest.raises(UserError, match="nobody knows the rewards of their 5 transitions"):
        opened(tmp_path)


def test_preferences_need_no_rewards_and_so_nothing_waits_for_one(tmp_path):
    record_unscored(tmp_path, 5, of=10)
    pool, said = opened(tmp_path, agent=CplConfig(), mode="offline", preferences="answers.sqlite")
    assert len(pool.replay) == 10
    assert not any("left out" in line for line in said)


def test_a_run_of_an_older_reward_serves_where_observations_tell_todays(tmp_path):
    older = msgspec.structs.replace(TODAY, reward="sparse-0")
    with StepStore.open(tmp_path / "steps.sqlite", older) as store:
        for step in reached([0.1, 0.1, 0.001, 0.1]):
            store.insert("a" * 32, step.t + 1, step)
        store.commit()
    run = examine(tmp_path / "steps.sqlite", TODAY)
    assert (run.reason, run.relabelled) == ("", True)
    assert [step.reward for _, _, step in read_steps(run, TODAY, print)] == [0.0, 1.0]
    pool, said = opened(tmp_path, TODAY)
    assert len(pool) == 2
    assert "rewards of 1 computed anew" in said[-1]
