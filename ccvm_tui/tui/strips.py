"""Cells of a guest's screen → what Textual's compositor takes and the outer terminal gets.

Rich's styles know neither curly underlines nor their colours, and Textual's filters would turn palette colours
into theme colours. So each style carries its exact SGR parameters precomputed (where Rich keeps its own rendering
of a style), and the strip renders itself. Rich's attributes stay filled in beside them: pictures are made of these.

Widths are those of the guest's emulator. Where the outer terminal may think otherwise (joined emoji, combining
marks), the cursor is set by column after the run, so that a disagreement stays within one run.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from rich.cells import cell_len, set_cell_size
from rich.color import Color, ColorSystem
from rich.console import Console
from rich.segment import Segment
from rich.style import Style as RichStyle
from rich.terminal_theme import MONOKAI, TerminalTheme
from textual.color import Color as TextualColor
from textual.filter import LineFilter
from textual.strip import Strip

from ccvm_tui.terminal.cells import DEFAULT_COLOUR, TRUE_COLOUR, Attribute, Colours, Style, Underline

_SGR_OF_ATTRIBUTE = (
    (Attribute.BOLD, "1"),
    (Attribute.DIM, "2"),
    (Attribute.ITALIC, "3"),
    (Attribute.BLINK, "5"),
    (Attribute.REVERSE, "7"),
    (Attribute.CONCEAL, "8"),
    (Attribute.STRIKE, "9"),
    (Attribute.OVERLINE, "53"),
)

LINK_MAX = 2048
"""Longest address of a link that is passed on, in characters; the longest that terminals accept."""


READABLE = 48
"""The difference in lightness (of 255) from which on a text was meant to be read: less is a picture's shading."""


class Cell(NamedTuple):
    """A run whose style is resolved."""

    text: str
    width: int
    style: RichStyle


