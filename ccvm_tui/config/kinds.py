"""What a setting's value may be, and how a variable or a flag spells it.

A kind checks a TOML value (``check``) and turns text into a TOML value (``parse``); both raise ValueError with a
phrase that completes "must be …".
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

_TRUE = frozenset({"1", "true", "yes", "on"})
_FALSE = frozenset({"0", "false", "no", "off"})
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_WORD = re.compile(r"[a-z0-9][a-z0-9._-]*")
_KEY = re.compile(r"(ctrl-|alt-)?([!-~]|space|tab|enter|esc|backspace|up|down|left|right|f[1-9]|f1[0-2])")


@dataclass(frozen=True, slots=True)
class Kind:
    """``says`` completes "must be …"; ``check`` returns the value to use, ``parse`` what TOML would have held."""

    says: str
    check: Callable[[object], object]
    parse: Callable[[str], object] = str


def _integer(says: str, low: int, high: int) -> Kind:
    def check(value: object) -> object:
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise ValueError(says)
        return value

    def parse(text: str) -> object:
        if not re.fullmatch(r"[+-]?[0-9]{1,18}", text.strip()):
            raise ValueError(says)
        return int(text)

    return Kind(says, check, parse)


def _boolean() -> Kind:
    says = "true or false"

    def check(value: object) -> object:
        if not isinstance(value, bool):
            raise ValueError(says)
        return value

    def parse(text: str) -> object:
        word = text.strip().lower()
        if word in _TRUE or word in _FALSE:
            return word in _TRUE
        raise ValueError("0 or 1")

    return Kind(says, check, parse)


def choice(*words: str) -> Kind:
    """One of ``words``."""
    says = "one of " + ", ".join(f'"{word}"' for word in words)

    def check(value: object) -> object:
        if value not in words:
            raise ValueError(says)
        return value

    return Kind(says, check)


def _matching(pattern: re.Pattern[str], says: str) -> Kind:
    def check(value: object) -> object:
        if not isinstance(value, str) or not pattern.fullmatch(value):
            raise ValueError(says)
        return value

    return Kind(says, check)


def _variables() -> Kind:
    says = "a list of names of environment variables"

    def check(value: object) -> object:
        if not isinstance(value, list | tuple):
            raise ValueError(says)
        if not all(isinstance(name, str) and _VARIABLE.fullmatch(name) for name in value):
            raise ValueError(says)
        return tuple(dict.fromkeys(value))

    return Kind(says, check, lambda text: [name.strip() for name in text.split(",") if name.strip()])


def _directories() -> Kind:
    says = 'a list of directories below the project, such as "node_modules"'

    def check(value: object) -> object:
        if not isinstance(value, list | tuple):
            raise ValueError(says)
        return tuple(dict.fromkeys(_relative(name, says) for name in value))

    return Kind(says, check, lambda text: [name.strip() for name in text.split(",") if name.strip()])


def _relative(name: object, says: str) -> str:
    if not isinstance(name, str) or "\0" in name:
        raise ValueError(says)
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if name.startswith("/") or ".." in parts or not parts:
        raise ValueError(says)
    return "/".join(parts)


def _patterns() -> Kind:
    says = "a list of regular expressions"

    def check(value: object) -> object:
        if not isinstance(value, list | tuple) or not all(isinstance(pattern, str) for pattern in value):
            raise ValueError(says)
        for pattern in value:
            try:
                re.compile(pattern)
            except re.error as error:
                raise ValueError(f"{says}: {pattern!r} is none, {error}") from None
        return tuple(value)

    return Kind(says, check, lambda text: [text])


def _path() -> Kind:
    says = "an absolute path (or one that begins with ~), or empty"

    def check(value: object) -> object:
        if not isinstance(value, str):
            raise ValueError(says)
        if value and not Path(value).expanduser().is_absolute():
            raise ValueError(says)
        return str(Path(value).expanduser()) if value else ""

    return Kind(says, check)


POSITIVE = _integer("a positive integer", 1, 1 << 40)
LINES = _integer("a number of lines from 0 to 1000000", 0, 1_000_000)
BOOLEAN = _boolean()
WORD = _matching(_WORD, "a lower-case word")
VARIABLES = _variables()
PATTERNS = _patterns()
DIRECTORIES = _directories()
PATH = _path()
KEY = _matching(_KEY, 'a key, such as "d", "ctrl-w", "space" or "f5"')
LEADER = _matching(re.compile(r"ctrl-([a-z\\\]^_@]|space)"), r'"ctrl-" and a letter or one of \ ] ^ _ @ space')
