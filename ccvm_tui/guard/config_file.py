r"""A parser of Git's configuration files (git-config(1), "CONFIGURATION FILE"; ``config.c`` in Git's source).

The file server parses the files itself and does not run ``git config``: it is confined and can start no program, and it
must decide before a write reaches the disk. The grammar is small. A property test compares this parser with Git's.

It reads what Git reads, except that control characters are errors, because other implementations of Git may treat them
in other ways.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

_SPACE: Final = frozenset(b" \t\r\n")
_NEWLINE: Final = 0x0A
_BOM: Final = b"\xef\xbb\xbf"
_CONTROL: Final = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
_ESCAPES: Final = {ord("t"): 0x09, ord("b"): 0x08, ord("n"): 0x0A, ord("\\"): 0x5C, ord('"'): 0x22}
_KEY: Final = frozenset(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-")
_LETTERS: Final = frozenset(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry. ``key`` is ``section.name`` or ``section.SUBSECTION.name``, in lower case except for the subsection.

    ``value`` is None for a name alone, which means true. ``unfinished`` is true if the file ends within the name.
    """

    key: bytes
    value: bytes | None
    unfinished: bool = False


@dataclass(frozen=True, slots=True)
class Parsed:
    """The entries of a file before its end, or before the first error.

    ``error`` is empty if there is none. ``truncated`` is true if the error is that the file ends within an entry.
    """

    entries: tuple[Entry, ...]
    error: str = ""
    truncated: bool = False


class _Malformed(Exception):
    """The file is not a configuration file."""


class _Reader:
    r"""The characters of a file as Git sees them: ``\r\n`` is a newline, and so is the end of the file."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = len(_BOM) if data.startswith(_BOM) else 0
        self.ended = False

    def next(self) -> int:
        data, at = self._data, self._at
        if at >= len(data):
            self.ended = True
            return _NEWLINE
        self._at += 1
        if data[at] == 0x0D and data[at + 1 : at + 2] == b"\n":
            self._at += 1
            return _NEWLINE
        return data[at]


def parse(data: bytes) -> Parsed:
    """Parse the content of a configuration file. Included files are not read."""
    if _CONTROL.search(data):
        return Parsed((), "it contains control characters")
    reader = _Reader(data)
    entries: list[Entry] = []
    try:
        _parse(reader, entries)
    except _Malformed as error:
        return Parsed(tuple(entries), str(error), reader.ended)
    return Parsed(tuple(entries))


def _parse(reader: _Reader, entries: list[Entry]) -> None:
    section = b""
    comment = False
    while True:
        character = reader.next()
        if character == _NEWLINE:
            if reader.ended:
                return
            comment = False
        elif comment or character in _SPACE:
            continue
        elif character in b"#;":
            comment = True
        elif character == ord("["):
            section = _section(reader)
        elif character in _LETTERS:
            entries.append(_entry(reader, section, character))
        else:
            raise _Malformed("a line is neither a section nor an entry")


def _section(reader: _Reader) -> bytes:
    """Return the name of a section, with its subsection and a final dot."""
    name = bytearray()
    while True:
        character = reader.next()
        if reader.ended:
            raise _Malformed("a section has no end")
        if character == ord("]"):
            break
        if character in _SPACE:
            name += b"." + _subsection(reader, character)
            break
        if character not in _KEY and character != ord("."):
            raise _Malformed("a section has an invalid name")
        name += bytes((character,)).lower()
    if not name:
        raise _Malformed("a section has no name")
    return bytes(name) + b"."


def _subsection(reader: _Reader, character: int) -> bytes:
    while character in _SPACE:
        if character == _NEWLINE:
            raise _Malformed("a section has no end")
        character = reader.next()
    if character != ord('"'):
        raise _Malformed("a subsection is not quoted")
    name = bytearray()
    while (character := reader.next()) != ord('"'):
        if character == ord("\\"):
            character = reader.next()
        if character == _NEWLINE:
            raise _Malformed("a subsection has no end")
        name.append(character)
    if reader.next() != ord("]"):
        raise _Malformed("a section has no end")
    return bytes(name)


def _entry(reader: _Reader, section: bytes, first: int) -> Entry:
    name = bytearray((first,))
    while (character := reader.next()) in _KEY and not reader.ended:
        name.append(character)
    key = section + bytes(name).lower()
    if reader.ended:
        return Entry(key, None, unfinished=True)
    while character in b" \t":
        character = reader.next()
    if character == _NEWLINE:
        return Entry(key, None)
    if character != ord("="):
        raise _Malformed("a name is followed by something else than a value")
    return Entry(key, _value(reader))


def _value(reader: _Reader) -> bytes:
    value = bytearray()
    kept = 0  # the length without the blanks at the end
    quoted = comment = False
    while True:
        character = reader.next()
        if character == _NEWLINE:
            if quoted:
                raise _Malformed("a quoted value has no end")
            return bytes(value[:kept])
        if comment:
            continue
        if not quoted:
            if character in _SPACE:
                if value:
                    value.append(character)
                continue
            if character in b"#;":
                comment = True
                continue
        kept = len(value)
        if character == ord("\\"):
            character = reader.next()
            if character == _NEWLINE:
                continue
            if character not in _ESCAPES:
                raise _Malformed("a value has an invalid escape sequence")
            value.append(_ESCAPES[character])
        elif character == ord('"'):
            quoted = not quoted
        else:
            value.append(character)
        kept = len(value)
