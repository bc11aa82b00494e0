r"""The table of the dashboard's actions.

Everything that shows or dispatches an action is derived from this table: the tree's keys, the keys after the leader,
the help, the keys at the bottom, buttons, the command palette, and the table in docs/keys.md (``./dev docs generate``).
For each row, the main screen, its body or its main area has a method ``action_NAME`` (also checked). To add an action,
add a constant, its place in ``ACTIONS``, and a method. ``TREE_FOOTER`` and ``SESSION_FOOTER`` list those at the bottom.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ccvm_tui.config import Keys
from ccvm_tui.guest import GuestState
from ccvm_tui.tui.model.selection import Subject

# --- when an action is offered ------------------------------------------------------------------------------------


def _always(_: Subject) -> bool:
    return True


def _on_row(subject: Subject) -> bool:
    return subject.row is not None


def _in_running_guest(subject: Subject) -> bool:
    return subject.state is GuestState.RUNNING


def _in_pausable_guest(subject: Subject) -> bool:
    return subject.state in (GuestState.RUNNING, GuestState.PAUSED)


def _on_running_session(subject: Subject) -> bool:
    return subject.session is not None and _in_running_guest(subject)


def _on_stopped_project(subject: Subject) -> bool:
    return subject.row is not None and subject.guest is None and not subject.preparing


def _on_stoppable_guest(subject: Subject) -> bool:
    if subject.guest is None:
        return subject.preparing
    return subject.state not in (GuestState.STOPPING, GuestState.STOPPED, GuestState.FAILED)


def _in_connected_guest(subject: Subject) -> bool:
    return subject.state is not None


def _in_attempt(subject: Subject) -> bool:
    return _in_running_guest(subject) and subject.guest is not None and subject.guest.is_attempt


def _offers_page(subject: Subject) -> bool:
    info = subject.guest.info if subject.guest is not None else None
    return info is not None and bool(info.links)


def _pause_label(subject: Subject) -> str:
    return "resume" if subject.state is GuestState.PAUSED else "pause"


def _stop_label(subject: Subject) -> str:
    return "cancel" if subject.preparing else "stop"


# --- the table --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Action:
    """One action of the dashboard.

    ``title`` is its name in the help and the palette, ``description`` explains it in the palette, and ``label`` is one
    or two words for the line of keys at the bottom, which may depend on the subject. ``tree_key`` is its key in the
    tree. ``leader`` is true if the setting ``keys.NAME`` is its key after the leader. ``applies`` returns whether the
    line at the bottom of the tree offers it for a subject; its key and the palette are always available.
    """

    name: str
    title: str
    description: str = ""
    label: str | Callable[[Subject], str] = ""
    tree_key: str = ""
    leader: bool = False
    applies: Callable[[Subject], bool] = _always
    in_palette: bool = True

    def label_for(self, subject: Subject) -> str:
        """Return the label for a subject."""
        return self.label if isinstance(self.label, str) else self.label(subject)

    def leader_key(self, keys: Keys) -> str:
        """Return the key after the leader as the user's settings spell it, or an empty string."""
        return str(getattr(keys, self.name)) if self.leader else ""


