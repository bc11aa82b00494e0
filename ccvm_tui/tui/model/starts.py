"""Guests that are being started."""

from __future__ import annotations

import threading


class Starts:
    """The starts that are in progress, by project.

    ``notes`` describe what is being built for a start, ``errors`` why the last start of a project failed. ``awaited``
    are the names of guests whose first session is opened as soon as it exists.
    """

    def __init__(self) -> None:
        self.notes: dict[str, str] = {}
        self.errors: dict[str, str] = {}
        self.awaited: set[str] = set()
        self._cancelled: dict[str, threading.Event] = {}

    def begin(self, project: str) -> threading.Event | None:
        """Begin a start, and return the event that cancels it; None if the project is being started already."""
        if project in self._cancelled:
            return None
        self.errors.pop(project, None)
        cancelled = self._cancelled[project] = threading.Event()
        return cancelled

    def preparing(self, project: str) -> bool:
        """Return whether something is being built that a start of the project needs."""
        return project in self._cancelled and project in self.notes

    def note(self, project: str, text: str) -> None:
        """Set the description of what is being built, unless the start was cancelled."""
        if (cancelled := self._cancelled.get(project)) is not None and not cancelled.is_set():
            self.notes[project] = text

    def cancel(self, project: str) -> None:
        """Cancel a start, if one is in progress."""
        if (cancelled := self._cancelled.get(project)) is not None:
            self.notes[project] = "cancelling …"
            cancelled.set()

    def end(self, project: str) -> None:
        """End a start that has succeeded or failed."""
        self._cancelled.pop(project, None)
        self.notes.pop(project, None)
