"""Potentials in the replay: values shift by them, the best action stays the best, and what nobody has scored waits."""

from pathlib import Path

import msgspec
import numpy as np
import pytest
from learning import vector_spec

from envs.config import EnvConfig
from learner.config import BcConfig, LearnerConfig, RlpdConfig
from learner.late_labels import LateLabels
from learner.replay import Replay
from learner.shaping import UnscoredError, require_scores, spec_of_returns
from rewards.shaping import log_odds, potential
from wire.labels import SCORE, START, Label, append_labels
from wire.types import UNSCORED, Source, Step

STATES, ACTIONS, DISCOUNT, SCALE, LENGTH = 5, 3, 0.9, 2.0, 12
STREAM = "a" * 32
SPEC = vector_spec(state=STATES, actions=1)
PROBABILITY = np.array([0.02, 0.9, 0.3, 0.999, 0.6])
"""What a model makes of each state: by no means how near to success it is."""


def seen(state: int) -> dict[str, np.ndarray]:
    return {"state": np.eye(STATES, dtype=np.float32)[state]}


def wander(seed: int = 0, episodes: int = 80, **changes: object) -> list[Step]:
    """Episodes of a random policy in a small world, whose last state succeeds one time in three."""
    rng = np.random.default_rng(seed)
    where = np.random.default_rng(7).dirichlet(np.ones(STATES), (STATES, ACTIONS))
    steps = []
    for number in range(episodes):
        state = int(rng.integers(STATES - 1))
        for t in range(LENGTH):
            action = int(rng.integers(ACTIONS))
            after = int(rng.choice(STATES, p=where[state, action]))
            done = after == STATES - 1 and rng.random() < 0.3
            ended = done or t == LENGTH - 1
            fields: dict = {
                "episode": number,
                "t": t,
                "observation": seen(state),
                "action": np.array([action / 10], np.float32),
                "source": Source.POLICY,
                "reward": float(done),
                "terminated": done,
                "truncated": ended and not done,
                "success": done,
                "final_observation": seen(after) if ended else None,
            }
            steps.append(Step(**fields | changes))
            state = after
            if ended:
                break
    return steps


def filled(steps: list[Step], shaping: float = 0.0) -> Replay:
    replay = Replay(SPEC, len(steps), discount=DISCOUNT, shaping=shaping)
    for seq, step in enumerate(steps, start=1):
        replay.add(STREAM, step, seq)
    return replay


def after(steps: list[Step], index: int) -> int:
    final = steps[index].final_observation
    return int((steps[index + 1].observation if final is None else final)["state"].argmax())


def scores(steps: list[Step], probability: np.ndarray = PROBABILITY, version: str = "m-1") -> list[Label]:
    """A model's word for every state: after each step, and at the beginning of each episode."""
    found = []
    for index, step in enumerate(steps):
        p = float(probability[after(steps, index)])
        found.append(Label(STREAM, index + 1, p, p, version=version, kind=SCORE))
        if step.t == 0:
            p = float(probability[step.observation["state"].argmax()])
            found.append(Label(STREAM, index + 1, p, p, version=version, kind=START))
    return found


def scored(archive: Path, replay: Replay, labels: list[Label]) -> Replay:
    append_labels(archive, labels)
    LateLabels(archive, replay, by_model=True).poll(0.0)
    return replay


def values(replay: Replay) -> np.ndarray:
    """Best action values of the world that a replay's batches show, by fitted iteration over all it may draw."""
    rows, _ = replay.members()
    batch = replay.gather(rows)
    here, there = (batch[name]["state"].argmax(-1) for name in ("observation", "next_observation"))
    action = np.rint(batch["action"][:, 0] * 10).astype(int)
    follows = DISCOUNT * batch["mask"]
    reward = batch["reward"].astype(np.float64)
    count = np.zeros((STATES, ACTIONS))
    np.add.at(count, (here, action), 1.0)
    q = np.zeros((STATES, ACTIONS))
    for _ in range(300):
        total = np.zeros_like(q)
        np.add.at(total, (here, action), reward + follows * q.max(1)[there])
        q = total / np.maximum(count, 1.0)
    assert count.min() > 0
    return q


def phi(probability: np.ndarray = PROBABILITY) -> np.ndarray:
    return potential(log_odds(probability), SCALE)


