"""Models on disk: a folder of `model.json`, which says what it is, and `model.safetensors`. Nothing is executed."""

import importlib
import json
from pathlib import Path
from typing import Any

from rewards.score import ModelError, RewardModel
from wire.errors import plain
from wire.files import write_atomically

DESCRIPTION, TENSORS = "model.json", "model.safetensors"
FORMAT = 1
TRAINED_ON = "trained_on"
"""Key of a model's facts: stream, first and last number of the steps of each episode that it knows."""
KINDS = {
    "success": "rewards.success",
    "vlm": "rewards.vlm_success",
    "pair": "rewards.pair",
    "preference": "rewards.preference",
    "written": "rewards.written.model",
}
"""Kind of model -> the module that has `load(folder, description) -> RewardModel` for it."""


def load_model(folder: Path) -> RewardModel:
    """The model in a folder.

    Raises:
        ModelError: There is none, or it is damaged, newer than this version or of an unknown kind.
    """
    description = read_description(folder)
    kind = description.get("kind")
    if kind not in KINDS:
        raise ModelError(f"{folder} holds a model of kind {plain(kind)}, known are {', '.join(KINDS)}; update Handrail")
    # From a table above, never from the file.
    return importlib.import_module(KINDS[kind]).load(folder, description)


def read_description(folder: Path) -> dict[str, Any]:
    """What a model's folder says of itself; raises ModelError."""
    path = folder / DESCRIPTION
    if not path.is_file():
        raise ModelError(
            f"there is no reward model in {folder} ({DESCRIPTION} is missing); train one: "
            f"handrail rewards train runs=[runs/<run>] out={folder}"
        )
    try:
        description = json.loads(path.read_bytes())
    except ValueError as error:
        raise ModelError(f"{path} is damaged: {plain(error)}; restore it from a copy, or train anew") from None
    if not isinstance(description, dict):
        raise ModelError(f"{path} is damaged: it holds no object; restore it from a copy, or train anew")
    if description.get("format") != FORMAT:
        raise ModelError(
            f"{path} has format {plain(description.get('format'))}, this version reads {FORMAT}; update Handrail"
        )
    return description


def write_description(folder: Path, description: dict[str, Any]) -> None:
    """Write it, last of all: a folder without one holds no model."""
    text = json.dumps({"format": FORMAT} | description, indent=2)
    write_atomically(folder / DESCRIPTION, (text + "\n").encode())
