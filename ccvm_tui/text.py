"""Text for people: sizes, durations, and text from guests without the characters that could change the screen.

Titles, notifications, names and console lines come from guests and may be hostile. Control characters could move the
cursor, bidirectional controls reverse the rest of a line, and combining marks overlap other rows.
"""

from __future__ import annotations

import locale
import unicodedata

MARKS_MAX = 2
"""Combining marks that are kept on one character."""

UNDECODABLE = "�"
"""The replacement for a byte that is not UTF-8, which Python represents as a surrogate."""

_LINE_ENDS = frozenset("\t\n\r\x0b\x0c\x85\u2028\u2029")
_REMOVED = frozenset(("Cc", "Cf", "Co", "Cn", "Zl", "Zp"))


def printable(text: str) -> str:
    """Return ``text`` without control, format and unassigned characters. Line ends and tabs become spaces."""
    if text.isascii() and text.isprintable():
        return text
    out: list[str] = []
    marks = 0
    for character in text:
        category = unicodedata.category(character)
        if category[0] == "M":
            marks += 1
            if marks <= MARKS_MAX and out and out[-1] != " ":
                out.append(character)
            continue
        if character in _LINE_ENDS or category == "Zs":
            out.append(" ")
        elif category == "Cs":
            out.append(UNDECODABLE)
        elif category not in _REMOVED:
            out.append(character)
        else:
            continue  # the marks after it belong to the character before it
        marks = 0
    return "".join(out)


def plain(text: str, limit: int = 200) -> str:
    """Return ``text`` as one printable line of at most ``limit`` characters, with single spaces between words."""
    return " ".join(printable(text[: limit * 4]).split())[:limit].rstrip()


def console_line(line: str) -> str:
    """Return a line of a console's output as printable text: what it shows after the last carriage return."""
    return printable(without_sequences(line.rstrip("\r\n").rsplit("\r", 1)[-1]).expandtabs())


def plain_lines(text: str, lines: int, width: int = 400) -> list[str]:
    """Return the last ``lines`` lines of a console's output, each of at most ``width`` characters."""
    last = text.replace("\r\n", "\n").split("\n")[-lines:]
    return [plain(console_line(line), width) for line in last]


def without_sequences(text: str) -> str:
    """Return ``text`` without escape sequences (ECMA-48), including incomplete ones."""
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


_UNSAFE = dict.fromkeys((*range(32), *range(127, 160)), " ") | dict.fromkeys(
    (0x61C, 0x200E, 0x200F, *range(0x2028, 0x202F), *range(0x2066, 0x206A))
)


def cell_text(text: str) -> str:
    """Return the text of a cell as it may be sent to the host terminal. Control characters become spaces.

    The emulator produces no such characters; this protects the host terminal from errors in it.
    """
    return text if text.isprintable() else text.translate(_UNSAFE)


def foreign_encoding() -> str:
    """Return the encoding of the locale, or an empty string if it is UTF-8."""
    encoding = locale.getpreferredencoding(False)
    return "" if encoding.lower().replace("-", "") == "utf8" else encoding


def size_text(amount: int) -> str:
    """Return a number of bytes in a binary unit, such as ``900B``, ``812M`` or ``3.4G``."""
    if amount < 1 << 10:
        return f"{amount}B"
    if amount < 1 << 20:
        return f"{amount >> 10}K"
    if amount < 1 << 30:
        return f"{amount >> 20}M"
    return f"{amount / (1 << 30):.1f}G"


def time_text(seconds: float) -> str:
    """Return a duration in its largest units, such as ``42s``, ``12m``, ``3h05`` or ``2d4h``."""
    whole = int(max(0, seconds))
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m"
    if whole < 86400:
        return f"{whole // 3600}h{whole % 3600 // 60:02d}"
    return f"{whole // 86400}d{whole % 86400 // 3600}h"
