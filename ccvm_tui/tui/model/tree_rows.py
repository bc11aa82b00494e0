"""The tree in the sidebar: its rows, made from projects, guests and sessions, and its cursor."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from enum import Enum

from ccvm_tui.guest import AttemptInfo, GuestState, SessionInfo
from ccvm_tui.text import plain
from ccvm_tui.tui.model import signs
from ccvm_tui.tui.model.attention import needs_user, reason
from ccvm_tui.tui.model.guests import Contact, Guest
from ccvm_tui.tui.model.projects import ProjectEntry
from ccvm_tui.tui.model.sessions import SessionKey, session_title
from ccvm_tui.tui.model.signs import Sign, guest_sign, session_sign


class RowKind(Enum):
    """The kind of object that a row stands for."""

    PROJECT = "project"
    GUEST = "guest"
    SESSION = "session"


@dataclass(frozen=True, slots=True)
class TreeRow:
    """One row. ``number`` is the session's number for the leader's digits, or 0; ``note`` is shown on the right.

    ``needs_user`` marks a session that is waiting for the user, and the guest and project that contain it. ``children``
    is the number of rows below this one, which are hidden unless ``open``.
    """

    kind: RowKind
    project: str
    label: str
    sign: Sign | None = None
    note: str = ""
    guest: str = ""
    session: SessionKey | None = None
    open: bool = True
    needs_user: bool = False
    muted: bool = False
    number: int = 0
    children: int = 0

    @property
    def id(self) -> str:
        """The identity of the row, which does not change when the tree does."""
        return _row_id(self.kind, self.project, self.guest, self.session)

    @property
    def depth(self) -> int:
        """The row's level in the tree, 0 for a project."""
        return {RowKind.PROJECT: 0, RowKind.GUEST: 1, RowKind.SESSION: 2}[self.kind]

    @property
    def booting(self) -> bool:
        """True if the row's sign is that of a booting guest."""
        return self.sign == signs.GUEST_SIGNS[GuestState.BOOTING]


def _row_id(kind: RowKind, project: str, guest: str = "", session: SessionKey | None = None) -> str:
    return f"{kind.value}:{project}:{guest}:{session or ''}"


def project_row_id(path: str) -> str:
    """Return the id of a project's row."""
    return _row_id(RowKind.PROJECT, path)


def guest_row_id(project: str, guest: str) -> str:
    """Return the id of a guest's row."""
    return _row_id(RowKind.GUEST, project, guest)


# --- rows -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Filter:
    """A filter of the tree: what the user has typed, and a function that returns how well a label matches it, or 0."""

    needle: str
    score: Callable[[str], float]


def tree_rows(
    projects: Sequence[ProjectEntry], folded: Collection[str] = (), filter: Filter | None = None
) -> list[TreeRow]:
    """Return the rows from top to bottom. ``folded`` contains ids of rows; a filter overrides it."""
    out: list[TreeRow] = []
    number = 0
    for project in projects:
        inner: list[TreeRow] = []
        for guest in project.guests:
            below: list[TreeRow] = []
            for info in guest.sessions:
                if info.exit_status is None:
                    number += 1
                below.append(_session_row(project, guest, info, number if info.exit_status is None else 0))
            inner.append(_guest_row(project, guest, len(below), folded))
            inner += below
        head = _project_row(project, inner, folded)
        out += _filtered(head, inner, filter) if filter is not None else _unfolded(head, inner, folded)
    return out


def _filtered(head: TreeRow, inner: list[TreeRow], filter: Filter) -> list[TreeRow]:
    # paths are matched exactly, because they are so long that most would match fuzzily
    if filter.score(head.label) or filter.needle.lower() in head.project.lower():
        return [head, *inner]
    sessions = {row.id for row in inner if row.kind is RowKind.SESSION and filter.score(row.label)}
    guests = {row.guest for row in inner if row.id in sessions}
    kept = [row for row in inner if row.id in sessions or (row.kind is RowKind.GUEST and row.guest in guests)]
    return [head, *kept] if kept else []


def _unfolded(head: TreeRow, inner: list[TreeRow], folded: Collection[str]) -> list[TreeRow]:
    if head.id in folded:
        return [head]
    closed = {row.guest for row in inner if row.kind is RowKind.GUEST and row.id in folded}
    return [head, *(row for row in inner if row.kind is RowKind.GUEST or row.guest not in closed)]


def _project_row(project: ProjectEntry, inner: list[TreeRow], folded: Collection[str]) -> TreeRow:
    sign, note = None, ""
    if not project.running:
        sign = signs.DIED if project.death is not None else signs.STOPPED
        note = sign.word
    row = TreeRow(
        RowKind.PROJECT, project.path, plain(project.name, 80), sign, note,
        needs_user=any(row.needs_user for row in inner), children=len(inner), muted=project.muted,
    )  # fmt: skip
    return replace(row, open=row.id not in folded)


