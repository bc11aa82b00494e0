"""All keys with their present bindings, and the few things worth knowing."""

from __future__ import annotations

from typing import ClassVar

from rich.text import Text
from textual.containers import VerticalScroll
from textual.widget import Widget
from textual.widgets import Static

from ccvm_tui.tui.bindings import TREE_KEYS, LeaderKeys, shown_key
from ccvm_tui.tui.dialogs.dialog import DialogScreen
from ccvm_tui.tui.inks import inks_of
from ccvm_tui.tui.widgets.which_key import SHORT

READING_KEYS = (
    ("↑ ↓ PageUp PageDown", "move; j k Ctrl+U Ctrl+D as in vi"),
    ("g G", "first and last line"),
    ("/ ?", "search forwards, backwards"),
    ("n N", "older, newer match"),
    ("v V Ctrl+V", "select characters, lines, a block"),
    ("y or Enter", "copy"),
    ("s", "save the scrollback to a file"),
    ("q or Esc", "back to the program"),
)
MOUSE = (
    ("drag", "select and copy; with Shift where the program has the mouse"),
    ("double, triple click", "select a word, a line"),
    ("Alt+drag", "select a block"),
    ("Ctrl+click", "open a link"),
    ("wheel", "scroll back; typing goes back to the program"),
)


class Help(DialogScreen[str]):
    title_text = "Keys"
    DEFAULT_CSS = """
    Help Dialog { width: 78; }
    Help VerticalScroll { height: auto; max-height: 100%; }
    """
    BINDINGS: ClassVar = [("q,question_mark,enter", "leave"), ("j,down", "down"), ("k,up", "up")]

    def __init__(self, leader: LeaderKeys) -> None:
        super().__init__()
        self._leader = leader
        self._scroll = VerticalScroll(Static(markup=False), can_focus=True)

    def inside(self) -> list[Widget]:
        return [self._scroll]

    def on_mount(self) -> None:
        self._scroll.query_one(Static).update(self._text())
        self._scroll.focus()

    def _text(self) -> Text:
        inks = inks_of(self)
        text = Text()

        def section(title: str) -> None:
            text.append(f"{title}\n" if not text else f"\n{title}\n", inks.ink("primary", "panel", bold=True))

        def pair(key: str, about: str) -> None:
            text.append(f"  {key:<21}", inks.ink("accent", "panel"))
            text.append(f"{about}\n", inks.ink("foreground", "panel"))

        leader = shown_key(self._leader.leader)
        section("In a session")
        text.append(f"  Every key goes to the program, except {leader}. After {leader}:\n", inks.ink("muted", "panel"))
        for binding in self._leader.bindings:
            pair(shown_key(binding.key), SHORT.get(binding.action, binding.about))
        pair("1 to 9", "session by its number in the tree")
        pair(leader, "send it to the program")
        section("In the tree")
        for key, about in TREE_KEYS:
            pair(key, about)
        section("Reading the scrollback")
        for key, about in READING_KEYS:
            pair(key, about)
        section("Mouse")
        for key, about in MOUSE:
            pair(key, about)
        text.append("\n  Keys after the leader are set in config.toml, section [keys].\n", inks.ink("muted", "panel"))
        return text

    def action_down(self) -> None:
        self._scroll.scroll_down(animate=False)

    def action_up(self) -> None:
        self._scroll.scroll_up(animate=False)
