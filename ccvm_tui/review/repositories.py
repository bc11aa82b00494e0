"""The directories of a project that Git takes for repositories although they are not called ``.git``."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

from ccvm_tui.guard.places import GIT_DIRECTORIES, GIT_RULES, PARTS
from ccvm_tui.review.beneath import Directory
from ccvm_tui.review.model import Change, Kind

_NAMES: Final = (
    PARTS | {rule.parts[0] for rule in GIT_RULES} | {name.split("/")[0].encode() for name in GIT_DIRECTORIES}
)
"""The names in a Git directory, in lower case, that the rules of the guard concern."""


def repositories_among(changes: Iterable[Change], host: Directory) -> tuple[frozenset[str], frozenset[str]]:
    """Return the directories that Git takes for repositories, and those that it would take for one after changes."""
    directories, added = set[str](), set[str]()
    for change in changes:
        if change.guest.kind is Kind.ABSENT:
            continue
        parts = change.place.split("/")
        for depth, name in enumerate(parts):
            added.add("/".join(parts[: depth + 1]).lower())
            if name.lower().encode() in _NAMES:
                directories.add("/".join(parts[:depth]))

    def is_on_host(path: str) -> bool:
        return host.attributes(path) is not None

    found = {directory for directory in directories if _is_repository(directory, is_on_host)}
    becoming = {
        directory
        for directory in directories - found
        if _is_repository(directory, lambda path: path.lower() in added or is_on_host(path))
    }
    return frozenset(found), frozenset(becoming)


def _is_repository(directory: str, exists: Callable[[str], bool]) -> bool:
    """Return whether Git would use a directory (``is_git_directory`` in its ``setup.c``)."""

    def has(name: str) -> bool:
        return exists(f"{directory}/{name}" if directory else name)

    return has("HEAD") and (has("commondir") or (has("objects") and has("refs")))
