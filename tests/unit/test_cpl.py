"""Contrastive preference learning: its loss by hand, whole segments alone, and what preferences add to imitation."""

import contextlib
import json
import sqlite3
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest
from learning import SEEING, TINY, digest, normaliser
from test_offline import SPEC, config, record, trained
from test_replay import step

from learner.agents.base import minibatch
from learner.agents.cpl import Cpl
from learner.config import CplConfig
from learner.publisher import POLICY_FILE
from learner.replay import Replay
from learner.segments import SegmentPairs, open_segments
from networks import policy
from networks.architecture import Architecture
from rewards.preferences import (
    LEFT,
    NEITHER,
    RIGHT,
    Moment,
    Pair,
    Preference,
    PreferenceFile,
    beginnings,
    draw_pairs,
    read_preferences,
    segment_length,
)
from rewards.score import ModelError
from wire.database import StoreError
from wire.errors import UserError

pytestmark = pytest.mark.usefixtures("quick_compiles")
STREAM = "a" * 32


def small(**changes: Any) -> CplConfig:
    settings: dict[str, Any] = {
        "batch_size": 4,
        "hidden": [16],
        "learning_rate": 3e-3,
        "bc_steps": 1,
        "shift_pixels": 1,
    }
    return CplConfig(**settings | changes)


def segments(arch: Architecture, minibatches: int, pairs: int = 4, length: int = 3, seed: int = 0) -> dict[str, Any]:
    rng, shape = np.random.default_rng(seed), (minibatches, pairs, 2, length)
    seen: dict[str, Any] = {name: rng.normal(size=(*shape, n)).astype(np.float32) for name, n in arch.vectors.items()}
    seen |= {name: rng.integers(0, 256, (*shape, *size), np.uint8) for name, size in arch.frames.items()}
    action = rng.uniform(-1, 1, (*shape, arch.action_dim)).astype(np.float32)
    return {"observation": seen, "action": action, "reward": np.zeros(shape, np.float32)}


def test_the_loss_is_that_of_the_paper_by_hand():
    agent = Cpl(small(scale=0.1, bias=0.5), TINY)
    likelihood = jnp.array([[[-1.0, -2.0], [-3.0, -5.0]], [[-4.0, -4.0], [-1.0, -1.0]]])
    # Advantages -0.3 and -0.8; -0.8 and -0.2. -log sigmoid(A+ - A-/2) = log(1 + exp(A-/2 - A+)).
    wanted = (np.log1p(np.exp(-0.4 + 0.3)) + np.log1p(np.exp(-0.1 + 0.8))) / 2
    loss, agreement = agent.preference_loss(likelihood)
    assert float(loss) == pytest.approx(wanted, rel=1e-6)
    assert float(agreement) == 0.5
    plain, _ = Cpl(small(scale=0.1, bias=1.0), TINY).preference_loss(likelihood)
    assert float(plain) == pytest.approx((np.log1p(np.exp(-0.5)) + np.log1p(np.exp(0.6))) / 2, rel=1e-6)


def test_the_likelihood_of_an_action_falls_with_its_distance_from_the_policys():
    agent = Cpl(small(), TINY)
    state, batch = agent.init(0, normaliser(TINY)), segments(TINY, 1)
    batch = minibatch(batch, 0)
    mode = policy.act(agent.policy(state), {"state": batch["observation"]["state"].reshape(-1, 3)}, None, TINY)
    wanted = -((np.asarray(mode).reshape(4, 2, 3, 2) - batch["action"]) ** 2).sum(-1)
    found = agent.log_likelihood(state.trained, state.normaliser, batch)
    np.testing.assert_allclose(found, wanted, rtol=1e-4)


def test_each_minibatch_is_one_step_and_equal_seeds_give_equal_states_also_of_frames():
    digests, arch = [], SEEING
    agent = Cpl(small(), arch)
    for seed in (0, 0, 1):
        state, metrics = agent.update(agent.init(seed, normaliser(arch)), segments(arch, 2))
        assert int(state.step) == 2
        assert np.isfinite([float(value) for value in metrics.values()]).all()
        digests.append(digest(state))
    assert digests[0] == digests[1] != digests[2]


