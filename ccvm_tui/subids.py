"""Subordinate user ids (subuid(5)), which a build without root needs for the files of the image."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

SUBUID = Path("/etc/subuid")
"""The ranges of user ids, one a line: user, first id, number of ids."""

SUBGID = Path("/etc/subgid")
"""The same for group ids."""

COUNT = 1 << 16
"""The number of ids that a user gets."""

_FIRST = 100_000


def has_range(user: str) -> bool:
    """Return whether ``user``, or the uid of this process, has subordinate user ids."""
    return any(name in (user, str(os.getuid())) for name, _, _ in _ranges(SUBUID))


def command(user: str) -> tuple[str, ...]:
    """Return the command that gives ``user`` ids that no other user has. Only root can run it."""
    first = free([*_ranges(SUBUID), *_ranges(SUBGID)])
    ids = f"{first}-{first + COUNT - 1}"
    return ("usermod", "--add-subuids", ids, "--add-subgids", ids, user)


def free(ranges: Iterable[tuple[str, int, int]]) -> int:
    """Return the first id of ``COUNT`` ids after all ``ranges``, which are tuples of user, first id and number."""
    return max([_FIRST, *(first + count for _, first, count in ranges)])


def parse(text: str) -> list[tuple[str, int, int]]:
    """Return the ranges in the text of a file. Lines that are not ranges are ignored."""
    found = []
    for line in text.splitlines():
        name, *numbers = line.strip().split(":")
        if name and len(numbers) == 2 and all(number.isascii() and number.isdigit() for number in numbers):
            found.append((name, int(numbers[0]), int(numbers[1])))
    return found


def _ranges(path: Path) -> list[tuple[str, int, int]]:
    try:
        return parse(path.read_text())
    except (OSError, UnicodeDecodeError):
        return []
