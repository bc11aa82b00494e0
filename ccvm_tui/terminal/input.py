"""Decoding of a terminal's input: key strokes, mouse events, pastes, focus changes and replies to queries.

The parser keeps everything that a terminal can report, because the program in a guest needs all of it. It does no I/O
and has no clock: the caller decides how long to wait for the rest of a sequence.

Sources: ECMA-48; xterm's ctlseqs; the kitty keyboard protocol; rxvt's key sequences.
"""

import re
from dataclasses import dataclass, replace
from typing import Final

from ccvm_tui.terminal.keys import ALT, CODE_NAMES, CTRL, FUNCTION_KEYS, LOCKS, PRESS, RELEASE, REPEAT, SHIFT, Stroke
from ccvm_tui.terminal.lexer import InputLexer, Kind, Piece
from ccvm_tui.terminal.paste import END as PASTE_END


@dataclass(frozen=True, slots=True)
class Mouse:
    """A mouse event. ``code`` is xterm's button code (see ``terminal.mouse``); ``x`` and ``y`` are cells, from 0."""

    code: int
    x: int
    y: int
    pressed: bool


@dataclass(frozen=True, slots=True)
class Paste:
    """A bracketed paste."""

    data: bytes


@dataclass(frozen=True, slots=True)
class Focus:
    """A change of the terminal's focus."""

    gained: bool


@dataclass(frozen=True, slots=True)
class Report:
    """A reply to a query, or another report of the terminal.

    ``kind`` is the final character with the characters before and after the parameters (``?u``, ``?$y``), or ``osc``,
    ``dcs`` or ``string``. ``text`` contains the parameters or the string.
    """

    kind: str
    text: str


Token = Stroke | Mouse | Paste | Focus | Report
"""A decoded piece of input."""

PASTE_MAX: Final = 64 << 20
"""The bytes of a paste that are kept. The beginning of a longer paste is dropped."""

_TILDE: Final = {
    1: "home", 2: "insert", 3: "delete", 4: "end", 5: "pageup", 6: "pagedown", 7: "home", 8: "end", 11: "f1",
    12: "f2", 13: "f3", 14: "f4", 15: "f5", 17: "f6", 18: "f7", 19: "f8", 20: "f9", 21: "f10", 23: "f11",
    24: "f12", 25: "f13", 26: "f14", 28: "f15", 29: "f16", 31: "f17", 32: "f18", 33: "f19", 34: "f20",
}  # fmt: skip
_LETTER: Final = {
    "A": "up", "B": "down", "C": "right", "D": "left", "E": "begin", "F": "end", "H": "home", "P": "f1",
    "Q": "f2", "R": "f3", "S": "f4",
}  # fmt: skip
_SS3: Final = (
    _LETTER
    | {"M": "kp_enter", "X": "kp_equal", "j": "kp_multiply", "k": "kp_add", "l": "kp_separator", "m": "kp_subtract",
       "n": "kp_decimal", "o": "kp_divide"}
    | {chr(ord("p") + digit): f"kp_{digit}" for digit in range(10)}
)  # fmt: skip
_RXVT_CTRL: Final = {"a": "up", "b": "down", "c": "right", "d": "left"}
assert FUNCTION_KEYS.issuperset((*_TILDE.values(), *_SS3.values()))

_CONTROL_NAMES: Final = {0x1B: "escape", 0x0D: "enter", 0x09: "tab", 0x7F: "backspace"}
_STRINGS: Final = {b"]": "osc", b"P": "dcs"}
_CSI: Final = re.compile(rb"\x1b\[([<=>?]?)([0-9;:]*)([ -/]*)([@-~])")


