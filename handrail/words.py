"""Words of the command line: key=value, and of verbs without a configuration of Hydra's one path and flags too."""

import difflib
from collections.abc import Collection
from pathlib import Path

from wire.errors import UserError


def by_key(words: list[str]) -> dict[str, str]:
    """Key -> value of the words that are key=value; the last one of a key counts."""
    return {key: value for key, equals, value in (word.partition("=") for word in words) if equals}


def sorted_words(
    verb: str, words: list[str], *, path: str, keys: Collection[str], flags: Collection[str] = ()
) -> dict[str, str]:
    """What each word says.

    Args:
        verb: What people typed before the words, for messages.
        words: Those after it.
        path: The key that a word without = stands for, e.g. run; it must be given, either way.
        keys: The other keys.
        flags: Words like --json, which stand for themselves.

    Returns:
        Key -> value; a flag that was given is its own value.

    Raises:
        UserError: Naming the word, what is wanted, and the near miss.
    """
    said: dict[str, str] = {}
    known = (path, *keys)
    for word in words:
        key, equals, value = word.partition("=")
        if word in flags:
            key, value = word, word
        elif word.startswith("-"):
            raise UserError(f"{verb} has no {word}{_near(word, flags)}; see {verb} --help")
        elif not equals:
            key, value = path, word
        elif key not in known:
            raise UserError(f"{verb} has no key {key}{_near(key, known)}; see {verb} --help")
        if key in said:
            raise UserError(f"{verb} takes one {key}, got {said[key]} and {value}")
        if not value:
            raise UserError(f"{key}= needs a value; see {verb} --help")
        said[key] = value
    if path not in said:
        raise UserError(f"{path} must be given: {verb} <{path}>; see {verb} --help")
    return said


def a_number(verb: str, key: str, text: str, least: int) -> int:
    """The whole number that a key's value is; raises UserError."""
    if not text.isdecimal() or int(text) < least:
        raise UserError(f"{verb}: {key} must be a whole number >= {least}, got {text}")
    return int(text)


def steps_file(path: Path, archive: str = "steps.sqlite") -> Path:
    """The file of steps that a path names: itself, or the archive in a run's folder; raises UserError."""
    found = path / archive if path.is_dir() else path
    if not found.is_file():
        what = f"{path} holds no {archive}" if path.is_dir() else f"there is no file {path}"
        raise UserError(f"{what}; name a file of demonstrations or the folder of a run")
    return found


def _near(word: str, known: Collection[str]) -> str:
    close = difflib.get_close_matches(word, known, n=1)
    return f"; did you mean {close[0]}?" if close else ""
