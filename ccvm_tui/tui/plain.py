"""What a guest says, made fit to stand in the dashboard's own lines.

Titles, notifications, names and console lines come from the guest and are hostile: control characters would
move the cursor, bidirectional ones turn the rest of the line around, marks pile up over other rows.
"""

from __future__ import annotations

import unicodedata

from rich.cells import cell_len, set_cell_size

_LINE_ENDS = frozenset("\n\r\x0b\x0c\x85\u2028\u2029\t")
_DROPPED = frozenset(("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"))
MARKS_MAX = 2
"""Combining marks kept on one character."""


def plain(text: str, limit: int = 200) -> str:
    """One line of printable characters, at most ``limit`` of them; white space becomes single blanks."""
    out: list[str] = []
    marks = 0
    for char in text[: limit * 4]:
        if char in _LINE_ENDS:
            char = " "
        category = unicodedata.category(char)
        if category in _DROPPED:
            continue
        if category[0] == "M":
            marks += 1
            if marks > MARKS_MAX or not out:
                continue
        else:
            marks = 0
        if category == "Zs":
            char = " "
        if char == " " and (not out or out[-1] == " "):
            continue
        out.append(char)
        if len(out) >= limit:
            break
    return "".join(out).rstrip()


def plain_lines(text: str, lines: int, width: int = 400) -> list[str]:
    """The last ``lines`` lines of a console's output, each safe to show; colours are taken off."""
    kept: list[str] = []
    for line in text.replace("\r\n", "\n").split("\n")[-lines * 2 :]:
        shown = line.rsplit("\r", 1)[-1]
        kept.append(plain(without_sequences(shown), width))
    return kept[-lines:]


def without_sequences(text: str) -> str:
    """``text`` without escape sequences (ECMA-48), whole or cut off."""
    out: list[str] = []
    at = 0
    while (escape := text.find("\x1b", at)) >= 0:
        out.append(text[at:escape])
        at = _after_sequence(text, escape)
    out.append(text[at:])
    return "".join(out)


def _after_sequence(text: str, at: int) -> int:
    end = len(text)
    at += 1
    if at >= end:
        return end
    introducer = text[at]
    at += 1
    if introducer == "[":
        while at < end and not "@" <= text[at] <= "~":
            at += 1
        return at + 1
    if introducer in "]P_^X":
        while at < end and text[at] != "\x07" and not text.startswith("\x1b\\", at):
            at += 1
        return at + (2 if text.startswith("\x1b\\", at) else 1)
    if " " <= introducer <= "/":
        return at + 1
    return at


def fit(text: str, width: int) -> str:
    """Exactly ``width`` cells: padded, or cut with an ellipsis."""
    if width <= 0:
        return ""
    if cell_len(text) <= width:
        return set_cell_size(text, width)
    return set_cell_size(text, width - 1) + "…"


_UNSAFE = dict.fromkeys((*range(32), *range(127, 160)), " ") | dict.fromkeys(
    (0x61C, 0x200E, 0x200F, *range(0x2028, 0x202F), *range(0x2066, 0x206A))
)


def cell_text(text: str) -> str:
    """A cell's text as it may reach the outer terminal, should even the emulator let something through."""
    return text if text.isprintable() else text.translate(_UNSAFE)


def size_text(amount: int) -> str:
    """Bytes for people: 812M, 3.4G."""
    if amount < 1 << 20:
        return f"{amount >> 10}K"
    if amount < 1 << 30:
        return f"{amount >> 20}M"
    return f"{amount / (1 << 30):.1f}G"


def time_text(seconds: float) -> str:
    """A duration for people: 42s, 12m, 3h05, 2d4h."""
    whole = int(max(0, seconds))
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m"
    if whole < 86400:
        return f"{whole // 3600}h{whole % 3600 // 60:02d}"
    return f"{whole // 86400}d{whole % 86400 // 3600}h"
