"""A reward learned from preferences: an ensemble that says how well a picture stands. Saved as safetensors and JSON."""

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np
import safetensors
import safetensors.torch
import torch

from rewards.models import TENSORS, write_description
from rewards.network import Architecture, Network
from rewards.score import Batch, ModelError, Scores, require_inputs
from wire.errors import plain
from wire.files import write_atomically

KIND = "preference"
_CHUNK = 256


class Scale(NamedTuple):
    """What makes rewards of the networks' outputs, whose zero and unit preferences leave open."""

    mean: tuple[float, ...]
    """Of each member, over the frames that were compared."""
    std: tuple[float, ...]
    low: float
    """Of the ensemble's mean in those units: what is worth -1."""
    high: float
    """What is worth 0."""


class Description(msgspec.Struct, kw_only=True):
    """`model.json`: what the tensors beside it are, and how they are used."""

    kind: str
    version: str
    inputs: dict[str, tuple[int, ...]]
    architecture: Architecture
    scale: Scale
    facts: dict[str, Any] = {}
    """How it was trained, for people."""


class PreferenceReward:
    """A RewardModel of rewards from -1, the worst that was compared, to 0, the best.

    Never above 0: an episode that ends because the task is done would otherwise be the poorer for it, and a policy
    would rather linger.
    """

    kind = KIND
    rule = None

    def __init__(self, members: Sequence[Network], inputs: Mapping[str, tuple[int, ...]], scale: Scale) -> None:
        self.members = [member.eval() for member in members]
        self.inputs = dict(inputs)
        self.scale = scale
        self.version = self._digest()

    def outputs(self, batch: Batch) -> np.ndarray:
        """What each member says, in its own units, float64 (members, n); raises ModelError as `score` does."""
        n = require_inputs(self, batch)
        found = np.empty((len(self.members), n))
        with torch.inference_mode():
            for start in range(0, n, _CHUNK):
                part = slice(start, start + _CHUNK)
                # All members are of one architecture.
                frames = self.members[0].prepared({name: batch[name][part] for name in self.inputs})
                for index, member in enumerate(self.members):
                    found[index, part] = member(frames).double().numpy()
        if not np.isfinite(found).all():
            raise ModelError(f"the model {self.version} answers NaN or infinity; train it anew")
        return found

    def score(self, batch: Batch) -> Scores:
        """The rewards of n moments; confidence falls as the members disagree."""
        scale = self.scale
        units = (self.outputs(batch) - np.array(scale.mean)[:, None]) / np.array(scale.std)[:, None]
        reward = np.clip((units.mean(0) - scale.high) / (scale.high - scale.low), -1.0, 0.0)
        return Scores(reward, np.clip(1.0 - units.std(0), 0.0, 1.0), self.version)

    def save(self, folder: Path, facts: Mapping[str, Any]) -> None:
        """Write tensors, then the description, without which the folder holds no model."""
        folder.mkdir(parents=True, exist_ok=True)
        write_atomically(folder / TENSORS, safetensors.torch.save(self._tensors()))
        described = Description(
            kind=KIND,
            version=self.version,
            inputs=self.inputs,
            architecture=self.members[0].architecture,
            scale=self.scale,
            facts=dict(facts),
        )
        write_description(folder, msgspec.to_builtins(described))

    def _tensors(self) -> dict[str, torch.Tensor]:
        return {
            f"{index}.{name}": tensor.contiguous()
            for index, member in enumerate(self.members)
            for name, tensor in member.state_dict().items()
        }

    def _digest(self) -> str:
        """A version that any change of weights or scale changes."""
        digest = hashlib.sha256(repr((sorted(self.inputs.items()), self.scale)).encode())
        for name, tensor in sorted(self._tensors().items()):
            digest.update(name.encode() + tensor.numpy().tobytes())
        return f"{KIND}-{digest.hexdigest()[:12]}"


def scaled(members: Sequence[Network], batch: Mapping[str, np.ndarray]) -> PreferenceReward:
    """The reward of trained members, whose scale is that of a batch of the frames that were compared."""
    inputs = {name: column.shape[1:] for name, column in batch.items()}
    ones = (1.0,) * len(members)
    raw = PreferenceReward(members, inputs, Scale((0.0,) * len(members), ones, -1.0, 0.0)).outputs(batch)
    mean, std = raw.mean(1), np.maximum(raw.std(1), 1e-6)
    units = ((raw - mean[:, None]) / std[:, None]).mean(0)
    # A percent at either end is left to outliers, which would squeeze all others together.
    low, high = np.quantile(units, (0.01, 0.99))
    scale = Scale(tuple(map(float, mean)), tuple(map(float, std)), float(low), float(max(high, low + 1e-3)))
    return PreferenceReward(members, inputs, scale)


def load(folder: Path, description: dict[str, Any]) -> PreferenceReward:
    """The reward in a folder; raises ModelError where its files do not belong together or are damaged."""
    # Networks this small gain nothing by more, and a robot's control loop may share these cores.
    torch.set_num_threads(1)
    try:
        told = msgspec.convert(description | {"format": None}, Description)
        tensors = safetensors.torch.load((folder / TENSORS).read_bytes())
        if not all(torch.isfinite(tensor).all() for tensor in tensors.values()):
            raise ValueError("a tensor holds a NaN or an infinity")
        members = []
        for index in range(len(told.scale.mean)):
            network = Network(Architecture(*told.architecture))
            own = {name.partition(".")[2]: each for name, each in tensors.items() if name.startswith(f"{index}.")}
            network.load_state_dict(own)
            members.append(network)
        model = PreferenceReward(members, told.inputs, told.scale)
    except (OSError, ValueError, RuntimeError, TypeError, KeyError, safetensors.SafetensorError) as error:
        raise ModelError(
            f"the reward model in {folder} cannot be used: {plain(error)}; restore it from a copy, or train anew"
        ) from None
    if model.version != told.version:
        raise ModelError(
            f"the reward model in {folder} is not the one that {told.version} was: its files were changed or mixed; "
            "restore them from a copy, or train anew"
        )
    return model