def test_what_is_best_to_do_stays_so_and_every_value_is_less_by_its_states_potential(tmp_path: Path):
    steps = wander()
    plain = values(filled(steps))
    shaped = values(scored(tmp_path / "steps.sqlite", filled(steps, SCALE), scores(steps)))
    np.testing.assert_allclose(shaped, plain - phi()[:, None], atol=1e-5)
    np.testing.assert_array_equal(shaped.argmax(1), plain.argmax(1))
    assert np.abs(shaped - plain).max() > 0.5  # Otherwise nothing was added.


def test_another_version_scores_anew_and_no_trace_of_the_first_is_left(tmp_path: Path):
    steps, other = wander(), PROBABILITY[::-1].copy()
    archive, replay = tmp_path / "steps.sqlite", filled(steps, SCALE)
    late = LateLabels(archive, replay, by_model=True)
    append_labels(archive, scores(steps))
    late.poll(0.0)
    append_labels(archive, scores(steps, other, "m-2"))
    late.poll(10.0)
    np.testing.assert_allclose(values(replay), values(filled(steps)) - phi(other)[:, None], atol=1e-5)


def test_steps_that_had_no_reward_when_they_came_are_shaped_like_the_others(tmp_path: Path):
    """Of the second half of the episodes the labels, which come later, give reward and potential."""
    steps = wander()
    half = next(index for index, step in enumerate(steps) if step.episode == 40)
    late = [
        msgspec.structs.replace(step, reward=0.0, reward_by=UNSCORED) if index >= half and not step.terminated else step
        for index, step in enumerate(steps)
    ]
    labels = [
        label._replace(kind="success", value=0.0) if label.kind == SCORE and late[label.seq - 1].reward_by else label
        for label in scores(steps)
    ]
    replay = filled(late, SCALE)
    assert len(replay.online) == 0
    scored(tmp_path / "steps.sqlite", replay, labels)
    assert replay.unscored == 0
    np.testing.assert_allclose(values(replay), values(filled(steps)) - phi()[:, None], atol=1e-5)


@pytest.mark.parametrize("length", [2, 4])
def test_a_window_of_a_chunk_keeps_what_its_ends_leave(tmp_path: Path, length: int):
    steps = wander(episodes=10)
    plain, shaped = filled(steps), scored(tmp_path / "steps.sqlite", filled(steps, SCALE), scores(steps))
    rows, _ = plain.members()
    before, found = (replay.gather_chunks(rows, length=length, discount=DISCOUNT) for replay in (plain, shaped))
    begins, ends = (before[name]["state"].argmax(-1) for name in ("observation", "next_observation"))
    wanted = before["reward"] + before["bootstrap"] * phi()[ends] - phi()[begins]
    np.testing.assert_allclose(found["reward"], wanted, atol=1e-5)


def test_a_return_is_less_by_the_potential_that_it_began_with(tmp_path: Path):
    steps = wander(episodes=10)
    plain, shaped = filled(steps), scored(tmp_path / "steps.sqlite", filled(steps, SCALE), scores(steps))
    rows, _ = plain.members()
    before, found = plain.gather(rows), shaped.gather(rows)
    begins = before["observation"]["state"].argmax(-1)
    np.testing.assert_allclose(found["return_to_go"], before["return_to_go"] - phi()[begins], atol=1e-5)


def test_a_transition_waits_until_both_its_states_are_scored(tmp_path: Path):
    steps = wander(episodes=1, seed=3)
    replay, archive = filled(steps, SCALE), tmp_path / "steps.sqlite"
    n, said = len(steps), scores(steps)
    late = LateLabels(archive, replay, by_model=True)
    assert (len(replay.online), replay.unscored) == (0, n)
    append_labels(archive, [label for label in said if label.kind == SCORE])
    late.poll(0.0)
    assert (len(replay.online), replay.unscored) == (n - 1, 1)  # Of what it began in nobody has said anything.
    append_labels(archive, [label for label in said if label.kind == START])
    late.poll(10.0)
    assert (len(replay.online), replay.unscored) == (n, 0)


