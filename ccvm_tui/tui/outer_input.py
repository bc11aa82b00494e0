"""Bytes from the outer terminal → strokes, mouse reports, pastes, focus changes and answers to our questions.

Textual's own parser drops what its widgets have no name for; a guest's program needs all of it. This one keeps
it, and takes a paste of a megabyte as one piece. It does no I/O and knows no clock: the driver tells it when
an escape character has stood alone for long enough.

Sources: ECMA-48, xterm's ctlseqs, the kitty keyboard protocol.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from ccvm_tui.terminal.keys import ALT, CTRL, PRESS, RELEASE, REPEAT, SHIFT
from ccvm_tui.tui.strokes import FUNCTION_NAMES, NAMED_CODES, Stroke


@dataclass(frozen=True, slots=True)
class Mouse:
    """A mouse report: ``code`` is xterm's button byte with modifiers and motion; columns and rows from 0."""

    code: int
    x: int
    y: int
    pressed: bool


@dataclass(frozen=True, slots=True)
class Paste:
    data: bytes


@dataclass(frozen=True, slots=True)
class Focus:
    gained: bool


@dataclass(frozen=True, slots=True)
class Report:
    """An answer of the terminal. ``kind`` is its final letter with prefix (``?u``, ``?$y``), or ``osc``, ``dcs``."""

    kind: str
    text: str


Token = Stroke | Mouse | Paste | Focus | Report

PASTE_START = b"\x1b[200~"
PASTE_END = b"\x1b[201~"
PASTE_MAX = 64 << 20
STRING_MAX = 1 << 16
"""Longest OSC or DCS answer that is waited for, in bytes."""

_CSI = re.compile(rb"\x1b\[([<=>?]?)([0-9;:]*)([ -/]*)([@-~])")
_CSI_BEGUN = re.compile(rb"\x1b\[[<=>?]?[0-9;:]*[ -/]*\Z")
_STRING = re.compile(rb"\x1b([\]P_^X])(.*?)(?:\x07|\x1b\\)", re.DOTALL)

_TILDE = {
    1: "home", 2: "insert", 3: "delete", 4: "end", 5: "pageup", 6: "pagedown", 7: "home", 8: "end", 11: "f1",
    12: "f2", 13: "f3", 14: "f4", 15: "f5", 17: "f6", 18: "f7", 19: "f8", 20: "f9", 21: "f10", 23: "f11",
    24: "f12", 25: "f13", 26: "f14", 28: "f15", 29: "f16", 31: "f17", 32: "f18", 33: "f19", 34: "f20",
}  # fmt: skip
_LETTER = {
    "A": "up", "B": "down", "C": "right", "D": "left", "E": "begin", "F": "end", "H": "home", "P": "f1",
    "Q": "f2", "R": "f3", "S": "f4",
}  # fmt: skip
_SS3 = _LETTER | {"M": "kp_enter", "X": "kp_equal", "j": "kp_multiply", "k": "kp_add", "l": "kp_separator",
                  "m": "kp_subtract", "n": "kp_decimal", "o": "kp_divide"}  # fmt: skip
_SS3 |= {chr(ord("p") + digit): f"kp_{digit}" for digit in range(10)}
_URXVT_SHIFTED = {"a": "up", "b": "down", "c": "right", "d": "left"}


