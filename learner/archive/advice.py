"""What to do with a pool of past experience: whether to keep it, how much of every batch to take from it, and why.

The figures quoted are of the papers' tasks, not of yours; where their rules leave room the thresholds are ours.
"""

from dataclasses import dataclass

from wire.statistics import wilson_interval

EXPERT_SUCCESS = 0.9
"""Share of successes from which a pool holds next to no failures."""
SMALL_EPISODES = 10_000
"""The smallest pools of Replay Across Experiments had so many; on a robot every pool is small."""
_VARIED = 0.5


@dataclass(frozen=True)
class PoolFacts:
    """What the advice rests on."""

    episodes: int
    successes: int
    quality: float | None
    """TQ."""
    coverage: float | None
    """SACo against a reference; None where none was named."""
    demonstrations: bool
    """Whether demonstrations or corrections are among it."""


@dataclass(frozen=True)
class Advice:
    """One recommendation with its reason."""

    what: str
    why: str


def mixing(pool: PoolFacts) -> tuple[dict[str, float], Advice]:
    """Shares of online, human and archive steps in a batch, and why (Replay Across Experiments, arXiv 2311.15951)."""
    rate = pool.successes / max(pool.episodes, 1)
    if pool.episodes == 0:
        return _shares(1.0, False), Advice("online only", "there is no finished episode to replay")
    if rate >= EXPERT_SUCCESS and pool.episodes < SMALL_EPISODES:
        online = 0.8
        why = (
            f"{rate:.0%} of only {pool.episodes} episodes succeed: a small pool of successes alone shows no way back "
            "from a mistake. At 50 % online such pools took a learner to 51 % of what it reached without them, at "
            "90 % online to 108 %"
        )
    elif rate < 0.5:
        online = 0.7
        why = (
            f"only {rate:.0%} of the episodes succeed, and low returns are no reason to leave data out: small pools of "
            "them gave 97 to 113 % of learning from scratch whatever the ratio; on average 70 to 80 % online was best"
        )
    else:
        online = 0.75
        why = f"successes and failures are both there ({rate:.0%} succeed); on average 70 to 80 % online was best"
    return _shares(online, pool.demonstrations), Advice(f"{online:.0%} online", why)


def keeping(pool: PoolFacts, policy: tuple[int, int] | None) -> Advice:
    """Whether to keep old data for fine-tuning a policy (Three Regimes, arXiv 2510.01460; WSRL, arXiv 2412.07762).

    Args:
        pool: The data.
        policy: Successes and episodes of the policy's evaluation; None where it has none.
    """
    if pool.episodes == 0:
        return Advice("nothing to keep", "there is no finished episode")
    if policy is None:
        return Advice(
            "keep it",
            "nothing is known of a policy to fine-tune (policy=<run> with an eval.json would tell); starting from new "
            "networks, old data only helps",
        )
    data, own = wilson_interval(pool.successes, pool.episodes), wilson_interval(*policy)
    rates = f"the policy succeeds in {policy[0]} of {policy[1]}, the data in {pool.successes} of {pool.episodes}"
    if own[0] > data[1]:
        return Advice(
            "drop it after a warm-up",
            f"{rates}: the policy is better than the data. Let the frozen policy fill the replay first (about 10 "
            "episodes on a robot, 5,000 steps in simulation) and go on without the old data",
        )
    if data[0] > own[1]:
        return Advice("keep replaying it", f"{rates}: the data is better than the policy and holds it up")
    return Advice(
        "keep it, and compare",
        f"{rates}: the two cannot be told apart by so few episodes (95 % intervals overlap); keeping is the safe side",
    )


def algorithm(pool: PoolFacts) -> Advice:
    """Which offline algorithm such a pool suits (arXiv 2111.04714), by TQ and SACo."""
    if pool.quality is None:
        return Advice("none", "no two returns differ, so there is nothing to judge quality by")
    if pool.quality >= EXPERT_SUCCESS:
        return Advice("agent=bc is a fair baseline", f"TQ is {pool.quality:.2f}: what the data does is worth imitating")
    if pool.coverage is None:
        return Advice(
            "a value-based agent, constrained to the data where it learns offline",
            f"TQ is {pool.quality:.2f}, so imitation gets no further than that; reference=<runs> would tell whether "
            "the data is varied enough",
        )
    if pool.coverage >= _VARIED:
        return Advice(
            "a value-based agent, constrained to the data where it learns offline",
            f"TQ is {pool.quality:.2f}, so imitation gets no further than that; SACo is {pool.coverage:.2f}, so values "
            "can be learned from it",
        )
    return Advice(
        "collect more, with exploration",
        f"neither quality (TQ {pool.quality:.2f}) nor coverage (SACo {pool.coverage:.2f}) carries offline learning",
    )


def _shares(online: float, demonstrations: bool) -> dict[str, float]:
    rest = 1.0 - online
    human = rest / 2 if demonstrations else 0.0
    return {"online": round(online, 3), "human": round(human, 3), "archive": round(rest - human, 3)}
