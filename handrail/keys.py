"""`handrail keys`: make keys, allow and revoke actors, and show who may speak to whom."""

import difflib
import sys
from collections.abc import Callable
from pathlib import Path

from wire.addresses import is_local
from wire.allowed import ALLOWED, AllowList, learner_keys
from wire.errors import UserError
from wire.keys import (
    LEARNER,
    KeyPair,
    KeyProblem,
    actor_keys,
    keys_folder,
    load_pair,
    make_pair,
    own_names,
    trust_learner,
    trusted_learner,
)

USAGE = """handrail keys: who may speak on the link between a learner's machine and a robot's.

One line is copied each way, from where it is printed to where it says:

  gpu$   handrail keys new learner                       prints the line for the robot's machine
  robot$ handrail keys new robot-1 learner=<public key>  prints the line for the learner's machine
  gpu$   handrail keys allow robot-1 <public key>

  new <name> [learner=<public key>]   make a key pair; the learner's is named learner, a robot's as you like
  allow <name> <public key>           let an actor in; with the name learner: actors here trust that learner
  revoke <name>                       let it in no more; a running learner puts it out within 5 s
  show                                the keys here, and whom this machine's learner lets in

Keys are in ~/.config/handrail/keys, or in the folder that HANDRAIL_KEYS names. A private key never leaves its machine.
"""


def run_keys(words: list[str]) -> int:
    """Carry out `handrail keys <words>`; returns the exit code."""
    if not words or words[0] in ("--help", "-h", "help") or "--help" in words or "-h" in words:
        sys.stdout.write(USAGE)
        return 0
    act = _VERBS.get(words[0])
    if act is None:
        near = difflib.get_close_matches(words[0], _VERBS, n=1)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise UserError(f"handrail keys takes {', '.join(_VERBS)}, got {words[0]}{hint}")
    sys.stdout.write(act(keys_folder(), words[1:]))
    return 0


def link_folder(address: str, chosen: str | None, *, insecure: bool) -> Path | None:
    """The folder of the keys that a link at this address uses, None where it uses none."""
    if chosen is None and (insecure or is_local(address)):
        return None
    return keys_folder() if chosen is None else Path(chosen).expanduser()


def require_learner_keys(address: str, folder: Path) -> None:
    """Check what a learner needs, and tell whoever starts it what to do next; raises UserError."""
    try:
        keys = learner_keys(folder)
    except KeyProblem as error:
        raise UserError(_needs_keys(address, error)) from error
    if not keys.allowed.names:
        sys.stderr.write(f"No actor is allowed yet. {_for_the_robot(keys.own)}")


def require_actor_keys(address: str, folder: Path, name: str | None) -> str:
    """Check what an actor needs and return its key's name; raises UserError."""
    try:
        return actor_keys(folder, name).own.name
    except KeyProblem as error:
        raise UserError(_needs_keys(address, error)) from error


def look_over(folder: Path) -> tuple[str, list[str]]:
    """What is in a folder of keys, in a few words, and what is wrong or missing, each with its cure."""
    names, problems = own_names(folder), []
    for name in names:
        try:
            load_pair(folder, name)
        except KeyProblem as error:
            problems.append(str(error))
    found = [f"{', '.join(names)} in {folder}"] if names else []
    if LEARNER in names:
        try:
            allowed = AllowList(folder / ALLOWED).names.values()
            found.append(f"the learner lets in {', '.join(allowed) or 'nobody'}")
            problems += [] if allowed else ["no actor is allowed yet: handrail keys show prints what to run"]
        except KeyProblem as error:
            problems.append(str(error))
    if any(name != LEARNER for name in names):
        try:
            trusted_learner(folder)
            found.append("actors know their learner")
        except KeyProblem as error:
            problems.append(str(error))
    return "; ".join(found), problems


def _needs_keys(address: str, error: KeyProblem) -> str:
    if is_local(address):
        return str(error)
    return f"{address} leaves this machine, so it needs keys: {error}; or set link.insecure=true on a network you trust"


