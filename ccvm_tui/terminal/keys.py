"""Encoding of key strokes as the bytes that a terminal sends, depending on the modes that the program has set.

There are two encodings: xterm's (with DECCKM, DECNKM, DECBKM, LNM and modifyOtherKeys), and the kitty keyboard protocol
with its five progressive enhancements. Sources: xterm's ctlseqs, "PC-Style Function Keys";
https://sw.kovidgoyal.net/kitty/keyboard-protocol/ ; terminfo's xterm-256color.
"""

from dataclasses import dataclass, field
from typing import Final

from ccvm_tui.terminal.cells import Mode, Modes

SHIFT, ALT, CTRL, SUPER, HYPER, META, CAPS_LOCK, NUM_LOCK = (1 << bit for bit in range(8))
"""Bits of ``Stroke.modifiers``, as in the kitty keyboard protocol."""

LOCKS: Final = CAPS_LOCK | NUM_LOCK

PRESS, REPEAT, RELEASE = 1, 2, 3
"""Values of ``Stroke.action``, as in the kitty keyboard protocol."""

DISAMBIGUATE, EVENT_TYPES, ALTERNATE_KEYS, ALL_AS_ESCAPES, ASSOCIATED_TEXT = 1, 2, 4, 8, 16
"""Bits of ``Modes.kitty``."""


@dataclass(frozen=True, slots=True)
class Stroke:
    """A key stroke, as a terminal reported it.

    ``key`` is a name of ``FUNCTION_KEYS``, or the character that the key types without modifiers. ``modifiers`` are the
    modifiers that were held, such as ``SHIFT`` and ``CTRL``. ``text`` is the text that the stroke types; empty if there
    is none or it is unknown. ``action`` is ``PRESS``, ``REPEAT`` or ``RELEASE``. ``shifted`` and ``base`` are the code
    points of the key with Shift and of the key at this place on a US keyboard, or 0 if unknown.

    ``raw`` are the bytes that the terminal sent, if they depend on no mode: a program expects the sequence that its
    TERM promises for Home, and an ESC before a character may be Alt, or Escape followed by that character.
    """

    key: str
    modifiers: int = 0
    text: str = ""
    action: int = PRESS
    shifted: int = 0
    base: int = 0
    raw: bytes = field(default=b"", compare=False, repr=False)

    @property
    def character(self) -> str | None:
        """The text of the stroke, or the control character that it types (ASCII's C0); None if there is neither."""
        if self.text:
            return self.text
        if self.modifiers & ~LOCKS == CTRL and len(self.key) == 1:
            return _control_character(self.key)
        if not self.modifiers & ~LOCKS:
            return _CONTROL_KEYS.get(KEYPAD_PLAIN.get(self.key, self.key))
        return None


def _control_character(key: str) -> str | None:
    """Return the C0 character of Ctrl and a key (ASCII's upper columns), or None."""
    if key == " ":
        return "\0"
    code = ord(key.upper()) if key.isascii() else 0
    return chr(code & 0x1F) if 0x40 <= code <= 0x5F else None


_CONTROL_KEYS: Final = {"enter": "\r", "tab": "\t", "escape": "\x1b", "backspace": "\x7f"}

_LETTER_KEYS: Final = {
    "up": "A", "down": "B", "right": "C", "left": "D", "begin": "E", "end": "F", "home": "H",
    "f1": "P", "f2": "Q", "f4": "S",
}  # fmt: skip
_TILDE_KEYS: Final = {
    "insert": 2, "delete": 3, "pageup": 5, "pagedown": 6, "f3": 13, "f5": 15, "f6": 17, "f7": 18, "f8": 19,
    "f9": 20, "f10": 21, "f11": 23, "f12": 24,
}  # fmt: skip
_CODE_KEYS: Final = {
    "escape": 27, "enter": 13, "tab": 9, "backspace": 127, "caps_lock": 57358, "scroll_lock": 57359,
    "num_lock": 57360, "print_screen": 57361, "pause": 57362, "menu": 57363,
    **{f"f{13 + index}": 57376 + index for index in range(23)},
}  # fmt: skip
_KEYPAD: Final = (
    "kp_0", "kp_1", "kp_2", "kp_3", "kp_4", "kp_5", "kp_6", "kp_7", "kp_8", "kp_9", "kp_decimal", "kp_divide",
    "kp_multiply", "kp_subtract", "kp_add", "kp_enter", "kp_equal", "kp_separator", "kp_left", "kp_right", "kp_up",
    "kp_down", "kp_page_up", "kp_page_down", "kp_home", "kp_end", "kp_insert", "kp_delete", "kp_begin",
)  # fmt: skip
_ALONE: Final = (
    "media_play", "media_pause", "media_play_pause", "media_reverse", "media_stop", "media_fast_forward",
    "media_rewind", "media_track_next", "media_track_previous", "media_record", "lower_volume", "raise_volume",
    "mute_volume", "left_shift", "left_control", "left_alt", "left_super", "left_hyper", "left_meta", "right_shift",
    "right_control", "right_alt", "right_super", "right_hyper", "right_meta", "iso_level3_shift",
    "iso_level5_shift",
)  # fmt: skip
_CODE_KEYS.update({name: 57399 + index for index, name in enumerate(_KEYPAD)})
_CODE_KEYS.update({name: 57428 + index for index, name in enumerate(_ALONE)})

