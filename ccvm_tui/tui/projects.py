"""The projects of the sidebar: those of the config, those used before, those that run, those that died."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from ccvm_tui.client.ends import End
from ccvm_tui.project.history import KnownProject
from ccvm_tui.tui.fleet import Contact, Guest

NEVER = float("inf")
"""The place of what has not run yet: it was just added, and is what the user looks for."""


@dataclass(frozen=True, slots=True)
class ProjectEntry:
    """``guests`` are the running ones; where there is none, ``end`` is how the last one ended."""

    path: str
    guests: tuple[Guest, ...] = ()
    end: End | None = None
    last: float = 0.0
    configured: bool = False
    muted: bool = False

    @property
    def name(self) -> str:
        return Path(self.path).name or self.path

    @property
    def death(self) -> End | None:
        """The end, if nobody wanted it."""
        return self.end if self.end is not None and self.end.failed else None

    @property
    def running(self) -> bool:
        return bool(self.guests)


def gather(
    configured: Iterable[str], seen: Iterable[KnownProject], guests: Iterable[Guest], ends: Iterable[End]
) -> list[ProjectEntry]:
    """Running projects first, by name; then the others, the newest first. The order moves as little as can be."""
    by_path: dict[str, list[Guest]] = {}
    for guest in guests:
        if guest.contact is Contact.CONNECTING and not guest.project:
            continue  # where it belongs will be known in a moment
        by_path.setdefault(guest.project, []).append(guest)
    known = {one.path: one for one in seen}
    last = {path: one.last for path, one in known.items()}
    ended = {end.project: end for end in sorted(ends, key=lambda end: end.ended)}
    own = set(configured)
    paths = {*own, *last, *by_path, *(path for path, end in ended.items() if end.failed)}
    entries = [
        ProjectEntry(
            path,
            tuple(sorted(by_path.get(path, ()), key=lambda guest: guest.name)),
            None if path in by_path else ended.get(path),
            last.get(path, ended[path].ended if path in ended else 0.0),
            path in own,
            path in known and known[path].muted,
        )
        for path in paths
    ]
    running = sorted((entry for entry in entries if entry.running), key=lambda entry: (entry.name.lower(), entry.path))
    others = sorted(
        (entry for entry in entries if not entry.running), key=lambda one: (-(one.last or NEVER), one.name.lower())
    )
    return running + others
