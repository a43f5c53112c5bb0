"""The learner's policy on its way to the actors and to disk: only what acts travels, never critics or optimisers."""

from pathlib import Path
from typing import Any

from learner.agents.base import Agent
from networks import parameters
from networks.architecture import Architecture
from networks.layers import Params
from wire.files import write_atomically
from wire.weights import Weights, encode_weights

POLICY_FILE = "policy.weights"
CRITIC_FILE = "critic.weights"
"""In a run's folder: its critics, which stay there. A robot that steers another policy by them reads the file."""


def encode_policy(params: Params, arch: Architecture, *, version: int, fingerprint: str) -> bytes:
    """The policy as verified bytes: version, spec fingerprint, architecture, tensors, digest."""
    tensors = parameters.flatten(params)
    return encode_weights(
        Weights(version=version, fingerprint=fingerprint, architecture=arch.to_json(), tensors=tensors)
    )


def leave_critics(run: Path, agent: Agent, state: Any, *, version: int, fingerprint: str) -> None:
    """Put a run's critics beside its policy, in the same form; nothing where the agent has none that rank actions."""
    judge = agent.judge(state)
    if judge is not None:
        data = encode_policy(judge.params, judge.arch, version=version, fingerprint=fingerprint)
        write_atomically(run / CRITIC_FILE, data)