def _new(folder: Path, words: list[str]) -> str:
    usage = "handrail keys new <name> [learner=<public key>]"
    name, *rest = words or [""]
    learner = rest[0].removeprefix("learner=") if rest else None
    if not name or "=" in name or len(rest) > 1 or (rest and learner == rest[0]):
        raise UserError(f"write {usage}, got {' '.join(words) or 'nothing'}")
    if name == LEARNER and learner is not None:
        raise UserError(f"learner= goes with a robot's key: handrail keys new robot-1 {rest[0]}; got the name learner")
    if learner is not None:
        trust_learner(folder, learner)
    pair = make_pair(folder, name)
    said = f"Made {folder / name}.key, which stays on this machine.\n"
    if name == LEARNER:
        return said + _for_the_robot(pair)
    if not (folder / f"{LEARNER}.pub").exists():
        said += (
            "Not known yet is the learner: run `handrail keys allow learner <public key>` here with the key that\n"
            "`handrail keys new learner` prints on its machine.\n"
        )
    return said + _for_the_learner(pair)


def _for_the_robot(learner: KeyPair) -> str:
    return f"On the robot's machine run (any name will do):\n\n  handrail keys new robot-1 learner={learner.public}\n\n"


def _for_the_learner(actor: KeyPair) -> str:
    return f"On the learner's machine run:\n\n  handrail keys allow {actor.name} {actor.public}\n\n"


def _allow(folder: Path, words: list[str]) -> str:
    if len(words) != 2:
        raise UserError(f"write handrail keys allow <name> <public key>, got {' '.join(words) or 'nothing'}")
    name, public = words
    if name == LEARNER:
        trust_learner(folder, public)
        return "Actors on this machine now know their learner by this key.\n"
    new = AllowList(folder / ALLOWED).add(name, public)
    said = f"{name} is allowed, in {folder / ALLOWED}.\n" if new else f"{name} is allowed already.\n"
    if not (folder / f"{LEARNER}.key").exists():
        said += (
            "This machine has no learner's key: did you mean to run this on the learner's? handrail keys new learner\n"
        )
    return said


def _revoke(folder: Path, words: list[str]) -> str:
    if len(words) != 1:
        raise UserError(f"write handrail keys revoke <name>, got {' '.join(words) or 'nothing'}")
    public = AllowList(folder / ALLOWED).remove(words[0])
    return (
        f"{words[0]} is let in no more; a running learner puts it out within 5 s. Its steps wait in its outbox.\n"
        f"To let it in again: handrail keys allow {words[0]} {public}\n"
    )


def _show(folder: Path, words: list[str]) -> str:
    if words:
        raise UserError(f"handrail keys show takes nothing more, got {words[0]}")
    names = own_names(folder)
    lines, next_steps = [f"keys in {folder}:"], []
    for name in names:
        try:
            pair = load_pair(folder, name)
        except KeyProblem as error:
            lines.append(f"  {name:16} unusable: {error}")
            continue
        lines.append(f"  {name:16} {pair.public}  (this machine's own)")
        next_steps.append(_for_the_robot(pair) if name == LEARNER else _for_the_learner(pair))
    if LEARNER not in names and (folder / f"{LEARNER}.pub").exists():
        lines.append(f"  {LEARNER:16} {trusted_learner(folder)}  (trusted by actors here)")
    if not names:
        lines.append("  none: run handrail keys new learner beside the GPU, then what it prints beside the robot")
    if LEARNER in names:
        lines.append("let in by the learner here:")
        allowed = AllowList(folder / ALLOWED).names
        lines += [f"  {name:16} {public}" for public, name in allowed.items()] or ["  nobody"]
    return "\n".join(lines) + "\n" + "".join(next_steps)


_VERBS: dict[str, Callable[[Path, list[str]], str]] = {"new": _new, "allow": _allow, "revoke": _revoke, "show": _show}
