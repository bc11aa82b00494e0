"""A parser for the output of ``tmux capture-pane -e``, whose cells are equal if they look the same.

A rendition can be encoded in several ways, and a line drawing character as itself or by a character set; equal ones
become equal values. SGR as in ECMA-48 8.3.117 and xterm's ctlseqs.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

ATTRIBUTES = {
    1: "bold",
    2: "dim",
    3: "italic",
    5: "blink",
    6: "blink",
    7: "reverse",
    8: "conceal",
    9: "strike",
    53: "overline",
}
_OFF = {
    22: {"bold", "dim"},
    23: {"italic"},
    25: {"blink"},
    27: {"reverse"},
    28: {"conceal"},
    29: {"strike"},
    55: {"overline"},
}
_UNDERLINES = ("", "single", "double", "curly", "dotted", "dashed")
_DRAWN = dict(zip("`abcdefghijklmnopqrstuvwxyz{|}~", "◆▒␉␌␍␊°±␤␋┘┐┌└┼⎺⎻─⎼⎽├┤┴┬│≤≥π≠£·", strict=True))
"""The special graphics set of VT100, by the corresponding ASCII characters."""

_token = re.compile(
    r"\x1b\[(?P<sgr>[0-9;:]*)m|\x1b\]8;[^;]*;(?P<link>[^\x1b]*)\x1b\\|(?P<shift>[\x0e\x0f])|(?P<text>.)"
)


@dataclass(frozen=True, slots=True)
class Rendition:
    """The rendition of a cell. Colours are "" (default), "7" (palette) or "#ff8000"."""

    attributes: frozenset[str] = frozenset()
    underline: str = ""
    foreground: str = ""
    background: str = ""
    underline_colour: str = ""
    link: str = ""

    def __str__(self) -> str:
        parts = sorted(self.attributes)
        for name in ("underline", "foreground", "background", "underline_colour", "link"):
            if value := getattr(self, name):
                parts.append(f"{name} {value}")
        return ", ".join(parts) or "plain"


PLAIN = Rendition()

Cell = tuple[str, Rendition]
"""A character and its rendition. tmux returns combining marks as separate characters."""

BLANK: Cell = (" ", PLAIN)


def parse(captured: str) -> tuple[tuple[Cell, ...], ...]:
    """Return rows of cells. Before version 3.4, tmux leaves out cells erased in colour at the end of a row."""
    rows: list[tuple[Cell, ...]] = []
    style, drawing = PLAIN, False
    for line in captured.split("\n"):
        cells: list[Cell] = []
        for match in _token.finditer(line):
            match match.lastgroup:
                case "sgr":
                    style = rendition(style, match["sgr"])
                case "link":
                    style = replace(style, link=match["link"])
                case "shift":
                    drawing = match["shift"] == "\x0e"
                case _:
                    text = match["text"]
                    cells.append((_DRAWN.get(text, text) if drawing else text, style))
        rows.append(tuple(cells))
    return tuple(rows)


def trimmed(rows: Sequence[tuple[Cell, ...]]) -> tuple[tuple[Cell, ...], ...]:
    """Return the rows without trailing blanks of any background, and without trailing blank rows."""
    shortened = []
    for row in rows:
        end = len(row)
        while end and row[end - 1][0] == " " and _is_plain_but_for_background(row[end - 1][1]):
            end -= 1
        shortened.append(row[:end])
    while shortened and not shortened[-1]:
        shortened.pop()
    return tuple(shortened)


def _is_plain_but_for_background(style: Rendition) -> bool:
    return not (style.attributes or style.underline or style.foreground or style.underline_colour or style.link)


def rendition(style: Rendition, parameters: str) -> Rendition:
    """Return the rendition after SGR with these parameters."""
    groups = iter([group.split(":") for group in (parameters or "0").split(";")])
    for group in groups:
        code = int(group[0] or 0)
        if code == 0:
            style = Rendition(link=style.link)
        elif code == 4:
            style = replace(style, underline=_UNDERLINES[int(group[1]) if len(group) > 1 else 1])
        elif code == 21:
            style = replace(style, underline="double")
        elif code == 24:
            style = replace(style, underline="")
        elif code in ATTRIBUTES:
            style = replace(style, attributes=style.attributes | {ATTRIBUTES[code]})
        elif code in _OFF:
            style = replace(style, attributes=style.attributes - _OFF[code])
        else:
            style = _coloured(style, code, group[1:], groups)
    return style


def _coloured(style: Rendition, code: int, rest: list[str], following: Iterator[list[str]]) -> Rendition:
    if 30 <= code <= 37 or 90 <= code <= 97:
        return replace(style, foreground=str(code - 30 if code < 90 else code - 82))
    if 40 <= code <= 47 or 100 <= code <= 107:
        return replace(style, background=str(code - 40 if code < 100 else code - 92))
    match code:
        case 38:
            return replace(style, foreground=_extended(rest, following))
        case 48:
            return replace(style, background=_extended(rest, following))
        case 58:
            return replace(style, underline_colour=_extended(rest, following))
        case 39:
            return replace(style, foreground="")
        case 49:
            return replace(style, background="")
        case 59:
            return replace(style, underline_colour="")
    raise AssertionError(f"unknown SGR {code}")


def _extended(rest: list[str], following: Iterator[list[str]]) -> str:
    """Parse ``5;N`` or ``2;R;G;B``, with semicolons, or with colons and then also an empty colour space."""
    values = rest or next(following)
    if values[0] == "5":
        return str(int(values[1] if rest else next(following)[0]))
    components = [value for value in values[1:] if value] if rest else [next(following)[0] for _ in range(3)]
    return "#" + "".join(f"{int(value):02x}" for value in components[-3:])
