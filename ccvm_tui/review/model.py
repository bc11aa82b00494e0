"""The edits under review: versions of a file, and the changes from one to another. Without input and output."""

from __future__ import annotations

import posixpath
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class Kind(StrEnum):
    """The type of a file, or its absence."""

    ABSENT = "absent"
    FILE = "file"
    SYMLINK = "symlink"
    DIRECTORY = "directory"
    OTHER = "other"


def kind_of(mode: int) -> Kind:
    """Return the kind of a file from its st_mode."""
    kinds = {stat.S_IFREG: Kind.FILE, stat.S_IFLNK: Kind.SYMLINK, stat.S_IFDIR: Kind.DIRECTORY}
    return kinds.get(stat.S_IFMT(mode), Kind.OTHER)


@dataclass(frozen=True, slots=True)
class Version:
    """One version of a file.

    ``mode`` are the permission bits. ``digest`` is the SHA-256 of the content or of a symbolic link's target, or empty
    if the content is unknown. ``data`` is the target, or the content of a text file that is not too large, or None.
    """

    kind: Kind
    mode: int = 0
    size: int = 0
    digest: bytes = b""
    data: bytes | None = field(default=None, compare=False, repr=False)

    def same(self, other: Version) -> bool:
        """Return whether both versions have the same type, permissions and content, as far as it is known."""
        return self.same_content(other) and (self.kind is not Kind.FILE or self.mode == other.mode)

    def same_content(self, other: Version) -> bool:
        """Return whether both versions have the same type and content, as far as it is known."""
        if self.kind is not other.kind:
            return False
        if self.kind in (Kind.FILE, Kind.SYMLINK):
            return bool(self.digest) and self.digest == other.digest
        return self.kind is not Kind.OTHER


ABSENT = Version(Kind.ABSENT)
"""The version of a file that does not exist."""


class Standing(StrEnum):
    """The relation between the guest's edit and the host's file."""

    CLEAN = "clean"
    """The host's file is the one that the guest has edited."""
    CONFLICT = "conflict"
    """The host has changed the file since the guest edited it."""


@dataclass(frozen=True, slots=True)
class Change:
    """An edit of one name.

    ``path`` is the path in the guest, ``place`` that on the host; both are relative to the project. ``origin`` is the
    host's path of a file that was moved, or empty. ``base`` is the file that the guest has edited, ``host`` the host's
    current file, and ``guest`` the guest's. For a moved file, base and host are those at ``origin``. ``source`` is the
    name of a file in the store with the guest's content, empty if the content is that of the host's
    file ``copied_from``. ``files`` is the number of files in a deleted directory. ``trouble`` is why the
    change cannot be applied, as far as that is known without the project's rules, or empty.
    """

    path: str
    place: str
    base: Version
    host: Version
    guest: Version
    standing: Standing = Standing.CLEAN
    origin: str = ""
    source: str = ""
    copied_from: str = ""
    files: int = 0
    trouble: str = ""

    @property
    def letter(self) -> str:
        """The kind of change as ``git status`` abbreviates it: A, M, D, R or T."""
        if self.origin:
            return "R"
        if self.base.kind is Kind.ABSENT:
            return "A"
        if self.guest.kind is Kind.ABSENT:
            return "D"
        return "M" if self.base.kind is self.guest.kind else "T"

    @property
    def words(self) -> str:
        """The kind of change in one word."""
        words = {"A": "added", "M": "changed", "D": "deleted", "R": "renamed", "T": "replaced"}
        return words[self.letter]

    @property
    def is_text(self) -> bool:
        """True if the change has lines that can be compared, both sides being text."""
        before = b"" if self.base.kind is Kind.ABSENT else self.base.data
        after = b"" if self.guest.kind is Kind.ABSENT else self.guest.data
        kinds = {self.base.kind, self.guest.kind} - {Kind.ABSENT}
        return kinds <= {Kind.FILE} and before is not None and after is not None and before != after

    @property
    def three_way(self) -> str:
        """A description of a conflict: what the host and the guest have done to the file, or an empty string."""
        if self.standing is Standing.CLEAN:
            return ""
        return f"{_done(self.base, self.host)} on the host, {_done(self.base, self.guest)} in the guest"


def _done(before: Version, after: Version) -> str:
    """Return what has changed from one version to another."""
    if before.kind is Kind.ABSENT:
        return "created"
    if after.kind is Kind.ABSENT:
        return "deleted"
    if before.kind is not after.kind:
        return f"replaced by a {after.kind}"
    if before.same_content(after):
        return "unchanged" if before.mode == after.mode else f"mode changed to {after.mode:o}"
    return "changed"


@dataclass(frozen=True, slots=True)
class Review:
    """The edits of one guest.

    ``store`` is the directory with the content of the edited files. ``directories`` are the places of directories that
    exist only in the guest, with their permissions. ``repositories`` are the directories on the host, besides those
    called ``.git``, that Git takes for a repository, and ``becoming_repositories`` those that it would take for one
    with the guest's edits, as far as they matter for these changes. ``git`` is the number of edits of Git's own
    metadata, which are not reviewed, ``ignored`` that of new files that the project's .gitignore excludes, and
    ``omitted`` that of edits beyond the limit. If ``applied`` is true, the project is writable, and the host has the
    changes already.
    """

    guest: str
    project: str
    store: str
    changes: tuple[Change, ...]
    directories: Mapping[str, int] = field(default_factory=dict)
    repositories: frozenset[str] = frozenset()
    becoming_repositories: frozenset[str] = frozenset()
    git: int = 0
    ignored: int = 0
    omitted: int = 0
    applied: bool = False


def selected(changes: tuple[Change, ...], paths: list[str]) -> tuple[tuple[Change, ...], list[str]]:
    """Return the changes at or below ``paths``, and the paths without a change. No paths select everything."""
    if not paths:
        return changes, []
    wanted = [posixpath.normpath(path) for path in paths]
    chosen = tuple(change for change in changes if any(_is_below(change, path) for path in wanted))
    missing = [path for path in wanted if not any(_is_below(change, path) for change in chosen)]
    return chosen, missing


def _is_below(change: Change, path: str) -> bool:
    places = (change.path, change.place, *([change.origin] if change.origin else []))
    return path == "." or any(place == path or place.startswith(path + "/") for place in places)
