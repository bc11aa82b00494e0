"""The kinds of values that settings have, and how to parse them from variables and flags.

A kind validates a TOML value (``check``) and converts text to a TOML value (``parse``). Both raise ValueError with a
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
_REPOSITORY = re.compile(r"[a-z0-9][a-z0-9.-]*(:[0-9]{1,5})?(/[A-Za-z0-9_.~-]+)*")
_HOST = re.compile(r"[^\s/@]+(/[0-9]{1,3})?(:[0-9]{1,5})?")
_KEY = re.compile(r"(ctrl-|alt-)?([!-~]|space|tab|enter|esc|backspace|up|down|left|right|f[1-9]|f1[0-2])")


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of value.

    ``requirement`` completes "must be …". ``check`` takes a TOML value and returns the setting's value. ``parse`` takes
    text and returns a TOML value. ``values`` are all valid values, if there are only some.
    """

    requirement: str
    check: Callable[[object], object]
    parse: Callable[[str], object] = str
    values: tuple[str, ...] = ()


def _integer(requirement: str, low: int, high: int) -> Kind:
    def check(value: object) -> object:
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise ValueError(requirement)
        return value

    def parse(text: str) -> object:
        if not re.fullmatch(r"[+-]?[0-9]{1,18}", text.strip()):
            raise ValueError(requirement)
        return int(text)

    return Kind(requirement, check, parse)


def _boolean() -> Kind:
    requirement = "true or false"

    def check(value: object) -> object:
        if not isinstance(value, bool):
            raise ValueError(requirement)
        return value

    def parse(text: str) -> object:
        lowered = text.strip().lower()
        if lowered in _TRUE or lowered in _FALSE:
            return lowered in _TRUE
        raise ValueError("0 or 1")

    return Kind(requirement, check, parse)


def choice(*values: str) -> Kind:
    """Return the kind whose values are ``values``."""
    requirement = "one of " + ", ".join(f'"{value}"' for value in values)

    def check(value: object) -> object:
        if value not in values:
            raise ValueError(requirement)
        return value

    return Kind(requirement, check, values=values)


def _matching(pattern: re.Pattern[str], requirement: str) -> Kind:
    def check(value: object) -> object:
        if not isinstance(value, str) or not pattern.fullmatch(value):
            raise ValueError(requirement)
        return value

    return Kind(requirement, check)


def _variables() -> Kind:
    requirement = "a list of names of environment variables"

    def check(value: object) -> object:
        if not isinstance(value, list | tuple):
            raise ValueError(requirement)
        if not all(isinstance(name, str) and _VARIABLE.fullmatch(name) for name in value):
            raise ValueError(requirement)
        return tuple(dict.fromkeys(value))

    return Kind(requirement, check, lambda text: [name.strip() for name in text.split(",") if name.strip()])


def _directories() -> Kind:
    requirement = 'a list of directories below the project, such as "node_modules"'

    def check(value: object) -> object:
        if not isinstance(value, list | tuple):
            raise ValueError(requirement)
        return tuple(dict.fromkeys(_relative(name, requirement) for name in value))

    return Kind(requirement, check, lambda text: [name.strip() for name in text.split(",") if name.strip()])


def _hosts() -> Kind:
    requirement = 'a list of hosts, such as "example.com", "*.example.com", "example.com:8443" or "192.0.2.0/24"'

    def check(value: object) -> object:
        if not isinstance(value, list | tuple):
            raise ValueError(requirement)
        if not all(isinstance(host, str) and _HOST.fullmatch(host) for host in value):
            raise ValueError(requirement)
        return tuple(dict.fromkeys(value))

    return Kind(requirement, check, lambda text: [name.strip() for name in text.split(",") if name.strip()])


def _repositories() -> Kind:
    requirement = 'a list of Git hosts or repositories, such as "github.com" or "github.com/me/project"'

    def check(value: object) -> object:
        if not isinstance(value, list | tuple):
            raise ValueError(requirement)
        if not all(isinstance(name, str) and _REPOSITORY.fullmatch(name) for name in value):
            raise ValueError(requirement)
        return tuple(dict.fromkeys(value))

    return Kind(requirement, check, lambda text: [name.strip() for name in text.split(",") if name.strip()])


def _ports() -> Kind:
    requirement = "a list of port numbers"

    def check(value: object) -> object:
        if not isinstance(value, list | tuple):
            raise ValueError(requirement)
        if not all(type(port) is int and 0 < port < 1 << 16 for port in value):
            raise ValueError(requirement)
        return tuple(dict.fromkeys(value))

    def parse(text: str) -> object:
        numbers = [number.strip() for number in text.split(",") if number.strip()]
        if not all(re.fullmatch(r"[0-9]{1,5}", number) for number in numbers):
            raise ValueError(requirement)
        return [int(number) for number in numbers]

    return Kind(requirement, check, parse)


