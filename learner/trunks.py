"""`python -m learner.trunks <config.json>`: train a frozen trunk on renders, or make one of a file of weights."""

import json
import logging
import sys
from pathlib import Path
from typing import Any

from learner.config import TrunkConfig
from wire.errors import UserError, plain, run_main
from wire.parent import end_with_parent


def main() -> int:
    """Do what the configuration says, and tell what came of it."""
    logging.basicConfig(format="%(asctime)s %(levelname)s %(message)s", level=logging.INFO)
    for noisy in ("absl", "jax", "OpenGL"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    values = json.loads(Path(sys.argv[1]).read_text())
    if "weights" in values:
        facts = convert(Path(values["weights"]), Path(values["out"]), image_size=int(values["image_size"]))
    else:
        from learner.pretrain import pretrain

        facts = pretrain(TrunkConfig(**values))
    sys.stdout.write(json.dumps(facts, indent=2) + "\n")
    return 0


def convert(weights: Path, out: Path, *, image_size: int) -> dict[str, Any]:
    """Make a trunk of a ResNet of basic blocks, from a safetensors file as timm or torchvision name its tensors.

    Raises:
        UserError: The file is not there or is no safetensors file.
        ArchitectureError: It holds another kind of net.
    """
    import safetensors
    import safetensors.numpy

    from networks import resnet, trunk

    try:
        state = safetensors.numpy.load_file(weights)
    except (OSError, safetensors.SafetensorError) as error:
        raise UserError(
            f"{weights} is no file of weights in the format of safetensors: {plain(error)}; files of pickle are never "
            "read: save them anew with safetensors.torch.save_file"
        ) from error
    if image_size % 32:
        raise UserError(f"a ResNet needs an image size that is a multiple of 32, got env.image_size={image_size}")
    trunk.save(out, trunk.Layout(family="resnet", image_size=image_size), resnet.tensors_of(state))
    made = trunk.load(out)
    return {"trunk": str(out), "digest": made.digest, "features": list(made.shape)}


if __name__ == "__main__":
    end_with_parent()
    sys.exit(run_main(main))
