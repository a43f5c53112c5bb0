"""`handrail archive`: from the words of the command line to what the archive's room is told."""

import dataclasses
import sys
import tempfile
import types
import typing
from collections.abc import Sequence
from dataclasses import MISSING
from pathlib import Path
from typing import Any

from handrail.local import run_room, write_json
from learner.archive import config
from wire.errors import UserError

USAGE = """usage: handrail archive <sub-verb> [path ...] [key=value ...] [--json]

  list     all runs of a folder:           handrail archive list runs task=pick_cube
  show     one run, with a picture:        handrail archive show runs/<run>
  stats    what the data is worth:         handrail archive stats runs task=pick_cube
  filter   which runs or episodes fit:     handrail archive filter runs like=runs/<run> success=true out=runs/good
  verify   check every step and frame:     handrail archive verify runs/<run>
  merge    several runs in one:            handrail archive merge runs/<run> runs/<run> out=runs/both
  prune    delete runs, after a dry run:   handrail archive prune runs max_steps=0
  describe keep facts with a run:          handrail archive describe runs/<run> calibration=cameras.yaml
  import   from other people's formats:    handrail archive import <path> format=lerobot out=runs/new task=pick_cube
  export   to other people's formats:      handrail archive export runs/<run> format=lerobot out=<dir>

A path is a run's folder, a file of demonstrations, or a folder of runs (default: runs).
handrail archive <sub-verb> --help lists the keys; --json prints one JSON document.
"""


def run_archive(words: list[str]) -> int:
    """Carry out `handrail archive <words>`; returns the exit code."""
    if not words or words[0] in ("--help", "-h", "help"):
        sys.stdout.write(USAGE)
        return 0
    verb, rest = words[0], words[1:]
    if verb not in config.VERBS:
        verbs = list(config.VERBS)
        raise UserError(f"handrail archive takes {', '.join(verbs)}, got {verb}{config.near(verb, verbs)}")
    if "--help" in rest or "-h" in rest:
        sys.stdout.write(_help(verb))
        return 0
    told = from_words(verb, rest)
    with tempfile.TemporaryDirectory() as folder:
        values = {"verb": verb, **dataclasses.asdict(told)}
        return run_room(["learner.archive", str(write_json(Path(folder) / "config.json", values))])


def from_words(verb: str, words: Sequence[str]) -> Any:
    """The configuration of a sub-verb from its command line: paths, key=value words and --json.

    Raises:
        UserError: Naming the word, what was got and what is wanted.
    """
    kind = config.VERBS[verb]
    types_of = typing.get_type_hints(kind)
    keys = [name for name in types_of if name != "paths"]
    values: dict[str, Any] = {}
    for word in words:
        key, equals, text = word.partition("=")
        if word == "--json":
            values["json"] = True
        elif word.startswith("-"):
            raise UserError(f"handrail archive {verb} takes key=value, paths and --json, got {word}")
        elif not equals:
            values.setdefault("paths", []).append(word)
        elif key in keys:
            values[key] = _value(key, text, types_of[key])
        else:
            raise UserError(f"handrail archive {verb} has no key {key}{config.near(key, keys)}; {_see(verb)}")
    return _made(verb, kind, values)


def _made(verb: str, kind: type[Any], values: dict[str, Any]) -> Any:
    """The configuration, where nothing is missing and its class finds nothing wrong."""
    needed = {each.name for each in dataclasses.fields(kind) if each.default is each.default_factory is MISSING}
    if "paths" in needed:
        values.setdefault("paths", [])
    for name in sorted(needed - values.keys()):
        raise UserError(f"{name} must be given: handrail archive {verb} ... {name}=...; {_see(verb)}")
    try:
        return kind(**values)
    except ValueError as error:
        raise UserError(str(error)) from error


def _see(verb: str) -> str:
    return f"see handrail archive {verb} --help"


def _value(key: str, text: str, kind: Any) -> Any:
    options = typing.get_args(kind) if isinstance(kind, types.UnionType) else (kind,)
    if type(None) in options and text in ("null", ""):
        return None
    if list[str] in options:
        return [part for part in text.strip("[]").split(",") if part]
    if bool in options:
        if text.lower() not in ("true", "false"):
            raise UserError(f"{key} must be true or false, got {text}")
        return text.lower() == "true"
    for number, word in ((int, "a whole number"), (float, "a number")):
        if number in options:
            try:
                return number(text)
            except ValueError:
                raise UserError(f"{key} must be {word}, got {text}") from None
    return text


def _help(verb: str) -> str:
    kind = config.VERBS[verb]
    keys = [
        f"  {each.name}={_default(each)}" for each in dataclasses.fields(kind) if each.name not in ("paths", "json")
    ]
    return "\n".join([f"{kind.__doc__}", "", "keys:", *keys, "", "docs/archive.md says what each means.", ""])


def _default(each: Any) -> str:
    if each.default_factory is not MISSING:
        return ",".join(each.default_factory())
    if each.default is MISSING or each.default is None:
        return "<must be given>" if each.default is MISSING else ""
    return str(each.default).lower() if isinstance(each.default, bool) else str(each.default)