OPEN = Action("open", "Open", "go into the session, or start the guest", "open", "enter", applies=_in_running_guest)
DETACH = Action("detach", "Back to the tree", "leave the session running", "tree", leader=True)
FOCUS_SESSION = Action("focus_session", "Into the session shown", "without moving the cursor", "session", "tab")
SWITCH = Action(
    "switch", "Find a session", "by a few letters of its name", "find", "space", leader=True, applies=_on_row
)
NEXT = Action("next", "Next session", "in the order of the tree", "next", "n", leader=True)
PREVIOUS = Action("previous", "Previous session", "in the order of the tree", "previous", "p", leader=True)
LAST = Action("last", "Last session", "the one that was open before this one", "last", leader=True)
ATTENTION = Action("attention", "Next waiting session", "the one that needs you most", "waiting", "a", leader=True)
RUN = Action("run", "Start the guest", "of the selected project", "run", "r", applies=_on_stopped_project)
SHELL = Action("shell", "New shell", "in the selected guest", "shell", "c", leader=True, applies=_in_running_guest)
AGENT = Action("agent", "New agent", "in the selected guest", "agent", "g", leader=True, applies=_in_running_guest)
ATTEMPT = Action("attempt", "New attempt", "a private clone of the project in a guest of its own", "attempt", "A")
FETCH = Action("fetch", "Fetch the commits", "of the attempt, into your repository", "fetch", "F", applies=_in_attempt)
COMPARE = Action(
    "compare", "Compare attempts", "the selected one with another of the project", "compare", "C", applies=_in_attempt
)
PORTS = Action("ports", "Ports", "forward a port of the guest to this machine", "ports", "f")
PAGE = Action(
    "page", "Open a page", "that a program in the guest wants to show", "page", "o", leader=True, applies=_offers_page
)
END = Action(
    "end", "End the session", "the focused or selected one", "end", "x", leader=True, applies=_on_running_session
)
STOP = Action(
    "stop", "Stop the guest", "discards everything in it except your files", _stop_label, "S",
    applies=_on_stoppable_guest,
)  # fmt: skip
PAUSE = Action(
    "pause", "Pause or resume the guest", "a paused guest uses no processor", _pause_label, "P",
    applies=_in_pausable_guest,
)  # fmt: skip
ZOOM = Action("zoom", "Zoom", "give the whole terminal to the session", "zoom", "z", leader=True)
SCROLLBACK = Action("scrollback", "Copy mode", "read, search and copy the scrollback", "copy", leader=True)
SEARCH = Action("search", "Search the scrollback", "of the focused session", "search")
SAVE_SCROLLBACK = Action("save_scrollback", "Save the scrollback", "to a file in your home directory", "save")
LEAVE_COPY_MODE = Action("leave_copy_mode", "Leave copy mode", label="back", in_palette=False)
LOGS = Action("logs", "Logs", "events and console of the guest", "logs", "l", applies=_in_connected_guest)
REVIEW = Action(
    "review", "Review the changes", "of a guest, and apply those of a read-only project", "review", "d",
    applies=_in_pausable_guest,
)  # fmt: skip
GUARD = Action("guard", "Guard", "changes of the guest that your programs would run", "guard", "b")
EGRESS = Action("egress", "Egress", "connections of the guest, and what was refused", "egress", "w")
SETTINGS = Action("settings", "Project settings", "show and edit them", "settings", "e", applies=_on_stopped_project)
MUTE = Action("mute", "Mute or unmute", "the selected session or project", "mute", "m")
ADD = Action("add", "Add a project", "by its path", "add", "+")
FORGET = Action(
    "forget", "Forget the project", "remove it from the list only", "forget", "-", applies=_on_stopped_project
)
FILTER = Action("filter", "Filter the tree", "by typing", "filter", "/", applies=_on_row)
TILE = Action("tile", "Tile", "show one more session beside the others", "tile", "t", leader=True)
SIDEBAR = Action("sidebar", "Sidebar on or off", "hide or show the tree", "sidebar", "s", leader=True)
NARROWER = Action("narrower", "Narrower sidebar", "by four columns", "narrower", "<")
WIDER = Action("wider", "Wider sidebar", "by four columns", "wider", ">")
DETAILS = Action("details", "Details on or off", "resources, permissions and events", "details", "i")
PALETTE = Action(
    "palette", "Command palette", "find an action by its name", "commands", ":", leader=True, in_palette=False
)
HELP = Action("help", "Help", "all keys as they are set now", "help", "?", leader=True)
TOUR = Action("tour", "Welcome tour", "from this machine's prerequisites to the first guest")
QUIT = Action("quit", "Quit", "guests keep running", "quit", "q")
LEADER_KEYS = Action("leader_keys", "Keys after the leader", label="then", in_palette=False)
CLOSE_ENDED = Action("close_ended", "Close the ended session", label="close", in_palette=False)
RUN_AGAIN = Action("run_again", "Run the ended session again", label="run again", in_palette=False)

ACTIONS = (
    OPEN, DETACH, FOCUS_SESSION, SWITCH, NEXT, PREVIOUS, LAST, ATTENTION, RUN, SHELL, AGENT, ATTEMPT, FETCH,
    COMPARE, PORTS, PAGE, END, STOP,
    PAUSE, ZOOM, SCROLLBACK, SEARCH, SAVE_SCROLLBACK, LEAVE_COPY_MODE, LOGS, REVIEW, GUARD, EGRESS, SETTINGS, MUTE, ADD,
    FORGET, FILTER, TILE, SIDEBAR, NARROWER, WIDER, DETAILS, PALETTE, HELP, TOUR, QUIT, LEADER_KEYS, CLOSE_ENDED,
    RUN_AGAIN,
)  # fmt: skip
"""All actions, in the order of the palette and the help."""

BY_NAME = {action.name: action for action in ACTIONS}
BY_TREE_KEY = {action.tree_key: action for action in ACTIONS if action.tree_key}

TREE_FOOTER = (
    OPEN, PAGE, RUN, SHELL, AGENT, END, STOP, PAUSE, REVIEW, FETCH, COMPARE, LOGS, SETTINGS, FORGET, SWITCH, FILTER,
    ADD, HELP, QUIT,
)  # fmt: skip
"""The actions at the bottom while the tree has the focus, as far as they apply."""

SESSION_FOOTER = (DETACH, SWITCH, ATTENTION, SHELL, ZOOM, SCROLLBACK, HELP)
"""The actions at the bottom while a session has the focus."""

