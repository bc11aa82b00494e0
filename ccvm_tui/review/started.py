"""The changes of a writable project since its guest was started, which the host has already."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from ccvm_tui.errors import UserError
from ccvm_tui.project import snapshots
from ccvm_tui.project.git import PrivateRepository
from ccvm_tui.review.beneath import TEXT_MAX
from ccvm_tui.review.load import TEXTS_MAX
from ccvm_tui.review.model import ABSENT, Change, Kind, Review, Version

_PROBE = 8000
_KINDS = {"100": Kind.FILE, "120": Kind.SYMLINK}


def changes_since_start(guest: str, project: str, directory: Path) -> Review:
    """Return the changes for review. ``directory`` is the guest's private repository.

    Raises UserError if there is no snapshot to compare with, or if Git fails.
    """
    repository = PrivateRepository(directory, Path(project))
    start = snapshots.start_of(repository)
    if start is None:
        raise UserError(
            f"there is no snapshot of {project} from the start of {guest}: it was no Git repository, or Git failed",
            f"`ccvm-tui logs --keeper {guest}` has Git's errors; `git init` takes effect at the guest's next start",
        )
    now = snapshots.take(repository)
    raw = repository.run("diff-tree", "-r", "-z", "-M", "--raw", "--no-abbrev", start, now)
    entries = list(parse_raw(raw))
    versions = _versions(repository, {key for old, new, _, _ in entries for key in (old, new)})
    changes = []
    for old, new, origin, path in entries:
        after = versions[new]
        changes.append(Change(path, path, versions[old], after, after, origin=origin))
    return Review(guest, project, "", tuple(sorted(changes, key=lambda change: change.path)), applied=True)


Key = tuple[str, str]
"""Mode and name of an object."""


def parse_raw(raw: bytes) -> Iterator[tuple[Key, Key, str, str]]:
    """Yield old and new object, old path if the file was renamed, and path, from the raw output of git-diff-tree(1)."""
    fields = iter(raw.decode("utf-8", "surrogateescape").split("\0"))
    for field in fields:
        if not field.startswith(":"):
            continue
        old_mode, new_mode, old, new, status = field[1:].split(" ")
        path = next(fields)
        origin, path = (path, next(fields)) if status.startswith("R") else ("", path)
        yield (old_mode, old), (new_mode, new), origin, path


def kind_of_object(mode: str) -> Kind:
    """Return the kind of file that an entry of a tree describes, from its mode in octal digits."""
    return Kind.ABSENT if mode == "000000" else _KINDS.get(mode[:3], Kind.OTHER)


def _versions(repository: PrivateRepository, keys: set[Key]) -> dict[Key, Version]:
    """Return the versions of objects, with the content of those that are text and not too large."""
    names = sorted({name for mode, name in keys if mode[:3] in _KINDS})
    listing = repository.run("cat-file", "--batch-check", data="".join(f"{name}\n" for name in names).encode())
    sizes = {name: int(line.split()[-1]) for name, line in zip(names, listing.decode().splitlines(), strict=True)}
    contents = _contents(repository, sizes)
    return {key: _version(key, sizes, contents) for key in keys}


def _contents(repository: PrivateRepository, sizes: dict[str, int]) -> dict[str, bytes]:
    wanted, total = [], 0
    for name, size in sizes.items():
        total += size if size <= TEXT_MAX else 0
        if size <= TEXT_MAX and total <= TEXTS_MAX:
            wanted.append(name)
    output = repository.run("cat-file", "--batch", data="".join(f"{name}\n" for name in wanted).encode())
    found, at = {}, 0
    for name in wanted:
        at = output.index(b"\n", at) + 1
        found[name] = output[at : at + sizes[name]]
        at += sizes[name] + 1
    return found


def _version(key: Key, sizes: dict[str, int], contents: dict[str, bytes]) -> Version:
    mode, name = key
    kind = kind_of_object(mode)
    if kind is Kind.ABSENT:
        return ABSENT
    version = Version(kind, int(mode[3:], 8), sizes.get(name, 0), hashlib.sha256(name.encode()).digest())
    data = contents.get(name)
    return version if data is None or b"\0" in data[:_PROBE] else replace(version, data=data)
