"""The logs of a guest that lie in its runtime directory."""

from __future__ import annotations

import contextlib
import json
import os
from pathlib import Path

from ccvm_tui.paths import GuestPaths
from ccvm_tui.protocol import Happened
from ccvm_tui.text import plain_lines

TAIL = 1 << 17
"""Bytes read from the end of a log."""


def _tail(path: Path) -> str:
    with contextlib.suppress(OSError), path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - TAIL))
        return file.read(TAIL).decode("utf-8", "replace")
    return ""


def recorded_events(name: str, count: int) -> list[Happened]:
    """The keeper's own record of what happened, newest last; nothing where it cannot be read."""
    found: list[Happened] = []
    for line in _tail(GuestPaths(name).events_log).splitlines():
        with contextlib.suppress(ValueError, KeyError, TypeError, AttributeError):
            entry = json.loads(line)
            text, session = str(entry.get("text", "")), str(entry.get("session", ""))
            found.append(Happened(float(entry["time"]), str(entry["kind"]), text, session))
    return found[-count:]


def console_lines(name: str, heard: str, count: int) -> list[str]:
    """The end of the console's log; ``heard`` stands in where there is none."""
    return plain_lines(_tail(GuestPaths(name).console_log) or heard, count)
