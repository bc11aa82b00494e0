"""The application of reviewed edits to the project on the host, and its undoing."""

from __future__ import annotations

import contextlib
import hashlib
import stat
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from ccvm_tui.review import journal
from ccvm_tui.review.beneath import Directory, Refused, version_at
from ccvm_tui.review.executor import Content, Executor, content_at, content_of, nothing
from ccvm_tui.review.hunks import Hunk, lines_of, merged
from ccvm_tui.review.journal import Journal, Record
from ccvm_tui.review.load import FILES_MAX
from ccvm_tui.review.model import ABSENT, Change, Kind, Review, Version
from ccvm_tui.review.refusal import refusal
from ccvm_tui.review.steps import MakeDirectory, Move, Put, RemoveDirectory, Step, inverse, places


@dataclass(frozen=True, slots=True)
class Outcome:
    """The result for one path. ``problem`` is why it was not applied or undone, or empty."""

    path: str
    problem: str = ""


Choice = Mapping[str, Collection[Hunk]]
"""The chosen hunks of some files, by their paths in the guest. Other files are applied as a whole."""


def apply(review: Review, changes: Sequence[Change], choice: Choice | None = None) -> tuple[list[Outcome], list[str]]:
    """Apply changes to the host. Return the outcomes, and the paths in the guest to report with ``accept_edits``.

    Each file is replaced atomically; a change that is refused does not prevent the others. Raises UserError if the
    project cannot be opened.
    """
    outcomes: list[Outcome] = []
    accepted: list[str] = []
    with Directory(review.project) as project, Directory(review.store) as store:
        record = Journal(review.guest, review.project)
        applier = _Applier(review, project, store, record)
        try:
            for change in sorted(changes, key=_order):
                problem = refusal(change, review)
                try:
                    if not problem:
                        applier.apply(change, (choice or {}).get(change.path))
                        accepted.append(change.path)
                except Refused as error:
                    problem = error.message
                except OSError as error:
                    problem = (error.strerror or str(error)).lower()
                outcomes.append(Outcome(change.path, problem))
        finally:
            applier.flush()
            record.close()
    made = [path for path in applier.made if path not in accepted]
    return outcomes, [*sorted(made), *sorted(accepted)]


def _order(change: Change) -> tuple[int, int, str]:
    """Return the key of the order: content before deletions, and directories last, the innermost first.

    So the places of all files are those from before the directories above them are renamed.
    """
    if change.origin and change.guest.kind is Kind.DIRECTORY:
        return 2, -change.origin.count("/"), change.path
    return (1 if change.guest.kind is Kind.ABSENT else 0), 0, change.path


