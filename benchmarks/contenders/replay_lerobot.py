"""LeRobot's replay as its learner makes it (`pip install lerobot==0.4.4`): float32 pictures, shifted when drawn.

`variant`: how many transitions it holds, and then `plain`: without the shift, which others do in the update.
"""

import sys
import types
from collections.abc import Callable

import numpy as np
import torch
from blocks import Block
from worker import resident_bytes, serve


def prepare(block: Block, variant: str) -> Callable[[], dict[str, float]]:
    """One repetition is one minibatch."""
    # torchvision of another build than torch's registers operators that this torch lacks; none of them is used here.
    sys.modules["torchvision._meta_registrations"] = types.ModuleType("_meta_registrations")
    from lerobot.rl.buffer import ReplayBuffer

    torch.set_num_threads(1)
    words = variant.split()
    count, before = int(words[0]), resident_bytes()
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 256, (64, 3, block.image, block.image), np.uint8)
    buffer = ReplayBuffer(count, device="cpu", storage_device="cpu", optimize_memory=True, use_drq="plain" not in words)
    seen = observation(block, noise, rng)
    for number in range(count):
        following = observation(block, noise, rng)
        last = number % 50 == 49
        action = torch.zeros((1, block.action))
        buffer.add(seen, action, float(last), following, done=last, truncated=False)
        seen = following
    size = (resident_bytes() - before) / count

    def run() -> dict[str, float]:
        buffer.sample(block.batch)
        return {"bytes_per_step": size}

    run()
    return run


def observation(block: Block, noise: np.ndarray, rng: np.random.Generator) -> dict[str, torch.Tensor]:
    """As its processors give it: pictures (1, 3, h, w) in 0..1, single precision."""
    seen = {"observation.state": torch.from_numpy(rng.standard_normal((1, block.vector), np.float32))}
    for i in range(block.cameras):
        picture = torch.from_numpy(noise[rng.integers(64)][None])
        seen[f"observation.images.camera_{i}"] = picture.float() / 255.0
    return seen


if __name__ == "__main__":
    serve(prepare)