NAVIGATION = (
    ("↑ ↓ or k j", "Move up and down"),
    ("← → or h l", "Fold and unfold"),
)
"""The keys that move the tree's cursor, and their descriptions for the help."""


# --- keys -------------------------------------------------------------------------------------------------------


def shown_key(key: str) -> str:
    r"""Return a key as users read it, from its name in the settings: ``Ctrl+\``, ``Space``, ``d``."""
    words = key.split("-") if len(key) > 1 and key.startswith(("ctrl-", "alt-")) else [key]
    if key.endswith("--"):
        words = [*key[:-2].split("-"), "-"]
    *modifiers, last = words
    last = last.capitalize() if len(last) > 1 else last.upper() if modifiers else last
    return "+".join([*(word.capitalize() for word in modifiers), last])


def leader_actions(keys: Keys) -> dict[str, str]:
    """Return the names of the actions after the leader by their keys, as the settings spell them."""
    return {action.leader_key(keys): action.name for action in ACTIONS if action.leader}


def leader_keys(leader: str, keys: Keys) -> list[tuple[str, str, Action | None]]:
    """Return the keys after the leader as (key, title, action). Two of them are no actions of the table."""
    found: list[tuple[str, str, Action | None]] = [
        (shown_key(action.leader_key(keys)), action.title, action) for action in ACTIONS if action.leader
    ]
    return [*found, ("1-9", "Session by its number", None), (shown_key(leader), "Send it to the program", None)]


def tree_keys() -> list[tuple[str, str]]:
    """Return the keys of the tree as (key, title)."""
    return [*NAVIGATION, *((shown_key(action.tree_key), action.title) for action in ACTIONS if action.tree_key)]


@dataclass(frozen=True, slots=True)
class KeyHint:
    """A key at the bottom, what it does in one word, and the action of a click, if there is one."""

    key: str
    label: str
    action: Action | None = None


def tree_hints(subject: Subject) -> list[KeyHint]:
    """Return the keys at the bottom while the tree has the focus."""
    return [
        KeyHint(shown_key(action.tree_key), action.label_for(subject), action)
        for action in TREE_FOOTER
        if action.applies(subject)
    ]


def leader_hint(leader: str) -> KeyHint:
    """Return the leader as a key at the bottom."""
    return KeyHint(shown_key(leader), "then", LEADER_KEYS)


def session_hints(leader: str, keys: Keys, subject: Subject) -> list[KeyHint]:
    """Return the keys at the bottom while a session has the focus."""
    shown = [
        KeyHint(shown_key(action.leader_key(keys)), action.label_for(subject), action) for action in SESSION_FOOTER
    ]
    return [leader_hint(leader), *shown]


def copy_mode_hints(leader: str, keys: Keys, *, passive: bool) -> list[KeyHint]:
    """Return the keys at the bottom in copy mode, or in passive mode, in which typing goes to the program."""
    if passive:
        copy_mode = f"{shown_key(leader)} {shown_key(SCROLLBACK.leader_key(keys))}"
        return [
            KeyHint("Esc", "back, or just type", LEAVE_COPY_MODE),
            KeyHint("PageUp PageDown", "scroll"),
            KeyHint(copy_mode, "search, select, save", SCROLLBACK),
        ]
    return [
        KeyHint("q", "back", LEAVE_COPY_MODE),
        KeyHint("/", "search", SEARCH),
        KeyHint("n N", "matches"),
        KeyHint("v V", "select"),
        KeyHint("y", "copy"),
        KeyHint("s", "save", SAVE_SCROLLBACK),
        KeyHint("g G", "first, last"),
    ]


def review_hints(*, applicable: bool, applied: bool) -> list[KeyHint]:
    """Return the keys at the bottom of the review. ``applied`` is true if the host has the changes already."""
    return [
        KeyHint("q", "back"),
        KeyHint("n p", "hunks"),
        *([] if applied else [KeyHint("Space", "skip file"), KeyHint("x", "skip hunk")]),
        KeyHint("c", "comment"),
        KeyHint("↑ ↓", "files"),
        *([] if applied else [KeyHint("A", "all")]),
        KeyHint("r", "read again"),
        *([] if applied else [KeyHint("u", "undo")]),
        *([KeyHint("a", "apply")] if applicable else []),
    ]


def unread_hints() -> list[KeyHint]:
    """Return the keys at the bottom of the review while there is nothing to review."""
    return [KeyHint("q", "back"), KeyHint("r", "read again"), KeyHint("u", "undo")]


def ended_hints(*, repeatable: bool) -> list[KeyHint]:
    """Return the keys below the last screen of a session that has ended."""
    again = [KeyHint("r", "run again", RUN_AGAIN)] if repeatable else []
    return [KeyHint("Enter", "close", CLOSE_ENDED), *again]
