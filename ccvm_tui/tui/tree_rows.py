"""The rows of the sidebar's tree, made from projects, guests and sessions. Pure."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from enum import Enum

from ccvm_tui.guest import Activity, GuestState, SessionInfo, SessionKind
from ccvm_tui.text import plain
from ccvm_tui.tui import theme
from ccvm_tui.tui.attention import SessionKey, said, wants
from ccvm_tui.tui.fleet import Contact, Guest
from ccvm_tui.tui.fuzzy import score
from ccvm_tui.tui.projects import ProjectEntry
from ccvm_tui.tui.theme import Sign


class RowKind(Enum):
    PROJECT = "project"
    GUEST = "guest"
    SESSION = "session"


def project_row_id(path: str) -> str:
    """The id of the row of the project in ``path``."""
    return TreeRow(RowKind.PROJECT, path, "").id


@dataclass(frozen=True, slots=True)
class TreeRow:
    """``number`` is the session's index for the leader's digits, 0 for none; ``note`` stands on the right."""

    kind: RowKind
    project: str
    label: str
    sign: Sign | None = None
    note: str = ""
    guest: str = ""
    session: SessionKey | None = None
    open: bool = True
    wants: bool = False
    muted: bool = False
    number: int = 0
    children: int = 0

    @property
    def id(self) -> str:
        return f"{self.kind.value}:{self.project}:{self.guest}:{self.session or ''}"

    @property
    def depth(self) -> int:
        return {RowKind.PROJECT: 0, RowKind.GUEST: 1, RowKind.SESSION: 2}[self.kind]


def guest_sign(guest: Guest) -> Sign:
    match guest.contact:
        case Contact.HUNG:
            return theme.HUNG
        case Contact.FOREIGN:
            return theme.FOREIGN
        case Contact.CONNECTING if guest.info is None:
            return theme.CONNECTING
    return theme.GUEST_SIGNS[guest.info.state if guest.info is not None else GuestState.BOOTING]


def session_title(info: SessionInfo) -> str:
    """What a session is called: its given name, its own title, or what it runs."""
    if info.name:
        return plain(info.name, 60)
    if title := plain(info.title, 60):
        return title
    if info.kind is SessionKind.SHELL:
        return "shell"
    if info.argv:
        return plain(" ".join(info.argv), 60)
    return info.kind.value


def session_sign(info: SessionInfo) -> Sign:
    if info.exit_status is not None:
        return Sign("✗" if info.exit_status else "○", f"ended {info.exit_status}", "muted")
    if info.activity is Activity.WAITING and not info.attention:
        return Sign("!", "waiting", "muted")  # seen already: it waits on, but calls no more
    return theme.ACTIVITY_SIGNS[info.activity]


def rows(
    projects: Sequence[ProjectEntry],
    folded: Collection[str] = (),
    needle: str = "",
) -> list[TreeRow]:
    """The tree from top to bottom. ``folded`` holds rows' ids; ``needle`` filters fuzzily."""
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
        out += _shown(head, inner, folded, needle)
    return out


def _shown(head: TreeRow, inner: list[TreeRow], folded: Collection[str], needle: str) -> list[TreeRow]:
    if needle:
        # a path is long: letters in order would be found in nearly every one
        if score(needle, head.label) or needle.lower() in head.project.lower():
            return [head, *inner]
        kept = [row for row in inner if row.kind is RowKind.SESSION and score(needle, row.label)]
        guests = {row.guest for row in kept}
        kept_rows = [row for row in inner if row in kept or (row.kind is RowKind.GUEST and row.guest in guests)]
        return [head, *kept_rows] if kept else []
    if head.id in folded:
        return [head]
    closed = {row.guest for row in inner if row.kind is RowKind.GUEST and row.id in folded}
    return [head, *(row for row in inner if row.kind is RowKind.GUEST or row.guest not in closed)]


def _project_row(project: ProjectEntry, inner: list[TreeRow], folded: Collection[str]) -> TreeRow:
    sign, note = None, ""
    if not project.running:
        sign = theme.DIED if project.death is not None else theme.STOPPED
        note = sign.word
    row = TreeRow(
        RowKind.PROJECT, project.path, plain(project.name, 80), sign, note,
        wants=any(one.wants for one in inner), children=len(inner), muted=project.muted,
    )  # fmt: skip
    return _with(row, folded)


def _guest_row(project: ProjectEntry, guest: Guest, children: int, folded: Collection[str]) -> TreeRow:
    sign = guest_sign(guest)
    info = guest.info
    note = sign.word
    if info is not None and guest.contact is Contact.GOOD and info.state is GuestState.RUNNING:
        note = f"{sign.word} {info.accel}" if info.accel else sign.word
    if guest.contact is Contact.FOREIGN:
        note = f"v{plain(guest.version, 12)}" if guest.version else sign.word
    row = TreeRow(RowKind.GUEST, project.path, guest.name, sign, note, guest.name, children=children)
    return _with(row, folded)


def _session_row(project: ProjectEntry, guest: Guest, info: SessionInfo, number: int) -> TreeRow:
    key = SessionKey(guest.name, info.id)
    quiet = info.muted or project.muted
    asks = wants(info)
    sign = session_sign(info)
    note = said(info) if asks else sign.word
    return TreeRow(
        RowKind.SESSION, project.path, session_title(info), sign, note, guest.name, key,
        wants=asks and not quiet, muted=quiet, number=number,
    )  # fmt: skip


def _with(row: TreeRow, folded: Collection[str]) -> TreeRow:
    return replace(row, open=row.id not in folded)
