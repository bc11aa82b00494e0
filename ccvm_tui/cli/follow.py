"""The lines of a log that somebody else writes, rotates and finally removes."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TextIO

LOOK_EVERY = 0.1
"""Seconds between two looks at a log that is followed."""


def lines(path: Path, going_on: Callable[[], bool]) -> Iterator[str]:
    """Every line of ``NAME.1`` (the part before the last rotation) and ``path``, and those to come.

    Ends when ``going_on`` says so and all is read. A log that is replaced by a new one is read from its start.
    """
    older = path.with_name(path.name + ".1")
    if older.exists():
        with older.open(encoding="utf-8", errors="replace", newline="\n") as file:
            yield from file
    live = True
    while live:
        try:
            with path.open(encoding="utf-8", errors="replace", newline="\n") as file:
                yield from _rest(file, path, going_on)
        except FileNotFoundError:
            time.sleep(LOOK_EVERY if going_on() else 0)
        live = going_on()


def _rest(file: TextIO, path: Path, going_on: Callable[[], bool]) -> Iterator[str]:
    """The lines of an open log until it ends or another one has taken its place."""
    begun = ""
    while True:
        more = going_on() and _is(file, path)  # looked at first: what is written until then is read below
        for piece in file:
            begun += piece
            if begun.endswith("\n"):
                yield begun
                begun = ""
        if not more:
            if begun:
                yield begun
            return
        time.sleep(LOOK_EVERY)


def _is(file: TextIO, path: Path) -> bool:
    try:
        return path.stat().st_ino == os.fstat(file.fileno()).st_ino
    except FileNotFoundError:
        return True  # the guest is ending: what we have open is all there will be
