"""The changes that arguments select, and their description, for ``diff`` and ``apply``."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from ccvm_tui.errors import UserError
from ccvm_tui.review.model import Change, Kind, Review, selected
from ccvm_tui.text import printable


def select(review: Review, paths: Sequence[str]) -> tuple[Change, ...]:
    """Return the changes at or below ``paths``, which are relative to the working directory if that is in the project.

    Raises UserError for a path without a change.
    """
    chosen, missing = selected(review.changes, [_in_project(path, review.project) for path in paths])
    if missing:
        raise UserError(
            f"{review.guest} has not changed {printable(', '.join(missing))}",
            f"`ccvm-tui diff --stat {review.guest}` lists what it has changed",
        )
    return chosen


def _in_project(path: str, project: str) -> str:
    """Return a path relative to the project."""
    absolute = os.path.normpath(Path.cwd() / path)
    if absolute == project or absolute.startswith(project.rstrip("/") + "/"):
        return os.path.relpath(absolute, project)
    return os.path.normpath(path)


def described(change: Change) -> str:
    """Return the path of a change, with what is special about it."""
    name = f"{change.origin} → {change.path}" if change.origin else change.path
    kind = change.guest.kind if change.letter != "D" else change.host.kind
    notes = []
    if kind is Kind.DIRECTORY:
        name += "/"
    if change.files:
        notes.append(f"{change.files} files")
    if change.letter == "M" and change.base.mode != change.guest.mode:
        notes.append(f"mode {change.base.mode:o} → {change.guest.mode:o}")
    if kind is Kind.SYMLINK:
        notes.append("symbolic link")
    elif kind is Kind.FILE and not change.is_text and not change.base.same_content(change.guest):
        notes.append("not text")
    if change.three_way:
        notes.append(f"conflict: {change.three_way}")
    return f"{name} ({'; '.join(notes)})" if notes else name


def notes(review: Review) -> list[str]:
    """Return what a review does not contain."""
    found = []
    if review.git:
        found.append(f"{_files(review.git)} of Git's own metadata left out; they are never applied")
    if review.ignored:
        found.append(f"{_files(review.ignored)} that .gitignore excludes left out; --ignored includes them")
    if review.omitted:
        found.append(f"{_files(review.omitted)} beyond the limit left out")
    return found


def _files(count: int) -> str:
    return f"{count} file{'' if count == 1 else 's'}"
