"""The promises of the dataset report: what its numbers mean, and that its advice says why."""

import json
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from archives import SPEC, episode, some_run, write_run
from hypothesis import given
from hypothesis import strategies as st

from learner.archive import advice, coverage
from learner.archive.advice import PoolFacts
from learner.archive.catalogue import list_runs
from learner.archive.config import StatsConfig
from learner.archive.pool import read_pool
from learner.archive.report import report
from learner.archive.report_view import advice_lines, draw_report
from wire.errors import UserError
from wire.types import Source, Step

RNG = np.random.default_rng(0)
PAIRS = RNG.normal(size=(300, 4))
EXPERT = PoolFacts(episodes=20, successes=20, quality=1.0, coverage=0.1, demonstrations=True)
MIXED = PoolFacts(episodes=100, successes=60, quality=0.6, coverage=0.8, demonstrations=True)
POOR = PoolFacts(episodes=100, successes=10, quality=0.1, coverage=0.9, demonstrations=False)


def test_the_quality_of_a_random_pool_is_0_and_that_of_an_expert_pool_1():
    assert coverage.trajectory_quality([0.0] * 5, 0.0, 1.0) == 0.0
    assert coverage.trajectory_quality([1.0] * 5, 0.0, 1.0) == 1.0
    assert coverage.trajectory_quality([-3.0, -1.0], -4.0, 0.0) == 0.5
    assert coverage.trajectory_quality([1.0] * 30, 0.0, coverage.best_mean_return([1.0] * 30)) == 1.0


@pytest.mark.parametrize(("returns", "low", "high"), [([], 0.0, 1.0), ([1.0], 1.0, 1.0), ([1.0], 2.0, 1.0)])
def test_a_quality_that_cannot_be_told_is_refused(returns: list[float], low: float, high: float):
    with pytest.raises(ValueError, match=r"no finished episode|must be above"):
        coverage.trajectory_quality(returns, low, high)


def test_the_best_policy_is_the_best_twenty_episodes_in_a_row():
    returns = [0.0] * 30 + [1.0] * 20 + [0.0] * 30
    assert coverage.best_mean_return(returns) == 1.0
    assert coverage.best_mean_return([0.0, 1.0]) == 0.5
    assert coverage.best_mean_return([]) == float("-inf")


def test_duplicates_do_not_raise_coverage():
    once = coverage.Reference(PAIRS).coverage(PAIRS[:100])
    assert coverage.Reference(PAIRS).coverage(np.concatenate([PAIRS[:100]] * 7)) == once
    assert coverage.Reference(PAIRS).coverage(np.concatenate([PAIRS, PAIRS])) == 1.0


@given(st.permutations(range(40)))
def test_coverage_does_not_depend_on_the_order(order: list[int]):
    assert coverage.Reference(PAIRS).coverage(PAIRS[:40][order]) == coverage.Reference(PAIRS).coverage(PAIRS[:40])


@given(st.integers(1, 299), st.integers(2, 20))
def test_more_pairs_never_cover_less_and_all_cover_everything(n: int, bins: int):
    part = coverage.Reference(PAIRS, bins).coverage(PAIRS[:n])
    assert part <= coverage.Reference(PAIRS, bins).coverage(PAIRS[: n + 1])
    assert coverage.Reference(PAIRS, bins).coverage(PAIRS) == 1.0


def test_what_lies_beyond_the_reference_counts_with_its_border():
    reference = coverage.Reference(np.array([[0.0, 0.0], [1.0, 1.0]]))
    assert reference.count(np.array([[9.0, -9.0], [1.0, 0.0]])) == 1
    assert reference.count(np.zeros((0, 2))) == 0
    assert reference.different == 2


def test_an_element_that_never_moves_does_not_matter():
    still = np.concatenate([PAIRS, np.full((300, 1), 3.0)], axis=1)
    assert coverage.Reference(still).coverage(still[:50]) == coverage.Reference(PAIRS).coverage(PAIRS[:50])


def still_step(step: Step, **changes: Any) -> Step:
    return msgspec.structs.replace(step, action=np.array([0.0, 0.0, 0.0, 1.0], np.float32), **changes)


def test_idle_saturated_held_and_human_steps_are_counted(tmp_path: Path):
    first = episode(SPEC, 0, length=6, helped=[3])
    first[1:4] = [still_step(step) for step in first[1:4]]
    first[4] = msgspec.structs.replace(first[4], action=np.array([1.0, 0.2, -1.0, -1.0], np.float32), held=True)
    path = write_run(tmp_path / "runs" / "one", [first])
    pool = read_pool(list_runs([path])[0], StatsConfig())
    # The first still step closes the gripper, which is a motion; the next two are idle.
    assert pool.idle.tolist() == [False, False, True, True, False, False]
    assert pool.saturated[4].tolist() == [True, False, True, False]
    assert not pool.saturated[1].any()
    assert pool.held.sum() == 1
    assert pool.human_share == 1 / 6


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    root = tmp_path / "runs"
    some_run(root / "mixed", 6)
    write_run(root / "expert", [episode(SPEC, k, seed=9) for k in range(25)], stream="e" * 32)
    write_run(root / "copy", [episode(SPEC, k, seed=9) for k in range(5)], stream="c" * 32)
    demos = [episode(SPEC, k, source=Source.DEMO, seed=5) for k in range(3)]
    write_run(root / "demos.sqlite", demos, stream="d" * 32, info={"kind": "demonstrations"})
    return root


