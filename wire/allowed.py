"""The list of the actors that a learner lets in, read again and again: what is revoked is out within seconds."""

import difflib
from dataclasses import dataclass
from pathlib import Path

from wire.files import write_atomically
from wire.keys import LEARNER, PUBLIC, KeyPair, KeyProblem, changing, check_name, decode_key, load_pair, read_guarded

ALLOWED = "allowed"
_HEADING = "# Actors that this machine's learner lets in: <name> <public key>. A change counts within seconds.\n"


class AllowList:
    """The list of whom a learner lets in, read anew whenever somebody asks: what was revoked is out at once."""

    def __init__(self, path: Path) -> None:
        """Read the list; raises KeyProblem where it is malformed or others may write it. No file is an empty list."""
        self.path = path
        self.problem = ""
        """Why nobody is allowed at present; empty where the list can be read."""
        self.names = self._load()
        """Public key -> name, as it was last read."""

    def refresh(self) -> None:
        """Read the list again. One that cannot be read lets nobody in, and `problem` says why."""
        try:
            self.names, self.problem = self._load(), ""
        except KeyProblem as error:
            self.names, self.problem = {}, str(error)

    def add(self, name: str, public: str) -> bool:
        """Allow a key under a name; False where it was allowed already. Raises KeyProblem where either is taken."""
        check_name(name)
        decode_key(public, PUBLIC)
        with changing(self.path.parent):
            names = self._load()
            if names.get(public) == name:
                return False
            if public in names:
                raise KeyProblem(
                    f"that key is allowed already, as {names[public]}: handrail keys revoke {names[public]}"
                )
            if name in names.values():
                raise KeyProblem(
                    f"{name} has another key already: handrail keys revoke {name}, or give this one another name"
                )
            text = self.path.read_text() if self.path.exists() else _HEADING
            self._write(text.rstrip("\n") + f"\n{name} {public}\n")
        return True

    def remove(self, name: str) -> str:
        """Take a name off the list and return its key; raises KeyProblem where it is not there."""
        with changing(self.path.parent):
            found = {name: public for public, name in self._load().items()}
            if name not in found:
                near = difflib.get_close_matches(name, found, n=1)
                hint = f"; did you mean {near[0]}?" if near else f"; allowed: {', '.join(sorted(found)) or 'nobody'}"
                raise KeyProblem(f"{name} is not in {self.path}{hint}")
            kept = [line for line in self.path.read_text().splitlines() if line.split()[:1] != [name]]
            self._write("".join(f"{line}\n" for line in kept))
        return found[name]

    def _write(self, text: str) -> None:
        write_atomically(self.path, text.encode(), mode=0o600)

    def _load(self) -> dict[str, str]:
        if not self.path.exists():
            return {}
        # Whoever may write the list decides who is let in.
        text = read_guarded(self.path, "check the disk", forbidden=0o022, cure=f"chmod 600 {self.path}")
        found: dict[str, str] = {}
        for number, line in enumerate(text.splitlines(), start=1):
            if not line.strip() or line.lstrip().startswith("#"):
                continue
            try:
                name, public = _entry(line)
                if public in found or name in found.values():
                    raise KeyProblem("its name or its key stands there twice; leave one")
            except KeyProblem as error:
                raise KeyProblem(f"nobody is let in: line {number} of {self.path} is wrong: {error}") from None
            found[public] = name
        return found


@dataclass(frozen=True)
class LearnerKeys:
    """What a learner needs: its own pair, and the list of whom it lets in."""

    own: KeyPair
    allowed: AllowList


def learner_keys(folder: Path) -> LearnerKeys:
    """The keys of this machine's learner; raises KeyProblem, naming the cure."""
    return LearnerKeys(load_pair(folder, LEARNER), AllowList(folder / ALLOWED))


def _entry(line: str) -> tuple[str, str]:
    words = line.split()
    if len(words) != 2:
        raise KeyProblem(f"it has {len(words)} words, wanted <name> <public key>")
    check_name(words[0])
    decode_key(words[1], PUBLIC)
    return words[0], words[1]
