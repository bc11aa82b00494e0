"""The projects in the sidebar: configured, used before, running, or with a guest that died."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from ccvm_tui import config
from ccvm_tui.client.ends import End
from ccvm_tui.config import Settings
from ccvm_tui.project.history import KnownProject
from ccvm_tui.tui.model.guests import Contact, Guest

NEVER = float("inf")
"""The sort key of a project that was never started: it was just added, so it comes first."""


@dataclass(frozen=True, slots=True)
class ProjectEntry:
    """One project. ``guests`` are its running guests; if there are none, ``end`` is how the last one ended.

    ``last`` is the time of the last start in seconds since 1970, or 0.
    """

    path: str
    guests: tuple[Guest, ...] = ()
    end: End | None = None
    last: float = 0.0
    configured: bool = False
    muted: bool = False

    @property
    def name(self) -> str:
        """The name of the directory."""
        return Path(self.path).name or self.path

    @property
    def death(self) -> End | None:
        """The end of the last guest, if no user requested it."""
        return self.end if self.end is not None and self.end.failed else None

    @property
    def running(self) -> bool:
        """True if the project has a running guest."""
        return bool(self.guests)


def gather(
    configured: Iterable[str], known: Iterable[KnownProject], guests: Iterable[Guest], ends: Iterable[End]
) -> list[ProjectEntry]:
    """Return the running projects by name, and then the others, those started last first."""
    by_path: dict[str, list[Guest]] = {}
    for guest in guests:
        if guest.contact is Contact.CONNECTING and not guest.project:
            continue  # its project will be known in a moment
        by_path.setdefault(guest.project, []).append(guest)
    history = {project.path: project for project in known}
    ended = {end.project: end for end in sorted(ends, key=lambda end: end.ended)}
    own = set(configured)
    paths = {*own, *history, *by_path, *(path for path, end in ended.items() if end.failed)}

    def last(path: str) -> float:
        if path in history:
            return history[path].last
        return ended[path].ended if path in ended else 0.0

    entries = [
        ProjectEntry(
            path,
            tuple(sorted(by_path.get(path, ()), key=lambda guest: guest.name)),
            None if path in by_path else ended.get(path),
            last(path),
            path in own,
            path in history and history[path].muted,
        )
        for path in paths
    ]
    running = sorted((entry for entry in entries if entry.running), key=lambda entry: (entry.name.lower(), entry.path))
    others = sorted(
        (entry for entry in entries if not entry.running),
        key=lambda entry: (-(entry.last or NEVER), entry.name.lower()),
    )
    return running + others


def project_settings(project: str) -> Settings:
    """Return the settings with which the project's guest would be started. Raises ConfigError if they are invalid."""
    return config.resolve(Path(project), os.environ).settings
