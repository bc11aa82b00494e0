"""The compiled terminfo entry of the user's terminal, for guests that do not know it.

Searched where ncurses searches (terminfo(5)). Directories are hashed by first letter (``x/xterm``) or, on
file systems that ignore case, by its number (``78/xterm``).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

LARGEST = 32768
"""Bytes; ncurses refuses larger entries too (term(5))."""

_MAGIC = (b"\x1a\x01", b"\x1e\x02")
"""Compiled entries with 16-bit and 32-bit numbers."""

_SYSTEM = ("/etc/terminfo", "/lib/terminfo", "/usr/share/terminfo", "/usr/local/share/terminfo",
           "/run/current-system/sw/share/terminfo")  # fmt: skip


def compiled_entry(term: str, environ: Mapping[str, str]) -> bytes:
    """The entry named ``term``; empty when this machine has none, or the name cannot be one."""
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
