"""The comparison of two attempts of a project: the files that each of them has changed, side by side."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from ccvm_tui.attempt import host
from ccvm_tui.errors import UserError
from ccvm_tui.project.git import PrivateRepository
from ccvm_tui.review.beneath import TEXT_MAX
from ccvm_tui.review.model import Kind
from ccvm_tui.review.received import Received, receive
from ccvm_tui.review.started import Key, kind_of_object, parse_raw

FILES_MAX = 50_000
"""Maximum number of files that are compared."""


@dataclass(frozen=True, slots=True)
class Side:
    """The change of a file by an attempt.

    ``letter`` is A, M, D or T as in ``git status``. ``added`` and ``removed`` are numbers of lines, -1 if the file is
    binary. ``key`` are mode and name of its object.
    """

    letter: str
    key: Key
    added: int = 0
    removed: int = 0


@dataclass(frozen=True, slots=True)
class Row:
    """A file that at least one attempt has changed. ``base`` is the file from which both started."""

    path: str
    base: Key
    one: Side | None
    other: Side | None

    @property
    def same(self) -> bool:
        """True if both attempts have the same file now."""
        return self.keys[0] == self.keys[1]

    @property
    def keys(self) -> tuple[Key, Key]:
        """Mode and name of the object of each attempt."""
        return (self.one.key if self.one else self.base, self.other.key if self.other else self.base)


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two attempts, the commit that they have in common, and the files that they have changed since then."""

    one: Received
    other: Received
    base: str
    rows: tuple[Row, ...]
    ahead: tuple[int, int] = (0, 0)

    def texts(self, row: Row) -> tuple[bytes, bytes] | None:
        """Return the texts of both attempts, or None if one is binary or too large. Blocks. Raises UserError."""
        with _repository(self.one, self.other) as repository:
            found = [_text(repository, key) for key in row.keys]
        return (found[0], found[1]) if found[0] is not None and found[1] is not None else None


async def compare(one: str, other: str) -> Comparison:
    """Return the comparison of the attempts of two running guests, uncommitted changes included.

    Raises UserError if they do not belong to the same project, or if one of them does not answer.
    """
    if one == other:
        raise UserError("an attempt cannot be compared with itself", "`ccvm-tui ls` lists the attempts")
    received = await asyncio.gather(receive(one), receive(other))
    if received[0].project != received[1].project:
        raise UserError(f"{one} and {other} are attempts of different projects")
    return await asyncio.to_thread(_compared, *received)


def _compared(one: Received, other: Received) -> Comparison:
    with _repository(one, other) as repository:
        files = [received.state.files for received in (one, other)]
        base = host.merge_base(repository, *files) or one.attempt.base
        changed = [_sides(repository, base, commit) for commit in files]
        heads = [received.state.head for received in (one, other)]
        ahead = [int(repository.run("rev-list", "--count", head, "--not", base, "--")) if head else 0 for head in heads]
    paths = sorted({*changed[0], *changed[1]})[:FILES_MAX]
    rows = []
    for path in paths:
        found = [side.get(path) for side in changed]
        old = next(entry[0] for entry in found if entry)
        rows.append(Row(path, old, *(entry[1] if entry else None for entry in found)))
    return Comparison(one, other, base, tuple(rows), (ahead[0], ahead[1]))


@contextlib.contextmanager
def _repository(one: Received, other: Received) -> Iterator[PrivateRepository]:
    """Yield the private repository of one attempt with the objects of both."""
    with one.repository() as repository:
        yield replace(repository, borrowed=f"{repository.borrowed}:{Path(other.directory, 'objects')}")


def _sides(repository: PrivateRepository, base: str, commit: str) -> dict[str, tuple[Key, Side]]:
    """Return the old object and the change of each file that differs between two commits."""
    options = ("diff-tree", "-r", "-z", "--no-renames")
    counts = {}
    for line in repository.run(*options, "--numstat", base, commit).decode("utf-8", "surrogateescape").split("\0"):
        if line.count("\t") >= 2:
            added, removed, path = line.split("\t", 2)
            counts[path] = (-1, -1) if "-" in (added, removed) else (int(added), int(removed))
    found = {}
    for old, new, _, path in parse_raw(repository.run(*options, "--raw", "--no-abbrev", base, commit)):
        letter = "A" if old[0] == "000000" else "D" if new[0] == "000000" else "M" if old[0][:3] == new[0][:3] else "T"
        found[path] = old, Side(letter, new, *counts.get(path, (0, 0)))
    return found


def _text(repository: PrivateRepository, key: Key) -> bytes | None:
    kind = kind_of_object(key[0])
    if kind is Kind.ABSENT:
        return b""
    if kind is Kind.OTHER:
        return f"submodule {key[1]}\n".encode()
    size = int(repository.run("cat-file", "-s", key[1]))
    data = repository.run("cat-file", "blob", key[1]) if size <= TEXT_MAX else b"\0"
    return None if b"\0" in data else data