class InputParser:
    """A parser of input, which may be cut anywhere."""

    def __init__(self) -> None:
        self._lexer = InputLexer()
        self._paste = bytearray()

    @property
    def waiting(self) -> bool:
        """True while the beginning of a sequence or of a character is held back. Call ``flush`` if no more follows."""
        return bool(self._lexer.held)

    @property
    def maybe_a_key(self) -> bool:
        """True if the held bytes can be a key: Escape, or Alt with one of the characters that begin sequences.

        Anything longer is a sequence or a character that a slow line has cut.
        """
        rest = self._lexer.held.lstrip(b"\x1b")
        return not rest or (len(rest) == 1 and rest[0] < 0x80)

    def feed(self, data: bytes) -> list[Token]:
        """Add input and return the tokens that are complete."""
        return self._tokens(self._lexer.feed(data))

    def flush(self) -> list[Token]:
        """Return the held bytes as keys. A part of a sequence or of a character is dropped: no key was pressed."""
        return self._tokens(self._lexer.flush())

    def _tokens(self, pieces: list[Piece]) -> list[Token]:
        found: list[Token] = []
        for piece in pieces:
            if piece.kind in (Kind.PASTE, Kind.PASTE_END):
                self._paste += piece.data
                if len(self._paste) > PASTE_MAX + len(PASTE_END):
                    del self._paste[: len(self._paste) - PASTE_MAX - len(PASTE_END)]
                if piece.kind is Kind.PASTE_END:
                    found.append(Paste(bytes(self._paste.removesuffix(PASTE_END))))
                    self._paste.clear()
            else:
                found += tokens(piece)
        return found


def tokens(piece: Piece) -> list[Token]:
    """Return the tokens of a piece. A piece of a paste and a sequence with an unknown meaning have none."""
    match piece.kind:
        case Kind.TEXT:
            # Bytes that are not UTF-8 are ignored, because no key sends them.
            return [_typed(character) for character in piece.data.decode("utf-8", "ignore")]
        case Kind.CONTROL:
            return [_control(piece.data[0])]
        case Kind.ALT:
            return _alt(piece.data)
        case Kind.SEQUENCE:
            token = _sequence(piece.data)
            return [] if token is None else [token]
        case Kind.STRING:
            end = 1 if piece.data.endswith(b"\x07") else 2
            return [Report(_STRINGS.get(piece.data[1:2], "string"), piece.data[2:-end].decode("utf-8", "replace"))]
    return []


def is_report(piece: Piece) -> bool:
    """Return whether a piece is a report of the terminal, rather than a key or a part of a paste."""
    if piece.kind is Kind.SEQUENCE:
        return isinstance(_sequence(piece.data), Mouse | Focus | Report)
    return piece.kind is Kind.STRING


def _typed(character: str, modifiers: int = 0) -> Stroke:
    lower = character.lower()
    shift = SHIFT if lower != character and len(lower) == 1 else 0
    return Stroke(lower if shift else character, modifiers | shift, "" if modifiers & ALT else character)


def _control(code: int, modifiers: int = 0) -> Stroke:
    if code in _CONTROL_NAMES:
        return Stroke(_CONTROL_NAMES[code], modifiers)
    return Stroke(" " if code == 0 else chr(code | 0x40).lower(), modifiers | CTRL)


def _alt(data: bytes) -> list[Token]:
    character = data[1:].decode("utf-8", "ignore")
    if not character:
        return []
    if character < " " or character == "\x7f":
        return [_control(ord(character), ALT)]
    return [replace(_typed(character, ALT), raw=data)]


def _sequence(data: bytes) -> Token | None:
    if data.startswith(b"\x1b\x1b"):
        inner = _sequence(data[1:])
        return replace(inner, modifiers=inner.modifiers | ALT, text="", raw=b"") if isinstance(inner, Stroke) else None
    if data.startswith(b"\x1bO"):
        letter = data[2:].decode("ascii")
        return Stroke(_SS3[letter]) if letter in _SS3 else Stroke(_RXVT_CTRL[letter], CTRL)
    if data.startswith(b"\x1b[M"):
        return _x10_mouse(data[3:]) if len(data) > 3 else None
    match = _CSI.fullmatch(data)
    if match is None:
        return None
    prefix, numbers, middle, final = (part.decode("ascii") for part in match.groups())
    if prefix == "<" and final in "Mm":
        return _sgr_mouse(numbers, final)
    if prefix or middle or final in "nt" or (final == "x" and numbers) or (final == "R" and _is_position(numbers)):
        return Report(prefix + middle + final, numbers)
    if final in "IO" and not numbers:
        return Focus(final == "I")
    return _urxvt_mouse(numbers) if final == "M" else _key(numbers, final)