class InputParser:
    """Feed it what was read; it returns whole tokens and keeps an unfinished tail."""

    def __init__(self) -> None:
        self._held = b""
        self._paste: bytearray | None = None

    @property
    def waiting(self) -> bool:
        """Whether an unfinished sequence is held that may as well be the Escape key."""
        return bool(self._held) and self._paste is None

    @property
    def maybe_a_key(self) -> bool:
        """Whether what is held may be a key: Escape, or Alt with one of the characters that begin sequences.

        Anything longer is a sequence that a slow line has cut, or half a character: more will come.
        """
        rest = self._held.lstrip(b"\x1b")
        return not rest or (len(rest) == 1 and rest[0] < 0x80)

    def flush(self) -> list[Token]:
        """No more bytes came: what is held are keys after all.

        Half a character is dropped, and so is half a sequence: typed into a program it would do who knows what.
        """
        held, self._held = self._held, b""
        tokens: list[Token] = []
        while held:
            if held.startswith(b"\x1b[") and len(held) > 2:
                break
            if held[0] == 0x1B and len(held) > 1 and held[1] != 0x1B:
                tokens.append(_legacy(held[1:2], ALT))
                held = held[2:]
            elif held[0] < 0x80:
                tokens.append(_legacy(held[:1]))
                held = held[1:]
            else:
                break
        return tokens

    def feed(self, data: bytes) -> list[Token]:
        tokens: list[Token] = []
        if self._paste is not None:
            data = self._into_paste(data, tokens)
        data, self._held = self._held + data, b""
        at = 0
        while at < len(data):
            if data.startswith(PASTE_START, at):
                self._paste = bytearray()
                data, at = self._into_paste(data[at + len(PASTE_START) :], tokens), 0
                continue
            after = self._one(data, at, tokens)
            if after == at:
                self._held = data[at:]
                break
            at = after
        return tokens

    def _into_paste(self, data: bytes, tokens: list[Token]) -> bytes:
        """Take ``data`` into the paste; returns what follows its end."""
        assert self._paste is not None
        paste = self._paste
        looked_at = max(0, len(paste) - len(PASTE_END))
        paste += data
        end = paste.find(PASTE_END, looked_at)
        if end < 0:
            if len(paste) > PASTE_MAX:
                del paste[: len(paste) - PASTE_MAX]
            return b""
        rest = bytes(paste[end + len(PASTE_END) :])
        tokens.append(Paste(bytes(paste[:end])))
        self._paste = None
        return rest

    def _one(self, data: bytes, at: int, tokens: list[Token]) -> int:
        """Read one token at ``at``; returns the position after it, or ``at`` when more bytes are needed."""
        byte = data[at]
        if byte != 0x1B:
            return _character(data, at, tokens, 0)
        if at + 1 >= len(data):
            return at
        follower = data[at + 1]
        if follower == 0x5B:  # [
            return self._csi(data, at, tokens)
        if follower == 0x4F:  # O
            return _ss3(data, at, tokens)
        if follower in b"]P_^X":
            if match := _STRING.match(data, at):
                kind = {b"]": "osc", b"P": "dcs"}.get(match[1], "string")
                tokens.append(Report(kind, match[2].decode("utf-8", "replace")))
                return match.end()
            if len(data) - at < STRING_MAX:
                return at
        if follower == 0x1B:
            if at + 2 < len(data) and data[at + 2] in b"[O":  # rxvt: Alt with a function key
                before = len(tokens)
                after = self._one(data, at + 1, tokens)
                if after > at + 1 and len(tokens) > before and isinstance(last := tokens[-1], Stroke):
                    tokens[-1] = Stroke(last.key, last.modifiers | ALT, "", last.action)
                    return after
                if after == at + 1:
                    return at
            tokens.append(Stroke("escape"))
            return at + 1
        return _character(data, at + 1, tokens, ALT, at)

    def _csi(self, data: bytes, at: int, tokens: list[Token]) -> int:
        match = _CSI.match(data, at)
        if match is None:
            rest = data[at:]
            if _CSI_BEGUN.match(rest) and len(rest) < 128:
                return at
            if rest.startswith(b"\x1b[M"):
                return _x10_mouse(data, at, tokens)
            tokens.append(Stroke("[", ALT))
            return at + 2
        prefix, numbers, middle, final = (part.decode("ascii") for part in match.groups())
        if final == "M" and not prefix and not numbers:
            return _x10_mouse(data, at, tokens)
        if final in "Mm" and prefix == "<":
            _sgr_mouse(numbers, final, tokens)
        elif final in "IO" and not prefix and not numbers:
            tokens.append(Focus(final == "I"))
        elif prefix or middle or final in "ctny" or (final == "R" and _is_position(numbers)):
            tokens.append(Report(prefix + middle + final, numbers))
        elif (stroke := _key(numbers, final)) is not None:
            tokens.append(stroke)
        return match.end()


