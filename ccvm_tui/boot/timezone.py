"""The host's time zone, in every form that tzset(3) supports, converted for a guest.

A guest gets the zone's name, which it looks up in its tz database, and the rules, for names that its database lacks. A
zone that is given as a string (``TZ=CET-1CEST,M3.5.0,M10.5.0/3``) is converted to a file, so that programs that read
``/etc/localtime`` without the C library also find it.
"""

from __future__ import annotations

import os
import re
import struct
from collections.abc import Iterator, Mapping
from pathlib import Path

from ccvm_tui.protocol import Timezone

LOCALTIME = Path("/etc/localtime")
"""The file or link that defines the system's zone."""

NAME_FILE = Path("/etc/timezone")
"""Debian's file with the name of the zone, for systems where ``LOCALTIME`` is a copy."""

LARGEST = 1 << 18
"""The maximum size of a zone's file in bytes. The largest zones have 4 KiB, or 8 KiB with leap seconds."""

_MAGIC = b"TZif"
_ZONES = ("/usr/share/zoneinfo", "/usr/lib/zoneinfo", "/usr/share/lib/zoneinfo", "/etc/zoneinfo")
_LINKS = 16
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_+-]*(/[A-Za-z0-9][A-Za-z0-9_+-]*)*")

# POSIX.1, "8.3 Other Environment Variables", with hours up to 167 as in RFC 9636.
_ABBREVIATION = r"(?:[A-Za-z]{3,}|<[A-Za-z0-9+-]{3,}>)"
_HOURS = r"[+-]?[0-9]{1,3}(?::[0-9]{1,2}){0,2}"
_DAY = r"(?:J[0-9]{1,3}|[0-9]{1,3}|M[0-9]{1,2}\.[1-5]\.[0-6])"
_RULES = rf",{_DAY}(?:/{_HOURS})?,{_DAY}(?:/{_HOURS})?"
_POSIX = re.compile(rf"({_ABBREVIATION})({_HOURS})(?:{_ABBREVIATION}(?:{_HOURS})?({_RULES})?)?")
_WITHOUT_SUMMER = re.compile(rf"{_ABBREVIATION}{_HOURS}")
_USUAL_RULES = ",M3.2.0,M11.1.0"
"""The C library's dates for a string that has a summer time without dates."""

_LONG_AGO = -(2**59)
"""The time of the first transition; RFC 9636 advises against earlier times."""


def timezone(environ: Mapping[str, str], localtime: Path = LOCALTIME, name_file: Path = NAME_FILE) -> Timezone:
    """Return the time zone of programs on this host whose environment is ``environ``."""
    value = environ.get("TZ")
    if value is None:
        return _of_file(localtime, _stored_name(name_file, localtime, environ)) or Timezone()
    value = value.removeprefix(":")
    if not value:
        return Timezone()  # an empty TZ is UTC, unlike a TZ that is not set
    if value.startswith("/"):
        return _of_file(Path(value)) or Timezone()
    for directory in _directories(environ):
        if found := _of_file(directory / value, value):
            return found
    if data := rules(value):
        return Timezone("", data)
    return Timezone(value) if _NAME.fullmatch(value) else Timezone()


def rules(posix: str) -> bytes:
    """Return the file (TZif, RFC 9636) that is equivalent to a POSIX TZ string; empty if the string is invalid."""
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
    """Return the seconds to add to UTC. In the string, positive hours are west of Greenwich."""
    parts = [int(part) for part in hours.lstrip("+-").split(":")]
    seconds = sum(part * unit for part, unit in zip(parts, (3600, 60, 1), strict=False))
    return seconds if hours.startswith("-") else -seconds


def _directories(environ: Mapping[str, str]) -> Iterator[Path]:
    if own := environ.get("TZDIR"):
        yield Path(own)
    yield from map(Path, _ZONES)


def _of_file(path: Path, name: str = "") -> Timezone | None:
    """Return the zone in a file, named by the first link to it or else ``name``, or None if it is no zone."""
    data = _content(path)
    return Timezone(_name_in_links(path) or name, data) if data else None


def _content(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            data = file.read(LARGEST + 1)
    except (OSError, ValueError):  # ValueError: a null byte in the name
        return b""
    return data if data.startswith(_MAGIC) and len(data) <= LARGEST else b""


def _name_in_links(path: Path) -> str:
    """Return the name by which the first of the links refers to a tz database, which may be an alias."""
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


def _stored_name(name_file: Path, localtime: Path, environ: Mapping[str, str]) -> str:
    """Return the name in ``name_file`` if ``localtime`` is still a copy of that zone, else an empty string."""
    try:
        name = name_file.read_text().strip()
    except (OSError, UnicodeDecodeError):
        return ""
    if not _NAME.fullmatch(name):
        return ""
    data = _content(localtime)
    same = bool(data) and any(_content(directory / name) == data for directory in _directories(environ))
    return name if same else ""
