"""The switcher: all sessions, found by typing, with a picture of the one under the cursor."""

from __future__ import annotations

from dataclasses import dataclass

from rich.cells import cell_len
from rich.text import Text
from textual.widget import Widget

from ccvm_tui.guest import TermSize
from ccvm_tui.text import plain
from ccvm_tui.tui.dialogs.finder import Finder
from ccvm_tui.tui.model.model import Model
from ccvm_tui.tui.model.sessions import SessionKey, session_title
from ccvm_tui.tui.model.signs import Sign, session_sign
from ccvm_tui.tui.terminal_io.app import inks_of
from ccvm_tui.tui.terminal_io.strips import fit
from ccvm_tui.tui.widgets.preview import Preview

TITLE_MIN, TITLE_MAX = 10, 26
"""Minimum and maximum width of titles in cells."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A session in the list. ``attention`` is why it needs the user, or empty."""

    key: SessionKey
    title: str
    sign: Sign
    attention: str
    size: TermSize


def candidates(model: Model) -> list[Candidate]:
    """Return all running sessions, the previous one first, then the current one."""
    found = [
        Candidate(key, session_title(info), session_sign(info), plain(info.attention, 80), info.size)
        for key, info in model.sessions.items()
    ]
    recent = [model.selection.previous, model.selection.current]
    return sorted(found, key=lambda one: recent.index(one.key) if one.key in recent else len(recent))


class Switcher(Finder[Candidate]):
    """The dialog."""

    title_text = "Sessions"
    placeholder = "type a few letters of a title or guest"

    DEFAULT_CSS = """
    Switcher OptionList { width: 44%; }
    Switcher Preview { width: 56%; height: 1fr; border-left: solid $line; }
    """

    def __init__(self, entries: list[Candidate]) -> None:
        super().__init__(entries)
        self._preview = Preview()

    def beside(self) -> list[Widget]:
        """Return the picture."""
        return [self._preview]

    def searchable(self, entry: Candidate) -> str:
        """Return title and guest."""
        return f"{entry.title}  {entry.key.guest}"

    def highlighted(self, entry: Candidate | None) -> None:
        """Show the picture of a session."""
        if entry is None:
            self._preview.show(None)
        else:
            self._preview.show(entry.key, entry.size)

    def line(self, entry: Candidate, needle: str, width: int) -> Text:
        """Return sign, title, guest, and why the session needs the user."""
        inks = inks_of(self)
        text = Text(no_wrap=True, overflow="ellipsis", end="")
        text.append(f"{entry.sign.shape} ", inks.ink(entry.sign.colour, ""))
        title_width = min(TITLE_MAX, max(TITLE_MIN, cell_len(entry.title)))
        text.append_text(self.matched(needle, fit(entry.title, title_width)))
        text.append(f"  {entry.key.guest}", inks.ink("muted", ""))
        if entry.attention and (left := width - cell_len(text.plain) - 2) > 6:
            text.append(f"  {fit(entry.attention, left)}", inks.ink(entry.sign.colour, ""))
        return text