class _Applier:
    def __init__(self, review: Review, project: Directory, store: Directory, record: Journal) -> None:
        self._review = review
        self._project = project
        self._store = store
        self._journal = record
        self._executor = Executor(project)
        self.made: list[str] = []

    def flush(self) -> None:
        """Write what was changed to the disk."""
        self._executor.flush()

    def apply(self, change: Change, chosen: Collection[Hunk] | None) -> None:
        """Apply one change. Raises Refused or OSError; then the file is unchanged."""
        after, content = self._after(change, chosen)
        self._make_parents(change.place)
        if change.origin:
            self._move(change.origin, change.place)
        if change.guest.kind is Kind.ABSENT and change.host.kind is Kind.DIRECTORY:
            self._delete_directory(change.place)
        elif change.guest.kind is Kind.DIRECTORY:
            if not change.origin:
                self._make(change.place, change.guest.mode)
        elif not after.same(change.host):
            self._put(change.place, change.host, after, content)

    def _after(self, change: Change, chosen: Collection[Hunk] | None) -> tuple[Version, Content]:
        """Return the version to put on the host, and its content."""
        if chosen is not None and change.is_text:
            data = merged(lines_of(change.host.data or b""), lines_of(change.guest.data or b""), chosen)
            mode = change.guest.mode if change.host.kind is Kind.ABSENT else change.host.mode
            digest = hashlib.sha256(data).digest()
            version = Version(Kind.FILE, mode, len(data), digest, data)
            if problem := refusal(replace(change, guest=version), self._review):  # of a part that is harmful by itself
                raise Refused(problem)
            return version, content_of(data)
        if change.guest.kind is Kind.FILE and change.guest.data is not None:
            return change.guest, content_of(change.guest.data)
        if change.guest.kind is not Kind.FILE:
            return change.guest, nothing
        if change.source:
            return change.guest, content_at(self._store, change.source)
        return change.guest, content_at(self._project, change.copied_from)

    def _make_parents(self, place: str) -> None:
        """Create the directories above ``place`` that exist only in the guest."""
        for at in (index for index, sign in enumerate(place) if sign == "/"):
            mode = self._review.directories.get(place[:at])
            if mode is not None and self._project.attributes(place[:at]) is None:
                self._make(place[:at], mode)

    @contextlib.contextmanager
    def _recorded(self, step: Step) -> Iterator[None]:
        """Record ``step``, which the block carries out, and withdraw it if the block fails."""
        self._journal.write(step)
        try:
            yield
        except (Refused, OSError):
            self._journal.withdraw()
            raise

    def _move(self, old: str, new: str) -> None:
        with self._recorded(step := Move(old, new)):
            self._executor.move(step)

    def _make(self, place: str, mode: int) -> None:
        with self._recorded(step := MakeDirectory(place, mode)):
            self._executor.make(step)
        self.made.append(place)

    def _put(self, place: str, before: Version, after: Version, content: Content) -> None:
        blob = ""
        if before.kind is Kind.FILE and not before.same_content(after):
            blob = self._journal.keep(content_at(self._project, place), before.size, before.digest)
        with self._recorded(step := Put(place, before, after, blob)):
            self._executor.put(step, content)

    def _delete_directory(self, place: str) -> None:
        """Delete a directory with everything in it. Files that the host has changed meanwhile are kept."""
        below = self._project.files_below(place, FILES_MAX)
        own = self._project.attributes(place)
        assert own is not None
        for path, info in reversed([(place, own), *below]):
            if stat.S_ISDIR(info.st_mode):
                with self._recorded(step := RemoveDirectory(path, stat.S_IMODE(info.st_mode))):
                    self._executor.remove(step)
                continue
            with self._project.parent(path) as (fd, name):
                before = version_at(fd, name)
            if before.kind is Kind.OTHER:
                raise Refused(f"{path} is a device, a FIFO or a socket; delete it first")
            self._put(path, before, ABSENT, nothing)


# --- undoing --------------------------------------------------------------------------------------------------------


def undo(record: Record) -> list[Outcome]:
    """Undo what was applied. Steps that cannot be undone, since the host has changed the file, stay in the record.

    Raises UserError if the project cannot be opened.
    """
    outcomes: dict[str, Outcome] = {}
    left: list[Step] = []
    with Directory(record.project) as project, Directory(str(record.directory)) as blobs:
        executor = Executor(project)
        for step in reversed(record.steps):
            path = places(step)[0]
            try:
                _undo(executor, project, blobs, step)
                outcomes.setdefault(path, Outcome(path))
            except Refused as error:
                outcomes[path] = Outcome(path, error.message)
                left.insert(0, step)
            except OSError as error:
                outcomes[path] = Outcome(path, (error.strerror or str(error)).lower())
                left.insert(0, step)
        executor.flush()
    journal.rewrite(record, left)
    return list(outcomes.values())


def _undo(executor: Executor, project: Directory, blobs: Directory, step: Step) -> None:
    """Undo one step, unless it was never carried out."""
    match inverse(step):
        case Put(place, _, after, blob) as back:
            if not _is(project, place, after):
                executor.put(back, content_at(blobs, blob) if blob else nothing)
        case Move(old, new) as back:
            if project.attributes(old) is not None or project.attributes(new) is None:
                executor.move(back)
        case MakeDirectory(place) as back:
            if project.attributes(place) is None:
                executor.make(back)
        case RemoveDirectory(place) as back:
            if project.attributes(place) is not None:
                with contextlib.suppress(OSError):  # it is in use
                    executor.remove(back)


def _is(project: Directory, place: str, version: Version) -> bool:
    """Return whether the host's file is ``version``, since the step was interrupted before it was carried out."""
    found = project.version(place)
    return found.kind is Kind.ABSENT if version.kind is Kind.ABSENT else found.same(version)


def undone_places(record: Record) -> list[str]:
    """Return the paths that a record concerns, on the host and in the guest, directories before what is in them.

    They differ in directories that were renamed. Such a step follows the steps for the files in the directory.
    """
    found = {path for step in record.steps for path in places(step)}
    for step in record.steps:
        if isinstance(step, Move):
            found |= {step.new + path.removeprefix(step.old) for path in found if path.startswith(step.old + "/")}
    return sorted(found)
