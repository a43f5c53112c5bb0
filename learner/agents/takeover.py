"""Lower credit for what made a person take over: r - cost on the policy's last steps before it.

After RLIF (Luo et al. 2023, arXiv 2311.12996), where a takeover is the only reward: -1 on the policy's last step
before it. Departures: the cost is small and comes on top of the task's reward, and falls on several steps, because a
person needs time to see what goes wrong. Archive and replay keep the rewards that were given; the cost is taken off a
batch when it is learned from, so a run can be learned from again with another cost, or none.
"""

import jax.numpy as jnp

from learner.agents.base import Batch


def charged(batch: Batch, *, steps: int, cost: float) -> Batch:
    """The batch with `cost` taken off the reward of the policy's last `steps` transitions before each takeover."""
    due = (batch["takeover_in"] >= 1) & (batch["takeover_in"] <= steps)
    return batch | {"reward": batch["reward"] - cost * jnp.asarray(due, jnp.float32)}


def lowered(bounds: tuple[float, float], *, cost: float, discount: float) -> tuple[float, float]:
    """Bounds of the returns where every step may cost that much: targets clipped to less would hide it."""
    low, high = bounds
    worst = cost / (1.0 - discount) if discount < 1 else float("inf")
    return (low - worst if cost > 0 else low, high)
