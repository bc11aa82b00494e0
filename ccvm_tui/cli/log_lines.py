"""Reading a log of a guest while its keeper writes it."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TextIO

POLL_INTERVAL = 0.1
"""Seconds between two reads of a log that is followed."""


def lines(path: Path, follow: Callable[[], bool]) -> Iterator[str]:
    """Yield the lines of a log, which its writer rotates, and the new lines for as long as ``follow`` returns true.

    The lines before the last rotation are in ``NAME.1``. A log that is replaced by a new one is read from its start.
    """
    older = path.with_name(path.name + ".1")
    if older.exists():
        with older.open(encoding="utf-8", errors="replace", newline="\n") as file:
            yield from file
    following = True
    while following:
        try:
            with path.open(encoding="utf-8", errors="replace", newline="\n") as file:
                yield from _remaining_lines(file, path, follow)
        except FileNotFoundError:
            time.sleep(POLL_INTERVAL if follow() else 0)
        following = follow()


def _remaining_lines(file: TextIO, path: Path, follow: Callable[[], bool]) -> Iterator[str]:
    """Yield the lines of an open log until it ends or is replaced by another."""
    begun = ""
    while True:
        more = follow() and _is_current(file, path)  # before the read, so that the last lines are read too
        for piece in file:
            begun += piece
            if begun.endswith("\n"):
                yield begun
                begun = ""
        if not more:
            if begun:
                yield begun
            return
        time.sleep(POLL_INTERVAL)


def _is_current(file: TextIO, path: Path) -> bool:
    try:
        return path.stat().st_ino == os.fstat(file.fileno()).st_ino
    except FileNotFoundError:
        return True  # the guest is ending, and no new log follows
