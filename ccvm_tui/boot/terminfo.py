"""The compiled terminfo entry of the host terminal, for guests that lack it.

The directories are those of ncurses (terminfo(5)). Their entries are sorted by the first letter (``x/xterm``) or, on
file systems that ignore case, by its code (``78/xterm``).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

LARGEST = 32768
"""The maximum size of an entry in bytes, which is also the limit of ncurses (term(5))."""

_MAGIC = (b"\x1a\x01", b"\x1e\x02")
"""The beginnings of compiled entries with 16-bit and 32-bit numbers."""

_SYSTEM = ("/etc/terminfo", "/lib/terminfo", "/usr/share/terminfo", "/usr/local/share/terminfo",
           "/run/current-system/sw/share/terminfo")  # fmt: skip


def compiled_entry(term: str, environ: Mapping[str, str]) -> bytes:
    """Return the entry named ``term``; empty if it does not exist or the name is invalid."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9+._-]*", term):
        return b""
    for directory in _directories(environ):
        for hashed in (term[0], f"{ord(term[0]):x}"):
            try:
                data = (directory / hashed / term).read_bytes()
            except OSError:
                continue
            if data[:2] in _MAGIC and len(data) <= LARGEST:
                return data
    return b""


def _directories(environ: Mapping[str, str]) -> Iterator[Path]:
    if named := environ.get("TERMINFO"):
        yield Path(named)
    if home := environ.get("HOME"):
        yield Path(home) / ".terminfo"
    for named in environ.get("TERMINFO_DIRS", "").split(":"):
        if named:
            yield Path(named)
    yield from map(Path, _SYSTEM)
