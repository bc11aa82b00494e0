"""The outer terminal's reports about its colours and cells, parsed from ``terminal.input.Report``. Pure.

Sources: xterm's ctlseqs (OSC 10 to 12, CSI 16 t); the colour scheme reports of Contour (CSI ? 997 ; n n).
"""

from __future__ import annotations

import re
from dataclasses import replace

from ccvm_tui.guest import TermColours

_RGB = re.compile(r"rgba?:([0-9a-fA-F]{1,4})/([0-9a-fA-F]{1,4})/([0-9a-fA-F]{1,4})(/[0-9a-fA-F]{1,4})?")
_HASH = re.compile(r"#([0-9a-fA-F]{6})")
_CELL = re.compile(r"6;([0-9]{1,4});([0-9]{1,4})")
_DARK = {"997;1": True, "997;2": False}


def colour_of(text: str) -> int | None:
    """0xrrggbb of ``rgb:12/34/56``, with 1 to 4 digits each, or ``#123456``; None for anything else."""
    if match := _RGB.fullmatch(text):
        red, green, blue = (int(part, 16) * 255 // int("f" * len(part), 16) for part in match.groups()[:3])
        return red << 16 | green << 8 | blue
    if match := _HASH.fullmatch(text):
        return int(match[1], 16)
    return None


def colours_with(known: TermColours, kind: str, text: str, *, cursor: bool) -> TermColours:
    """``known`` with what a report adds; one about the cursor's colour counts only with ``cursor``."""
    if kind == "?n" and text in _DARK:
        return replace(known, dark=_DARK[text])
    number, _, rest = text.partition(";")
    if kind != "osc" or (colour := colour_of(rest)) is None:
        return known
    match number:
        case "10":
            return replace(known, foreground=colour)
        case "11":
            return replace(known, background=colour)
        case "12" if cursor:
            return replace(known, cursor=colour)
    return known


def cell_of(kind: str, text: str) -> tuple[int, int] | None:
    """Width and height of a cell in pixels, from the answer to CSI 16 t; None for any other report."""
    match = _CELL.fullmatch(text) if kind == "t" else None
    return (int(match[2]), int(match[1])) if match else None
