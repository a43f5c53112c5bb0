"""`python -m learner.trunks <config.json>`: train a frozen trunk on renders, or make one of a file of weights."""

import json
import logging
import math
import sys
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import safetensors.numpy

from learner import vit_weights
from learner.config import TrunkConfig
from learner.vit_config import kind_of
from networks import resnet, trunk
from networks.trunk import Layout
from wire.errors import UserError, plain, run_main
from wire.parent import end_with_parent


def main() -> int:
    """Do what the configuration says, and tell what came of it."""
    logging.basicConfig(format="%(asctime)s %(levelname)s %(message)s", level=logging.INFO)
    for noisy in ("absl", "jax", "OpenGL"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    values = json.loads(Path(sys.argv[1]).read_text())
    if "weights" in values:
        sizes = {key: values[key] for key in ("image_size", "resolution")}
        facts = convert(Path(values["weights"]), Path(values["out"]), **sizes)
    else:
        from learner.pretrain import pretrain

        facts = pretrain(TrunkConfig(**values))
    sys.stdout.write(json.dumps(facts, indent=2) + "\n")
    return 0


def convert(weights: Path, out: Path, *, image_size: int, resolution: int | None = None) -> dict[str, Any]:
    """Make a trunk of somebody else's weights.

    Args:
        weights: A safetensors file of a ResNet of basic blocks, as timm or torchvision name its tensors; or a vision
            transformer's, or its folder, as transformers saves them: beside its config.json.
        out: The trunk's file.
        image_size: Height and width of the cameras' pictures, pixels.
        resolution: Those at which a vision transformer looks at them; None: the next multiple of its patches' size.

    Raises:
        UserError: There is no such file, or it is no safetensors file.
        ArchitectureError: It holds another kind of net.
    """
    files = _files(weights)
    config = files[0].with_name("config.json")
    # What timm leaves beside its weights has this name too, and no kind of model in it.
    if config.is_file() and kind_of(config) is not None:
        layout, tensors = _transformer(files, image_size=image_size, resolution=resolution)
    elif weights.is_dir():
        raise UserError(f"{weights} has no config.json of transformers; without one, name the file of a ResNet")
    else:
        layout, tensors = _resnet(weights, image_size=image_size, resolution=resolution)
    trunk.save(out, layout, tensors)
    made = trunk.load(out)
    # Of one view, in half precision.
    kept = {"bytes_per_frame": 2 * math.prod(made.shape)}
    return {"trunk": str(out), "digest": made.digest, "features": list(made.shape)} | kept


def _files(weights: Path) -> list[Path]:
    """The file that is meant, or those in the folder that is."""
    if weights.is_file():
        return [weights]
    files = sorted(weights.glob("model*.safetensors"))
    if not files:
        raise UserError(
            f"{weights} is neither a safetensors file nor a folder with a model.safetensors in it; files of pickle are "
            "never read: save them anew with save_pretrained of transformers, or safetensors.torch.save_file"
        )
    return files


def _transformer(files: list[Path], *, image_size: int, resolution: int | None) -> tuple[Layout, dict[str, np.ndarray]]:
    how, tensors = vit_weights.read(files, image_size=image_size, resolution=resolution)
    return Layout(family="vit", image_size=image_size, transformer=how), tensors


def _resnet(weights: Path, *, image_size: int, resolution: int | None) -> tuple[Layout, dict[str, np.ndarray]]:
    if resolution is not None:
        raise UserError(
            f"resolution={resolution} is for vision transformers, and {weights} has no config.json of one beside it; a "
            "ResNet looks at pictures as they are: set env.image_size"
        )
    try:
        state = safetensors.numpy.load_file(weights)
    except (OSError, safetensors.SafetensorError) as error:
        raise UserError(
            f"{weights} is no file of weights in the format of safetensors: {plain(error)}; files of pickle are never "
            "read: save them anew with safetensors.torch.save_file"
        ) from error
    if image_size % 32:
        raise UserError(f"a ResNet needs an image size that is a multiple of 32, got env.image_size={image_size}")
    return Layout(family="resnet", image_size=image_size), resnet.tensors_of(state)


if __name__ == "__main__":
    end_with_parent()
    sys.exit(run_main(main))
