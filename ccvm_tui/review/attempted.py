"""The review of an attempt: the differences between its files and the commit that it has in common with the host."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Final

from ccvm_tui.attempt import host
from ccvm_tui.errors import UserError
from ccvm_tui.project.git import PrivateRepository
from ccvm_tui.review.beneath import TEXT_MAX, Directory
from ccvm_tui.review.load import TEXTS_MAX
from ccvm_tui.review.model import ABSENT, Change, Kind, Review, Standing, Version
from ccvm_tui.review.received import Received
from ccvm_tui.review.repositories import repositories_among
from ccvm_tui.review.started import Key, kind_of_object, parse_raw

CONTENT_MAX: Final = 1 << 30
"""Maximum size in bytes of all files of an attempt that can be applied."""

CHANGES_MAX: Final = 50_000
"""Maximum number of changed files that are reviewed."""

_PROBE: Final = 8000
_BATCH: Final = 64 << 20


def review(received: Received) -> Review:
    """Return the review of an attempt, uncommitted changes included. Raises UserError if Git fails."""
    store = received.directory / "store"
    store.mkdir(exist_ok=True, mode=0o700)
    with received.repository() as repository, Directory(received.project) as project:
        base = start_of(repository, received)
        entries = list(changed(repository, base, received.state.files))
        contents = _Contents(repository, store, {key for old, new, _, _ in entries for key in (old, new)})
        found = []
        for old, new, origin, path in entries[:CHANGES_MAX]:
            change = _change(project, contents.version(old), contents.version(new), origin, path)
            if change is not None:
                found.append(replace(change, source=contents.source(new)))
        changes = tuple(sorted(found, key=lambda change: change.path))
        repositories, becoming = repositories_among(list(changes), project)
    return Review(
        received.guest, received.project, str(store), changes, dict.fromkeys(_directories(changes), 493),
        repositories, becoming, omitted=max(0, len(entries) - CHANGES_MAX),
    )  # fmt: skip


def start_of(repository: PrivateRepository, received: Received) -> str:
    """Return the newest commit that the attempt and the host's current branch have in common."""
    with host.opened(received.project) as own:
        current = host.commit_of(own, "HEAD")
    common = host.merge_base(repository, current, received.state.files) if current else ""
    return common or received.attempt.base


def changed(repository: PrivateRepository, old: str, new: str) -> Iterator[tuple[Key, Key, str, str]]:
    """Yield the changes between two commits; see ``started.parse_raw``."""
    raw = repository.run("diff-tree", "-r", "-z", "-M", "--raw", "--no-abbrev", "--ignore-submodules=none", old, new)
    return parse_raw(raw)


def _directories(changes: Iterable[Change]) -> set[str]:
    places = (change.place for change in changes if change.guest.kind is not Kind.ABSENT)
    return {place[:at] for place in places for at, sign in enumerate(place) if sign == "/"}


def _change(project: Directory, base: Version, guest: Version, origin: str, path: str) -> Change | None:
    """Return a change, or None if the host has it already."""
    own = _read(project, origin or path)
    base, guest = _with_mode_of(base, own), _with_mode_of(guest, own)
    trouble = ""
    if origin:
        there = _read(project, path)
        if there.same_content(guest) and own.kind is Kind.ABSENT:
            return None
        if there.kind is not Kind.ABSENT:
            trouble = f"{path} exists on the host"
        elif own.kind is Kind.ABSENT:
            trouble = f"{origin} does not exist on the host any more"
    elif own.same(guest):
        return None
    if Kind.OTHER in (base.kind, guest.kind):
        trouble = "it is a submodule; use Git to update it"
    standing = Standing.CLEAN if base.same(own) else Standing.CONFLICT
    return Change(path, path, base, own, guest, standing, origin=origin, trouble=trouble)


def _read(project: Directory, path: str) -> Version:
    try:
        return project.version(path)
    except OSError:
        return Version(Kind.OTHER)