MODIFIER_KEYS: Final = frozenset(_ALONE[13:]) | {"caps_lock", "scroll_lock", "num_lock"}
"""The names of the modifier and lock keys."""

FUNCTION_KEYS: Final = frozenset({*_LETTER_KEYS, *_TILDE_KEYS, *_CODE_KEYS})
"""The names of all keys that have one. Any other key is named by its character."""

CODE_NAMES: Final = {code: name for name, code in _CODE_KEYS.items()}
"""The names of the keys that the kitty keyboard protocol reports by a number, by that number."""

KEYPAD_PLAIN: Final = {
    "kp_left": "left", "kp_right": "right", "kp_up": "up", "kp_down": "down", "kp_page_up": "pageup",
    "kp_page_down": "pagedown", "kp_home": "home", "kp_end": "end", "kp_insert": "insert", "kp_delete": "delete",
    "kp_begin": "begin", "kp_enter": "enter",
}  # fmt: skip
"""The equivalents of the keypad's cursor and editing keys on the main keyboard."""

# The text of keypad keys without the kitty protocol, and their letters after SS3 in application mode (VT220).
_KEYPAD_TEXT: Final = {
    **{f"kp_{digit}": str(digit) for digit in range(10)}, "kp_decimal": ".", "kp_divide": "/", "kp_multiply": "*",
    "kp_subtract": "-", "kp_add": "+", "kp_equal": "=", "kp_separator": ",",
}  # fmt: skip
_KEYPAD_SS3: Final = {
    **{f"kp_{digit}": chr(ord("p") + digit) for digit in range(10)}, "kp_decimal": "n", "kp_divide": "o",
    "kp_multiply": "j", "kp_subtract": "m", "kp_add": "k", "kp_equal": "X", "kp_separator": "l", "kp_enter": "M",
}  # fmt: skip

# Ctrl with keys other than letters (kitty's table of legacy text keys).
_CONTROL: Final = {
    " ": 0, "@": 0, "`": 0, "2": 0, "[": 27, "3": 27, "\\": 28, "4": 28, "]": 29, "5": 29, "^": 30, "~": 30, "6": 30,
    "_": 31, "/": 31, "7": 31, "?": 127, "8": 127,
}  # fmt: skip
_SHIFTED_US: Final = dict(zip("`1234567890-=[]\\;',./", '~!@#$%^&*()_+{}|:"<>?', strict=True))


def encode_key(stroke: Stroke, modes: Modes) -> bytes:
    """Return the bytes that the terminal sends for a key stroke; empty if it sends nothing."""
    if modes.kitty:
        return _kitty(stroke, modes)
    if stroke.action == RELEASE:
        return b""
    return _modify_other(stroke, modes.other_keys) or _legacy(stroke, modes)


_OTHER_CODES: Final = {"enter": 13, "tab": 9, "escape": 27, "backspace": 127, " ": 32}


