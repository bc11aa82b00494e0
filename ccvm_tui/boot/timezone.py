"""The host's time zone, in every spelling that tzset(3) knows, in a form that a guest can take.

A guest is given the zone's name, which it looks up in its own tz database, and the rules themselves for names that
it does not know. A zone that was never in a file (``TZ=CET-1CEST,M3.5.0,M10.5.0/3``) is put into one, so that
programs that read ``/etc/localtime`` by themselves, without the C library, see it too.
"""

from __future__ import annotations

import os
import re
import struct
from collections.abc import Iterator, Mapping
from pathlib import Path

from ccvm_tui.protocol import Timezone

LOCALTIME = Path("/etc/localtime")
NAMED = Path("/etc/timezone")
"""Debian's file with the name of the zone, for a /etc/localtime that is a copy."""

LARGEST = 1 << 18
"""Bytes; the largest zone of today takes 4 KiB, those with leap seconds 8."""

_MAGIC = b"TZif"
_ZONES = ("/usr/share/zoneinfo", "/usr/lib/zoneinfo", "/usr/share/lib/zoneinfo", "/etc/zoneinfo")
_LINKS = 16
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_+-]*(/[A-Za-z0-9][A-Za-z0-9_+-]*)*")

# POSIX.1, "8.3 Other Environment Variables", with the hours of up to 167 that RFC 9636 adds.
_ABBREVIATION = r"(?:[A-Za-z]{3,}|<[A-Za-z0-9+-]{3,}>)"
_HOURS = r"[+-]?[0-9]{1,3}(?::[0-9]{1,2}){0,2}"
_DAY = r"(?:J[0-9]{1,3}|[0-9]{1,3}|M[0-9]{1,2}\.[1-5]\.[0-6])"
_RULES = rf",{_DAY}(?:/{_HOURS})?,{_DAY}(?:/{_HOURS})?"
_POSIX = re.compile(rf"({_ABBREVIATION})({_HOURS})(?:{_ABBREVIATION}(?:{_HOURS})?({_RULES})?)?")
_WITHOUT_SUMMER = re.compile(rf"{_ABBREVIATION}{_HOURS}")
_USUAL_RULES = ",M3.2.0,M11.1.0"
"""The C library's rule for a string that names a summer time without its dates."""

_LONG_AGO = -(2**59)
"""Before everything; RFC 9636 advises against earlier times."""


def timezone(environ: Mapping[str, str], localtime: Path = LOCALTIME, named: Path = NAMED) -> Timezone:
    """The zone that programs of this machine see, in an environment like this one."""
    value = environ.get("TZ")
    if value is None:
        return _of_file(localtime, _noted(named, localtime, environ)) or Timezone()
    value = value.removeprefix(":")
    if not value:
        return Timezone()  # set but empty is UTC, other than not set
    if value.startswith("/"):
        return _of_file(Path(value)) or Timezone()
    for directory in _directories(environ):
        if found := _of_file(directory / value, value):
            return found
    if data := rules(value):
        return Timezone("", data)
    return Timezone(value) if _NAME.fullmatch(value) else Timezone()


def rules(posix: str) -> bytes:
    """The file (TZif, RFC 9636) that means the same as a POSIX TZ string; empty when it is none."""
    match = _POSIX.fullmatch(posix)
    if match is None:
        return b""
    abbreviation, hours, dates = match.groups()
    if dates is None and not _WITHOUT_SUMMER.fullmatch(posix):
        posix += _USUAL_RULES
    name = abbreviation.strip("<>").encode() + b"\0"
    standard = struct.pack(">lbB", _seconds(hours), 0, 0) + name
    header = struct.Struct(">4sc15x6l")  # counts: UT, standard, leap seconds, transitions, types, characters
    old = header.pack(_MAGIC, b"3", 0, 0, 0, 0, 1, len(name)) + standard
    new = header.pack(_MAGIC, b"3", 0, 0, 0, 1, 1, len(name)) + struct.pack(">qB", _LONG_AGO, 0) + standard
    return old + new + f"\n{posix}\n".encode()


def _seconds(hours: str) -> int:
    """Seconds to add to UTC: the string counts hours to the west of it."""
    parts = [int(part) for part in hours.lstrip("+-").split(":")]
    seconds = sum(part * unit for part, unit in zip(parts, (3600, 60, 1), strict=False))
    return seconds if hours.startswith("-") else -seconds


def _directories(environ: Mapping[str, str]) -> Iterator[Path]:
    if own := environ.get("TZDIR"):
        yield Path(own)
    yield from map(Path, _ZONES)


def _of_file(path: Path, name: str = "") -> Timezone | None:
    """The zone in a file, called ``name`` unless a link on the way there names it; None when it is no zone's file."""
    data = _content(path)
    return Timezone(_name_on_the_way(path) or name, data) if data else None


def _content(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            data = file.read(LARGEST + 1)
    except (OSError, ValueError):  # ValueError: a null byte in the name
        return b""
    return data if data.startswith(_MAGIC) and len(data) <= LARGEST else b""


def _name_on_the_way(path: Path) -> str:
    """The name by which the first of the links leads into a tz database: an alias stays one."""
    for _ in range(_LINKS):
        path = Path(os.path.normpath(path.absolute()))
        name = str(path).partition("/zoneinfo/")[2]
        if _NAME.fullmatch(name):
            return name
        try:
            path = path.parent / path.readlink()
        except OSError:
            return ""
    return ""


def _noted(named: Path, localtime: Path, environ: Mapping[str, str]) -> str:
    """The name that the file ``named`` has for ``localtime``, if that is still true."""
    try:
        name = named.read_text().strip()
    except (OSError, UnicodeDecodeError):
        return ""
    if not _NAME.fullmatch(name):
        return ""
    data = _content(localtime)
    same = bool(data) and any(_content(directory / name) == data for directory in _directories(environ))
    return name if same else ""
