"""The sessions and the guest that the user has selected."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ccvm_tui.guest import GuestState
from ccvm_tui.tui.model.guests import Guest
from ccvm_tui.tui.model.sessions import SessionKey
from ccvm_tui.tui.model.tree_rows import TreeRow

TILES_MAX = 4
"""The maximum number of sessions that are shown side by side."""


class Selection:
    """The sessions that the user has opened, and those in the main area.

    ``current`` is the session that was opened last, and ``previous`` the one before it. ``shown`` are the sessions in
    the main area, in the order of their tiles. If ``page`` is true, a page covers them.
    """

    def __init__(self) -> None:
        self.current: SessionKey | None = None
        self.previous: SessionKey | None = None
        self.shown: list[SessionKey] = []
        self.page = True

    def show(self, keys: Sequence[SessionKey]) -> None:
        """Show sessions in the main area, or a page if there are none."""
        self.shown = list(keys)[:TILES_MAX]
        self.page = not self.shown

    def make_current(self, key: SessionKey) -> None:
        """Make a session the current one, without showing it."""
        if key != self.current:
            self.previous, self.current = self.current, key

    def open(self, key: SessionKey) -> None:
        """Make a session the current one. If it is not shown, it takes the place of the one before."""
        self.make_current(key)
        if key in self.shown:
            self.page = False
        elif len(self.shown) > 1 and not self.page and self.previous in self.shown:
            self.show([key if shown == self.previous else shown for shown in self.shown])
        else:
            self.show([key])

    def preview(self, key: SessionKey, *, keep_tiles: bool) -> None:
        """Show a session without opening it. With ``keep_tiles``, it does not take the place of several sessions."""
        self.page = False
        if key not in self.shown and not (keep_tiles and len(self.shown) > 1):
            self.show([key])

    def close(self, key: SessionKey, *, focused: bool) -> SessionKey | None:
        """Remove a session from the main area.

        If it is the current session and the focus is on a session, return the one that gets the focus, if there is one.
        """
        had_focus = focused and self.current == key
        self.show([shown for shown in self.shown if shown != key])
        if self.previous == key:
            self.previous = None
        if self.current == key:
            self.current = self.shown[0] if had_focus and self.shown else None
        return self.current if had_focus else None

    def tile(self, running: Sequence[SessionKey]) -> bool:
        """Show one more of the ``running`` sessions, or only one if that is not possible.

        Return whether the sessions that are shown have changed.
        """
        before = self.shown
        others = [key for key in running if key not in self.shown]
        if others and len(self.shown) < TILES_MAX:
            self.show([*self.shown, others[0]])
        elif self.shown:
            self.show([self.current if self.current is not None and self.current in self.shown else self.shown[0]])
        return self.shown != before

    def in_view(self) -> SessionKey | None:
        """Return the current session if it is in view, or else the first one that is; None if a page covers them."""
        if self.page or not self.shown:
            return None
        return self.current if self.current in self.shown else self.shown[0]


@dataclass(frozen=True, slots=True)
class Subject:
    """The objects that an action applies to.

    While the focus is on a session, ``guest`` and ``session`` are that session and its guest; else those of the row
    under the tree's cursor. ``preparing`` is true while something is built that the row's project needs.
    """

    row: TreeRow | None = None
    guest: Guest | None = None
    session: SessionKey | None = None
    preparing: bool = False

    @property
    def project(self) -> str:
        """The project of the row, or an empty string."""
        return self.row.project if self.row is not None else ""

    @property
    def state(self) -> GuestState | None:
        """The state of the guest, or None if there is none or its keeper is not connected."""
        return self.guest.state if self.guest is not None else None
