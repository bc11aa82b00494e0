"""Styles of a guest's cells, resolved for one host terminal.

Rich's styles support neither curly underlines nor coloured ones, and Textual's filters would change palette colours to
those of the theme. Each resolved style therefore carries its exact SGR parameters, and Rich's style beside them for
pictures and for screens that are dimmed behind a dialog.
"""

from __future__ import annotations

from dataclasses import dataclass

from rich.color import Color, ColorSystem
from rich.style import Style as RichStyle
from rich.terminal_theme import MONOKAI, TerminalTheme

from ccvm_tui.terminal.cells import DEFAULT_COLOUR, TRUE_COLOUR, Attribute, Colours, Style, Underline
from ccvm_tui.tui.terminal_io.internals import with_sgr

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
"""Maximum length in characters of a link's address. It is the longest that terminals accept."""

READABLE = 48
"""The difference in lightness (of 255) from which on text is meant to be read. Less is the shading of a picture."""

STYLES_MAX = 4096
"""The number of resolved styles that are kept."""


@dataclass(frozen=True, slots=True, eq=False)
class CellStyle:
    """A resolved style: SGR parameters, the sequence that begins a link or nothing, and Rich's style."""

    sgr: str
    link: str
    rich: RichStyle


class StyleBook:
    """The resolved styles of a host terminal's cells.

    ``system`` is the number of colours, None for a terminal without colours. ``foreground``, ``background`` and
    ``palette`` are the colours of pictures. A real terminal has its own.
    """

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
        self._reversed = False
        self._resolved: dict[Style, CellStyle] = {}
        self._highlighted: dict[tuple[CellStyle, str], CellStyle] = {}
        self.marks = {
            "selection": ("#f2f5f8", "#31526b"),
            "match": ("#12161b", "#a08d57"),
            "current": ("#12161b", "#e8c35f"),
            "cursor": ("#12161b", "#c8d0d9"),
        }
        """Foreground and background of each kind of highlight."""

    def set_program_colours(self, changed: Colours, *, reverse: bool = False) -> bool:
        """Use the colours that the program has changed (OSC 4, 10, 11; DECSCNM). Return whether they are others."""
        if changed == self._changed and reverse == self._reversed:
            return False
        self._changed = changed
        self._reversed = reverse
        self._forget()
        return True

    def _forget(self) -> None:
        self._resolved.clear()
        self._highlighted.clear()

    def resolve(self, style: Style) -> CellStyle:
        """Return the resolved style of a cell."""
        resolved = self._resolved.get(style)
        if resolved is None:
            if len(self._resolved) >= STYLES_MAX:
                self._forget()
            resolved = self._resolved[style] = self._resolve(style)
        return resolved

    def highlight(self, style: CellStyle, kind: str) -> CellStyle:
        """Return the style of a highlighted cell: its own attributes, and the colours of the highlight."""
        if (known := self._highlighted.get((style, kind))) is not None:
            return known
        foreground, background = self.marks[kind]
        rich = style.rich + RichStyle(color=foreground, bgcolor=background, reverse=False, dim=False)
        codes = ["1"] if rich.bold else []
        codes += ["3"] if rich.italic else []
        codes += ["4"] if rich.underline else []
        if self._system is None:
            codes.append("7")
        codes += self._codes(Color.parse(foreground), True) + self._codes(Color.parse(background), False)
        made = _cell_style(rich, codes)
        self._highlighted[style, kind] = made
        return made

    def _resolve(self, style: Style) -> CellStyle:
        attributes = style.attributes
        if self._reversed:
            attributes ^= Attribute.REVERSE
        foreground = self._colour(style.foreground, self._changed.foreground)
        background = self._colour(style.background, self._changed.background)
        codes = [code for bit, code in _SGR_OF_ATTRIBUTE if attributes & bit]
        if style.underline:
            fancy = self._system in (ColorSystem.EIGHT_BIT, ColorSystem.TRUECOLOR)
            codes.append(f"4:{style.underline}" if fancy and style.underline != Underline.SINGLE else "4")
            if fancy and style.underline_colour >= 0:
                codes.append(_underline_colour(style.underline_colour))
        codes += self._codes(self._readable(foreground, background), True) + self._codes(background, False)
        rich = RichStyle(
            color=self._in_pictures(foreground) or self._default[0],
            bgcolor=self._in_pictures(background) or self._default[1],
            bold=bool(attributes & Attribute.BOLD) or None,
            dim=bool(attributes & Attribute.DIM) or None,
            italic=bool(attributes & Attribute.ITALIC) or None,
            underline=bool(style.underline) or None,
            strike=bool(attributes & Attribute.STRIKE) or None,
            reverse=bool(attributes & Attribute.REVERSE) or None,
            conceal=bool(attributes & Attribute.CONCEAL) or None,
            link=safe_link(style.link) or None,
        )
        return _cell_style(rich, codes)

    def _colour(self, colour: int, program_default: int) -> Color | None:
        """Return a colour, or None for the host terminal's default."""
        if colour == DEFAULT_COLOUR and program_default != DEFAULT_COLOUR:
            colour = TRUE_COLOUR | program_default
        elif colour in self._changed.palette:
            colour = TRUE_COLOUR | self._changed.palette[colour]
        if colour >= TRUE_COLOUR:
            return Color.from_rgb(colour >> 16 & 255, colour >> 8 & 255, colour & 255)
        return Color.from_ansi(colour) if 0 <= colour < 256 else None

    def _in_pictures(self, colour: Color | None) -> Color | None:
        return colour and Color.from_triplet(colour.get_truecolor(self._palette))

    def _readable(self, foreground: Color | None, background: Color | None) -> Color | None:
        """Return black or white for text that would have its background's colour if there are 16 colours."""
        if foreground is None or background is None or self._system is not ColorSystem.STANDARD:
            return foreground
        hidden = self._codes(foreground, True) == self._codes(background, True)
        if not hidden or abs(self._lightness(foreground) - self._lightness(background)) < READABLE:
            return foreground
        return Color.from_ansi(0 if self._lightness(background.downgrade(self._system)) > 128 else 15)

    def _lightness(self, colour: Color) -> float:
        red, green, blue = colour.get_truecolor(self._palette)
        return red * 0.299 + green * 0.587 + blue * 0.114

    def _codes(self, colour: Color | None, foreground: bool) -> list[str]:
        if colour is None or self._system is None:
            return []
        return list(colour.downgrade(self._system).get_ansi_codes(foreground))


def _cell_style(rich: RichStyle, codes: list[str]) -> CellStyle:
    sgr = ";".join(codes)
    rich = with_sgr(rich, sgr)
    return CellStyle(sgr, f"\x1b]8;id={rich.link_id};{rich.link}\x1b\\" if rich.link else "", rich)


def _underline_colour(colour: int) -> str:
    if colour >= TRUE_COLOUR:
        return f"58:2::{colour >> 16 & 255}:{colour >> 8 & 255}:{colour & 255}"
    return f"58:5:{colour}"


def safe_link(address: str) -> str:
    """Return an address if it is safe in OSC 8 of the host terminal, or an empty string.

    A control character in an address would end the sequence, and what follows could be a sequence of the guest's.
    Schemes other than those of the web, mail and FTP are refused, because they can run programs.
    """
    if not address or len(address) > LINK_MAX or not all(" " < char < "\x7f" for char in address):
        return ""
    scheme, separator, _ = address.partition(":")
    return address if separator and scheme.lower() in ("http", "https", "mailto", "ftp") else ""
