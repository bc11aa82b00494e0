"""The command palette: actions, sessions, projects and themes, found by typing, with the keys of the actions."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from rich.cells import cell_len
from rich.text import Text

from ccvm_tui.config import Keys
from ccvm_tui.text import plain
from ccvm_tui.tui.actions.table import ACTIONS, Action, shown_key
from ccvm_tui.tui.dialogs.finder import Finder
from ccvm_tui.tui.model.model import Model
from ccvm_tui.tui.model.sessions import SessionKey, session_title
from ccvm_tui.tui.terminal_io.app import inks_of
from ccvm_tui.tui.terminal_io.strips import fit

TITLE = 26
"""The width of titles in cells, unless one is longer."""

WITH_DESCRIPTION = 50
"""The width of a line from which it contains the description."""


@dataclass(frozen=True, slots=True)
class StartProject:
    """The command that starts the guest of a project."""

    path: str


@dataclass(frozen=True, slots=True)
class UseTheme:
    """The command that changes the theme."""

    name: str


@dataclass(frozen=True, slots=True)
class Command:
    """A line of the palette. ``key`` does the same without the palette, or is empty."""

    title: str
    description: str
    does: Action | SessionKey | StartProject | UseTheme
    key: str = ""


def commands(model: Model, leader: str, keys: Keys, themes: Iterable[str]) -> Iterator[Command]:
    """Yield everything that can be done: actions, then sessions, projects and themes."""
    for action in ACTIONS:
        if action.in_palette:
            yield Command(action.title, action.description, action, _key_of(action, leader, keys))
    for session, info in model.sessions.items():
        yield Command(f"Go to {session_title(info)} · {session.guest}", info.activity.value, session)
    for entry in model.projects:
        if not entry.running:
            yield Command(f"Start {plain(entry.name, 60)}", plain(entry.path, 100), StartProject(entry.path))
    for theme in sorted(themes):
        if not theme.startswith("textual-ansi"):
            yield Command(f"Theme: {theme}", "", UseTheme(theme))


def _key_of(action: Action, leader: str, keys: Keys) -> str:
    """Return the key after the leader, which can be used everywhere, or else that of the tree."""
    if action.leader:
        return f"{shown_key(leader)} {shown_key(action.leader_key(keys))}"
    return f"{shown_key(action.tree_key)} in the tree" if action.tree_key else ""


class Palette(Finder[Command]):
    """The dialog."""

    title_text = "Commands"
    placeholder = "type a few letters of a command"

    DEFAULT_CSS = """
    Palette Vertical.box { max-width: 96; }
    """

    def searchable(self, entry: Command) -> str:
        """Return title and description."""
        return f"{entry.title}  {entry.description}"

    def line(self, entry: Command, needle: str, width: int) -> Text:
        """Return title, description and key."""
        inks = inks_of(self)
        text = Text(no_wrap=True, overflow="ellipsis", end="")
        key_width = cell_len(entry.key) + 1 if entry.key else 0
        description = f"  {entry.description}" if entry.description and width >= WITH_DESCRIPTION else ""
        available = width - key_width - (20 if description else 0)
        title = fit(entry.title, max(TITLE, min(cell_len(entry.title), available)))
        text.append_text(self.matched(needle, title))
        text.append(fit(description, max(0, width - cell_len(title) - key_width)), inks.ink("muted", ""))
        text.append(f" {entry.key}" if entry.key else "", inks.ink("accent", ""))
        return text