def _modify_other(stroke: Stroke, level: int) -> bytes:
    """Return CSI 27 ; modifiers ; code ~ if xterm's modifyOtherKeys encodes the stroke so at this level, else b"".

    Level 1 keeps the traditional encodings: control characters, Alt as an ESC before the key, and Shift+Tab. At both
    levels a key with only Shift is sent as the character that it types.
    """
    modifiers = stroke.modifiers & (SHIFT | ALT | CTRL)
    key = stroke.key
    if not level or not modifiers or not (len(key) == 1 or key in _OTHER_CODES):
        return b""
    if key == "tab" and modifiers == SHIFT:
        return b""
    if len(key) == 1 and modifiers == SHIFT and not (key == " " and level == 2):
        return b""
    if level == 1 and key != "enter":
        if not modifiers & ~ALT or key == "backspace":
            return b""
        if len(key) == 1 and not modifiers & SHIFT and _is_control(stroke):
            return b""
    code = _OTHER_CODES.get(key) or ord(_typed_alone(stroke))
    return f"\x1b[27;{modifiers + 1};{code}~".encode()


def _is_control(stroke: Stroke) -> bool:
    """Return whether Ctrl and the key make a control character."""
    return _legacy_text(stroke, CTRL)[0] < 0x20 or stroke.key in ("?", "8")


def _typed_alone(stroke: Stroke) -> str:
    """Return the character that the key types without Alt and Ctrl."""
    if stroke.modifiers & SHIFT:
        return chr(stroke.shifted) if stroke.shifted else _SHIFTED_US.get(stroke.key, stroke.key.upper()[0])
    return stroke.key


def _typed(stroke: Stroke) -> str:
    """Return the text of a stroke; if it is unknown, guess it for a US keyboard."""
    if stroke.text:
        return stroke.text
    if stroke.modifiers & SHIFT and len(stroke.key) == 1:
        if stroke.shifted:
            return chr(stroke.shifted)
        return _SHIFTED_US.get(stroke.key, stroke.key.upper())
    return stroke.key if len(stroke.key) == 1 else ""


# --- xterm -----------------------------------------------------------------------------------------------------------


def _legacy(stroke: Stroke, modes: Modes) -> bytes:
    # This encoding has no Super, Hyper and Meta, and does not treat locks as modifiers.
    modifiers = stroke.modifiers & (SHIFT | ALT | CTRL)
    key = stroke.key
    if key in _KEYPAD_SS3 and modes.has(Mode.APPLICATION_KEYPAD) and not stroke.modifiers & NUM_LOCK:
        return b"\x1bO" + _KEYPAD_SS3[key].encode()
    key = KEYPAD_PLAIN.get(key, key)
    if key in _KEYPAD_TEXT:
        return (b"\x1b" if modifiers & ALT else b"") + _KEYPAD_TEXT[key].encode()
    if len(key) == 1:
        return _legacy_text(stroke, modifiers)
    if key in _LETTER_KEYS:
        if modifiers:
            return f"\x1b[1;{modifiers + 1}{_LETTER_KEYS[key]}".encode()
        single = key in ("f1", "f2", "f4") or modes.has(Mode.APPLICATION_CURSOR)
        return f"\x1b{'O' if single else '['}{_LETTER_KEYS[key]}".encode()
    if key == "f3":
        return f"\x1b[1;{modifiers + 1}R".encode() if modifiers else b"\x1bOR"
    if key in _TILDE_KEYS:
        return f"\x1b[{_TILDE_KEYS[key]}{f';{modifiers + 1}' if modifiers else ''}~".encode()
    if key == "menu":
        return b"\x1b[29~"
    if key.startswith("f") and key[1:].isdigit():
        return _legacy_high_function(int(key[1:]), modifiers)
    return _legacy_control(key, modifiers, modes)


def _legacy_high_function(number: int, modifiers: int) -> bytes:
    """Encode F13 and up as Shift+F1 and up, and F25 and up as Ctrl+F1 and up, as in terminfo's xterm-256color."""
    extra, base = (SHIFT, number - 12) if number < 25 else (CTRL, number - 24)
    if base > 12:
        return b""
    return _legacy(Stroke(f"f{base}", modifiers | extra), Modes())


def _legacy_control(key: str, modifiers: int, modes: Modes) -> bytes:
    escape = b"\x1b" if modifiers & ALT else b""
    match key:
        case "enter":
            return escape + (b"\r\n" if modes.has(Mode.NEWLINE) else b"\r")
        case "escape":
            return escape + b"\x1b"
        case "tab":
            return escape + (b"\x1b[Z" if modifiers & SHIFT else b"\t")
        case "backspace":
            return escape + (b"\x08" if modes.has(Mode.BACKARROW_SENDS_BS) != bool(modifiers & CTRL) else b"\x7f")
    return b""