def test_scores_that_come_before_their_steps_are_kept_for_them(tmp_path: Path):
    steps = wander(episodes=2, seed=3)
    replay, archive = Replay(SPEC, len(steps), discount=DISCOUNT, shaping=SCALE), tmp_path / "steps.sqlite"
    late = LateLabels(archive, replay, by_model=True)
    append_labels(archive, scores(steps))
    late.poll(0.0)
    for seq, step in enumerate(steps, start=1):
        replay.add(STREAM, step, seq)
    late.poll(10.0)
    assert (len(replay.online), replay.unscored) == (len(steps), 0)


def test_after_a_held_step_the_state_it_led_to_is_found_by_the_next_one(tmp_path: Path):
    steps = wander(episodes=1, seed=3)
    steps[1] = msgspec.structs.replace(steps[1], held=True)
    replay = scored(tmp_path / "steps.sqlite", filled(steps, SCALE), scores(steps))
    assert (len(replay.online), replay.unscored) == (len(steps) - 2, 0)


def test_a_persons_label_changes_the_reward_and_leaves_what_the_model_thought(tmp_path: Path):
    steps = wander(episodes=1, seed=3)
    archive, replay = tmp_path / "steps.sqlite", filled(steps, SCALE)
    scored(archive, replay, scores(steps))
    rows, _ = replay.members()
    before = replay.gather(rows)["reward"]
    replay.relabel(STREAM, 2, success=True)
    changed = replay.gather(rows)["reward"] - before
    begun = 1.0 - DISCOUNT * phi()[after(steps, 1)]  # Success ends the episode: nothing follows, no potential either.
    np.testing.assert_allclose(np.sort(changed), np.sort([0.0] * (len(steps) - 1) + [begun]), atol=1e-5)


def test_without_shaping_scores_change_nothing_and_are_not_waited_for(tmp_path: Path):
    steps = wander(episodes=3)
    plain, with_labels = filled(steps), scored(tmp_path / "steps.sqlite", filled(steps), scores(steps))
    rows, _ = plain.members()
    np.testing.assert_array_equal(plain.gather(rows)["reward"], with_labels.gather(rows)["reward"])
    assert not with_labels.shaped


def test_certainty_is_no_infinity(tmp_path: Path):
    steps = wander(episodes=3)
    sure = np.array([0.0, 1.0, 0.0, 1.0, 1.0])
    replay = scored(tmp_path / "steps.sqlite", filled(steps, SCALE), scores(steps, sure))
    rows, _ = replay.members()
    assert np.abs(np.asarray(replay.gather(rows)["reward"])).max() <= 1.0 + 2.0 * SCALE


def test_values_may_lie_lower_and_higher_by_a_potential():
    spec = msgspec.structs.replace(SPEC, return_bounds=(0.0, 1.0))
    assert spec_of_returns(spec, 0.5, by_model=False).return_bounds == (-0.5, 1.5)
    assert spec_of_returns(spec, 0.0, by_model=False) is spec
    assert spec_of_returns(SPEC, 0.5, by_model=False).return_bounds is None
    assert spec_of_returns(spec, 0.0, by_model=True).return_bounds is None


def test_what_has_no_score_and_would_be_left_out_is_said():
    require_scores(0, 10, whose="the demonstrations demos.sqlite")
    with pytest.raises(UnscoredError, match=r"3 of 10 transitions of the demonstrations d\.sqlite .* rewards relabel"):
        require_scores(3, 10, whose="the demonstrations d.sqlite")


PIXELS, CLASSIFIER = EnvConfig(obs="pixels"), {"reward": "classifier"}


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"shaping": -0.1} | CLASSIFIER, "learner.shaping must be in 0..10, got -0.1; 0 is off"),
        ({"shaping": 0.2}, "here the task gives the reward; set reward=classifier:<folder>"),
        (
            {"shaping": 0.2, "env": EnvConfig()} | CLASSIFIER,
            "needs frames in the archive.*set obs=pixels, got obs=stat",
        ),
        ({"shaping": 0.2, "agent": BcConfig()} | CLASSIFIER, "agents that learn from rewards, got agent=bc"),
    ],
)
def test_shaping_where_it_cannot_be_is_refused(fields, words):
    with pytest.raises(ValueError, match=words):
        LearnerConfig(**{"run": "r", "agent": RlpdConfig(), "env": PIXELS} | fields)
