"""The report on a pool of experience: what it is worth, and what to do with it."""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from learner.archive import advice, catalogue, coverage
from learner.archive.config import Selection, StatsConfig
from learner.archive.facts import RunFacts
from learner.archive.pool import Pool, drivers, duplicates, read_pool
from wire.errors import UserError, plain
from wire.store import StoreError

_HISTOGRAM_BINS = 12


@dataclass(frozen=True)
class Scale:
    """What returns are measured by."""

    random_return: float
    random_from: str
    best_return: float
    best_from: str


def report(runs: Sequence[RunFacts], config: StatsConfig) -> tuple[dict[str, Any], list[Pool]]:
    """The report as plain values, and the pools that it is of.

    Raises:
        UserError: The runs are of several specifications, hold no finished episode, or `policy` has no evaluation.
    """
    _require_one_spec(runs)
    pools, unread = _read(runs, config)
    remarks = [*unread, *(f"{pool.name}: {line}" for pool in pools for line in pool.remarks)]
    if not any(pool.episodes for pool in pools):
        raise UserError(f"none of the {len(runs)} runs holds a finished episode that was chosen{_after(remarks)}")
    pools = [pool for pool in pools if pool.episodes]
    reference = _reference(config, pools)
    scale = _scale(config, pools, reference)
    everything = np.concatenate([pool.pairs for pool in pools])
    against = np.concatenate([pool.pairs for pool in reference])
    measure = coverage.Reference(against, config.bins)
    lines = [_of_pool(pool, scale, measure.coverage(pool.pairs)) for pool in pools]
    whole = _whole(pools, scale)
    whole |= {"saco": measure.coverage(everything), "different_pairs": measure.count(everything)}
    facts = advice.PoolFacts(
        episodes=whole["episodes"],
        successes=whole["successes"],
        quality=whole["tq"],
        coverage=whole["saco"] if config.reference else None,
        demonstrations=any(pool.human_share > 0 for pool in pools),
    )
    shares, mixing = advice.mixing(facts)
    document = {
        "pool": whole,
        "scale": asdict(scale) | {"bins": config.bins, "reference": list(config.reference) or "all chosen runs"},
        "runs": lines,
        "advice": {
            "mixing": shares,
            "mixing_why": mixing.why,
            "fine_tuning": asdict(advice.keeping(facts, _evaluation(config))),
            "algorithm": asdict(advice.algorithm(facts)),
        },
        "remarks": [*_copies(whole), *remarks],
    }
    return document, pools


def _read(runs: Sequence[RunFacts], selection: Selection) -> tuple[list[Pool], list[str]]:
    """The pools, and a line for each run that cannot be read at all."""
    pools, unread = [], []
    for run in runs:
        try:
            pools.append(read_pool(run, selection))
        except StoreError as error:
            unread.append(f"{run.name} was left out: {plain(error, 300)}")
    return pools, unread


def _copies(whole: dict[str, Any]) -> list[str]:
    if not whole["duplicate_episodes"]:
        return []
    return [
        f"{whole['duplicate_episodes']} episodes are there more than once and count as often; handrail archive merge "
        "keeps each step once where stream and number are the same"
    ]


def _whole(pools: Sequence[Pool], scale: Scale) -> dict[str, Any]:
    episodes = [episode for pool in pools for episode in pool.episodes]
    steps = sum(pool.steps for pool in pools)
    lengths = [episode.length for episode in episodes]
    counts, edges = np.histogram(lengths, bins=min(_HISTOGRAM_BINS, max(lengths) - min(lengths) + 1))
    repeated = Counter(digest for pool in pools for digest in pool.episode_digests)
    by_driver = drivers(pools)
    saturated = np.concatenate([pool.saturated for pool in pools]).mean(axis=0)
    return {
        "runs": len(pools),
        "steps": steps,
        "episodes": len(episodes),
        "successes": sum(episode.success for episode in episodes),
        "mean_return": float(np.mean([episode.episode_return for episode in episodes])),
        "tq": _quality([episode.episode_return for episode in episodes], scale),
        "human_share": 1 - by_driver["policy"] / steps,
        "drivers": by_driver,
        "duplicate_steps": duplicates(pool.digests for pool in pools),
        "duplicate_episodes": sum(count - 1 for count in repeated.values()),
        "idle_steps": int(sum(pool.idle.sum() for pool in pools)),
        "held_steps": int(sum(pool.held.sum() for pool in pools)),
        "saturated": dict(zip(pools[0].spec.action_names, np.round(saturated, 4).tolist(), strict=True)),
        "length": {"mean": float(np.mean(lengths)), "counts": counts.tolist(), "edges": edges.tolist()},
    }


