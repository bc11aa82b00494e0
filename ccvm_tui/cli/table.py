"""Tables for people."""

from __future__ import annotations

from collections.abc import Sequence

from ccvm_tui.text import printable


def table(rows: Sequence[Sequence[str]]) -> str:
    """Return left-aligned columns with two spaces between them. All rows have the same number of cells."""
    shown = [[printable(cell) for cell in row] for row in rows]
    widths = [max(len(row[column]) for row in shown) for column in range(len(shown[0]))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in shown]
    return "\n".join(lines)