def _file_patterns() -> Kind:
    requirement = 'a list of patterns of files as in .gitignore, such as ".env" or "config/*.local"'

    def check(value: object) -> object:
        if not isinstance(value, list | tuple):
            raise ValueError(requirement)
        if not all(isinstance(pattern, str) and pattern.strip() and pattern.isprintable() for pattern in value):
            raise ValueError(requirement)
        return tuple(dict.fromkeys(value))

    return Kind(requirement, check, lambda text: [name.strip() for name in text.split(",") if name.strip()])


def _relative(name: object, requirement: str) -> str:
    if not isinstance(name, str) or "\0" in name:
        raise ValueError(requirement)
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if name.startswith("/") or ".." in parts or not parts:
        raise ValueError(requirement)
    return "/".join(parts)


def _patterns() -> Kind:
    requirement = "a list of regular expressions"

    def check(value: object) -> object:
        if not isinstance(value, list | tuple) or not all(isinstance(pattern, str) for pattern in value):
            raise ValueError(requirement)
        for pattern in value:
            try:
                re.compile(pattern)
            except re.error as error:
                raise ValueError(f"{requirement}: {pattern!r} is invalid, {error}") from None
        return tuple(value)

    return Kind(requirement, check, lambda text: [text])


def _path() -> Kind:
    requirement = "an absolute path (or a path that starts with ~), or empty"

    def check(value: object) -> object:
        if not isinstance(value, str):
            raise ValueError(requirement)
        if value and not Path(value).expanduser().is_absolute():
            raise ValueError(requirement)
        return str(Path(value).expanduser()) if value else ""

    return Kind(requirement, check)


def _text_or_file() -> Kind:
    requirement = "text"

    def check(value: object) -> object:
        if not isinstance(value, str):
            raise ValueError(requirement)
        return value

    def parse(text: str) -> object:
        if not text:
            return ""
        try:
            return Path(text).expanduser().read_text(encoding="utf-8")
        except UnicodeDecodeError:
            raise ValueError("the path of a file in UTF-8, or empty") from None
        except (OSError, ValueError, RuntimeError):
            raise ValueError("the path of a readable file, or empty") from None

    return Kind(requirement, check, parse)


POSITIVE = _integer("a positive integer", 1, 1 << 40)
"""A positive integer."""

DISK_SIZE = _integer("a number of GiB from 0 to 65536", 0, 1 << 16)
"""The size of a disk in GiB."""

LINES = _integer("a number of lines from 0 to 1000000", 0, 1_000_000)
"""A number of lines."""

BOOLEAN = _boolean()
"""A boolean; in text also 1 and 0, yes and no, on and off."""

WORD = _matching(_WORD, "a lower-case word")
"""A lower-case word, such as the name of a theme."""

VARIABLES = _variables()
"""A list of names of environment variables, in text separated by commas. Duplicates are removed."""

PATTERNS = _patterns()
"""A list of regular expressions. Text is a single expression."""

DIRECTORIES = _directories()
"""A list of paths relative to the project, in text separated by commas. Duplicates are removed."""

FILE_PATTERNS = _file_patterns()
"""A list of patterns of files in the syntax of .gitignore, in text separated by commas. Duplicates are removed."""

HOSTS = _hosts()
"""A list of hosts, wildcards, addresses and networks, in text separated by commas. Duplicates are removed."""

REPOSITORIES = _repositories()
"""A list of Git hosts, each optionally with a port and a path, in text separated by commas."""

PORTS = _ports()
"""A list of TCP ports, in text separated by commas."""

PATH = _path()
"""An absolute path, with ``~`` expanded, or an empty string."""

URL = _matching(
    re.compile(r"(https://[^\s/]|file:///)[^\s]*|"), "a URL that starts with https:// or file:///, or empty"
)
"""An address of a file, or an empty string."""

PUBLIC_KEY = _matching(re.compile(r"([A-Za-z0-9+/]{43}=)?"), "32 bytes in base64 (44 characters), or empty")
"""A public Ed25519 key, or an empty string."""

TEXT_OR_FILE = _text_or_file()
"""Text. In variables and flags it is the path of a file with the text, or empty."""

KEY = _matching(_KEY, 'a key, such as "d", "ctrl-w", "space" or "f5"')
"""The name of a key."""

LEADER = _matching(re.compile(r"ctrl-([a-z\\\]^_@]|space)"), r'"ctrl-" followed by a letter or one of \ ] ^ _ @ space')
"""The name of a key that can be the leader."""
