"""Two versions of a text side by side. Without input and output."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import zip_longest

from ccvm_tui.review.hunks import Hunk, Line

Pair = tuple[Line | None, Line | None]
"""A line of the first text and the line of the second beside it."""


def pairs(hunk: Hunk) -> Iterator[Pair]:
    """Yield the lines of a hunk in pairs. Lines of one text without a counterpart are beside None."""
    removed: list[Line] = []
    added: list[Line] = []
    for line in hunk.lines:
        if line.sign == " ":
            yield from zip_longest(removed, added)
            removed, added = [], []
            yield line, line
        else:
            (removed if line.sign == "-" else added).append(line)
    yield from zip_longest(removed, added)