class StyleBook:
    """Resolves the cells' styles for one outer terminal: its number of colours, and the picture's two defaults."""

    def __init__(
        self,
        system: ColorSystem | None,
        foreground: str = "#d8dee6",
        background: str = "#101418",
        palette: TerminalTheme = MONOKAI,
    ) -> None:
        self._system = system
        self._default = (Color.parse(foreground), Color.parse(background))
        self._palette = palette
        self._changed = Colours()
        self._known: dict[Style, RichStyle] = {}
        self._marked: dict[tuple[int, str], tuple[RichStyle, RichStyle]] = {}
        self.marks = {
            "selection": ("#f2f5f8", "#31526b"),
            "match": ("#12161b", "#a08d57"),
            "current": ("#12161b", "#e8c35f"),
            "cursor": ("#12161b", "#c8d0d9"),
        }
        self._reversed = False

    def program_colours(self, changed: Colours, *, reverse: bool = False) -> bool:
        """Take over the colours that the program changed (OSC 4, 10, 11; DECSCNM); True when they are others."""
        if changed == self._changed and reverse == self._reversed:
            return False
        self._changed = changed
        self._reversed = reverse
        self._known.clear()
        self._marked.clear()
        return True

    def resolve(self, style: Style) -> RichStyle:
        known = self._known.get(style)
        if known is None:
            if len(self._known) > 4096:
                self._known.clear()
                self._marked.clear()
            known = self._known[style] = self._make(style)
        return known

    def highlight(self, style: RichStyle, kind: str) -> RichStyle:
        """The style of a highlighted cell: attributes of its own, colours of the highlight."""
        key = (id(style), kind)
        if (known := self._marked.get(key)) is not None:
            return known[1]
        foreground, background = self.marks[kind]
        made = (style + RichStyle(color=foreground, bgcolor=background, reverse=False, dim=False)).copy()
        codes = [] if not made.bold else ["1"]
        codes += ["3"] if made.italic else []
        codes += ["4"] if made.underline else []
        if self._system is None:
            codes.append("7")
        codes += self._codes(Color.parse(foreground), True) + self._codes(Color.parse(background), False)
        made._ansi = ";".join(codes)
        self._marked[key] = (style, made)  # the first is kept so that its id stays taken
        return made

    def _make(self, style: Style) -> RichStyle:
        changed = self._changed
        attributes = style.attributes
        if self._reversed:
            attributes ^= Attribute.REVERSE
        foreground = self._colour(style.foreground, changed.foreground)
        background = self._colour(style.background, changed.background)
        parts = [code for bit, code in _SGR_OF_ATTRIBUTE if attributes & bit]
        if style.underline:
            fancy = self._system in (ColorSystem.EIGHT_BIT, ColorSystem.TRUECOLOR)
            parts.append(f"4:{style.underline}" if fancy and style.underline != Underline.SINGLE else "4")
            if fancy and style.underline_colour >= 0:
                parts.append(_underline_colour(style.underline_colour))
        parts += self._codes(self._apart(foreground, background), True) + self._codes(background, False)
        reverse = bool(attributes & Attribute.REVERSE)
        made = RichStyle(
            color=self._in_pictures(foreground) or self._default[0],
            bgcolor=self._in_pictures(background) or self._default[1],
            bold=bool(attributes & Attribute.BOLD) or None,
            dim=bool(attributes & Attribute.DIM) or None,
            italic=bool(attributes & Attribute.ITALIC) or None,
            underline=bool(style.underline) or None,
            strike=bool(attributes & Attribute.STRIKE) or None,
            reverse=reverse or None,
            conceal=bool(attributes & Attribute.CONCEAL) or None,
            link=safe_link(style.link) or None,
        )
        made._ansi = ";".join(parts)
        return made

    def _colour(self, colour: int, program_default: int) -> Color | None:
        """None is the outer terminal's own default colour."""
        if colour == DEFAULT_COLOUR and program_default != DEFAULT_COLOUR:
            colour = TRUE_COLOUR | program_default
        elif colour in self._changed.palette:
            colour = TRUE_COLOUR | self._changed.palette[colour]
        if colour >= TRUE_COLOUR:
            return Color.from_rgb(colour >> 16 & 255, colour >> 8 & 255, colour & 255)
        return Color.from_ansi(colour) if 0 <= colour < 256 else None

    def _in_pictures(self, colour: Color | None) -> Color | None:
        """Pictures, and screens dimmed behind a dialog, know no palette but this one."""
        return colour and Color.from_triplet(colour.get_truecolor(self._palette))

    def _apart(self, foreground: Color | None, background: Color | None) -> Color | None:
        """Text that was to be read, and that few colours would bring down to its background's: black or white."""
        if foreground is None or background is None or self._system is not ColorSystem.STANDARD:
            return foreground
        hidden = self._codes(foreground, True) == self._codes(background, True)
        if not hidden or abs(self._light(foreground) - self._light(background)) < READABLE:
            return foreground
        return Color.from_ansi(0 if self._light(background.downgrade(self._system)) > 128 else 15)

    def _light(self, colour: Color) -> float:
        red, green, blue = colour.get_truecolor(self._palette)
        return red * 0.299 + green * 0.587 + blue * 0.114

    def _codes(self, colour: Color | None, foreground: bool) -> list[str]:
        if colour is None or self._system is None:
            return []
        return list(colour.downgrade(self._system).get_ansi_codes(foreground))


def _underline_colour(colour: int) -> str:
    if colour >= TRUE_COLOUR:
        return f"58:2::{colour >> 16 & 255}:{colour >> 8 & 255}:{colour & 255}"
    return f"58:5:{colour}"


def safe_link(address: str) -> str:
    """An address that may stand inside OSC 8 of the outer terminal, or nothing.

    A control character in it would end the sequence early and let the guest write sequences of its own.
    """
    if not address or len(address) > LINK_MAX or not all(" " < char < "\x7f" for char in address):
        return ""
    scheme, separator, _ = address.partition(":")
    return address if separator and scheme.lower() in ("http", "https", "mailto", "ftp") else ""


