"""Rich styles from the theme's colours, for widgets that draw their lines themselves."""

from __future__ import annotations

from functools import lru_cache

from rich.style import Style
from textual.color import Color, ColorParseError
from textual.widget import Widget


class Inks:
    """``ink("success", "panel")`` is the theme's success colour on its panel colour."""

    def __init__(self, variables: dict[str, str]) -> None:
        self._variables = variables
        self._made: dict[tuple[str, str, bool, bool], Style] = {}

    def ink(self, colour: str, ground: str = "background", *, bold: bool = False, italic: bool = False) -> Style:
        key = (colour, ground, bold, italic)
        made = self._made.get(key)
        if made is None:
            made = Style(
                color=self._colour(colour, "foreground"),
                bgcolor=self._colour(ground, "background") if ground else None,
                bold=bold or None,
                italic=italic or None,
            )
            self._made[key] = made
        return made

    def on(self, ground: str) -> Style:
        return self.ink("foreground", ground)

    def _colour(self, name: str, otherwise: str) -> str:
        """Themes that are not ours lack some names; they get the nearest that all have."""
        text = self._variables.get(name) or self._variables.get(_STANDS_FOR.get(name, otherwise), "#808080")
        return _hex(text)


_STANDS_FOR = {"muted": "foreground-darken-2", "faint": "foreground-darken-3", "line": "panel-lighten-1",
               "cursor-row": "panel-lighten-2", "mark": "primary-darken-2"}  # fmt: skip


@lru_cache(maxsize=256)
def _hex(text: str) -> str:
    try:
        return Color.parse(text).hex6
    except ColorParseError:
        return "#808080"


_cached: dict[int, tuple[dict[str, str], Inks]] = {}


def inks_of(widget: Widget) -> Inks:
    """The inks of the app's present theme."""
    variables = widget.app.theme_variables
    known = _cached.get(0)
    if known is None or known[0] is not variables:
        known = _cached[0] = (variables, Inks(variables))
    return known[1]
