"""The command palette: everything that can be done, found by typing, with the keys that do it without a palette."""

from __future__ import annotations

from rich.cells import cell_len
from rich.text import Text

from ccvm_tui.tui.dialogs.finder import Finder
from ccvm_tui.tui.inks import inks_of
from ccvm_tui.tui.palette import Command
from ccvm_tui.tui.plain import fit

TITLE = 26
ABOUT_FROM = 50
"""Columns of a line from which there is room for what a command is about."""


class Palette(Finder[Command]):
    title_text = "Commands"
    placeholder = "type a few letters of what you want to do"

    DEFAULT_CSS = """
    Palette Vertical.box { max-width: 96; }
    """

    def searched(self, entry: Command) -> str:
        return f"{entry.title}  {entry.about}"

    def line(self, entry: Command, needle: str, room: int) -> Text:
        inks = inks_of(self)
        text = Text(no_wrap=True, overflow="ellipsis", end="")
        key_room = cell_len(entry.key) + 1 if entry.key else 0
        about = f"  {entry.about}" if entry.about and room >= ABOUT_FROM else ""
        title = fit(entry.title, max(TITLE, min(cell_len(entry.title), room - key_room - (20 if about else 0))))
        text.append_text(self.matched(needle, title))
        text.append(fit(about, max(0, room - cell_len(title) - key_room)), inks.ink("muted", ""))
        text.append(f" {entry.key}" if entry.key else "", inks.ink("accent", ""))
        return text
