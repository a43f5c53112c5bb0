"""`handrail archive`: from the words of the command line to what the archive's room is told."""

import dataclasses
import difflib
import sys
import tempfile
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
        near = difflib.get_close_matches(verb, config.VERBS, n=1)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise UserError(f"handrail archive takes {', '.join(config.VERBS)}, got {verb}{hint}")
    if "--help" in rest or "-h" in rest:
        sys.stdout.write(_help(verb))
        return 0
    try:
        told = config.from_words(verb, rest)
    except ValueError as error:
        raise UserError(str(error)) from error
    with tempfile.TemporaryDirectory() as folder:
        values = {"verb": verb, **dataclasses.asdict(told)}
        return run_room(["learner.archive", str(write_json(Path(folder) / "config.json", values))])


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
