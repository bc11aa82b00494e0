"""The edits under review in the dashboard: the cursor, the user's decisions, and the lines that are shown."""

from __future__ import annotations

import textwrap
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum

from ccvm_tui.review import unified
from ccvm_tui.review.hunks import Hunk
from ccvm_tui.review.model import Change, Kind, Review
from ccvm_tui.review.refusal import refusal
from ccvm_tui.text import printable


class Mark(Enum):
    """The decision about a file."""

    APPLY = "●"
    SOME = "◐"
    SKIP = "○"
    REFUSED = "✗"
    SHOWN = "·"
    """There is nothing to decide, because the host has the change already."""


@dataclass(frozen=True, slots=True)
class FileRow:
    """A file in the list. ``added`` and ``removed`` are -1 if the lines are not known or there are none."""

    mark: Mark
    letter: str
    name: str
    added: int
    removed: int


@dataclass(frozen=True, slots=True)
class DiffRow:
    """A line of the diff. ``kind`` is note, header, or the sign of a line. ``hunk`` is the index of its hunk, or -1.

    ``number`` is the line's number in the guest's file, or in the host's if the guest has removed it.
    """

    kind: str
    text: str
    hunk: int = -1
    number: int = 0


def failure_rows(message: str, hint: str) -> list[DiffRow]:
    """Return the lines that are shown in place of a diff if the edits could not be read."""
    return [
        *(DiffRow("problem", line) for line in textwrap.wrap(printable(message), PROBLEM_COLUMNS)),
        *(DiffRow("note", line) for line in textwrap.wrap(f"→ {printable(hint)}" if hint else "", PROBLEM_COLUMNS)),
    ]


