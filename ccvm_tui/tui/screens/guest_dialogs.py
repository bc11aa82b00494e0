"""The part of the main screen that shows other screens about the selected guest."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from textual.screen import Screen

from ccvm_tui.tui.actions import review
from ccvm_tui.tui.dialogs.logs import Logs
from ccvm_tui.tui.model.guests import Guest
from ccvm_tui.tui.model.selection import Subject
from ccvm_tui.tui.screens.review import ReviewScreen


class GuestDialogs:
    """Screens about the selected guest, which ``subject`` returns."""

    def __init__(self, screen: Screen[None], subject: Callable[[], Subject]) -> None:
        self._screen = screen
        self._subject = subject

    def action_logs(self) -> None:
        """Show the logs of the selected guest."""
        if (guest := self._subject().guest) is not None:
            self._screen.app.push_screen(Logs(guest))

    def action_review(self) -> None:
        """Show the edits of the selected guest."""
        if (guest := self._subject().guest) is not None:
            self.review(guest)

    def review(self, guest: Guest) -> None:
        """Show the edits of a guest."""
        load = partial(review.load, guest.name)
        self._screen.app.push_screen(ReviewScreen(guest.name, load, lambda: guest.sessions))
