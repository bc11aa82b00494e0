"""Reading of a guest's edits and of the host's files that they concern, without a walk of the project."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import replace

from ccvm_tui.edits import Base, Edit
from ccvm_tui.review.beneath import Directory, Refused
from ccvm_tui.review.model import ABSENT, Change, Kind, Review, Standing, Version, kind_of
from ccvm_tui.review.refusal import is_git_metadata
from ccvm_tui.review.repositories import repositories_among

TEXTS_MAX = 64 << 20
"""Maximum size in bytes of all texts that are kept for comparison. Further files are shown without their lines."""

FILES_MAX = 20_000
"""Maximum number of files in a directory whose deletion is reviewed."""

CLOCK_SLACK = 50_000_000
"""Nanoseconds by which the times of files may be behind the clock, since the kernel updates them at each tick."""

_UNREADABLE = Version(Kind.OTHER)


def load(
    guest: str,
    project: str,
    store: str,
    edits: Sequence[Edit],
    total: int,
    ignored: Callable[[Iterable[str]], Collection[str]] = lambda _: (),
) -> Review:
    """Return the review of a guest's edits. ``store`` is the directory of their content.

    ``ignored`` returns which paths of new files are left out; directories end with a slash. Raises UserError if the
    project or the store cannot be opened.
    """
    with Directory(project) as host, Directory(store) as backing:
        loader = _Loader(host, backing)
        metadata = sum(is_git_metadata(edit.path) for edit in edits)
        own = [edit for edit in edits if not is_git_metadata(edit.path)]
        names = {edit.path + "/" * (edit.kind == "directory"): edit for edit in own if _is_new(edit)}
        hidden = {names[name].path for name in ignored(names) if name in names}
        own = [edit for edit in own if edit.path not in hidden]
        found = [change for edit in own if (change := loader.change(edit)) is not None]
        repositories, becoming = repositories_among(found, host)
    made = {change.place: change.guest.mode for change in found if _is_made(change)}
    occupied = {
        place[:at] for place in (change.place for change in found) for at, sign in enumerate(place) if sign == "/"
    }
    changes = [change for change in found if change.place not in made or change.place not in occupied]
    changes.sort(key=lambda change: change.path)
    return Review(
        guest,
        project,
        store,
        tuple(changes),
        made,
        repositories,
        becoming,
        git=metadata,
        ignored=len(hidden),
        omitted=total - len(edits),
    )


def _is_new(edit: Edit) -> bool:
    return edit.base is None and edit.kind != "absent" and not edit.left


def _is_made(change: Change) -> bool:
    """Return whether a directory exists only in the guest. It is reviewed only if nothing else below it is."""
    return change.guest.kind is Kind.DIRECTORY and not change.origin


class _Loader:
    def __init__(self, host: Directory, store: Directory) -> None:
        self._host = host
        self._store = store
        self._kept = 0

    def change(self, edit: Edit) -> Change | None:
        """Return an edit as a change, or None if there is no difference to the host."""
        guest = self._guest(edit)
        if edit.origin and (edit.left or guest.kind is Kind.DIRECTORY):
            return self._moved(edit, guest)
        host = self._read(self._host, edit.place)
        if guest.same(host) and guest.kind is not Kind.OTHER:
            return None
        files = 0
        base, standing = self._base(edit.place, edit.base, host)
        if edit.kind == "absent" and host.kind is Kind.DIRECTORY and edit.base is not None:
            files, standing = self._deleted_directory(edit.place, edit.base)
        return Change(
            edit.path,
            edit.place,
            base,
            host,
            guest,
            standing,
            source=edit.backing,
            copied_from=edit.origin,
            files=files,
        )

    def _guest(self, edit: Edit) -> Version:
        if edit.kind == "absent":
            return ABSENT
        directory, path = (self._store, edit.backing) if edit.backing else (self._host, edit.origin)
        version = self._read(directory, path)
        return version if version.kind == edit.kind else _UNREADABLE

    def _moved(self, edit: Edit, guest: Version) -> Change | None:
        """Return a rename. If the host's new name exists or its old name does not, both sides have changed it."""
        host, occupied = self._read(self._host, edit.origin), self._host.attributes(edit.place) is not None
        if host.kind is Kind.ABSENT and occupied and self._read(self._host, edit.place).same(guest):
            return None  # the host has it already
        if not edit.backing or guest.kind is Kind.DIRECTORY:
            base, standing = host, Standing.CLEAN if host.kind is guest.kind else Standing.CONFLICT
        else:
            base, standing = self._base(edit.origin, edit.origin_base, host)
        trouble = ""
        if not edit.left:
            trouble = f"the guest has another {edit.origin} now; apply both by hand"
        elif occupied:
            trouble = f"{edit.place} exists on the host"
        elif host.kind is Kind.ABSENT:
            trouble = f"{edit.origin} does not exist on the host any more"
        return Change(
            edit.path, edit.place, base, host, guest, standing, edit.origin, source=edit.backing, trouble=trouble
        )

    def _base(self, place: str, base: Base | None, host: Version) -> tuple[Version, Standing]:
        """Return the version that the guest has edited, and whether it still is the host's."""
        if base is None:
            return ABSENT, Standing.CLEAN if host.kind is Kind.ABSENT else Standing.CONFLICT
        info = self._host.attributes(place)
        if info is not None and _same(base, info):
            return host, Standing.CLEAN
        kind, mode = kind_of(base.mode), stat.S_IMODE(base.mode)
        if base.copy:
            copied = replace(self._read(self._store, base.copy), mode=mode)
            if copied.same(host):  # only its times have changed
                return host, Standing.CLEAN
            return copied, Standing.CONFLICT
        if kind is Kind.DIRECTORY and host.kind is Kind.DIRECTORY:
            return host, Standing.CLEAN
        return Version(kind, mode, base.size), Standing.CONFLICT

    def _deleted_directory(self, place: str, base: Base) -> tuple[int, Standing]:
        """Return the number of files in a directory that the guest has deleted, and if the host has changed any."""
        try:
            below = self._host.files_below(place, FILES_MAX)
        except (OSError, Refused):
            return FILES_MAX, Standing.CONFLICT
        newest = max((info.st_ctime_ns for _, info in below), default=0)
        standing = Standing.CLEAN if newest < base.noted - CLOCK_SLACK else Standing.CONFLICT
        return sum(not stat.S_ISDIR(info.st_mode) for _, info in below), standing

    def _read(self, directory: Directory, path: str) -> Version:
        """Return the version of a file, without its text if too much is kept already."""
        try:
            version = directory.version(path)
        except OSError:
            return _UNREADABLE
        if version.data is not None and version.kind is Kind.FILE:
            if self._kept + version.size > TEXTS_MAX:
                return replace(version, data=None)
            self._kept += version.size
        return version


def _same(base: Base, info: os.stat_result) -> bool:
    """Return whether ``info`` describes the file that the guest has edited, unchanged."""
    return (base.mode, base.size, base.device, base.inode, base.modified, base.changed) == (
        info.st_mode,
        info.st_size,
        info.st_dev,
        info.st_ino,
        info.st_mtime_ns,
        info.st_ctime_ns,
    )