def _is_position(numbers: str) -> bool:
    """Tell a cursor position (row;column) from F3 with modifiers (1;modifier), which look alike."""
    row, _, column = numbers.partition(";")
    return bool(column) and not (row == "1" and column.isdigit() and int(column) <= 16)


def _character(data: bytes, at: int, tokens: list[Token], modifiers: int, start: int | None = None) -> int:
    """One UTF-8 character at ``at``; ``start`` is where its sequence began, returned when bytes are missing."""
    start = at if start is None else start
    lead = data[at]
    length = 1 if lead < 0xC0 else 2 if lead < 0xE0 else 3 if lead < 0xF0 else 4
    if length == 1:
        tokens.append(_legacy(data[at : at + 1], modifiers))
        return at + 1
    if at + length > len(data):
        return start
    try:
        char = data[at : at + length].decode("utf-8")
    except UnicodeDecodeError:
        return at + 1  # not UTF-8: a byte that no key sends
    tokens.append(_typed(char, modifiers))
    return at + length


def _typed(char: str, modifiers: int) -> Stroke:
    lower = char.lower()
    shift = SHIFT if lower != char and len(lower) == 1 else 0
    key = lower if shift else char
    # What may as well be Escape and then the character stays just that, even for who wants Alt told otherwise.
    raw = b"\x1b" + char.encode() if modifiers & ALT else b""
    return Stroke(key, modifiers | shift, "" if modifiers & (ALT | CTRL) else char, raw=raw)


def _legacy(byte: bytes, modifiers: int = 0) -> Stroke:
    code = byte[0]
    if code == 0x7F:
        return Stroke("backspace", modifiers)
    if code >= 0x20:
        return _typed(chr(code), modifiers)
    plain = {0x1B: "escape", 0x0D: "enter", 0x09: "tab"}.get(code)
    if plain is not None:
        return Stroke(plain, modifiers)
    key = " " if code == 0 else chr(code | 0x40).lower()
    return Stroke(key, modifiers | CTRL)


def _ss3(data: bytes, at: int, tokens: list[Token]) -> int:
    if at + 2 >= len(data):
        return at
    letter = chr(data[at + 2])
    if letter in _SS3:
        tokens.append(Stroke(_SS3[letter]))
        return at + 3
    if letter in _URXVT_SHIFTED:
        tokens.append(Stroke(_URXVT_SHIFTED[letter], CTRL))
        return at + 3
    tokens.append(Stroke("o", ALT | SHIFT))
    return at + 2


def _x10_mouse(data: bytes, at: int, tokens: list[Token]) -> int:
    if at + 6 > len(data):
        return at
    code, x, y = (value - 32 for value in data[at + 3 : at + 6])
    pressed = (code & 3) != 3 or bool(code & 96)
    tokens.append(Mouse(code, max(0, x - 1), max(0, y - 1), pressed))
    return at + 6


def _sgr_mouse(numbers: str, final: str, tokens: list[Token]) -> None:
    parts = numbers.split(";")
    if len(parts) == 3 and all(part.isdigit() for part in parts):
        code, x, y = map(int, parts)
        tokens.append(Mouse(code, max(0, x - 1), max(0, y - 1), final == "M"))


def _key(numbers: str, final: str) -> Stroke | None:
    """A functional key or a kitty key report; None for what is no key at all."""
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
    text = "".join(chr(value) for value in text_codes if 0x20 <= value <= 0x10FFFF and not 0xD800 <= value < 0xE000)
    shifted = codes[1] if len(codes) > 1 else 0
    base = codes[2] if len(codes) > 2 else 0
    if code in NAMED_CODES:
        return Stroke(NAMED_CODES[code], modifiers, text, action, shifted, base)
    if not 0 <= code <= 0x10FFFF or 0xD800 <= code < 0xE000 or 0xE000 <= code < 0xF900:
        return None
    key = chr(code) if code else text[:1]
    if not key:
        return None
    if not text and code >= 0x20 and not modifiers & ~(SHIFT | 192) and action != RELEASE:
        text = chr(shifted) if shifted and modifiers & SHIFT else key.upper() if modifiers & SHIFT else key
    return Stroke(key, modifiers, text, action, shifted, base)


assert set(_LETTER.values()) <= set(FUNCTION_NAMES)
