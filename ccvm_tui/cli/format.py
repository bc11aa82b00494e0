"""Sizes, ages and tables for people. JSON for scripts has plain numbers."""

from __future__ import annotations

import re
from collections.abc import Sequence

_ESCAPES = re.compile(r"\x1b(\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(\x07|\x1b\\)?|[@-Z\\^_]?)")
"""Control sequences and strings (ECMA-48)."""


def size(count: float) -> str:
    """Bytes in the largest binary unit that fits."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if count < 1024:
            return f"{count:.0f} {unit}" if unit == "B" or count >= 100 else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} TiB"


def age(seconds: float) -> str:
    """A time span in its two largest units."""
    left = max(0, int(seconds))
    for unit, length, smaller, part in (("d", 86400, "h", 3600), ("h", 3600, "m", 60), ("m", 60, "s", 1)):
        if left >= length:
            return f"{left // length}{unit}{left % length // part}{smaller}"
    return f"{left}s"


def table(rows: Sequence[Sequence[str]]) -> str:
    """Left-aligned columns, two spaces apart; control characters are shown, not sent."""
    shown = [[printable(cell) for cell in row] for row in rows]
    widths = [max(len(row[column]) for row in shown) for column in range(len(shown[0]))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in shown]
    return "\n".join(lines)


def plain(line: str) -> str:
    """A line of a console log: escape sequences gone, tabs as spaces, other control characters shown."""
    return printable(_ESCAPES.sub("", line.rstrip("\r\n")).expandtabs().replace("\r", ""))


def printable(text: str) -> str:
    """``text`` without anything that a terminal would obey: titles and reasons come from guests."""
    return "".join(character if character.isprintable() else "�" for character in text)