def _with_mode_of(version: Version, own: Version) -> Version:
    """Return a version with the permissions of the host's file, if Git does not distinguish them."""
    alike = version.kind is own.kind is Kind.FILE and bool(version.mode & 0o100) == bool(own.mode & 0o100)
    return replace(version, mode=own.mode) if alike else version


def _batches(sizes: dict[str, int]) -> Iterator[list[str]]:
    """Yield groups of objects that are read at once."""
    batch: list[str] = []
    total = 0
    for name, size in sizes.items():
        if batch and total + size > _BATCH:
            yield batch
            batch, total = [], 0
        batch.append(name)
        total += size
    if batch:
        yield batch


class _Contents:
    """The contents of objects. Those that are not kept as texts are written to files in ``store``."""

    def __init__(self, repository: PrivateRepository, store: Path, keys: set[Key]) -> None:
        self._repository = repository
        self._store = store
        self._versions: dict[Key, Version] = {}
        self._kept = 0
        names = sorted({name for mode, name in keys if kind_of_object(mode) in (Kind.FILE, Kind.SYMLINK)})
        sizes = self._sizes(names)
        if sum(sizes.values()) > CONTENT_MAX:
            raise UserError(
                f"the attempt's changed files have more than {CONTENT_MAX >> 20} MiB",
                "`ccvm-tui fetch` gets its commits, and Git shows them",
            )
        self._blobs: dict[str, tuple[int, bytes, bytes | None]] = {}
        for batch in _batches(sizes):
            self._load(batch, sizes)
        for mode, name in keys:
            self._versions[mode, name] = self._made(mode, name)

    def version(self, key: Key) -> Version:
        """Return the version that an entry of a tree names."""
        return self._versions[key]

    def source(self, key: Key) -> str:
        """Return the name of the file in the store with the content, or an empty string if it is kept as a text."""
        version = self._versions[key]
        return key[1] if version.kind is Kind.FILE and version.data is None else ""

    def _sizes(self, names: list[str]) -> dict[str, int]:
        if not names:
            return {}
        listing = self._repository.run(
            "cat-file", "--batch-check", data="".join(f"{name}\n" for name in names).encode()
        )
        lines = [line.split() for line in listing.decode().splitlines()]
        if len(lines) != len(names) or any(len(line) != 3 or line[1] != "blob" for line in lines):
            raise UserError("the attempt has files that are not blobs of Git")
        return {name: int(line[2]) for name, line in zip(names, lines, strict=True)}

    def _load(self, batch: list[str], sizes: dict[str, int]) -> None:
        """Load size, SHA-256 and, for a text that is not too large, the content of some blobs."""
        output = self._repository.run("cat-file", "--batch", data="".join(f"{name}\n" for name in batch).encode())
        at = 0
        for name in batch:
            at = output.index(b"\n", at) + 1
            self._blobs[name] = self._loaded(name, output[at : at + sizes[name]])
            at += sizes[name] + 1

    def _loaded(self, name: str, data: bytes) -> tuple[int, bytes, bytes | None]:
        size, digest = len(data), hashlib.sha256(data).digest()
        if size <= TEXT_MAX and self._kept + size <= TEXTS_MAX and b"\0" not in data[:_PROBE]:
            self._kept += size
            return size, digest, data
        path = self._store / name
        if not path.exists():
            fresh = path.with_suffix(f".{os.getpid()}")
            fresh.write_bytes(data)
            fresh.replace(path)
        return size, digest, None

    def _made(self, mode: str, name: str) -> Version:
        kind = kind_of_object(mode)
        if kind not in (Kind.FILE, Kind.SYMLINK):
            return ABSENT if kind is Kind.ABSENT else Version(kind)
        size, digest, data = self._blobs[name]
        if kind is Kind.SYMLINK:
            return Version(kind, 0o777, size, digest, data if data is not None else (self._store / name).read_bytes())
        return Version(kind, int(mode[3:], 8), size, digest, data)
