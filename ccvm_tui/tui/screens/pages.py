"""Which page stands on the stage for the tree's row, when no session does."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

from ccvm_tui import config
from ccvm_tui.config import Settings
from ccvm_tui.errors import ConfigError
from ccvm_tui.guest import GuestState
from ccvm_tui.tui.fleet import Contact, Guest
from ccvm_tui.tui.tree_rows import TreeRow
from ccvm_tui.tui.widgets import panes
from ccvm_tui.tui.widgets.panes import Pane

if TYPE_CHECKING:
    from ccvm_tui.tui.screens.main import MainScreen


def settings_of(project: str) -> Settings:
    """What a start of the project would use. Raises ConfigError."""
    import os

    return config.resolve(Path(project), os.environ).settings


class Pages:
    def __init__(self, screen: MainScreen) -> None:
        self._screen = screen
        self.troubles: dict[str, str] = {}
        self.notes: dict[str, str] = {}

    def note(self, project: str, text: str) -> None:
        """What a start that takes long is at: an image being built."""
        self.notes[project] = text
        self._screen.refresh_footer()
        if self._screen.stage.showing_page:
            self.show(self._screen.fleet_tree.row)

    def show(self, row: TreeRow | None) -> None:
        """The page for ``row``, on the stage."""
        self._screen.stage.show_page(lambda pane: self._fill(pane, row))

    def _fill(self, pane: Pane, row: TreeRow | None) -> None:
        if row is None:
            panes.welcome(pane)
            return
        guest = self._guest(row)
        if guest is not None:
            self._guest_page(pane, guest)
            return
        entry = next((entry for entry in self._screen.projects if entry.path == row.project), None)
        if entry is None:
            panes.welcome(pane)
            return
        trouble = self.troubles.get(entry.path, "")
        try:
            settings = settings_of(entry.path)
        except ConfigError as error:
            settings, trouble = None, str(error)
        panes.project(pane, entry, settings, trouble, self.notes.get(entry.path, ""))

    def _guest(self, row: TreeRow) -> Guest | None:
        guests = self._screen.fleet.guests
        if row.guest:
            return guests.get(row.guest)
        return next((guest for guest in guests.values() if guest.project == row.project), None)

    def _guest_page(self, pane: Pane, guest: Guest) -> None:
        info = guest.info
        booting = info is not None and info.state in (GuestState.BOOTING, GuestState.FAILED, GuestState.STOPPING)
        if info is not None and guest.contact is Contact.GOOD and booting:
            panes.boot(pane, guest, info, time.time())
        else:
            panes.guest_card(pane, guest)