@pytest.mark.learn
def test_from_a_thousand_scripted_pairs_it_learns_more_than_imitation_does():
    """Half of the steps are done well, half turned round: imitation learns their mean, preferences which are good."""
    rng = np.random.default_rng(0)
    pairs, length = 1000, 4
    state = rng.normal(size=(pairs, 2, length, 3)).astype(np.float32)
    best = 0.6 * np.tanh(state[..., :2])
    well = rng.uniform(size=(pairs, 2, length, 1)) < 0.5
    action = (np.where(well, best, -0.3 * best) + rng.normal(0, 0.1, best.shape)).astype(np.float32)
    advantage = -((action - best) ** 2).sum((-1, -2))
    order = np.argsort(-advantage, axis=1)[:, :, None, None]
    state, action = np.take_along_axis(state, order, 1), np.take_along_axis(action, order, 1)
    errors, agent = {}, Cpl(small(hidden=[64], bc_steps=300, scale=0.5), TINY)
    held, new = agent.init(0, normaliser(TINY)), rng.normal(size=(500, 3)).astype(np.float32)
    for block in range(80):
        drawn = np.random.default_rng(block).integers(pairs, size=(10, 32))
        none = np.zeros((10, 32, 2, length), np.float32)
        batch = {"observation": {"state": state[drawn]}, "action": action[drawn], "reward": none}
        held, metrics = agent.update(held, batch)
        if block in (29, 79):
            found = policy.act(agent.policy(held), {"state": new}, None, TINY)
            name = "imitation" if block == 29 else "preferences"
            errors[name] = float(np.abs(np.asarray(found) - 0.6 * np.tanh(new[:, :2])).mean())
            print(name, errors[name], {key: float(value) for key, value in metrics.items()})
    assert errors["preferences"] < 0.6 * errors["imitation"]


def test_only_segments_that_are_whole_are_found():
    replay = Replay(SPEC, 40)
    for t in range(6):
        last = t == 5
        replay.add(STREAM, step(0, t, 0.1 * t, final=0.6 if last else None, held=t == 3), seq=10 + t)
    assert replay.rows_before(STREAM, 11, 2) is not None
    rows = replay.rows_before(STREAM, 11, 2)
    assert rows is not None
    np.testing.assert_allclose(replay.gather(rows)["observation"]["state"][:, 0], [0.0, 0.1], atol=1e-6)
    assert replay.rows_before(STREAM, 11, 3) is None, "the episode began later"
    assert replay.rows_before(STREAM, 15, 3) is None, "the robot was held"
    assert replay.rows_before("b" * 32, 11, 1) is None


def compared(folder: Path, n: int = 60, length: int = 3) -> Path:
    """What somebody preferred of a run: the segment that ends in the higher state."""
    path = folder / f"answers-{n}.sqlite"
    pairs = draw_pairs([str(folder / "past")], n, 0, length)
    with contextlib.closing(PreferenceFile(path)) as file:
        file.append(
            Preference(pair, RIGHT if pair.right.seq % 8 > pair.left.seq % 8 else LEFT, "script", segment=length)
            for pair in pairs
        )
    return path


