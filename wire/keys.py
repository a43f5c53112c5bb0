"""Who may speak on the link: key pairs and the list of those who are allowed, as files that people can read and edit.

A machine keeps its keys in one folder:

    learner.key    private, 0600: on the learner's machine
    learner.pub    public: on both machines, so that an actor knows its learner
    robot-1.key    private, 0600: on the robot's machine, and its public half in robot-1.pub
    allowed        one line `<name> <public key>` for each actor that this machine's learner lets in

An actor is who the learner's own list says that its key is; what a peer says about itself counts for nothing.
"""

import base64
import binascii
import contextlib
import fcntl
import os
import re
import stat
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import zmq
from zmq.utils import z85

from wire.errors import UserError
from wire.files import write_atomically

LEARNER = "learner"
"""The name of every learner's key."""
PUBLIC, PRIVATE = "hrpub_", "hrsec_"
NAME = r"[a-z0-9][a-z0-9.-]{0,31}"
LIST_BYTES = 64 << 10
_RAW_BYTES = 32
_TEXT_LENGTH = 48
_NAME_RULE = "1 to 32 small letters, digits, dots and dashes, e.g. robot-1"


class KeyProblem(UserError, OSError):
    """A key or the list of allowed ones cannot be used; the text names the cure."""


@dataclass(frozen=True)
class KeyPair:
    """A key pair; `public` is what may be shown."""

    name: str
    public: str
    private: str = field(repr=False)


@dataclass(frozen=True)
class ActorKeys:
    """What an actor needs: its own pair, and its learner's public key."""

    own: KeyPair
    learner: str


def keys_folder() -> Path:
    """Where this machine's keys are: $HANDRAIL_KEYS, or handrail/keys where the user's configuration lies."""
    chosen = os.environ.get("HANDRAIL_KEYS")
    if chosen:
        return Path(chosen).expanduser()
    return Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "handrail" / "keys"


def encode_key(raw: bytes, kind: str) -> str:
    """A key as text that survives shells and chats: its kind, then key and checksum in base64 without padding."""
    checksum = zlib.crc32(kind.encode() + raw).to_bytes(4, "big")
    return kind + base64.urlsafe_b64encode(raw + checksum).decode()


def decode_key(text: str, kind: str) -> bytes:
    """The 32 bytes of a key.

    Raises:
        KeyProblem: Saying what is wrong with the text, without repeating it: it may be a private key.
    """
    word = {PUBLIC: "public", PRIVATE: "private"}
    other = PRIVATE if kind == PUBLIC else PUBLIC
    if text.startswith(other):
        raise KeyProblem(f"this is a {word[other]} key ({other}...), wanted is a {word[kind]} one ({kind}...)")
    rest = text.removeprefix(kind)
    if rest == text or len(rest) != _TEXT_LENGTH:
        raise KeyProblem(
            f"a {word[kind]} key is {kind} and {_TEXT_LENGTH} characters, got {len(text)} in all; copy the whole line"
        )
    with contextlib.suppress(binascii.Error, ValueError):
        data = base64.b64decode(rest, altchars=b"-_", validate=True)
        raw = data[:_RAW_BYTES]
        if encode_key(raw, kind) == text:
            return raw
    raise KeyProblem(f"the {word[kind]} key fails its checksum: a character was changed or lost; copy it again")


def make_pair(folder: Path, name: str) -> KeyPair:
    """Make a key pair and put it in the folder, which is created.

    Raises:
        KeyProblem: The name is none, the key is there already, or the folder cannot be written.
    """
    check_name(name)
    with changing(folder):
        path = folder / f"{name}.key"
        if path.exists():
            raise KeyProblem(
                f"{name} has a key already, in {path}: handrail keys show prints its public half; to replace it, move "
                "the file away first"
            )
        pair = _pair(name, z85.decode(zmq.curve_keypair()[1]))
        write_atomically(
            path, f"# Private key of {name}: never copy or show it.\n{pair.private}\n".encode(), mode=0o600
        )
        write_atomically(folder / f"{name}.pub", f"{name} {pair.public}\n".encode())
    return pair