def reported(root: Path, **keys: Any) -> dict[str, Any]:
    return report(list_runs([root]), StatsConfig(paths=[str(root)], **keys))[0]


def test_the_report_adds_up(runs: Path):
    document = reported(runs)
    pool = document["pool"]
    assert (pool["runs"], pool["episodes"], pool["successes"], pool["steps"]) == (4, 40, 39, 161)
    assert pool["drivers"] == {"policy": 148, "human": 1, "demo": 12, "script": 0}
    assert pool["human_share"] == pytest.approx(13 / 161)
    assert (pool["duplicate_steps"], pool["duplicate_episodes"]) == (20, 5)
    assert sum(pool["length"]["counts"]) == 40
    assert (document["scale"]["random_return"], document["scale"]["best_return"]) == (0.0, 1.0)
    by_name = {Path(run["name"]).name: run for run in document["runs"]}
    assert by_name["expert"]["tq"] == by_name["demos.sqlite"]["tq"] == 1.0
    assert by_name["mixed"]["tq"] == pytest.approx(6 / 7)
    assert pool["saco"] == 1.0
    assert by_name["copy"]["saco"] < by_name["expert"]["saco"] < 1.0
    assert json.loads(json.dumps(document)) == document


def test_a_reference_and_known_returns_set_the_scale(runs: Path):
    document = reported(runs, reference=[str(runs / "expert")], random_return=-1.0, best_return=3.0)
    by_name = {Path(run["name"]).name: run for run in document["runs"]}
    assert by_name["expert"]["saco"] == 1.0
    assert by_name["expert"]["tq"] == 0.5
    with pytest.raises(ValueError, match=r"best_return must be above random_return \(1\), got 1"):
        StatsConfig(random_return=1.0, best_return=1.0)


def test_experts_alone_have_quality_1_even_where_the_reward_states_no_bounds(tmp_path: Path):
    spec = msgspec.structs.replace(SPEC, return_bounds=None)
    write_run(tmp_path / "runs" / "expert", [episode(spec, k) for k in range(5)], spec=spec)
    assert reported(tmp_path / "runs")["pool"]["tq"] == 1.0


def test_runs_of_two_specifications_are_not_mixed_in_one_report(runs: Path):
    some_run(runs / "other", spec=msgspec.structs.replace(SPEC, task="peg"))
    with pytest.raises(UserError, match=r"of 2 specifications.*task: .*choose with task="):
        reported(runs)


def test_no_episode_is_no_report(tmp_path: Path):
    write_run(tmp_path / "runs" / "one", [episode(SPEC, 0)[:2]])
    with pytest.raises(UserError, match=r"none of the 1 runs holds a finished episode.*2 steps belong to episodes"):
        reported(tmp_path / "runs")


def test_a_run_that_cannot_be_read_is_named_and_the_others_are_judged(runs: Path):
    (runs / "copy" / "steps.sqlite").write_bytes(b"junk" * 1000)
    document = reported(runs)
    assert document["pool"]["runs"] == 3
    assert any("copy was left out" in line for line in document["remarks"])


def test_a_policy_without_an_evaluation_is_named(runs: Path):
    with pytest.raises(UserError, match=r"holds no evaluation; make one: handrail eval run="):
        reported(runs, policy=str(runs / "mixed"))


def test_the_report_is_drawn(runs: Path, tmp_path: Path):
    document, pools = report(list_runs([runs]), StatsConfig(paths=[str(runs)]))
    draw_report(document, pools, tmp_path / "stats.png")
    assert (tmp_path / "stats.png").read_bytes()[:4] == b"\x89PNG"
    text = "\n".join(advice_lines(document))
    assert "Mix: online 80%" in text
    assert "a small pool of successes alone" in text


@pytest.mark.parametrize(("pool", "online"), [(EXPERT, 0.8), (MIXED, 0.75), (POOR, 0.7)])
def test_the_mixture_adds_up_to_one_and_small_expert_pools_get_the_least(pool: PoolFacts, online: float):
    shares, why = advice.mixing(pool)
    assert sum(shares.values()) == pytest.approx(1.0)
    assert shares["online"] == online
    assert (shares["human"] > 0) == pool.demonstrations
    assert len(why.why) > 40


def test_nothing_to_replay_is_online_only():
    empty = PoolFacts(0, 0, None, None, demonstrations=False)
    assert advice.mixing(empty)[0] == {"online": 1.0, "human": 0.0, "archive": 0.0}
    assert advice.keeping(empty, (5, 10)).what == "nothing to keep"


@pytest.mark.parametrize(
    ("pool", "policy", "what"),
    [
        (POOR, (90, 100), "drop it after a warm-up"),
        (EXPERT, (10, 100), "keep replaying it"),
        (MIXED, (58, 100), "keep it, and compare"),
        (MIXED, None, "keep it"),
    ],
)
def test_old_data_is_dropped_only_where_the_policy_is_surely_better(pool: PoolFacts, policy: Any, what: str):
    assert advice.keeping(pool, policy).what == what


@pytest.mark.parametrize(
    ("pool", "word"),
    [
        (EXPERT, "agent=bc"),
        (POOR, "value-based"),
        (PoolFacts(9, 1, 0.1, 0.1, demonstrations=False), "collect more"),
        (PoolFacts(9, 1, 0.1, None, demonstrations=False), "value-based"),
        (PoolFacts(9, 1, None, None, demonstrations=False), "none"),
    ],
)
def test_the_algorithm_follows_from_quality_and_coverage(pool: PoolFacts, word: str):
    assert word in advice.algorithm(pool).what