class Edits:
    """The review of one guest's edits. Everything that can be applied is chosen at first."""

    def __init__(self, review: Review) -> None:
        self.review = review
        self.index = 0
        self.hunk = 0
        self._hunks: dict[str, list[Hunk]] = {}
        self._host_hunks: dict[str, list[Hunk]] = {}
        self._refused = {change.path: "" if review.applied else refusal(change, review) for change in review.changes}
        self._skipped: dict[str, set[int]] = {}
        self._skipped_files: set[str] = set()

    # --- files ----------------------------------------------------------------------------------------------------

    @property
    def changes(self) -> Sequence[Change]:
        """All changes."""
        return self.review.changes

    @property
    def current(self) -> Change | None:
        """The change under the cursor."""
        return self.changes[self.index] if self.changes else None

    def move(self, step: int) -> bool:
        """Move the cursor by some files. Return whether it has moved."""
        index = min(max(0, self.index + step), max(0, len(self.changes) - 1))
        moved, self.index = index != self.index, index
        if moved:
            self.hunk = 0
        return moved

    def rows(self) -> list[FileRow]:
        """Return the list of files."""
        return [self._row(change) for change in self.changes]

    def _row(self, change: Change) -> FileRow:
        hunks = self._hunks.get(change.path)
        added, removed = unified.counts(hunks) if hunks else (-1, -1)
        name = f"{change.origin} → {change.path}" if change.origin else change.path
        kind = change.guest.kind if change.letter != "D" else change.host.kind
        return FileRow(
            self.mark(change), change.letter, printable(name) + "/" * (kind is Kind.DIRECTORY), added, removed
        )

    def problem(self, change: Change) -> str:
        """Return why a change cannot be applied, or an empty string."""
        return self._refused[change.path]

    # --- hunks ----------------------------------------------------------------------------------------------------

    def add_hunks(self, path: str, hunks: list[Hunk], on_host: list[Hunk] | None = None) -> None:
        """Add the result of the comparison of a file: the guest's changes, and the host's if both have changed it."""
        self._hunks[path] = hunks
        if on_host:
            self._host_hunks[path] = on_host

    def hunks_of(self, change: Change) -> list[Hunk] | None:
        """Return the hunks of a file, or None if it has not been compared yet."""
        return self._hunks.get(change.path)

    def move_hunk(self, step: int) -> None:
        """Move the cursor to another hunk of the current file."""
        count = len(self._hunks.get(self.current.path, ())) if self.current else 0
        self.hunk = min(max(0, self.hunk + step), max(0, count - 1))

    @property
    def current_hunk(self) -> Hunk | None:
        """The hunk under the cursor."""
        hunks = self._hunks.get(self.current.path, []) if self.current else []
        return hunks[self.hunk] if self.hunk < len(hunks) else None

    # --- decisions ------------------------------------------------------------------------------------------------

    def mark(self, change: Change) -> Mark:
        """Return the decision about a file."""
        if self.review.applied:
            return Mark.SHOWN
        if self._refused[change.path]:
            return Mark.REFUSED
        skipped = self._skipped.get(change.path, set())
        if change.path in self._skipped_files or (skipped and len(skipped) == len(self._hunks[change.path])):
            return Mark.SKIP
        return Mark.SOME if skipped else Mark.APPLY

    def _is_open(self, change: Change) -> bool:
        """Return whether the user can decide about a file."""
        return not self.review.applied and not self._refused[change.path]

    def is_skipped(self, change: Change, hunk: int) -> bool:
        """Return whether a hunk is skipped, or its file."""
        return change.path in self._skipped_files or hunk in self._skipped.get(change.path, ())

    def toggle(self) -> None:
        """Apply the current file if it was skipped, else skip it."""
        if (change := self.current) is None or not self._is_open(change):
            return
        skip = self.mark(change) is Mark.APPLY
        self._skipped.pop(change.path, None)
        (self._skipped_files.add if skip else self._skipped_files.discard)(change.path)

    def toggle_hunk(self) -> None:
        """Apply the current hunk if it was skipped, else skip it."""
        if (change := self.current) is None or not self._is_open(change) or self.current_hunk is None:
            return
        if not change.is_text:
            self.toggle()
            return
        everything = set(range(len(self._hunks[change.path])))
        skipped = everything if change.path in self._skipped_files else self._skipped.setdefault(change.path, set())
        self._skipped[change.path] = skipped ^ {self.hunk}
        self._skipped_files.discard(change.path)

    def toggle_all(self) -> None:
        """Skip all files, or choose all if all are skipped."""
        possible = {change.path for change in self.changes if self._is_open(change)}
        self._skipped.clear()
        self._skipped_files = set() if self._skipped_files >= possible else possible

    def chosen(self) -> tuple[list[Change], Mapping[str, Collection[Hunk]]]:
        """Return the changes to apply, and the chosen hunks of those that are applied in part."""
        changes = [change for change in self.changes if self.mark(change) in (Mark.APPLY, Mark.SOME)]
        partly = {
            change.path: [
                hunk for index, hunk in enumerate(self._hunks[change.path]) if not self.is_skipped(change, index)
            ]
            for change in changes
            if self.mark(change) is Mark.SOME
        }
        return changes, partly

    # --- the diff -------------------------------------------------------------------------------------------------

    def diff(self) -> list[DiffRow]:
        """Return the lines of the current change."""
        change = self.current
        if change is None:
            return [DiffRow("note", "Nothing is changed.")]
        rows = [DiffRow("note", f"{change.words}: {note}") for note in _notes(change)]
        if problem := self.problem(change):
            wrapped = textwrap.wrap(f"not applied: {printable(problem)}", PROBLEM_COLUMNS)
            rows += [DiffRow("problem", line) for line in wrapped]
        if theirs := self._host_hunks.get(change.path):
            rows.append(DiffRow("note", "on the host since:"))
            rows += [replace(row, hunk=-1) for row in _rows(theirs)]
            rows.append(DiffRow("note", "in the guest:"))
        hunks = self.hunks_of(change)
        if hunks is None:
            return [*rows, DiffRow("note", "comparing …")] if unified.has_lines(change) else rows
        return [*rows, *_rows(hunks)]

    def place(self) -> str:
        """Return the file and the line of the current hunk, for people."""
        change, hunk = self.current, self.current_hunk
        if change is None:
            return ""
        return printable(change.path) if hunk is None else f"{printable(change.path)}, line {_line(hunk)}"

    def comment(self, text: str) -> str:
        """Return a comment on the current hunk as text for the agent."""
        change, hunk = self.current, self.current_hunk
        if change is None:
            return ""
        if hunk is None:
            return f"{change.path}: {text}\n"
        lines = [f"    {line.sign}{line.text.decode('utf-8', 'replace').rstrip()}" for line in hunk.lines]
        shown = [*lines[:COMMENT_LINES], *(["    …"] if len(lines) > COMMENT_LINES else [])]
        return "\n".join([f"{change.path}:{_line(hunk)}: {text}", *shown, ""])


PROBLEM_COLUMNS = 64
"""Columns in which the reason for a refusal is wrapped. The diff has more if the list of files is beside it."""

COMMENT_LINES = 12
"""Lines of a hunk that are quoted in a comment."""


def _rows(hunks: Sequence[Hunk]) -> Iterator[DiffRow]:
    for index, hunk in enumerate(hunks):
        yield DiffRow("header", hunk.header, index)
        for line in hunk.lines:
            text = line.text.rstrip(b"\n").decode("utf-8", "replace").expandtabs(4)
            yield DiffRow(line.sign, printable(text), index, line.new or line.old)
            if not line.text.endswith(b"\n"):
                yield DiffRow("note", "no newline at the end of the file", index)


def _line(hunk: Hunk) -> int:
    """Return the number of the first changed line."""
    return next((line.new or line.old for line in hunk.lines if line.sign != " "), 1)


def _notes(change: Change) -> list[str]:
    """Return what is special about a change."""
    name = f"{change.origin} → {change.path}" if change.origin else change.path
    found = [printable(name)]
    before, after = change.base, change.guest
    if change.letter == "M" and before.mode != after.mode and after.kind is Kind.FILE:
        found.append(f"mode {before.mode:o} → {after.mode:o}")
    if change.letter == "A" and after.kind is Kind.FILE and after.mode & 0o111:
        found.append("executable")
    if change.files:
        found.append(f"{change.files} files in it")
    if Kind.FILE in (before.kind, after.kind) and not change.is_text and not before.same_content(after):
        found.append(f"not text, {before.size:,} → {after.size:,} bytes")
    return found
