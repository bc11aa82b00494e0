"""The dashboard's two themes, and Rich styles in the colours of any theme."""

from __future__ import annotations

from functools import lru_cache

from rich.style import Style
from rich.terminal_theme import TerminalTheme
from textual.color import Color, ColorParseError
from textual.theme import Theme

DARK = Theme(
    name="ccvm-dark",
    primary="#7aa6c9",
    secondary="#9a8fb8",
    accent="#d3a15f",
    warning="#d8b45c",
    error="#dc7f72",
    success="#8dba78",
    foreground="#c8d0d9",
    background="#12161b",
    surface="#171c22",
    panel="#1e252d",
    dark=True,
    variables={
        "muted": "#7b8794",
        "faint": "#465260",
        "line": "#2a333d",
        "cursor-row": "#27333f",
        "mark": "#31526b",
        "scrollbar": "#3a4653",
        "scrollbar-hover": "#4a5866",
        "scrollbar-active": "#7aa6c9",
        "scrollbar-background": "#171c22",
        "scrollbar-background-hover": "#171c22",
        "scrollbar-background-active": "#171c22",
        "block-cursor-background": "#7aa6c9",
        "block-cursor-foreground": "#12161b",
        "input-selection-background": "#7aa6c9 35%",
        "footer-key-foreground": "#d3a15f",
    },
)

LIGHT = Theme(
    name="ccvm-light",
    primary="#2c6590",
    secondary="#6a5a8e",
    accent="#94631a",
    warning="#8a6500",
    error="#a93a2d",
    success="#3d7030",
    foreground="#2b323a",
    background="#faf9f6",
    surface="#f1efea",
    panel="#e7e4dd",
    dark=False,
    variables={
        "muted": "#66707a",
        "faint": "#a5aab0",
        "line": "#d3cfc6",
        "cursor-row": "#dae4ec",
        "mark": "#bcd3e3",
        "scrollbar": "#c3beb3",
        "scrollbar-hover": "#b0aa9d",
        "scrollbar-active": "#2c6590",
        "scrollbar-background": "#f1efea",
        "scrollbar-background-hover": "#f1efea",
        "scrollbar-background-active": "#f1efea",
        "block-cursor-background": "#2c6590",
        "block-cursor-foreground": "#faf9f6",
        "input-selection-background": "#2c6590 30%",
        "footer-key-foreground": "#94631a",
    },
)


def _palette(background: str, foreground: str, *colours: str) -> TerminalTheme:
    def rgb(text: str) -> tuple[int, int, int]:
        value = int(text, 16)
        return value >> 16, value >> 8 & 255, value & 255

    normal, bright = ([rgb(one) for one in half] for half in (colours[:8], colours[8:]))
    return TerminalTheme(rgb(background), rgb(foreground), normal, bright)


PALETTE_DARK = _palette(
    "12161b", "c8d0d9",
    "1e252d", "dc7f72", "8dba78", "d8b45c", "7aa6c9", "b092c4", "76b5b0", "c8d0d9",
    "5c6977", "e89a8e", "a5cd92", "e6c87c", "98bddb", "c5abd6", "95cbc6", "eef2f6",
)  # fmt: skip
PALETTE_LIGHT = _palette(
    "faf9f6", "2b323a",
    "2b323a", "a93a2d", "3d7030", "8a6500", "2c6590", "7a4a91", "1f6f6a", "b9b5ab",
    "66707a", "c25447", "548a46", "a37d12", "447fac", "9462ab", "37877f", "e7e4dd",
)  # fmt: skip
"""Colours 0 to 15 in pictures and dimmed screens. A real terminal has its own."""

EXTRA = ("muted", "faint", "line", "cursor-row", "mark")
"""Variables that Textual's own themes do not have."""

_NEAREST = {
    "muted": "foreground-darken-2", "faint": "foreground-darken-3", "line": "panel-lighten-1",
    "cursor-row": "panel-lighten-2", "mark": "primary-darken-2",
}  # fmt: skip
"""The variables of Textual's own themes that replace them."""


class Inks:
    """Rich styles in the colours of a theme, for widgets that draw their lines themselves.

    ``variables`` are the theme's colours by name.
    """

    def __init__(self, variables: dict[str, str]) -> None:
        self.variables = variables
        self._made: dict[tuple[str, str, bool], Style] = {}

    def ink(self, colour: str, ground: str = "background", *, bold: bool = False) -> Style:
        """Return the style of text in one colour on another. With an empty ``ground``, the background is unchanged."""
        key = (colour, ground, bold)
        made = self._made.get(key)
        if made is None:
            made = self._made[key] = Style(
                color=self._colour(colour, "foreground"),
                bgcolor=self._colour(ground, "background") if ground else None,
                bold=bold or None,
            )
        return made

    def on(self, ground: str) -> Style:
        """Return the style of plain text on a colour."""
        return self.ink("foreground", ground)

    def _colour(self, name: str, default: str) -> str:
        return _hex(self.variables.get(name) or self.variables.get(_NEAREST.get(name, default), "#808080"))


@lru_cache(maxsize=256)
def _hex(text: str) -> str:
    try:
        return Color.parse(text).hex6
    except ColorParseError:
        return "#808080"