def load_pair(folder: Path, name: str) -> KeyPair:
    """Read a key pair from its private key.

    Raises:
        KeyProblem: It is missing, truncated, malformed, or others may read it; the text names the cure.
    """
    path = folder / f"{name}.key"
    text = read_guarded(path, f"run handrail keys new {name}", forbidden=0o077, cure=f"chmod 600 {path}")
    lines = [line.strip() for line in text.splitlines() if line.strip() and not line.startswith("#")]
    try:
        return _pair(name, decode_key(lines[0] if len(lines) == 1 else "", PRIVATE))
    except KeyProblem as error:
        raise KeyProblem(f"{path} holds no private key: {error}, or move it away and run handrail keys new") from None


def own_names(folder: Path) -> list[str]:
    """The names of the private keys in a folder."""
    return sorted(path.stem for path in folder.glob("*.key"))


def actor_keys(folder: Path, name: str | None = None) -> ActorKeys:
    """The keys of one of this machine's actors, None: of the only one; raises KeyProblem, naming the cure."""
    if name is None:
        names = [own for own in own_names(folder) if own != LEARNER]
        if len(names) != 1:
            found = (
                f"holds the keys {', '.join(names)}: choose one with link.name=" if names else "holds no actor's key: "
            )
            cure = "" if names else "run handrail keys new learner on the learner's machine, then here what it prints"
            raise KeyProblem(f"{folder} {found}{cure}")
        name = names[0]
    return ActorKeys(load_pair(folder, name), trusted_learner(folder))


def trusted_learner(folder: Path) -> str:
    """The public key of the learner that this machine's actors trust; raises KeyProblem, naming the cure."""
    path = folder / f"{LEARNER}.pub"
    cure = "run handrail keys allow learner <public key> with the key that handrail keys show prints on its machine"
    text = read_guarded(path, cure, forbidden=0o022, cure=f"chmod 644 {path}")
    public = (text.split() or [""])[-1]
    try:
        decode_key(public, PUBLIC)
    except KeyProblem as error:
        raise KeyProblem(f"{path} holds no public key: {error}") from None
    return public


def trust_learner(folder: Path, public: str) -> None:
    """Let this machine's actors know their learner; raises KeyProblem."""
    decode_key(public, PUBLIC)
    with changing(folder):
        if (folder / f"{LEARNER}.key").exists() and load_pair(folder, LEARNER).public != public:
            raise KeyProblem(
                f"{folder} holds a learner's private key of its own; keep another learner's keys in another folder: "
                "HANDRAIL_KEYS=<folder> handrail keys ..."
            )
        write_atomically(folder / f"{LEARNER}.pub", f"{LEARNER} {public}\n".encode())


def _pair(name: str, private: bytes) -> KeyPair:
    public = z85.decode(zmq.curve_public(z85.encode(private)))
    return KeyPair(name, encode_key(public, PUBLIC), encode_key(private, PRIVATE))


def check_name(name: str) -> None:
    """Raise KeyProblem where this cannot name a key."""
    if not re.fullmatch(NAME, name):
        raise KeyProblem(f"a key's name is {_NAME_RULE}, got {name}")


def read_guarded(path: Path, missing: str, *, forbidden: int = 0, cure: str = "") -> str:
    """A small text file whose permissions are as they must be; raises KeyProblem."""
    try:
        with path.open("rb") as file:
            # Of the open file: what is looked at is what is read.
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            if mode & forbidden:
                deed = "read" if forbidden & 0o044 else "change"
                raise KeyProblem(f"{path} has mode {mode:04o}: others may {deed} it, so it is not used; {cure}")
            data = file.read(LIST_BYTES + 1)
        if forbidden and stat.S_IMODE(path.parent.stat().st_mode) & 0o022:
            raise KeyProblem(f"others may change what is in {path.parent}, so it is not used; chmod go-w {path.parent}")
    except KeyProblem:
        raise
    except FileNotFoundError:
        raise KeyProblem(f"there is no {path}: {missing}") from None
    except OSError as error:
        raise KeyProblem(f"cannot read {path}: {error.strerror}; check the permissions") from None
    if len(data) > LIST_BYTES:
        raise KeyProblem(f"{path} is larger than {LIST_BYTES} bytes; it holds something else")
    return data.decode(errors="replace")


@contextlib.contextmanager
def changing(folder: Path) -> Iterator[None]:
    """Create the folder, and keep other processes that change its files out."""
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        raise KeyProblem(f"cannot use the folder {folder}: {error.strerror}; set HANDRAIL_KEYS=<folder>") from None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    except KeyProblem:
        raise
    except OSError as error:
        raise KeyProblem(f"cannot write in {folder}: {error.strerror}; check the permissions") from None
    finally:
        os.close(descriptor)