def _guest_row(project: ProjectEntry, guest: Guest, children: int, folded: Collection[str]) -> TreeRow:
    sign = guest_sign(guest)
    note = sign.word
    if guest.info is not None and guest.state is GuestState.RUNNING and guest.info.accel:
        note = f"{sign.word} {guest.info.accel}"
    if guest.contact is Contact.FOREIGN and guest.version:
        note = f"v{plain(guest.version, 12)}"
    label, attempt = guest.name, guest.info.attempt if guest.info is not None else None
    if attempt is not None:
        label = _attempt_label(attempt)
        note = attempt_note(attempt) if guest.state is GuestState.RUNNING else note
    row = TreeRow(RowKind.GUEST, project.path, label, sign, note, guest.name, children=children)
    return replace(row, open=row.id not in folded)


def attempt_note(attempt: AttemptInfo) -> str:
    """Return commits ahead and behind, and changed files: ``↑2 ↓1 ±3``, with a star if only the guest has some."""
    counts = (("↑", attempt.ahead), ("↓", attempt.behind), ("±", attempt.changed))
    shown = " ".join(f"{sign}{count}" for sign, count in counts if count)
    return f"{shown}{'*' if attempt.unfetched or attempt.uncommitted else ''}" or "no changes"


def _attempt_label(attempt: AttemptInfo) -> str:
    branch = attempt.branch or "no branch"
    return plain(attempt.name if branch == attempt.name else f"{attempt.name} ({branch})", 80)


def _session_row(project: ProjectEntry, guest: Guest, info: SessionInfo, number: int) -> TreeRow:
    muted = info.muted or project.muted
    needed = needs_user(info)
    sign = session_sign(info)
    return TreeRow(
        RowKind.SESSION, project.path, session_title(info), sign, reason(info) if needed else sign.word,
        guest.name, SessionKey(guest.name, info.id), needs_user=needed and not muted, muted=muted, number=number,
    )  # fmt: skip


# --- the cursor -------------------------------------------------------------------------------------------------


class Tree:
    """The rows that are shown, the cursor on one of them, and the ids of the folded rows.

    ``start`` is the id of the row on which the cursor begins, if there is such a row; else it begins at the top.
    """

    def __init__(self, start: str = "") -> None:
        self.rows: list[TreeRow] = []
        self.folded: set[str] = set()
        self.index = 0
        self._start = start
        self._under_cursor: TreeRow | None = None
        self._moved = False

    @property
    def row(self) -> TreeRow | None:
        """The row under the cursor."""
        return self.rows[self.index] if 0 <= self.index < len(self.rows) else None

    @property
    def booting(self) -> bool:
        """True if the guest of a row is booting."""
        return any(row.booting for row in self.rows)

    def sessions(self) -> list[SessionKey]:
        """Return the sessions of the rows from top to bottom, including sessions that have ended."""
        return [row.session for row in self.rows if row.session is not None]

    def numbered(self, number: int) -> SessionKey | None:
        """Return the session with a number, or None."""
        return next((row.session for row in self.rows if row.session is not None and row.number == number), None)

    def id_of(self, key: SessionKey) -> str:
        """Return the id of a session's row, or an empty string."""
        return next((row.id for row in self.rows if row.session == key), "")

    def update(self, rows: Sequence[TreeRow]) -> bool:
        """Replace the rows. The cursor stays on its row, or near it. Return whether it is on another row now.

        Until the user has moved the cursor, it stays where it begins, so that running guests, which come first, are
        under it.
        """
        self.rows = list(rows)
        ids = [row.id for row in rows]
        start = ids.index(self._start) if self._start in ids else 0
        current = self._under_cursor.id if self._under_cursor is not None else ""
        if current in ids and (self._moved or current == ids[start]):
            self.index = ids.index(current)
            return False
        self.index = self._nearest() if self._moved else start
        self._under_cursor = self.row
        return True

    def _nearest(self) -> int:
        """Return where the cursor goes when its row was removed: to its guest or project, else to the same place."""
        was = self._under_cursor
        for guest in (was.guest, "") if was is not None else ():
            for index, row in enumerate(self.rows):
                if was is not None and row.project == was.project and row.guest == guest:
                    return index
        return max(0, min(self.index, len(self.rows) - 1))

    def move(self, index: int) -> None:
        """Move the cursor to a row, or to the first or last one if the index is out of range."""
        if self.rows:
            self._moved = True
            self.index = max(0, min(index, len(self.rows) - 1))
            self._under_cursor = self.row

    def find(self, id: str) -> int | None:
        """Return the index of the row with an id, or None."""
        return next((index for index, row in enumerate(self.rows) if row.id == id), None)

    def parent(self) -> int | None:
        """Return the index of the row above the cursor that contains the row under it, or None."""
        if (row := self.row) is None:
            return None
        return next((index for index in range(self.index - 1, -1, -1) if self.rows[index].depth < row.depth), None)

    def fold(self, row: TreeRow) -> None:
        """Hide the rows below a row. ``update`` must follow."""
        self.folded.add(row.id)

    def unfold(self, row: TreeRow) -> None:
        """Show the rows below a row. ``update`` must follow."""
        self.folded.discard(row.id)