def _legacy_text(stroke: Stroke, modifiers: int) -> bytes:
    text = _typed(stroke)
    if modifiers & CTRL:
        # Ctrl applies to the layout's character or, if that is not ASCII, to the key in that place on a US keyboard.
        key = stroke.key if stroke.key.isascii() else chr(stroke.base) if stroke.base else stroke.key
        for character in (text if text.isascii() else "", key):
            if character and character.lower() in _LETTERS:
                text = chr(ord(character.lower()) & 0x1F)
                break
            if character in _CONTROL:
                text = chr(_CONTROL[character])
                break
    data = text.encode()
    return b"\x1b" + data if modifiers & ALT else data


_LETTERS: Final = frozenset("abcdefghijklmnopqrstuvwxyz")


# --- kitty -----------------------------------------------------------------------------------------------------------


def _kitty(stroke: Stroke, modes: Modes) -> bytes:
    flags = modes.kitty
    everything = bool(flags & ALL_AS_ESCAPES)
    modifiers = stroke.modifiers & ~LOCKS
    if stroke.action == RELEASE and not flags & EVENT_TYPES:
        return b""
    if not everything:
        plain = _kitty_plain(stroke, modifiers)
        if plain is not None:
            return plain
    key = stroke.key
    if key in _LETTER_KEYS:
        return _kitty_sequence(stroke, flags, "1", _LETTER_KEYS[key])
    if key in _TILDE_KEYS:
        return _kitty_sequence(stroke, flags, str(_TILDE_KEYS[key]), "~")
    if key in _CODE_KEYS:
        return _kitty_sequence(stroke, flags, str(_CODE_KEYS[key]), "u")
    if len(key) == 1:
        return _kitty_sequence(stroke, flags, _kitty_code(stroke, flags), "u")
    return stroke.text.encode() if stroke.action != RELEASE else b""


def _kitty_plain(stroke: Stroke, modifiers: int) -> bytes | None:
    """Return the bytes of a stroke that is not encoded as an escape sequence, or None if it is."""
    key = stroke.key
    if key in MODIFIER_KEYS:
        return b""
    if not modifiers and key in ("enter", "tab", "backspace"):
        if stroke.action == RELEASE:
            return b""
        return {"enter": b"\r", "tab": b"\t", "backspace": b"\x7f"}[key]
    if stroke.action == RELEASE:
        return b"" if key in ("enter", "tab", "backspace") else None
    if modifiers & ~SHIFT:
        return None
    if len(key) == 1:
        return _typed(stroke).encode()
    if key in _KEYPAD_TEXT:
        return (stroke.text or _KEYPAD_TEXT[key]).encode()
    return None


def _kitty_code(stroke: Stroke, flags: int) -> str:
    """Return the key's code with its alternates: unicode-key-code:shifted-key:base-layout-key."""
    code = ord(stroke.key.lower()[0])
    if not flags & ALTERNATE_KEYS:
        return str(code)
    shifted = ""
    if stroke.modifiers & SHIFT:
        value = stroke.shifted or ord(_typed(stroke)[0])
        shifted = str(value) if value != code else ""
    base = str(stroke.base) if stroke.base and stroke.base != code else ""
    return f"{code}:{shifted}:{base}".rstrip(":")


def _kitty_sequence(stroke: Stroke, flags: int, number: str, final: str) -> bytes:
    modifiers = stroke.modifiers
    if final == "u" and len(stroke.key) == 1 and not flags & ALL_AS_ESCAPES:
        # Programs that ignore locks would not recognize their text keys otherwise.
        modifiers &= ~LOCKS
    parameters = [number]
    event = f":{stroke.action}" if flags & EVENT_TYPES and stroke.action != PRESS else ""
    second = f"{modifiers + 1}{event}" if modifiers or event else ""
    third = ""
    if flags & ASSOCIATED_TEXT and flags & ALL_AS_ESCAPES and stroke.action != RELEASE:
        text = stroke.text or (_typed(stroke) if not modifiers & ~(SHIFT | LOCKS) else "")
        if text.isprintable():
            third = ":".join(str(ord(character)) for character in text)
    if third:
        parameters += [second, third]
    elif second:
        parameters.append(second)
    if final not in "u~" and parameters == ["1"]:
        parameters = [""]
    return f"\x1b[{';'.join(parameters)}{final}".encode()
