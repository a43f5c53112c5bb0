"""LeRobot's SAC as its learner updates it (`pip install lerobot==0.4.4`): its classes, in the order of rl/learner.py.

With a trunk, its frozen ResNet-10 looks at every sampled batch; without one, its own small net is trained. Pictures are
float32, as its buffer gives them, and shifted with its own function.
"""

import sys
import tempfile
import types
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from blocks import Block, batch_of
from torch.nn.utils import clip_grad_norm_
from worker import serve

_RATE, _DISCOUNT = 1e-3, 0.97


def prepare(block: Block, variant: str) -> Callable[[], None]:
    """One repetition is `utd` critic steps, and one step of actor and temperature."""
    # torchvision of another build than torch's registers operators that this torch lacks; none of them is used here.
    sys.modules["torchvision._meta_registrations"] = types.ModuleType("_meta_registrations")
    from lerobot.rl.buffer import random_shift

    torch.set_num_threads(1)
    torch.manual_seed(0)
    policy = policy_of(block)
    adams = {
        "critic": torch.optim.Adam(policy.critic_ensemble.parameters(), lr=_RATE),
        "actor": torch.optim.Adam(
            [p for name, p in policy.actor.named_parameters() if not name.startswith("encoder")], lr=_RATE
        ),
        "temperature": torch.optim.Adam([policy.log_alpha], lr=_RATE),
    }
    drawn = batch_of(block)
    minibatches = [minibatch(drawn, i) for i in range(block.utd)]

    def step(batch: dict[str, Any], model: str, parameters: Any) -> None:
        adams[model].zero_grad()
        policy.forward(batch, model=model)[f"loss_{model}"].backward()
        clip_grad_norm_(parameters, policy.config.grad_clip_norm)
        adams[model].step()

    def run() -> None:
        for ready in minibatches:
            batch = dict(ready)
            for side in ("state", "next_state"):
                batch[side] = {
                    name: random_shift(value, 4) if "image" in name else value for name, value in ready[side].items()
                }
            if block.trunk:
                with torch.no_grad():
                    encode = policy.actor.encoder.get_cached_image_features
                    batch["observation_feature"] = encode(batch["state"])
                    batch["next_observation_feature"] = encode(batch["next_state"])
            step(batch, "critic", policy.critic_ensemble.parameters())
            policy.update_target_networks()
        step(batch, "actor", policy.actor.parameters())
        step(batch, "temperature", [policy.log_alpha])

    for _ in range(2):
        run()
    return run


def policy_of(block: Block) -> Any:
    """Its policy with the block's sizes."""
    from lerobot.configs.types import FeatureType, PolicyFeature
    from lerobot.policies.sac.configuration_sac import SACConfig
    from lerobot.policies.sac.modeling_sac import SACPolicy

    frame = PolicyFeature(FeatureType.VISUAL, (3, block.image, block.image))
    seen = {f"observation.images.camera_{i}": frame for i in range(block.cameras)}
    config = SACConfig(
        input_features=seen | {"observation.state": PolicyFeature(FeatureType.STATE, (block.vector,))},
        output_features={"action": PolicyFeature(FeatureType.ACTION, (block.action,))},
        device="cpu",
        vision_encoder_name=resnet10() if block.trunk else None,
        freeze_vision_encoder=block.trunk,
        latent_dim=block.embedding,
        num_critics=block.critics,
        discount=_DISCOUNT,
        use_backup_entropy=False,
        use_torch_compile=False,
    )
    return SACPolicy(config).train()


def resnet10() -> str:
    """A folder with a ResNet-10 of random weights, as transformers reads it."""
    from transformers import ResNetConfig, ResNetModel

    folder = tempfile.mkdtemp()
    sizes = [64, 128, 256, 512]
    ResNetModel(
        ResNetConfig(embedding_size=64, hidden_sizes=sizes, depths=[1, 1, 1, 1], layer_type="basic")
    ).save_pretrained(folder)
    return folder


def minibatch(drawn: dict[str, Any], i: int) -> dict[str, Any]:
    """The i-th of a block's minibatches with its names and layout."""

    def observation(seen: dict[str, np.ndarray]) -> dict[str, torch.Tensor]:
        found = {"observation.state": torch.tensor(seen["state"][i])}
        for name in seen:
            if name != "state":
                pictures = torch.tensor(seen[name][i]).permute(0, 3, 1, 2).contiguous()
                found[f"observation.images.{name}"] = pictures.float() / 255.0
        return found

    return {
        "state": observation(drawn["observation"]),
        "next_state": observation(drawn["next_observation"]),
        "action": torch.tensor(drawn["action"][i]),
        "reward": torch.tensor(drawn["reward"][i]),
        "done": torch.tensor(1.0 - drawn["mask"][i]),
    }


if __name__ == "__main__":
    serve(prepare)