def _of_pool(pool: Pool, scale: Scale, saco: float) -> dict[str, Any]:
    returns = [episode.episode_return for episode in pool.episodes]
    return {
        "name": pool.name,
        "kind": pool.kind,
        "steps": pool.steps,
        "episodes": len(pool.episodes),
        "successes": sum(episode.success for episode in pool.episodes),
        "tq": _quality(returns, scale),
        "saco": saco,
        "human_share": pool.human_share,
        "idle": float(pool.idle.mean()),
        "saturated": float(pool.saturated.any(axis=1).mean()),
    }


def _quality(returns: list[float], scale: Scale) -> float | None:
    if scale.best_return <= scale.random_return:
        return None
    return coverage.trajectory_quality(returns, scale.random_return, scale.best_return)


def _require_one_spec(runs: Sequence[RunFacts]) -> None:
    prints = {run.fingerprint: run for run in runs if run.fingerprint}
    if len(prints) > 1:
        first, second = list(prints.values())[:2]
        specs = first.env_spec(), second.env_spec()
        lines = specs[0].differences(specs[1])[:3] if specs[0] and specs[1] else []
        raise UserError(
            f"these {len(runs)} runs are of {len(prints)} specifications, and a report is of one: {first.name} and "
            f"{second.name} differ in {plain('; '.join(lines), 300)}; choose with task=, or like={first.name}"
        )


def _reference(config: StatsConfig, pools: Sequence[Pool]) -> Sequence[Pool]:
    if not config.reference:
        return pools
    runs = catalogue.list_runs([Path(path) for path in config.reference])
    found = [pool for run in runs if (pool := read_pool(run, Selection())).episodes]
    if not found:
        raise UserError(f"reference={','.join(config.reference)} holds no finished episode")
    for pool in found:
        if pool.pairs.shape[1] != pools[0].pairs.shape[1]:
            raise UserError(f"{pool.name}, named by reference=, has other vectors or actions than {pools[0].name}")
    return found


def _scale(config: StatsConfig, pools: Sequence[Pool], reference: Sequence[Pool]) -> Scale:
    bounds = pools[0].spec.return_bounds
    returns = [[episode.episode_return for episode in pool.episodes] for pool in reference]
    if config.random_return is not None:
        random = config.random_return, "random_return="
    elif bounds is not None:
        random = bounds[0], "the lowest return that the reward makes possible"
    else:
        lowest, highest = min(map(min, returns)), max(map(max, returns))
        random = lowest, "the lowest return seen"
        if lowest == highest > 0.0:
            # Experts alone: nothing in their data says what chance would have brought.
            random = 0.0, "no lower return was seen than the best"
    if config.best_return is not None:
        return Scale(*random, config.best_return, "best_return=")
    best = max(coverage.best_mean_return(each) for each in returns)
    return Scale(*random, best, f"the best {coverage.WINDOW} episodes in a row")


def _evaluation(config: StatsConfig) -> tuple[int, int] | None:
    """Successes and episodes of the evaluation of `policy`."""
    if config.policy is None:
        return None
    file = Path(config.policy) / "eval.json"
    try:
        found = json.loads(file.read_text())
        return int(found["successes"]), int(found["episodes"])
    except (OSError, ValueError, KeyError, TypeError):
        raise UserError(f"{file} holds no evaluation; make one: handrail eval run={config.policy}") from None


def _after(remarks: Sequence[str]) -> str:
    return f": {'; '.join(remarks[:3])}" if remarks else ""
