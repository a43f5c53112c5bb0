r"""From the bytes of a terminal to keys: only what a key sends as one character, and the arrows, is a key to us.

A terminal sends every other key as an escape sequence whose end is made of letters and digits. Read one by one these
would move the robot, so a sequence is taken whole, known or not, in however many pieces it comes: over ssh a read may
end in the middle of one. The forms are those of ECMA-48 and xterm:

    ESC [ ... letter or ~     CSI: arrows, F5 and above, Home, End, and with SHIFT, ALT, CTRL
    ESC O letter              SS3: arrows in application mode, F1 to F4
    ESC ] ... BEL or ESC \    OSC and its like: what a terminal answers to a program that asks it something
    ESC letter                ALT
    ESC ESC [ ...             ALT with an arrow, in some terminals
    ESC [ 200 ~ ... 201 ~     pasted text, where the terminal was asked to mark it
"""

ESCAPE = "\x1b"
QUIET_S = 0.25
"""How long a sequence or a paste may be silent before it is dropped. A person who presses ESC alone waits as long until
the next key counts; a link rarely keeps the rest of a sequence back for longer, and most such rests are no keys."""
_PASTE_BEGINS, _PASTE_ENDS = "\x1b[200~", "\x1b[201~"
_ARROWS = {f"\x1b{form}{end}": key for form in "[O" for end, key in zip("ABCD", "wsda", strict=True)}
"""Sequence -> the letter that it stands for."""
_INSIDE = {
    "": frozenset("[OPX]^_"),
    # Linux's console has a second [ in F1 to F5.
    "[": frozenset(map(chr, range(0x20, 0x40))) | {"["},
    "O": frozenset("0123456789;"),
    **dict.fromkeys("PX]^_", frozenset(map(chr, range(0x100))) - {"\a"}),
}
"""What a sequence opens with after ESC -> the characters after which it is not at its end."""
_KEPT = 8
"""Characters of a sequence that are remembered: more than the longest one that means something to us has."""


class KeyParser:
    """Remembers what is not at its end yet; a stream gives the same keys however it is split over reads."""

    def __init__(self) -> None:
        self._sequence = ""
        self._pasting = False
        self._heard_s = 0.0

    def feed(self, data: bytes, now_s: float) -> list[str]:
        """Take in what was read at monotonic time `now_s`; returns the keys pressed, one character each, in order.

        An arrow is w, a, s or d. A capital is itself, and so is everything else that is no part of a sequence.
        """
        if now_s - self._heard_s > QUIET_S:
            self._sequence, self._pasting = "", False
        self._heard_s = now_s
        # One character a byte: what is longer in UTF-8 has no byte that is a key.
        return [key for character in data.decode("latin-1") if (key := self._key(character))]

    def _key(self, character: str) -> str:
        """The key that is whole with this character; empty where none is."""
        if character == ESCAPE:
            # A second one is ALT's; in the middle of a sequence it breaks that off.
            self._sequence = ESCAPE * (1 + self._sequence.endswith(ESCAPE))
            return ""
        if not self._sequence:
            return "" if self._pasting else character
        opening = self._sequence.lstrip(ESCAPE)[:1]
        self._sequence = (self._sequence + character)[:_KEPT]
        if character in _INSIDE[opening]:
            return ""
        whole, self._sequence = self._sequence, ""
        if whole in (_PASTE_BEGINS, _PASTE_ENDS):
            self._pasting = whole == _PASTE_BEGINS
        return "" if self._pasting else _ARROWS.get(whole, "")