@pytest.fixture(scope="module")
def past(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cpl")
    record(folder / "past", episodes=6, length=8)
    return folder


def test_pairs_of_segments_are_drawn_where_a_whole_one_with_its_beginning_fits(past: Path):
    pairs = draw_pairs([str(past / "past")], 10_000, 0, 3)
    # Of eight steps the last five can end a segment of three that did not begin with the episode.
    assert len(pairs) == 30 * 29 // 2
    begun = beginnings([str(past / "past")], 3)
    assert len(begun) == 30
    assert begun[Moment(STREAM, 8)] == Moment(STREAM, 5)
    with pytest.raises(ModelError, match="no two segments of 8 steps"):
        draw_pairs([str(past / "past")], 10, 0, 8)


def test_a_policy_is_learned_from_a_run_and_its_preferences(past: Path):
    told = config(past, "whole", "cpl", preferences=str(compared(past)), steps=80, agent_keys={"bc_steps": 40})
    trainer = trained(told)
    assert trainer.done == 80
    assert isinstance(trainer.batches, SegmentPairs)
    assert len(trainer.batches) == 60
    # 80 steps in two calls of 40: the first imitates, in the second preferences count.
    losses = [json.loads(line) for line in (past / "whole" / "metrics.jsonl").read_text().splitlines()]
    assert all(np.isfinite(line["actor/loss"]) for line in losses)
    assert 0 <= float(trainer._metrics["actor/agreement"]) <= 1
    assert json.loads((past / "whole" / "summary.json").read_text())["agent"] == "cpl"
    assert (past / "whole" / POLICY_FILE).exists()


def test_files_that_do_not_serve_are_refused(past: Path, tmp_path: Path):
    replay, said = Replay(SPEC, 10), []

    def opened(path: Path) -> Any:
        return open_segments(path, replay, batch_size=4, seed=0, say=said.append)

    with pytest.raises(StoreError, match="there is no file of preferences"):
        opened(tmp_path / "none.sqlite")
    with pytest.raises(
        UserError, match="60 pairs which is better, and 0 of them are whole in the past runs; wanted 20"
    ):
        opened(compared(past))
    moments = tmp_path / "moments.sqlite"
    pair = Pair(Moment(STREAM, 1), Moment(STREAM, 2))
    with contextlib.closing(PreferenceFile(moments)) as file:
        file.append([Preference(pair, LEFT, "vlm"), Preference(pair, NEITHER, "vlm")])
        with pytest.raises(ModelError, match="compares no segments"):
            segment_length(moments)
        file.append([Preference(pair, RIGHT, "vlm", segment=2)])
        assert (read_preferences(moments)[pair].answer, read_preferences(moments, 2)[pair].answer) == (NEITHER, RIGHT)
        assert segment_length(moments) == 2
        file.append([Preference(pair, RIGHT, "vlm", segment=3)])
    with pytest.raises(ModelError, match="compares segments of 2 and 3 steps"):
        segment_length(moments)


def test_a_file_of_the_first_format_is_read_and_added_to_but_takes_no_segments(tmp_path: Path):
    path, pair = tmp_path / "old.sqlite", Pair(Moment(STREAM, 1), Moment(STREAM, 2))
    with contextlib.closing(sqlite3.connect(path)) as db:
        db.executescript("""
            PRAGMA application_id = 1213354054; PRAGMA user_version = 1;
            CREATE TABLE preferences (
                id INTEGER PRIMARY KEY, left_stream TEXT NOT NULL, left_seq INTEGER NOT NULL,
                right_stream TEXT NOT NULL, right_seq INTEGER NOT NULL, answer INTEGER NOT NULL, source TEXT NOT NULL,
                who TEXT NOT NULL, question TEXT NOT NULL, words TEXT NOT NULL);""")
        db.execute(f"INSERT INTO preferences VALUES (1, '{STREAM}', 1, '{STREAM}', 2, 1, 'vlm', 'm', 'q', 'w')")
        db.commit()
    assert read_preferences(path) == {pair: Preference(pair, RIGHT, "vlm", "m", "q", "w")}
    with contextlib.closing(PreferenceFile(path)) as file:
        file.append([Preference(pair, LEFT, "person", "ann")])
        with pytest.raises(StoreError, match="knows moments alone"):
            file.append([Preference(pair, LEFT, "person", segment=4)])
    assert read_preferences(path)[pair].answer == LEFT
    with pytest.raises(ModelError, match="compares no segments"):
        segment_length(path)


def test_settings_that_cannot_be_are_refused(tmp_path: Path):
    for agent, changes, said in (
        ("cpl", {}, "agent=cpl goes with preferences="),
        ("bc", {"preferences": "p"}, "got agent=bc preferences=p"),
        ("cpl", {"preferences": "p", "mode": "online"}, "set mode=offline"),
        ("cpl", {"preferences": "p", "symmetries": ["mirror"]}, r"drop learner\.symmetries"),
        ("cpl", {"preferences": "p", "demos": "d"}, "name demonstrations in archive="),
    ):
        with pytest.raises(ValueError, match=said):
            config(tmp_path, agent=agent, **changes)
    for keys, said in (({"bias": 0}, r"agent\.bias must be in"), ({"scale": 0}, r"agent\.scale must be > 0")):
        with pytest.raises(ValueError, match=said):
            CplConfig(**keys)
