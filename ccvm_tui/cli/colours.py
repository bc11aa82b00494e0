"""Diffs on a terminal: colours, and text without control characters."""

from __future__ import annotations

import os
from typing import TextIO

from ccvm_tui.cli.output import NO_CURSOR
from ccvm_tui.text import printable

_BOLD, _RED, _GREEN, _CYAN, _PLAIN = "\x1b[1m", "\x1b[31m", "\x1b[32m", "\x1b[36m", "\x1b[0m"


def wants_colour(stream: TextIO) -> bool:
    """Return whether ``stream`` is a terminal with colours that the user wants (no-color.org)."""
    return stream.isatty() and os.environ.get("TERM", "") not in NO_CURSOR and not os.environ.get("NO_COLOR")


def painted_line(line: bytes, *, colour: bool) -> str:
    """Return a line of a unified diff as printable text."""
    text = printable(line.rstrip(b"\n").decode("utf-8", "replace").expandtabs())
    if not colour:
        return text
    style = _style(text)
    return f"{style}{text}{_PLAIN}" if style else text


def _style(text: str) -> str:
    if text.startswith("@@"):
        return _CYAN
    if text.startswith(("+++", "---")):
        return _BOLD
    if text.startswith("+"):
        return _GREEN
    if text.startswith("-"):
        return _RED
    return "" if text.startswith((" ", "\\")) else _BOLD
