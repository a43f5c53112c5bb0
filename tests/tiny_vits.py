"""Real vision transformers, a few thousand random weights each, saved by transformers and computed by torch."""

from pathlib import Path
from typing import Any

import numpy as np

_SIZES = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}
_WIDE = {"intermediate_size": 24}
_TEXT = {**_SIZES, **_WIDE, "vocab_size": 10, "max_position_embeddings": 4}

KINDS = (
    *("dinov2", "dinov2 gated", "dinov2 with registers", "dinov3", "dinov3 gated"),
    *("siglip", "siglip vision", "siglip2", "siglip2 vision"),
)


def make_vit(kind: str, seed: int = 0) -> Any:
    """One of KINDS, with every parameter drawn at random: as they are made, scales are one and registers zero."""
    import torch
    import transformers as t

    seen = _SIZES | _WIDE | {"image_size": 24, "patch_size": 8}
    dinov2 = _SIZES | {"image_size": 21, "patch_size": 7, "mlp_ratio": 3}
    naflex = _SIZES | _WIDE | {"patch_size": 8, "num_patches": 9}
    made = {
        "dinov2": lambda: t.Dinov2Model(t.Dinov2Config(**dinov2)),
        "dinov2 gated": lambda: t.Dinov2Model(t.Dinov2Config(**dinov2, use_swiglu_ffn=True, qkv_bias=False)),
        "dinov2 with registers": lambda: t.Dinov2WithRegistersModel(
            t.Dinov2WithRegistersConfig(**dinov2, num_register_tokens=3)
        ),
        "dinov3": lambda: t.DINOv3ViTModel(t.DINOv3ViTConfig(**seen, num_register_tokens=3)),
        "dinov3 gated": lambda: t.DINOv3ViTModel(t.DINOv3ViTConfig(**seen, use_gated_mlp=True, hidden_act="silu")),
        "siglip": lambda: t.SiglipModel(t.SiglipConfig(vision_config=seen, text_config=_TEXT)),
        "siglip vision": lambda: t.SiglipVisionModel(t.SiglipVisionConfig(**seen)),
        "siglip2": lambda: t.Siglip2Model(t.Siglip2Config(vision_config=naflex, text_config=_TEXT)),
        "siglip2 vision": lambda: t.Siglip2VisionModel(t.Siglip2VisionConfig(**naflex)),
    }[kind]()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in made.named_parameters():
            drawn = torch.randn(parameter.shape, generator=generator) * 0.3
            parameter.copy_(drawn + 1 if "norm" in name and name.endswith("weight") else drawn)
    return made.eval()


def tokens_of(model: Any, pixels: np.ndarray) -> np.ndarray:
    """The patches' tokens (n, height, width, channels) of normalised pixels (n, side, side, 3), as torch has them."""
    import torch

    tower, patch = getattr(model, "vision_model", model), 7 if model.config.model_type.startswith("dinov2") else 8
    n, grid = len(pixels), pixels.shape[1] // patch
    with torch.no_grad():
        if tower.config.model_type == "siglip2_vision_model":
            patches = pixels.reshape(n, grid, patch, grid, patch, 3).transpose(0, 1, 3, 2, 4, 5)
            said = tower(
                torch.tensor(patches.reshape(n, grid * grid, -1), dtype=torch.float32),
                pixel_attention_mask=torch.ones(n, grid * grid, dtype=torch.int64),
                spatial_shapes=torch.full((n, 2), grid),
            )
        else:
            more = {"interpolate_pos_encoding": True} if "siglip" in tower.config.model_type else {}
            said = tower(torch.tensor(pixels.transpose(0, 3, 1, 2), dtype=torch.float32), **more)
    return said.last_hidden_state[:, -grid * grid :].reshape(n, grid, grid, -1).numpy()


def save(model: Any, folder: Path) -> Path:
    """As people get it."""
    model.save_pretrained(folder)
    return folder
