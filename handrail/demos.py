"""`handrail demos show|check` and `handrail report`: look at what was recorded."""

import difflib
import sys
import tempfile
from pathlib import Path

from handrail.demos_check import check
from handrail.local import run_room, write_json
from handrail.words import a_number, sorted_words, steps_file
from wire.errors import UserError

SUBVERBS = ("record", "show", "check")

USAGE = """handrail demos: record demonstrations, look at them, and judge them.

  demos record --script|human=...   record; handrail demos record --help lists the keys
  demos show <path>                 a picture of the episodes, and a video where there are images
  demos check <path>                spec, rate, idle steps, duplicates, success and more; verdicts and cures
"""

_SHOW = """Draw the episodes of a file of demonstrations, or of a run.

examples:
  handrail demos show demos.sqlite                        demos.png: a row of pictures for each of 20 episodes
  handrail demos show demos.sqlite episode=3              every picture of episode 3
  handrail demos show demos.sqlite video=demos.mp4        and a video of them
  handrail demos show runs/<run> episodes=40 out=run.png  the last 40 episodes of a run

keys:
  path=         a file of demonstrations, or the folder of a run; the word path= may be left out
  out=          the picture; <path>.png beside the file where it is not given. Without images: the tool's paths
  video=        an .mp4, at the speed of the robot
  episodes=20   at most so many, the last ones
  episode=      this one alone; counted from 0 in the order in which they ended
"""

_CHECK = """Judge a file of demonstrations, or a run. Exit code 0: fit to learn from; 1: something of it is bad.

examples:
  handrail demos check demos.sqlite
  handrail demos check runs/<run> --json
  handrail demos check demos.sqlite against=runs/<run> json=check.json

keys:
  path=         a file of demonstrations, or the folder of a run; the word path= may be left out
  against=      another such file or run: whether both are of one spec, and what differs
  json=         write the verdicts to this file
  --json        print them as one JSON document
"""

_REPORT = """When the human helped in a run, how success moved, and what that says about helping now.

Works for a run that is under way, that has ended, or that crashed. Writes report.md and report.png.

examples:
  handrail report runs/<run>
  handrail report run=runs/<run> --json

keys:
  run=          the folder of the run; the word run= may be left out
  out=          the folder to write to; the run's own where it is not given
  json=         write the numbers to this file
  --json        print them as one JSON document
"""
_HELP = ("--help", "-h")


def run_demos(words: list[str]) -> int | None:
    """Carry out `handrail demos show|check`; None where it is record, which has a configuration to compose."""
    if not words:
        raise UserError(f"handrail demos takes {', '.join(SUBVERBS)}, got nothing; see handrail demos --help")
    if words[0] in _HELP:
        sys.stdout.write(f"{USAGE}\n")
        return None
    if words[0] not in SUBVERBS:
        near = difflib.get_close_matches(words[0], SUBVERBS, n=1)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise UserError(f"handrail demos takes {', '.join(SUBVERBS)}, got {words[0]}{hint}")
    if words[0] == "record":
        return None
    if set(_HELP) & set(words):
        sys.stdout.write(_SHOW if words[0] == "show" else _CHECK)
        return 0
    return _show(words[1:]) if words[0] == "show" else _check(words[1:])


def run_report(words: list[str]) -> int:
    """Carry out `handrail report`."""
    if set(_HELP) & set(words):
        sys.stdout.write(_REPORT)
        return 0
    verb = "handrail report"
    said = sorted_words(verb, words, path="run", keys=("out", "json"), flags=("--json",))
    told = {
        "run": said["run"],
        "out": said.get("out", said["run"]),
        "json": "-" if "--json" in said else said.get("json"),
    }
    return _run_told(["learner.report"], told)


def _show(words: list[str]) -> int:
    verb = "handrail demos show"
    said = sorted_words(verb, words, path="path", keys=("out", "video", "episodes", "episode"))
    path = Path(said["path"])
    told = {
        "out": said.get("out", str(path.with_suffix(".png") if path.is_file() else path / "episodes.png")),
        "video": said.get("video"),
        "episodes": a_number(verb, "episodes", said.get("episodes", "20"), 1),
        "episode": a_number(verb, "episode", said["episode"], 0) if "episode" in said else None,
        "path": str(steps_file(path)),
    }
    return _run_told(["actor", "show"], told)


def _check(words: list[str]) -> int:
    said = sorted_words("handrail demos check", words, path="path", keys=("against", "json"), flags=("--json",))
    return check(
        steps_file(Path(said["path"])),
        against=steps_file(Path(said["against"])) if "against" in said else None,
        as_json="--json" in said,
        json_path=Path(said["json"]) if "json" in said else None,
    )


def _run_told(room: list[str], told: dict[str, object]) -> int:
    with tempfile.TemporaryDirectory() as folder:
        return run_room([*room, str(write_json(Path(folder) / "config.json", told))])
