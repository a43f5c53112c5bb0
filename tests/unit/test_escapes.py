"""The bytes of a terminal as keys: arrows and single characters, and nothing of what other keys send."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actor.human.escapes import QUIET_S, KeyParser

ARROWS = {b"\x1b[A": "w", b"\x1b[B": "s", b"\x1b[C": "d", b"\x1b[D": "a"}
ARROWS |= {sequence.replace(b"[", b"O"): key for sequence, key in ARROWS.items()}
OTHERS = {
    "Shift+Up": b"\x1b[1;2A",
    "Alt+Left": b"\x1b[1;3D",
    "Ctrl+Right": b"\x1b[1;5C",
    "Alt+Up of rxvt": b"\x1b\x1b[A",
    "Shift+Up of rxvt": b"\x1b[a",
    "Ctrl+Left of rxvt": b"\x1bOd",
    "Shift+Up in application mode": b"\x1bO2A",
    "Home": b"\x1b[H",
    "End": b"\x1b[F",
    "End in application mode": b"\x1bOF",
    "End of a console": b"\x1b[4~",
    "Insert": b"\x1b[2~",
    "Page Down": b"\x1b[6~",
    "Shift+Tab": b"\x1b[Z",
    "F1": b"\x1bOP",
    "F2": b"\x1bOQ",
    "F1 of a console": b"\x1b[[A",
    "F5": b"\x1b[15~",
    "Shift+F12": b"\x1b[24;2~",
    "keypad 5": b"\x1bOu",
    "Alt+q": b"\x1bq",
    "Alt+Shift+O, then F5": b"\x1bO\x1b[15~",
    "focus": b"\x1b[I\x1b[O",
    "a click": b"\x1b[<0;12;7m",
    "the position of the cursor": b"\x1b[12;40R",
    "the colour of the background": b"\x1b]11;rgb:0f0f/ffff/dada\x1b\\",
    "a title": b"\x1b]2;quit\a",
    "what the terminal can do": b"\x1bP1+r6b=wasd\x1b\\",
    "a paste": b"\x1b[200~ls d\nwasd\x1b[Aq\x1b[201~",
}
PIECES = st.one_of(st.sampled_from([*ARROWS, *OTHERS.values(), b"\x1b", b"\x1b[", b"w", b"q"]), st.binary(max_size=4))


def parsed(*reads: bytes) -> list[str]:
    parser = KeyParser()
    return [key for data in reads for key in parser.feed(data, 50.0)]


@pytest.mark.parametrize(("sequence", "key"), ARROWS.items())
def test_an_arrow_is_one_key_wherever_a_read_ends(sequence: bytes, key: str):
    for at in range(len(sequence) + 1):
        assert parsed(b"y" + sequence[:at], sequence[at:] + b"n") == ["y", key, "n"]


@pytest.mark.parametrize("name", OTHERS)
def test_what_another_key_sends_is_no_key_and_the_next_one_counts(name: str):
    sequence = OTHERS[name]
    for at in range(len(sequence) + 1):
        assert parsed(sequence[:at], sequence[at:] + b"w") == ["w"]


@given(st.from_regex(rb"\x1b+(\[[0-?]*[ -/]*[@-Z\\-~]|O[0-9;]*[@-~]|[a-zA-Z])", fullmatch=True))
def test_no_sequence_gives_a_key_but_the_eight_of_the_arrows(sequence: bytes):
    # What opens a longer sequence is at its end only once that is over.
    whole = sequence + b"\a\x1b[201~"
    assert [key for key in parsed(whole) if key != "\a"] == ([ARROWS[sequence]] if sequence in ARROWS else [])


@given(st.lists(PIECES, max_size=12).map(b"".join), st.lists(st.integers(0, 60), max_size=8))
def test_a_stream_gives_the_same_keys_however_it_is_split(stream: bytes, cuts: list[int]):
    ends = sorted(min(cut, len(stream)) for cut in cuts)
    reads = [stream[start:end] for start, end in zip([0, *ends], [*ends, len(stream)], strict=True)]
    assert parsed(*reads) == parsed(stream)
    assert parsed(*(bytes([byte]) for byte in stream)) == parsed(stream)


@pytest.mark.parametrize("begun", [b"\x1b", b"\x1b\x1b", b"\x1b[", b"\x1b[1;", b"\x1bO", b"\x1b]11;", b"\x1b[200~ls"])
def test_what_never_comes_to_its_end_is_dropped_once_nothing_more_comes(begun: bytes):
    parser = KeyParser()
    assert [key for key in parser.feed(begun, 50.0) if key] == []
    assert parser.feed(b"[", 50.0 + QUIET_S) == []
    assert parser.feed(b"q", 50.0 + 2.1 * QUIET_S) == ["q"]


def test_capitals_are_themselves_and_a_letter_with_an_accent_is_no_letter_without():
    assert parsed(b"WQ") == ["W", "Q"]
    assert not set("wasdrfouikjlynxpqz ") & set(parsed("ẃäśđŵ€".encode()))


def test_a_sequence_without_end_takes_no_memory():
    parser = KeyParser()
    assert parser.feed(b"\x1b[" + b"1" * 100_000, 50.0) == []
    assert len(parser._sequence) < 10
    assert parser.feed(b"~w", 50.0) == ["w"]
