"""The help: all keys as they are set now."""

from __future__ import annotations

from typing import ClassVar

from rich.text import Text
from textual.containers import VerticalScroll
from textual.widget import Widget
from textual.widgets import Static

from ccvm_tui.config import Keys
from ccvm_tui.tui.actions.table import leader_keys, shown_key, tree_keys
from ccvm_tui.tui.dialogs.dialog import DialogScreen
from ccvm_tui.tui.model import scrollback
from ccvm_tui.tui.terminal_io.app import inks_of

MOUSE = (
    ("drag", "select and copy; with Shift if the program uses the mouse"),
    ("double, triple click", "select and copy a word, a line"),
    ("Alt+drag", "select and copy a block"),
    ("Ctrl+click", "open a link"),
    ("wheel", "scroll back; typing returns to the program"),
)


class Help(DialogScreen[None]):
    """The help for a leader and the keys after it."""

    title_text = "Keys"
    DEFAULT_CSS = """
    Help Dialog { width: 78; }
    Help VerticalScroll { height: auto; max-height: 100%; }
    """
    BINDINGS: ClassVar = [("q,question_mark,enter", "leave"), ("j,down", "down"), ("k,up", "up")]

    def __init__(self, leader: str, keys: Keys) -> None:
        super().__init__()
        self._leader = leader
        self._settings = keys
        self._scroll_area = VerticalScroll(Static(markup=False), can_focus=True)

    def inside(self) -> list[Widget]:
        """Return the text."""
        return [self._scroll_area]

    def on_mount(self) -> None:
        """Draw the text in the theme's colours."""
        self._scroll_area.query_one(Static).update(self._text())
        self._scroll_area.focus()

    def _text(self) -> Text:
        inks = inks_of(self)
        text = Text()

        def section(title: str) -> None:
            text.append(f"{title}\n" if not text else f"\n{title}\n", inks.ink("primary", "panel", bold=True))

        def pair(key: str, about: str) -> None:
            text.append(f"  {key:<21}", inks.ink("accent", "panel"))
            text.append(f"{about}\n", inks.ink("foreground", "panel"))

        leader = shown_key(self._leader)
        section("In a session")
        text.append(f"  Every key goes to the program, except {leader}. After {leader}:\n", inks.ink("muted", "panel"))
        for key, title, _ in leader_keys(self._leader, self._settings):
            pair(key, title)
        section("In the tree")
        for key, title in tree_keys():
            pair(key, title)
        section("In copy mode")
        for key, about in scrollback.KEYS:
            pair(key, about)
        section("Mouse")
        for key, about in MOUSE:
            pair(key, about)
        text.append("\n  Set the keys after the leader in config.toml, section [keys].\n", inks.ink("muted", "panel"))
        return text

    def action_down(self) -> None:
        """Scroll down."""
        self._scroll_area.scroll_down(animate=False)

    def action_up(self) -> None:
        """Scroll up."""
        self._scroll_area.scroll_up(animate=False)
