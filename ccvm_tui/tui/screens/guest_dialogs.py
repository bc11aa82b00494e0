"""The part of the main screen that shows other screens about the selected guest."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from textual.app import App

from ccvm_tui.tui.actions import guests, review
from ccvm_tui.tui.dialogs.egress import Egress
from ccvm_tui.tui.dialogs.guarded_changes import GuardedChanges
from ccvm_tui.tui.dialogs.logs import Logs
from ccvm_tui.tui.model.fleet import Fleet
from ccvm_tui.tui.model.guests import Guest
from ccvm_tui.tui.model.selection import Subject
from ccvm_tui.tui.screens.review import ReviewScreen
from ccvm_tui.tui.widgets.controls import start


class GuestDialogs:
    """Screens about the selected guest, which ``subject`` returns. ``notify`` shows a short text."""

    def __init__(
        self, app: App[Any], fleet: Fleet, subject: Callable[[], Subject], notify: Callable[[str], None]
    ) -> None:
        self._app = app
        self._fleet = fleet
        self._subject = subject
        self._notify = notify

    def action_logs(self) -> None:
        """Show the logs of the selected guest."""
        if (guest := self._subject().guest) is not None:
            self._app.push_screen(Logs(guest))

    def action_review(self) -> None:
        """Show the edits of the selected guest."""
        if (guest := self._subject().guest) is not None:
            self.review(guest)

    def review(self, guest: Guest) -> None:
        """Show the edits of a guest."""
        load = partial(review.load, guest.name)
        self._app.push_screen(ReviewScreen(guest.name, load, lambda: guest.sessions))

    def action_guard(self) -> None:
        """Show what the guard of the selected guest has blocked or noticed."""
        if (guest := self._subject().guest) is not None:
            allow = partial(guests.allow_guarded, self._fleet, guest.name, self._notify)
            self._app.push_screen(
                GuardedChanges(guest.name), lambda item: start(self._app, partial(allow, item), "allow")
            )

    def action_egress(self) -> None:
        """Show the connections of the selected guest."""
        if (guest := self._subject().guest) is not None:
            self._app.push_screen(Egress(guest))
