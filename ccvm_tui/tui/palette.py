"""What the command palette offers: every deed of the main screen, every session, every project, every theme."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from ccvm_tui.text import plain
from ccvm_tui.tui.bindings import shown_key
from ccvm_tui.tui.tree_rows import session_title

if TYPE_CHECKING:
    from ccvm_tui.tui.screens.main import MainScreen


@dataclass(frozen=True, slots=True)
class Command:
    """``key`` is what does the same from the screen, spelled for people; empty if nothing does."""

    title: str
    about: str
    run: Callable[[], None]
    key: str = ""


DEEDS = (
    ("Run", "start the selected project's guest", "run"),
    ("New shell", "in the guest of the session or row in question", "shell"),
    ("New agent", "in the guest of the session or row in question", "agent"),
    ("Find a session", "switch by typing a few letters", "switch"),
    ("Next session that waits", "go where somebody waits for you", "attention"),
    ("Next session", "in the order of the tree", "next"),
    ("Previous session", "in the order of the tree", "previous"),
    ("Last session", "the one before this one", "last"),
    ("Back to the tree", "leave the session running", "detach"),
    ("Zoom", "give the whole terminal to the session", "zoom"),
    ("Tile", "put one more session beside those shown", "tile"),
    ("Scrollback", "read, search and copy what scrolled away", "scrollback"),
    ("Search the scrollback", "of the focused session", "search"),
    ("Save the scrollback", "to a file in your home directory", "save_scrollback"),
    ("End session", "the focused or selected one", "end"),
    ("Stop guest", "and discard all that is in it", "stop"),
    ("Pause or resume guest", "freeze it, or let it go on", "pause"),
    ("Logs", "events and console of the selected guest", "logs"),
    ("Project settings", "what holds, and from where; edit", "settings"),
    ("Mute or unmute", "the selected session or project", "mute"),
    ("Add a project", "by its path", "add"),
    ("Forget the project", "takes it out of the list, nothing else", "forget"),
    ("Filter the tree", "by typing", "filter"),
    ("Sidebar", "hide or show it", "sidebar"),
    ("Wider sidebar", "by four columns", "wider"),
    ("Narrower sidebar", "by four columns", "narrower"),
    ("Details", "memory, processor and events of the guest", "details"),
    ("Keys", "all of them, as they are bound now", "help"),
    ("Quit", "guests go on", "quit"),
)

TREE_KEYS = {
    "run": "r", "stop": "S", "pause": "P", "logs": "l", "settings": "e", "mute": "m", "add": "+", "forget": "-",
    "filter": "/", "wider": ">", "narrower": "<", "details": "i", "quit": "q",
}  # fmt: skip
"""Of the tree alone; what the leader does too is shown with the leader, which works everywhere."""


def commands(screen: MainScreen) -> Iterator[Command]:
    leader = shown_key(screen.settings.leader)
    keys = {binding.action: f"{leader} {shown_key(binding.key)}" for binding in screen.leader.bindings}
    for title, about, action in DEEDS:
        key = keys.get(action) or (f"{TREE_KEYS[action]} in the tree" if action in TREE_KEYS else "")
        yield Command(title, about, partial(screen.deeds.do, action), key)
    for session, info in screen.infos.items():
        title = f"Go to {session_title(info)} · {session.guest}"
        yield Command(title, info.activity.value, partial(screen.deeds.go, session))
    for entry in screen.projects:
        if not entry.running:
            starting = partial(screen.deeds.start_project, entry.path)
            yield Command(f"Start {plain(entry.name, 60)}", plain(entry.path, 100), starting)
    for name in sorted(screen.app.available_themes):
        if not name.startswith("textual-ansi"):
            yield Command(f"Theme: {name}", "", partial(screen.dashboard.use_theme, name))
