"""The success classifier: is the task done, by these cameras' frames? Saved as safetensors and JSON."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import safetensors
import safetensors.torch
import torch

from rewards.calibration import Platt, sigmoid
from rewards.models import TENSORS, write_description
from rewards.network import Architecture, Network
from rewards.score import Batch, ModelError, Rule, Scores, require_inputs
from wire.errors import plain
from wire.files import write_atomically

KIND = "success"
_CHUNK = 256


class Description(msgspec.Struct, kw_only=True):
    """`model.json`: what the tensors beside it are, and how they are used."""

    kind: str
    version: str
    inputs: dict[str, tuple[int, ...]]
    architecture: Architecture
    platt: Platt
    rule: Rule
    facts: dict[str, Any] = {}
    """How it was trained, for people."""


class SuccessClassifier:
    """A RewardModel: calibrated probabilities of success."""

    kind = KIND

    def __init__(self, network: Any, inputs: Mapping[str, tuple[int, ...]], platt: Platt, rule: Rule) -> None:
        self.network: Any = network.eval()
        """A torch module whose `look` turns frames into logits, as `rewards.network.Network` does."""
        self.inputs = dict(inputs)
        self.platt = platt
        self.rule: Rule = rule
        self.version = self._digest()

    def log_odds(self, batch: Batch) -> np.ndarray:
        """Calibrated log-odds of success, float64 (n,); raises ModelError as `score` does."""
        return self.platt.log_odds(self.logits(batch))

    def logits(self, batch: Batch) -> np.ndarray:
        """What the network says, uncalibrated, float64 (n,); raises ModelError as `score` does."""
        n = require_inputs(self, batch)
        found = np.empty(n)
        with torch.inference_mode():
            for start in range(0, n, _CHUNK):
                part = {name: batch[name][start : start + _CHUNK] for name in self.inputs}
                found[start : start + _CHUNK] = self.network.look(part).double().numpy()
        if not np.isfinite(found).all():
            raise ModelError(f"the model {self.version} answers NaN or infinity; train it anew")
        return found

    def score(self, batch: Batch) -> Scores:
        """Judge n moments."""
        probability = sigmoid(self.log_odds(batch))
        return Scores(probability, np.abs(2.0 * probability - 1.0), self.version)

    def save(self, folder: Path, facts: Mapping[str, Any]) -> None:
        """Write tensors, then the description, without which the folder holds no model."""
        folder.mkdir(parents=True, exist_ok=True)
        write_atomically(folder / TENSORS, safetensors.torch.save(self._tensors()))
        write_description(folder, msgspec.to_builtins(self._described(facts)))

    def _described(self, facts: Mapping[str, Any]) -> msgspec.Struct:
        """What `model.json` says."""
        return Description(
            kind=KIND,
            version=self.version,
            inputs=self.inputs,
            architecture=self.network.architecture,
            platt=self.platt,
            rule=self.rule,
            facts=dict(facts),
        )

    def _tensors(self) -> dict[str, torch.Tensor]:
        return {name: tensor.contiguous() for name, tensor in self.network.state_dict().items()}

    def _identity(self) -> tuple[Any, ...]:
        """What makes it this model, besides its tensors."""
        return sorted(self.inputs.items()), self.platt, self.rule

    def _digest(self) -> str:
        """A version that any change of weights, calibration or rule changes."""
        digest = hashlib.sha256(repr(self._identity()).encode())
        for name, tensor in sorted(self._tensors().items()):
            digest.update(name.encode() + tensor.numpy().tobytes())
        return f"{self.kind}-{digest.hexdigest()[:12]}"


def load(folder: Path, description: dict[str, Any]) -> SuccessClassifier:
    """The classifier in a folder; raises ModelError where its files do not belong together or are damaged."""
    # A network this small gains nothing by more, and a robot's control loop may share these cores.
    torch.set_num_threads(1)
    try:
        told = msgspec.convert(description | {"format": None}, Description)
        network = Network(Architecture(*told.architecture))
        tensors = safetensors.torch.load((folder / TENSORS).read_bytes())
        if not all(torch.isfinite(tensor).all() for tensor in tensors.values()):
            raise ValueError("a tensor holds a NaN or an infinity")
        network.load_state_dict(tensors)
        problem = told.rule.problem()
        if problem is not None:
            raise ValueError(problem)
    except (OSError, ValueError, RuntimeError, TypeError, KeyError, safetensors.SafetensorError) as error:
        raise ModelError(
            f"the reward model in {folder} cannot be used: {plain(error)}; restore it from a copy, or train anew"
        ) from None
    model = SuccessClassifier(network, told.inputs, told.platt, told.rule)
    if model.version != told.version:
        raise ModelError(
            f"the reward model in {folder} is not the one that {told.version} was: its files were changed or mixed; "
            "restore them from a copy, or train anew"
        )
    return model
