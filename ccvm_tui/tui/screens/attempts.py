"""The part of the main screen for attempts: starting, fetching and comparing them."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from textual.app import App

from ccvm_tui import project as projects
from ccvm_tui.guest import SessionKind
from ccvm_tui.tui.actions import attempts, guests
from ccvm_tui.tui.dialogs.new_attempt import NewAttempt
from ccvm_tui.tui.dialogs.other_attempt import OtherAttempt
from ccvm_tui.tui.model.fleet import Fleet
from ccvm_tui.tui.model.guests import Guest
from ccvm_tui.tui.model.selection import Subject
from ccvm_tui.tui.screens.comparison import ComparisonScreen
from ccvm_tui.tui.widgets.controls import start


class Attempts:
    """Attempts of the projects in ``fleet``.

    ``subject`` returns what is selected, ``start_guest`` starts the guest of a project's attempt, and ``open_guest``
    opens a running one. ``notify`` shows a short text.
    """

    def __init__(
        self,
        app: App[Any],
        fleet: Fleet,
        subject: Callable[[], Subject],
        start_guest: Callable[[str, SessionKind, str], bool],
        open_guest: Callable[[Guest], None],
        notify: Callable[[str], None],
    ) -> None:
        self._app = app
        self._fleet = fleet
        self._subject = subject
        self._start_guest = start_guest
        self._open_guest = open_guest
        self._notify = notify

    def action_attempt(self) -> None:
        """Let the user name a new attempt of the selected project, and start its guest."""
        if project := self._subject().project:
            self._app.push_screen(NewAttempt(Path(project).name), partial(self._start, project))

    def _start(self, project: str, name: str | None) -> None:
        if name is not None:
            start(self._app, partial(self._start_or_open, project, name), "attempt")

    async def _start_or_open(self, project: str, name: str) -> None:
        guest = self._fleet.guests.get(projects.attempt_guest(projects.resolve(project), name))
        if guest is not None:
            self._open_guest(guest)
        elif not self._start_guest(project, guests.default_kind(project), name):
            self._notify("Another guest of this project is being started; try again in a moment")

    def action_fetch(self) -> None:
        """Fetch the commits of the selected attempt."""
        guest = self._subject().guest
        if guest is None or not guest.is_attempt:
            self._notify("Select an attempt: A starts one")
        else:
            self._notify(f"Fetching from {guest.name} …")
            start(self._app, partial(self._fetch, guest.name), f"fetch {guest.name}")

    async def _fetch(self, guest: str) -> None:
        self._app.notify(await attempts.fetch(guest), title=f"Fetched from {guest}", timeout=10, markup=False)

    def action_compare(self) -> None:
        """Show the selected attempt beside another one of the project, which the user chooses if there are several."""
        subject = self._subject()
        found = self._fleet.attempts_of_project(subject.project)
        if len(found) < 2:
            self._notify("A comparison needs two attempts of the project: A starts one")
            return
        one = subject.guest if subject.guest is not None and subject.guest.is_attempt else found[0]
        others = [guest for guest in found if guest.name != one.name]
        if len(others) == 1:
            self._compare(one, others[0])
        else:
            self._app.push_screen(OtherAttempt(others), partial(self._compare, one))

    def _compare(self, one: Guest, other: Guest | None) -> None:
        if other is not None:
            self._app.push_screen(ComparisonScreen(one.name, other.name))
