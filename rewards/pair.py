"""Two success classifiers as one: which of them judges a state depends on what the observation `goal` says is wanted.

For tasks that go there and back without resets (docs/tasks.md). Everything that serves, labels and shapes takes one
model with one threshold; here that is even odds, from which each of the two is as far as from its own.
"""

import hashlib
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from envs.tasks.pick_and_return import PickAndReturn
from rewards.calibration import sigmoid
from rewards.config import PairConfig
from rewards.models import DESCRIPTION, load_model, write_description
from rewards.score import Batch, ModelError, Rule, Scores, require_inputs
from rewards.success import SuccessClassifier

KIND = "pair"
GOAL = "goal"
WAYS = ("forward", "backward")


class Pair:
    """A RewardModel: the probability of success of what is wanted, on a scale on which both thresholds are one half."""

    kind = KIND

    def __init__(self, forward: SuccessClassifier, backward: SuccessClassifier) -> None:
        """Judge by `forward` where goal[0] is 1, and by `backward` elsewhere.

        Raises:
            ModelError: Their rules cannot be one, or they look at cameras of the same name and another shape.
        """
        self._models = (forward, backward)
        for model in self._models:
            if model.rule.gate is not None:
                raise ModelError(f"{model.version} has a gate, and a pair has none: train it without gate=")
        counts = [(model.rule.k, model.rule.n) for model in self._models]
        if counts[0] != counts[1]:
            raise ModelError(
                f"the two want k of n frames, but not the same: {counts[0]} and {counts[1]}; train one anew"
            )
        for name in forward.inputs.keys() & backward.inputs.keys():
            if forward.inputs[name] != backward.inputs[name]:
                raise ModelError(f"the two look at {name} of {forward.inputs[name]} and of {backward.inputs[name]}")
        self.inputs = {**forward.inputs, **backward.inputs, GOAL: PickAndReturn.goal.shape}
        self.rule: Rule | None = Rule(0.5, *counts[0])
        versions = "".join(model.version for model in self._models)
        self.version = f"{KIND}-{hashlib.sha256(versions.encode()).hexdigest()[:12]}"

    def score(self, batch: Batch) -> Scores:
        """Judge n moments."""
        n = require_inputs(self, batch)
        forward = batch[GOAL][:, 0] > 0.5
        log_odds = np.empty(n)
        for model, mine in zip(self._models, (forward, ~forward), strict=True):
            if mine.any():
                threshold = model.rule.threshold
                found = model.log_odds({name: batch[name][mine] for name in model.inputs})
                log_odds[mine] = found - np.log(threshold / (1.0 - threshold))
        probability = sigmoid(log_odds)
        return Scores(probability, np.abs(2.0 * probability - 1.0), self.version)


class _Description(msgspec.Struct, kw_only=True):
    kind: str
    version: str
    facts: dict[str, Any] = {}


def pair(config: PairConfig) -> Pair:
    """Put two models, copied, into `config.out` as one; raises ModelError where they are none, or none together."""
    out = Path(config.out)
    if (out / DESCRIPTION).exists():
        raise ModelError(f"{out} holds a model already, and models never change; name another folder with out=")
    sources = {"forward": Path(config.forward), "backward": Path(config.backward)}
    made = Pair(*(_classifier(folder) for folder in sources.values()))
    for way, folder in sources.items():
        shutil.copytree(folder, out / way, dirs_exist_ok=True)
    facts = {way: str(folder) for way, folder in sources.items()}
    write_description(out, msgspec.to_builtins(_Description(kind=KIND, version=made.version, facts=facts)))
    return made


def load(folder: Path, description: Mapping[str, Any]) -> Pair:
    """The pair in a folder; raises ModelError where one of the two cannot be used, or is not the one it was."""
    made = Pair(*(_classifier(folder / way) for way in WAYS))
    if made.version != description.get("version"):
        raise ModelError(f"the two models in {folder} are not those that were paired; pair them again")
    return made


def _classifier(folder: Path) -> SuccessClassifier:
    model = load_model(folder)
    if not isinstance(model, SuccessClassifier):
        raise ModelError(f"{folder} holds a model of kind {model.kind}; a pair is of two success classifiers")
    return model
