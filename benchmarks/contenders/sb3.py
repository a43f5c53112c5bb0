"""Stable-Baselines3's SAC: its own `train()` on its own replay buffer, with as many critics.

It differs: an actor and a temperature update at every gradient step, the minimum over all target critics, no
LayerNorm, the entropy in the backup; sampling from its buffer is part of its `train()`.
"""

from collections.abc import Callable

import gymnasium
import numpy as np
import torch
from blocks import Block, batch_of
from stable_baselines3 import SAC
from stable_baselines3.common.logger import configure
from worker import serve


class _Spaces(gymnasium.Env):
    """Nothing but the spaces: the benchmark never steps it."""

    def __init__(self, block: Block) -> None:
        self.observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (block.vector,), np.float32)
        self.action_space = gymnasium.spaces.Box(-1.0, 1.0, (block.action,), np.float32)


def prepare(block: Block, variant: str) -> Callable[[], None]:
    """One repetition is one call of `SAC.train` with the block's number of gradient steps."""
    torch.set_num_threads(1)
    model = SAC(
        "MlpPolicy",
        _Spaces(block),
        learning_rate=1e-3,
        batch_size=block.batch,
        gamma=0.97,
        device="cpu",
        buffer_size=block.utd * block.batch,
        policy_kwargs={"net_arch": list(block.hidden), "n_critics": block.critics},
    )
    model.set_logger(configure(None, []))
    batch = batch_of(block)
    assert model.replay_buffer is not None
    for i in range(block.utd):
        for j in range(block.batch):
            now, after = batch["observation"]["state"][i, j], batch["next_observation"]["state"][i, j]
            reward, done = batch["reward"][i, j], np.zeros(1)
            model.replay_buffer.add(now[None], after[None], batch["action"][i, j][None], reward[None], done, [{}])

    def run() -> None:
        model.train(gradient_steps=block.utd, batch_size=block.batch)

    for _ in range(2):
        run()
    return run


if __name__ == "__main__":
    serve(prepare)
