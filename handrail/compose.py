"""From the words on the command line to a checked configuration, with Hydra."""

import difflib
import re
from collections.abc import Sequence

from hydra import compose, initialize_config_module
from hydra.errors import ConfigCompositionException, HydraException, MissingConfigException, OverrideParseException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException, ValidationError

from actor.config import HANDS, HUMANS
from handrail.conf import schema
from learner.config import AGENTS
from wire.errors import UserError

GROUPS = {"env": ("sim", "ros", "gym"), "agent": tuple(AGENTS), "human": HUMANS}
_CHOSEN = {
    "env.kind": "env=sim|ros|gym",
    "agent.name": f"agent={'|'.join(AGENTS)}",
    "human.kind": f"human={'|'.join(HUMANS)}",
}
"""Keys that only say which option of a group was chosen."""
_ONLY = {"gym": ("env.id",), "ros": ("env.robot", "env.namespace", "env.remap")}
"""Keys that one kind of environment alone has."""
_HUMAN = {"sim": "script", "actor": "none"}
"""Who may take over where nothing is said, of the verbs with a policy that can be corrected."""


def compose_verb(verb: str, overrides: Sequence[str]) -> DictConfig:
    """The configuration of a verb.

    Args:
        verb: One of handrail.conf.schema.VERBS.
        overrides: Words of the form key=value, in Hydra's grammar.

    Raises:
        UserError: Naming the key, what was got, what is wanted, and the near miss.
    """
    schema.register()
    for word in overrides:
        _check_word(verb, word, overrides)
    try:
        with initialize_config_module("handrail.conf", version_base="1.3"):
            config = compose(verb, overrides=list(overrides))
            OmegaConf.resolve(config)
            missing = OmegaConf.missing_keys(config)
    except (HydraException, OmegaConfBaseException) as error:
        raise UserError(_explain(verb, error)) from error
    if missing:
        key = sorted(missing)[0]
        raise UserError(f"{key} must be given: handrail {verb} {key}=...; see handrail {verb} --help")
    return config


def keys_of(verb: str) -> dict[str, object]:
    """Every key of a verb with its default, flat: {"agent.utd": 8, ...}; of human.* those of a SpaceMouse."""
    schema.register()
    chosen = ["human=spacemouse"] if "human" in schema.VERBS[verb].__dataclass_fields__ else []
    with initialize_config_module("handrail.conf", version_base="1.3"):
        flat = _flat(OmegaConf.to_container(compose(verb, overrides=chosen)))
    return {key: value for key, value in flat.items() if key not in _CHOSEN}


def _check_word(verb: str, word: str, words: Sequence[str]) -> None:
    key, equals, value = word.partition("=")
    if not equals or not re.fullmatch(r"[A-Za-z_][\w.]*", key):
        raise UserError(f"arguments are written key=value, got {word}; see handrail {verb} --help")
    if key in _CHOSEN:
        raise UserError(f"{key} follows from {_CHOSEN[key]}; see handrail {verb} --help")
    for kind, keys in _ONLY.items():
        if key in keys and f"env={kind}" not in words:
            raise UserError(f"{key} goes with env={kind}; add env={kind}, or drop {word}")
    hands = [f"human={hand}" for hand in HANDS]
    if key == "human.skill":
        _check_skill(verb, word, words)
    elif key.startswith("human.") and verb != "teleop" and not set(hands) & set(words):
        raise UserError(f"{key} goes with {', '.join(hands)}; add one of them, or drop {word}")
    options = GROUPS.get(key)
    if options is not None and value not in options:
        raise UserError(f"{key} must be one of {', '.join(options)}, got {value}{_near(value, options)}")


def _check_skill(verb: str, word: str, words: Sequence[str]) -> None:
    if verb not in _HUMAN:
        raise UserError(f"human.skill is of those who correct a policy: handrail {' or '.join(_HUMAN)}; drop {word}")
    said = [each for each in words if each.startswith("human=")]
    if (said or [f"human={_HUMAN[verb]}"])[-1] == "human=script":
        return
    raise UserError(f"human.skill goes with human=script; {'say that instead' if said else 'add it'}, or drop {word}")


def _explain(verb: str, error: Exception) -> str:
    cause = error.__cause__
    found = re.search(r"Could not override '([^']+)'", str(error))
    if isinstance(error, ConfigCompositionException) and found:
        return _unknown_key(verb, found[1], cause)
    if isinstance(cause, ValidationError) or isinstance(error, ValidationError):
        detail = str(cause or error).splitlines()[0]
        override = re.search(r"override (\S+)", str(error))
        return f"{override[1] if override else 'a key'}: {detail}; see handrail {verb} --help"
    if isinstance(error, OverrideParseException | MissingConfigException):
        return f"{str(error).splitlines()[0]}; put quotes around values with special characters"
    return str(error).splitlines()[0]


def _unknown_key(verb: str, key: str, cause: BaseException | None) -> str:
    if isinstance(cause, ValidationError):
        return f"{key}: {str(cause).splitlines()[0]}"
    keys = keys_of(verb)
    groups = {name.partition(".")[0] for name in keys}
    return f"handrail {verb} has no key {key}{_near(key, [*keys, *groups])}; see handrail {verb} --help"


def _near(got: str, wanted: Sequence[str]) -> str:
    close = difflib.get_close_matches(got, wanted, n=1, cutoff=0.5)
    return f"; did you mean {close[0]}?" if close else ""


def _flat(values: object, prefix: str = "") -> dict[str, object]:
    if not isinstance(values, dict):
        return {prefix: values}
    found: dict[str, object] = {}
    for name, value in values.items():
        found |= _flat(value, f"{prefix}.{name}" if prefix else str(name))
    return found
