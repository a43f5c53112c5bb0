"""What a task is known to be learned with, for whoever says nothing else (figures in docs/experiments.md)."""

import sys
from collections.abc import Mapping

from handrail.words import by_key

_AGENT = {
    ("peg_insert", "state"): {"agent.target_entropy_per_dim": "-1.5", "agent.bc_weight": "30"},
    ("peg_insert", "pixels"): {"agent.target_entropy_per_dim": "-1.5", "agent.bc_weight": "100"},
}
"""Of agent=rlpd: here a sampled action of the usual spread hits the rim."""
_STEPS = {("peg_insert", "state"): "4000", ("peg_insert", "pixels"): "10000"}
_SIGHT = {"peg_insert": {"env.image_size": "128", "agent.encoder": "trunk"}}
"""From pictures, with the trunk that comes with the package: 64 pixels do not show a millimetre."""
_SEEING = ("env.image_size", "agent.encoder", "agent.trunk")


def with_suited(verb: str, words: list[str]) -> list[str]:
    """These words after those that suit the task they name, which are said on standard error; what is said wins."""
    keys = by_key(words)
    # A resumed run goes on with what it began with; demonstrations that are added to are told anew.
    resumed = verb != "demos" and keys.get("resume", "").lower() == "true"
    found = {} if resumed else suited(verb, keys)
    suiting = [f"{key}={value}" for key, value in found.items()]
    if suiting:
        said = " ".join(suiting)
        sys.stderr.write(f"{keys['task']} is learned with {said}, unless you say otherwise (docs/tasks.md)\n")
    return [*suiting, *words]


def suited(verb: str, keys: Mapping[str, str]) -> dict[str, str]:
    """What goes with the task of these keys and is not among them; empty for most tasks."""
    task, obs, simulated = keys.get("task", ""), keys.get("obs", "pixels"), keys.get("env", "sim") == "sim"
    sight = _SIGHT.get(task, {}) if simulated and obs == "pixels" and not any(key in keys for key in _SEEING) else {}
    if verb == "demos":
        found = {key: value for key, value in sight.items() if key.startswith("env.")}
    elif verb not in ("sim", "learner") or keys.get("agent", "rlpd") != "rlpd":
        return {}
    else:
        found = dict(_AGENT.get((task, obs), {}))
        if verb == "sim" and simulated:
            found |= sight | ({"steps": _STEPS[task, obs]} if (task, obs) in _STEPS else {})
    return {key: value for key, value in found.items() if key not in keys}
