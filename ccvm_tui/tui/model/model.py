"""Everything that the dashboard knows, apart from what is drawn."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from ccvm_tui.config import Settings
from ccvm_tui.errors import ConfigError
from ccvm_tui.guest import GuestState, SessionInfo
from ccvm_tui.project.history import History, KnownProject
from ccvm_tui.text import plain
from ccvm_tui.tui.model import attention
from ccvm_tui.tui.model.fleet import EventHandler, Fleet
from ccvm_tui.tui.model.guests import Guest
from ccvm_tui.tui.model.pending_keys import PendingKeys
from ccvm_tui.tui.model.projects import ProjectEntry, gather, project_settings
from ccvm_tui.tui.model.selection import Selection, Subject
from ccvm_tui.tui.model.sessions import RequestedEnds, SessionKey, session_title
from ccvm_tui.tui.model.starts import Starts
from ccvm_tui.tui.model.tree_rows import Filter, Tree, TreeRow, project_row_id, tree_rows


@dataclass(frozen=True, slots=True)
class Totals:
    """The numbers of guests by state, of sessions, and of sessions that are waiting for the user."""

    running: int = 0
    booting: int = 0
    paused: int = 0
    sessions: int = 0
    waiting: int = 0


class Model:
    """The state of the dashboard.

    ``configured`` projects are listed whether they run or not, and so is ``here``, on which the tree's cursor begins.
    ``on_change`` and ``on_event`` are passed to the ``Fleet``. ``sessions`` are the running sessions, and ``projects``
    those of the tree, both as of the last ``update``.
    """

    def __init__(
        self, configured: Iterable[str], here: str, on_change: Callable[[], None], on_event: EventHandler
    ) -> None:
        self.configured = frozenset(configured)
        self.added = {here} if here else set[str]()
        self.fleet = Fleet(on_change, on_event)
        self.history = History()
        self.projects: list[ProjectEntry] = []
        self.sessions: dict[SessionKey, SessionInfo] = {}
        self.tree = Tree(project_row_id(here))
        self.selection = Selection()
        self.pending = PendingKeys()
        self.starts = Starts()
        self.requested_ends = RequestedEnds()
        self._history_changed = 0
        self._known_projects: tuple[KnownProject, ...] = ()

    def update(self) -> list[attention.Change]:
        """Update sessions and projects from the fleet. Return the sessions that have begun to need the user."""
        before = self.sessions
        self.sessions = dict(self.fleet.sessions())
        self._read_history()
        self.projects = gather(
            self.configured | self.added, self._known_projects, self.fleet.guests.values(), self.fleet.ends.values()
        )
        return attention.changes(before, self.sessions)

    def _read_history(self) -> None:
        """Read the projects that were used before, if their file has changed."""
        try:
            changed = self.history.file.stat().st_mtime_ns
        except OSError:
            self._history_changed, self._known_projects = 0, ()
            return
        if changed != self._history_changed:
            self._history_changed, self._known_projects = changed, self.history.list()

    def rows(self, filter: Filter | None) -> list[TreeRow]:
        """Return the rows of the tree as they are now."""
        return tree_rows(self.projects, self.tree.folded, filter)

    # --- queries -------------------------------------------------------------------------------------------

    def guest_of(self, row: TreeRow | None) -> Guest | None:
        """Return the guest that a row stands for: its own, or that of its project."""
        if row is None:
            return None
        if row.guest:
            return self.fleet.guests.get(row.guest)
        return self.fleet.guest_of_project(row.project)

    def session_of(self, row: TreeRow | None) -> SessionKey | None:
        """Return the session that a row stands for: its own, or the current or first one of its guest or project.

        A session that has ended counts if its last screen is still shown.
        """
        if row is None:
            return None
        shown = self.selection.shown
        if row.session is not None:
            return row.session if row.session in self.sessions or row.session in shown else None

        def inside(key: SessionKey) -> bool:
            return key.guest == row.guest or (not row.guest and self.fleet.project_of(key.guest) == row.project)

        inner = list(filter(inside, self.sessions)) or list(filter(inside, shown))
        if self.selection.current in inner:
            return self.selection.current
        return inner[0] if inner else None

    def subject(self, focused: SessionKey | None) -> Subject:
        """Return what an action applies to, if the session ``focused`` has the focus, or no session."""
        row = self.tree.row
        if focused is not None:
            return Subject(row, self.fleet.guests.get(focused.guest), focused)
        preparing = row is not None and self.starts.preparing(row.project)
        return Subject(row, self.guest_of(row), row.session if row is not None else None, preparing)

    def entry(self, project: str) -> ProjectEntry | None:
        """Return the entry of a project, or None if it is not listed."""
        return next((entry for entry in self.projects if entry.path == project), None)

    def settings_of(self, guest: str, default: Settings) -> Settings:
        """Return the settings of a guest's project, or ``default`` if it is unknown or its settings are invalid."""
        project = self.fleet.project_of(guest)
        try:
            return project_settings(project) if project else default
        except ConfigError:
            return default

    def is_muted(self, key: SessionKey) -> bool:
        """Return whether a session or its project is muted."""
        entry = self.entry(self.fleet.project_of(key.guest))
        return (entry is not None and entry.muted) or (key in self.sessions and self.sessions[key].muted)

    def running_in_tree(self) -> list[SessionKey]:
        """Return the running sessions in the order of the tree, without those that are folded or filtered out."""
        return [key for key in self.tree.sessions() if key in self.sessions]

    def neighbour(self, step: int) -> SessionKey | None:
        """Return the session ``step`` places after the current one in the tree, cyclically; None if none is running."""
        order = self.running_in_tree() or list(self.sessions)
        if not order:
            return None
        current = self.selection.current
        at = order.index(current) if current in order else (-1 if step > 0 else 0)
        return order[(at + step) % len(order)]

    def next_waiting(self, focused: SessionKey | None) -> SessionKey | None:
        """Return the session that needs the user next, after the focused one; None if there is none."""
        audible = [(key, info) for key, info in self.sessions.items() if not self.is_muted(key)]
        return attention.following(attention.queue(audible), focused)

    def totals(self) -> Totals:
        """Return the numbers for the header."""
        states = [guest.info.state for guest in self.fleet.guests.values() if guest.info is not None]
        return Totals(
            states.count(GuestState.RUNNING),
            states.count(GuestState.BOOTING),
            states.count(GuestState.PAUSED),
            len(self.sessions),
            sum(attention.needs_user(info) and not self.is_muted(key) for key, info in self.sessions.items()),
        )

    def title(self) -> str:
        """Return the title for the host terminal: the number of waiting sessions, and the current session."""
        waiting, current = self.totals().waiting, self.selection.current
        info = self.sessions.get(current) if current is not None else None
        name = f" — {session_title(info)} · {current.guest}" if current is not None and info is not None else ""
        return plain(f"{f'({waiting}) ' if waiting else ''}ccvm{name}", 120)

    def paused_guests(self) -> set[str]:
        """Return the names of the guests that are paused."""
        guests = self.fleet.guests.values()
        return {guest.name for guest in guests if guest.info is not None and guest.info.state is GuestState.PAUSED}
