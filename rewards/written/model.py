"""A reward that somebody wrote: a text, run in a process of its own, that says how well a state stands."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from rewards.models import write_description
from rewards.score import Batch, ModelError, Scores, require_inputs, stack
from rewards.written.sandbox import Sandbox, WrittenError
from wire.errors import plain
from wire.files import write_atomically
from wire.specs import EnvSpec
from wire.types import WRITTEN, Observation

KIND = WRITTEN
SOURCE = "reward.py"
LOWEST, HIGHEST = -1.0, 0.0
"""Of a reward: as far from the goal as can be, and the goal reached. Never above 0: an episode that ends because the
task is done would otherwise be the poorer for it, and a policy would rather linger."""
_CHUNK = 512


class Description(msgspec.Struct, kw_only=True):
    """`model.json`: what the text beside it looks at, and how it was tested."""

    kind: str
    version: str
    inputs: dict[str, tuple[int, ...]]
    facts: dict[str, Any] = {}
    """Who wrote it, for what, and the figures of its test."""


class WrittenReward:
    """A RewardModel of rewards from LOWEST to HIGHEST; what the text says beyond them counts as the nearer of them."""

    kind = KIND
    rule = None

    def __init__(self, source: str, inputs: Mapping[str, tuple[int, ...]], sandbox: Sandbox | None = None) -> None:
        self.source = source
        self.inputs = dict(inputs)
        self._sandbox = sandbox or Sandbox(source)
        self.version = version_of(source, self.inputs)

    def said(self, batch: Batch) -> np.ndarray:
        """What the text says of n states, float64 (n,), finite and otherwise as it is; raises ModelError."""
        n = require_inputs(self, batch)
        parts = [slice(start, start + _CHUNK) for start in range(0, n, _CHUNK)]
        found = [self._sandbox.values({name: batch[name][part] for name in self.inputs}) for part in parts]
        return np.concatenate([np.empty(0), *found])

    def score(self, batch: Batch) -> Scores:
        """The rewards of n states; a text has no doubts."""
        try:
            value = np.clip(self.said(batch), LOWEST, HIGHEST)
        except WrittenError as error:
            raise ModelError(f"the {self.kind} model {self.version} cannot judge these states: {error}") from None
        return Scores(value, np.ones(len(value)), self.version)

    def reward(self, observation: Observation) -> float:
        """Of the state after a step, for an environment whose time stands still meanwhile; raises ModelError."""
        return float(self.score(stack([observation], list(self.inputs))).value[0])

    def close(self) -> None:
        """End its process; it is started again when somebody asks."""
        self._sandbox.close()

    def save(self, folder: Path, facts: Mapping[str, Any]) -> None:
        """Write the text, then the description, without which the folder holds no model."""
        folder.mkdir(parents=True, exist_ok=True)
        write_atomically(folder / SOURCE, self.source.encode())
        described = Description(kind=KIND, version=self.version, inputs=self.inputs, facts=dict(facts))
        write_description(folder, msgspec.to_builtins(described))


def version_of(source: str, inputs: Mapping[str, tuple[int, ...]]) -> str:
    """A version that any change of the text, or of what it looks at, changes."""
    digest = hashlib.sha256(repr(sorted(inputs.items())).encode() + source.encode())
    return f"{KIND}-{digest.hexdigest()[:12]}"


def seen(spec: EnvSpec) -> dict[str, tuple[int, ...]]:
    """What a written reward may look at: the vectors of an observation, by name."""
    return {name: array.shape for name, array in sorted(spec.observation.items()) if len(array.shape) == 1}


def understood(source: str, spec: EnvSpec) -> WrittenReward:
    """The reward in a text, which looks at what its parameters name.

    Raises:
        WrittenError: It is none that is run, or a parameter is no observation of `spec`.
    """
    available = seen(spec)
    # One that an editor of another system has saved is the same text.
    source = with_plain_line_ends(source)
    sandbox = Sandbox(source)
    unknown = [name for name in sandbox.parameters if name not in available]
    if unknown:
        sandbox.close()
        raise WrittenError(f"there is no observation {unknown[0]}; there are {', '.join(available) or 'none'}")
    return WrittenReward(source, {name: available[name] for name in sandbox.parameters}, sandbox)


def with_plain_line_ends(source: str) -> str:
    """A text whose lines all end in a line feed alone."""
    return source.replace("\r\n", "\n").replace("\r", "\n")


def load(folder: Path, description: dict[str, Any]) -> WrittenReward:
    """The reward in a folder; raises ModelError where its text is not the one that was tested."""
    try:
        told = msgspec.convert(description | {"format": None}, Description)
        source = (folder / SOURCE).read_bytes().decode("utf-8")
        if version_of(source, told.inputs) != told.version:
            # A copy by way of another system may have got other line ends; what else was changed shows below.
            source = with_plain_line_ends(source)
        model = WrittenReward(source, told.inputs)
    except (OSError, ValueError) as error:
        raise ModelError(
            f"the written reward in {folder} cannot be used: {plain(error)}; restore it from a copy, or write it anew"
        ) from None
    if model.version != told.version:
        raise ModelError(
            f"{folder / SOURCE} is not the text that was tested as {told.version}: a text that was changed is another "
            f"reward; test it: handrail rewards write source={folder / SOURCE} out=<another folder>"
        )
    return model