class CellStrip(Strip):
    """One row of cells at a known column of the outer terminal."""

    __slots__ = ["_cells", "_origin"]

    def __init__(self, cells: Sequence[Cell], width: int, origin: int) -> None:
        super().__init__([Segment(_fitted(text, run), style) for text, run, style in cells], width)
        self._cells = list(cells)
        self._origin = origin

    def apply_filter(self, filter: LineFilter, background: TextualColor) -> Strip:
        return self

    def apply_style(self, style: RichStyle) -> Strip:
        return self

    def apply_offsets(self, x: int, y: int) -> Strip:
        return self

    def crop(self, start: int, end: int | None = None) -> Strip:
        length = self.cell_length
        start = max(0, start)
        end = length if end is None else min(length, end)
        if start == 0 and end == length:
            return self
        return CellStrip(cut(self._cells, start, end), max(0, end - start), self._origin + start)

    def divide(self, cuts: Iterable[int]) -> Sequence[Strip]:
        wanted = [at for at in cuts if at <= self.cell_length]
        if wanted == [self.cell_length]:
            return [self]
        pieces: list[Strip] = []
        start = 0
        for end in wanted:
            pieces.append(self.crop(start, end))
            start = end
        return pieces

    def render(self, console: Console) -> str:
        if self._render_cache is None:
            self._render_cache = self._rendered()
        return self._render_cache

    def _rendered(self) -> str:
        out: list[str] = []
        column = self._origin + 1  # CHA counts from one
        end = column + self.cell_length
        for text, width, style in _clusters(self._cells):
            ansi = style._ansi
            column += width
            if not text.isascii():
                if cell_len(text) != width or _cluster.search(text):  # a terminal may give it fewer cells
                    text = f"{' ' * width}\x1b[{column - width}G{text}"
                text = f"{text}\x1b[{column}G"
                if column == end:  # without wrapping some terminals put a mark in the last column on its neighbour
                    text = f"\x1b[?7h{text}\x1b[?7l"
            piece = f"\x1b[{ansi}m{text}\x1b[0m" if ansi else text
            if style._link:
                piece = f"\x1b]8;id={style._link_id};{style._link}\x1b\\{piece}\x1b]8;;\x1b\\"
            out.append(piece)
        return "".join(out)


ZERO_WIDTH_JOINER = "\u200d"
_cluster = re.compile("[\u200d\u20e3\ufe0f\U0001f1e6-\U0001f1ff\U0001f3fb-\U0001f3ff]")
"""What makes pictures of several characters: joiners, keycaps, variants, flags, tones."""


def _clusters(cells: Sequence[Cell]) -> Iterable[Cell]:
    """Runs that a terminal may join into one picture are written together, or it could not."""
    held: Cell | None = None
    for cell in cells:
        if held is not None and held.style is cell.style and _joins(held.text, cell.text):
            held = Cell(held.text + cell.text, held.width + cell.width, held.style)
            continue
        if held is not None:
            yield held
        held = cell
    if held is not None:
        yield held


def _joins(before: str, after: str) -> bool:
    if before.endswith(ZERO_WIDTH_JOINER):
        return not after.isascii()
    flags = "\U0001f1e6" <= before[-1:] <= "\U0001f1ff" and "\U0001f1e6" <= after[:1] <= "\U0001f1ff"
    return flags and sum("\U0001f1e6" <= char <= "\U0001f1ff" for char in before) % 2 == 1


def _fitted(text: str, width: int) -> str:
    return text if text.isascii() and len(text) == width else set_cell_size(text, width)


def cut(cells: Sequence[Cell], start: int, end: int) -> list[Cell]:
    """The columns ``start`` to ``end`` (exclusive); half a wide character becomes a blank."""
    pieces: list[Cell] = []
    at = 0
    for cell in cells:
        after = at + cell.width
        if after > start and at < end:
            if at >= start and after <= end:
                pieces.append(cell)
            else:
                pieces.append(_part(cell, max(0, start - at), min(cell.width, end - at)))
        at = after
        if at >= end:
            break
    return pieces


def _part(cell: Cell, start: int, end: int) -> Cell:
    if cell.text.isascii() and len(cell.text) == cell.width:
        return Cell(cell.text[start:end], end - start, cell.style)
    _, right = Segment(_fitted(cell.text, cell.width)).split_cells(start)
    left, _ = right.split_cells(end - start)
    return Cell(left.text, end - start, cell.style)