def _is_position(numbers: str) -> bool:
    """Return whether the parameters of CSI R are a cursor position rather than those of F3 with modifiers (1;2–16)."""
    row, _, column = numbers.partition(";")
    return column.isdigit() and not (row == "1" and 2 <= int(column) <= 16)


def _x10_mouse(values: bytes) -> Mouse:
    code, x, y = (value - 32 for value in values)
    return _mouse(code, x, y, (code & 3) != 3 or bool(code & 96))


def _sgr_mouse(numbers: str, final: str) -> Mouse | None:
    parts = numbers.split(";")
    if len(parts) != 3 or not all(part.isdigit() for part in parts):
        return None
    code, x, y = map(int, parts)
    return _mouse(code, x, y, final == "M")


def _urxvt_mouse(numbers: str) -> Mouse | None:
    parts = numbers.split(";")
    if len(parts) != 3 or not all(part.isdigit() for part in parts):
        return None
    code, x, y = int(parts[0]) - 32, int(parts[1]), int(parts[2])
    return _mouse(code, x, y, (code & 3) != 3 or bool(code & 96)) if code >= 0 else None


def _mouse(code: int, column: int, row: int, pressed: bool) -> Mouse:
    return Mouse(code, max(0, column - 1), max(0, row - 1), pressed)


def _key(numbers: str, final: str) -> Stroke | None:
    """Decode a key of xterm, of modifyOtherKeys or of the kitty protocol. Return None for any other sequence."""
    fields = [[int(part) if part else 0 for part in field.split(":")] for field in numbers.split(";")]
    first = fields[0]
    modifiers, action = 0, PRESS
    if len(fields) > 1:
        modifiers = max(0, fields[1][0] - 1)
        action = fields[1][1] if len(fields[1]) > 1 and fields[1][1] in (PRESS, REPEAT, RELEASE) else PRESS
    if final == "u":
        return _kitty(first, modifiers, action, fields[2] if len(fields) > 2 else [])
    if final == "~":
        if first[0] == 27 and len(fields) > 2:  # modifyOtherKeys: CSI 27 ; modifiers ; code ~
            return _kitty(fields[2][:1], modifiers, PRESS, [])
        name = _TILDE.get(first[0])
        raw = f"\x1b[{numbers}~".encode() if action == PRESS else b""
        return Stroke(name, modifiers, "", action, raw=raw) if name else None
    if final == "Z":
        return Stroke("tab", modifiers | SHIFT, "", action)
    if final in _LETTER:
        return Stroke(_LETTER[final], modifiers, "", action)
    return None


def _kitty(codes: list[int], modifiers: int, action: int, text_codes: list[int]) -> Stroke | None:
    code = codes[0]
    text = "".join(chr(value) for value in text_codes if value >= 0x20 and _is_character(value))
    shifted, base = (value if _is_character(value) else 0 for value in (*codes[1:3], 0, 0)[:2])
    if code in CODE_NAMES:
        return Stroke(CODE_NAMES[code], modifiers, text, action, shifted, base)
    if not _is_character(code) or 0xE000 <= code < 0xF900:  # private use without a name
        return None
    key = chr(code) if code else text[:1]
    if not key:
        return None
    if not text and code >= 0x20 and not modifiers & ~(SHIFT | LOCKS) and action != RELEASE:
        text = chr(shifted) if shifted and modifiers & SHIFT else key.upper() if modifiers & SHIFT else key
    return Stroke(key, modifiers, text, action, shifted, base)


def _is_character(code: int) -> bool:
    return code <= 0x10FFFF and not 0xD800 <= code < 0xE000
