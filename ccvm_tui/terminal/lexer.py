"""Division of a terminal's input into keys, reports and pastes, without decoding them.

The lexer neither changes nor drops bytes: the pieces that it returns are the input. ``ccvm_tui.terminal.input`` decodes
them. Sources: ECMA-48; xterm's ctlseqs.
"""

import re
from enum import Enum, auto
from typing import Final, NamedTuple

from ccvm_tui.terminal import paste

PARAMETERS_MAX: Final = 4096
"""The longest parameters of a control sequence, in bytes. The kitty protocol reports composed text in them."""

STRING_MAX: Final = 65_500
"""The longest content of a string (OSC, DCS, APC, PM, SOS), in bytes. More is treated as typed text."""


class Kind(Enum):
    """The kind of a piece of input."""

    TEXT = auto()
    """One or more characters that are no control characters. Some bytes may not be UTF-8."""
    CONTROL = auto()
    """One control character."""
    ALT = auto()
    """ESC and one character: Alt and a key, or Escape followed by that key."""
    SEQUENCE = auto()
    """A control sequence (CSI), a single-shift character (SS3), or one of these after an ESC, as rxvt sends for Alt."""
    STRING = auto()
    """A string: OSC, DCS, APC, PM or SOS."""
    PASTE_START = auto()
    """The opening bracket of a paste."""
    PASTE = auto()
    """A part of a paste."""
    PASTE_END = auto()
    """The last part of a paste. All parts of a paste together end with the closing bracket."""
    CUT = auto()
    """The beginning of a sequence or of a character, of which no more was received."""


class Piece(NamedTuple):
    """A piece of input."""

    kind: Kind
    data: bytes


_TEXT: Final = rb"[^\x00-\x1f\x7f]+"
_CHARACTER: Final = rb"[\xc2-\xdf][\x80-\xbf]|[\xe0-\xef][\x80-\xbf]{2}|[\xf0-\xf4][\x80-\xbf]{3}|[\x00-\xff]"
_CUT_CHARACTER: Final = rb"[\xc2-\xdf]|[\xe0-\xef][\x80-\xbf]?|[\xf0-\xf4][\x80-\xbf]{0,2}"
_PARAMETERS: Final = rb"[0-?]{0,%d}[ -/]{0,4}" % PARAMETERS_MAX
_CONTENT: Final = rb"[]P_^X][^\x07\x18\x1a\x1b]{0,%d}" % STRING_MAX
# After a second ESC only keys that rxvt sends: Escape may also be pressed just before a report or a paste arrives.
_SEQUENCE: Final = (
    rb"\x1b\[M[\x20-\xff]{3}"  # X10 mouse
    rb"|\x1b\[" + _PARAMETERS + rb"[@-~]"
    rb"|\x1b\x1b\[(?:[0-9]{0,2}(?:;[0-9]{1,3})?)[A-FHPQSZ~]"
    rb"|\x1b{1,2}O[A-FHMP-SXa-dj-y]"
)
_pieces: Final = re.compile(
    rb"(?P<TEXT>%s)|(?P<STRING>\x1b%s(?:\x07|\x1b\\))|(?P<SEQUENCE>%s)|(?P<ALT>\x1b(?!\x1b)(?:%s))|(?P<CONTROL>.)"
    % (_TEXT, _CONTENT, _SEQUENCE, _CHARACTER),
    re.DOTALL,
)
_cut: Final = re.compile(
    rb"\x1b(?:\x1b?(?:\[%s|O)?|\[M[\x20-\xff]{0,2}|%s\x1b?|%s)\Z" % (_PARAMETERS, _CONTENT, _CUT_CHARACTER), re.DOTALL
)
_cut_character: Final = re.compile(rb"(?:%s)\Z" % _CUT_CHARACTER)
_first_character: Final = re.compile(_CHARACTER, re.DOTALL)
_KINDS: Final = {kind.name: kind for kind in Kind}


class InputLexer:
    """A parser that divides input into pieces, wherever the input is cut.

    The beginning of a sequence or of a character is held back until the rest is received. ``held`` are these bytes.
    Call ``flush`` if no more input follows within a short time, because a lone ESC is the Escape key. ``pasting`` is
    true within a paste, of which nothing is held back.
    """

    def __init__(self) -> None:
        self.held = b""
        self.pasting = False
        self._paste_tail = b""

    def feed(self, data: bytes) -> list[Piece]:
        """Add input and return the pieces that are complete."""
        data, self.held = self.held + data, b""
        pieces: list[Piece] = []
        at = 0
        while at < len(data):
            if self.pasting:
                at = self._paste(data, at, pieces)
            elif data.startswith(paste.START, at):
                pieces.append(Piece(Kind.PASTE_START, paste.START))
                self.pasting = True
                at += len(paste.START)
            elif data[at] == 0x1B and _cut.match(data, at):
                self.held = data[at:]
                break
            else:
                at = self._piece(data, at, pieces)
        return pieces

    def flush(self) -> list[Piece]:
        """Return the bytes that were held back, as the keys that they can be, or else as a ``CUT`` piece."""
        held, self.held = self.held, b""
        pieces: list[Piece] = []
        while held:
            if held == b"\x1b" or held.startswith(b"\x1b\x1b"):
                pieces.append(Piece(Kind.CONTROL, held[:1]))
                held = held[1:]
            elif held[0] == 0x1B and ((len(held) == 2 and held[1] < 0x80) or held[1] in b"]P_^X"):
                pieces.append(Piece(Kind.ALT, held[:2]))
                rest = InputLexer()
                pieces += rest.feed(held[2:]) + rest.flush()
                break
            else:
                pieces.append(Piece(Kind.CUT, held))
                break
        return pieces

    def end_paste(self) -> None:
        """Treat the input from now on as typed, because the closing bracket of a paste was lost."""
        self.pasting = False
        self._paste_tail = b""

    def _piece(self, data: bytes, at: int, pieces: list[Piece]) -> int:
        match = _pieces.match(data, at)
        assert match is not None  # any byte is text or a control character
        assert match.lastgroup is not None
        end = match.end()
        if match.lastgroup == "TEXT" and end == len(data) and (cut := _cut_character.search(data, max(at, end - 3))):
            end = cut.start()
            self.held = data[end:]
        if end > at:
            pieces.append(Piece(_KINDS[match.lastgroup], data[at:end]))
        return match.end()

    def _paste(self, data: bytes, at: int, pieces: list[Piece]) -> int:
        """Return a part of a paste at once, and keep what may be the beginning of the closing bracket."""
        part = data[at:]
        seen = self._paste_tail + part
        found = seen.find(paste.END)
        if found < 0:
            pieces.append(Piece(Kind.PASTE, part))
            self._paste_tail = seen[-(len(paste.END) - 1) :]
            return len(data)
        end = at + found + len(paste.END) - len(self._paste_tail)
        pieces.append(Piece(Kind.PASTE_END, data[at:end]))
        self.end_paste()
        return end


def first_character(data: bytes) -> bytes:
    """Return the first character of a ``TEXT`` piece, or its first byte if that is not UTF-8."""
    match = _first_character.match(data)
    return match[0] if match is not None else b""
