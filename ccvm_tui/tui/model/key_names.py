"""The names of key strokes: Textual's, and those that people write."""

from __future__ import annotations

import unicodedata

from ccvm_tui.terminal.keys import (
    ALT,
    CTRL,
    FUNCTION_KEYS,
    HYPER,
    KEYPAD_PLAIN,
    LOCKS,
    META,
    SHIFT,
    SUPER,
    Stroke,
)

MODIFIER_NAMES = ((ALT, "alt"), (CTRL, "ctrl"), (HYPER, "hyper"), (META, "meta"), (SHIFT, "shift"), (SUPER, "super"))
"""The names of the modifiers, in the order in which Textual writes them."""

_TEXTUAL_NAMES = {
    "solidus": "slash", "reverse_solidus": "backslash", "commercial_at": "at", "hyphen_minus": "minus",
    "plus_sign": "plus", "low_line": "underscore",
}  # fmt: skip
"""Names of characters for which Textual does not use the name in Unicode."""


def character_name(character: str) -> str:
    """Return Textual's name of a character."""
    if character.isalnum():
        return character
    name = unicodedata.name(character, character).lower().replace("-", "_").replace(" ", "_")
    return _TEXTUAL_NAMES.get(name, name)


_CHARACTER_NAMES: dict[str, str] = {character_name(chr(code)): chr(code) for code in range(32, 127)}
_ALIASES = {"esc": "escape", "return": "enter", "space": " ", "pgup": "pageup", "pgdn": "pagedown", "del": "delete"}
_MODIFIER_BITS = {word: bit for bit, word in MODIFIER_NAMES} | {"control": CTRL, "option": ALT, "c": CTRL, "m": ALT}


def key_name(stroke: Stroke) -> str:
    """Return Textual's name of a stroke, such as ``ctrl+backslash``, ``shift+tab``, ``a`` or ``A``."""
    modifiers = stroke.modifiers & ~LOCKS
    key = KEYPAD_PLAIN.get(stroke.key, stroke.key)
    if stroke.text and not modifiers & ~SHIFT and len(stroke.text) == 1 and stroke.text.isprintable():
        return character_name(stroke.text)
    if len(key) == 1:
        if modifiers & SHIFT and not modifiers & ~(SHIFT | ALT) and key.isalpha():
            key = key.lower()
        key = character_name(key)
    words = [word for bit, word in MODIFIER_NAMES if modifiers & bit]
    return "+".join([*words, key])


def stroke_of(name: str, character: str | None = None) -> Stroke:
    r"""Return the stroke of a name: one of Textual's, or a common spelling (``Ctrl+\``, ``Alt+x``, ``C-a``).

    ``character`` is the character of Textual's event, if there is one. Raises ValueError if the name is not a key's.
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
        if len(key) > 1 and key not in FUNCTION_KEYS and character and len(character) == 1:
            key = character  # Textual names every character of Unicode
        if len(key) > 1 and key not in FUNCTION_KEYS:
            raise ValueError(f"{name!r} names no key")
    if len(key) == 1:
        if modifiers & ~SHIFT:
            return Stroke(key.lower(), modifiers | (SHIFT if key.isupper() else 0))
        text = character if character and character.isprintable() else key.upper() if modifiers & SHIFT else key
        return Stroke(text.lower(), SHIFT if text.isupper() else modifiers, text)
    return Stroke(key, modifiers)


def _words(name: str) -> list[str]:
    """Split the name at ``+`` (or ``-``, as in C-a). A last ``+`` or ``-`` is the key."""
    separator = "+" if "+" in name[:-1] else "-"
    head, last = name[:-1], name[-1]
    parts = head.split(separator)
    if last == separator:
        return [part for part in parts if part] + [last]
    parts[-1] += last
    if separator == "-" and any(part.lower() not in _MODIFIER_BITS for part in parts[:-1]):
        return [name]
    return parts
