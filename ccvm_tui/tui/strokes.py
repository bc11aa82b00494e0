"""A key stroke as the outer terminal reported it, and its two other spellings: Textual's and the config's.

A stroke keeps everything that the kitty keyboard protocol can say, so that a guest's program gets all of it.
Textual's names ("ctrl+a", "shift+tab") serve the app's own widgets; the same names serve the config file.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from textual.keys import _character_to_key

from ccvm_tui.terminal import keys
from ccvm_tui.terminal.keys import ALT, CTRL, HYPER, LOCKS, META, PRESS, SHIFT, SUPER

MODIFIER_NAMES = ((ALT, "alt"), (CTRL, "ctrl"), (HYPER, "hyper"), (META, "meta"), (SHIFT, "shift"), (SUPER, "super"))
"""In the order in which Textual writes them."""

NAMED_CODES: dict[int, str] = {code: name for name, code in keys._CODE_KEYS.items()}
"""Names of the keys whose kitty number is no character (https://sw.kovidgoyal.net/kitty/keyboard-protocol/)."""

FUNCTION_NAMES = frozenset(
    (
        *("up", "down", "right", "left", "home", "end", "insert", "delete", "pageup", "pagedown", "begin"),
        *(f"f{number}" for number in range(1, 36)),
    )
)

MODIFIER_KEYS = frozenset(
    name for code, name in NAMED_CODES.items() if 57441 <= code <= 57454 or code in (57358, 57359, 57360)
)
"""The modifier and lock keys themselves: never a binding, never text."""

KEYPAD_PLAIN = {
    "kp_enter": "enter", "kp_left": "left", "kp_right": "right", "kp_up": "up", "kp_down": "down",
    "kp_page_up": "pageup", "kp_page_down": "pagedown", "kp_home": "home", "kp_end": "end",
    "kp_insert": "insert", "kp_delete": "delete",
}  # fmt: skip
"""What a keypad key means to the app's own widgets."""


@dataclass(frozen=True, slots=True)
class Stroke:
    """``key`` is a name of this module, or the one character that the key has without modifiers.

    ``text`` is what it types, empty for keys and combinations that type nothing. ``shifted`` and ``base`` are
    the alternate key codes of the kitty protocol, 0 where the terminal did not tell. ``raw`` are the terminal's own
    bytes where they depend on no mode: what TERM promises of its Home key, say, is what the program waits for. An ESC
    and a character may be Alt, or Escape and that character.
    """

    key: str
    modifiers: int = 0
    text: str = ""
    action: int = PRESS
    shifted: int = 0
    base: int = 0
    raw: bytes = field(default=b"", compare=False, repr=False)

    @property
    def name(self) -> str:
        """Textual's name, also that of the config file: ``ctrl+backslash``, ``shift+tab``, ``a``, ``A``."""
        modifiers = self.modifiers & ~LOCKS
        key = KEYPAD_PLAIN.get(self.key, self.key)
        if self.text and not modifiers & ~SHIFT and len(self.text) == 1 and self.text.isprintable():
            return _character_to_key(self.text)
        if len(key) == 1:
            if modifiers & SHIFT and not modifiers & ~(SHIFT | ALT) and key.isalpha():
                key = key.lower()
            key = _character_to_key(key)
        words = [word for bit, word in MODIFIER_NAMES if modifiers & bit]
        return "+".join([*words, key])

    @property
    def character(self) -> str | None:
        """What Textual's Key event carries: the text typed, or the control character."""
        if self.text:
            return self.text
        if self.modifiers & ~LOCKS == CTRL and len(self.key) == 1:
            return control_character(self.key)
        if not self.modifiers & ~LOCKS:
            return {"enter": "\r", "tab": "\t", "escape": "\x1b", "backspace": "\x7f"}.get(
                KEYPAD_PLAIN.get(self.key, self.key)
            )
        return None


def control_character(key: str) -> str | None:
    """The C0 character of Ctrl and a key (ASCII's upper columns), or None."""
    if key == " ":
        return "\0"
    code = ord(key.upper())
    return chr(code & 0x1F) if 0x40 <= code <= 0x5F else None


_CHARACTER_NAMES: dict[str, str] = {_character_to_key(chr(code)): chr(code) for code in range(32, 127)}
_ALIASES = {"esc": "escape", "return": "enter", "space": " ", "pgup": "pageup", "pgdn": "pagedown", "del": "delete"}
_NAMES = frozenset({*NAMED_CODES.values(), *FUNCTION_NAMES})
_MODIFIER_BITS = {word: bit for bit, word in MODIFIER_NAMES} | {"control": CTRL, "option": ALT, "c": CTRL, "m": ALT}


def stroke_of(name: str, character: str | None = None) -> Stroke:
    """The stroke that a name means: Textual's names, and what people write (``Ctrl+\\``, ``Alt+x``, ``C-a``).

    Raises ValueError when it names no key.
    """
    words = [name] if len(name) == 1 else _words(name)
    *modifier_words, key = words
    modifiers = 0
    for word in modifier_words:
        try:
            modifiers |= _MODIFIER_BITS[word.lower()]
        except KeyError:
            raise ValueError(f"{word!r} is not a modifier in the key {name!r}") from None
    if len(key) > 1:
        lowered = key.lower()
        lowered = _ALIASES.get(lowered, lowered)
        key = _CHARACTER_NAMES.get(lowered, lowered)
        if len(key) > 1 and key not in _NAMES and character and len(character) == 1:
            key = character  # Textual names every character of Unicode
        if len(key) > 1 and key not in _NAMES:
            raise ValueError(f"{name!r} names no key")
    if len(key) == 1:
        if modifiers & ~SHIFT:
            return Stroke(key.lower(), modifiers | (SHIFT if key.isupper() else 0))
        text = character if character and character.isprintable() else key.upper() if modifiers & SHIFT else key
        return Stroke(text.lower(), SHIFT if text.isupper() else modifiers, text)
    return Stroke(key, modifiers)


def _words(name: str) -> list[str]:
    """Cut at ``+`` (or ``-`` as in C-a); a last ``+`` or ``-`` is the key itself."""
    separator = "+" if "+" in name[:-1] else "-"
    head, last = name[:-1], name[-1]
    parts = head.split(separator)
    if last == separator:
        return [part for part in parts if part] + [last]
    parts[-1] += last
    if separator == "-" and any(part.lower() not in _MODIFIER_BITS for part in parts[:-1]):
        return [name]
    return parts
