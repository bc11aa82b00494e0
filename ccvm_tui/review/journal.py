"""The record of what was applied to the host, with the previous content of each file, so that it can be undone.

Each application of edits is a directory in the state directory: ``applied/GUEST/NUMBER``, with the steps as lines of
JSON in ``journal``, and previous contents next to it. A step is on the disk before it is carried out. The oldest
records are removed when there are too many.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from ccvm_tui.paths import check_guest_name, state_dir
from ccvm_tui.review.beneath import Refused
from ccvm_tui.review.executor import Content
from ccvm_tui.review.steps import Step, decode, encode

RECORDS_MAX = 50
"""Maximum number of records, of all guests together."""

SIZE_MAX = 512 << 20
"""Maximum size of all records in bytes. One record can have at most half of it."""

_JOURNAL = "journal"
_WITHDRAWN = {"withdrawn": True}


@dataclass(frozen=True, slots=True)
class Record:
    """The steps that were applied at once, in their order. ``applied`` is the time in seconds since 1970."""

    directory: Path
    guest: str
    project: str
    applied: float
    steps: tuple[Step, ...]


class Journal:
    """The record of edits that are being applied. Nothing is created before the first step."""

    def __init__(self, guest: str, project: str) -> None:
        self._guest = guest
        self._project = project
        self._directory: Path | None = None
        self._file: TextIO | None = None
        self._size = 0
        self._blobs = 0

    def write(self, step: Step) -> None:
        """Record a step that is about to be carried out."""
        if self._file is None:
            directory = self._open()
            self._file = _create(directory / _JOURNAL)
            header = {"guest": self._guest, "project": self._project, "applied": time.time()}
            self._file.write(json.dumps(header) + "\n")
        self._file.write(json.dumps(encode(step)) + "\n")
        self._file.flush()
        os.fsync(self._file.fileno())

    def withdraw(self) -> None:
        """Record that the last step has failed and changed nothing."""
        assert self._file is not None
        self._file.write(json.dumps(_WITHDRAWN) + "\n")
        self._file.flush()

    def keep(self, content: Content, size: int, digest: bytes) -> str:
        """Store the content of a file of the host, and return its name for ``Put``.

        Raises Refused if it is too large, or if it is not the file that was compared.
        """
        if self._size + size > SIZE_MAX // 2:
            raise Refused(f"it could not be undone: the host's files have more than {SIZE_MAX >> 21} MiB")
        self._size += size
        self._blobs += 1
        path = self._open() / str(self._blobs)
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            if content(fd) != digest:
                raise Refused("the host's file was changed meanwhile")
            os.fsync(fd)
        finally:
            os.close(fd)
        return path.name

    def close(self) -> None:
        """End the record, and remove the oldest ones if there are too many."""
        if self._file is not None:
            self._file.close()
            self._file = None
        if self._directory is not None:
            _prune(self._directory)

    def _open(self) -> Path:
        if self._directory is None:
            root = _guest_directory(self._guest)
            root.mkdir(mode=0o700, parents=True, exist_ok=True)
            number = max((_number(path) for path in root.iterdir()), default=0) + 1
            self._directory = root / f"{number:06}"
            self._directory.mkdir(mode=0o700)
        return self._directory


def last_record(guest: str) -> Record | None:
    """Return what was applied last of a guest's edits, or None."""
    try:
        found = sorted(_guest_directory(guest).iterdir(), key=_number, reverse=True)
    except (FileNotFoundError, NotADirectoryError):
        return None
    return next((record for path in found if (record := _read(path)) is not None and record.steps), None)


def records() -> list[Record]:
    """Return everything that can be undone, the latest first."""
    found = [record for path in _all() if (record := _read(path)) is not None and record.steps]
    return sorted(found, key=lambda record: record.applied, reverse=True)


def rewrite(record: Record, steps: Iterable[Step]) -> None:
    """Replace the steps of a record by those that could not be undone, or remove the record if there are none."""
    left = tuple(steps)
    if not left:
        shutil.rmtree(record.directory)
        return
    new = record.directory / f"{_JOURNAL}.new"
    with contextlib.suppress(FileNotFoundError):
        new.unlink()
    with _create(new) as file:
        header = {"guest": record.guest, "project": record.project, "applied": record.applied}
        file.write("".join(json.dumps(line) + "\n" for line in (header, *map(encode, left))))
        file.flush()
        os.fsync(file.fileno())
    new.replace(record.directory / _JOURNAL)


def _guest_directory(guest: str) -> Path:
    return state_dir() / "applied" / check_guest_name(guest)


def _number(path: Path) -> int:
    return int(path.name) if path.name.isdigit() else 0


def _all() -> list[Path]:
    return sorted((state_dir() / "applied").glob("*/[0-9]*"))


def _read(directory: Path) -> Record | None:
    """Return a record, or None if it is damaged. A last line that is incomplete was not carried out."""
    try:
        header, *lines = (directory / _JOURNAL).read_text(encoding="utf-8").splitlines(keepends=True)
        head = json.loads(header)
        steps: list[Step] = []
        for value in (json.loads(line) for line in lines if line.endswith("\n")):
            if value == _WITHDRAWN:
                steps.pop()
            else:
                steps.append(decode(value))
        return Record(directory, str(head["guest"]), str(head["project"]), float(head["applied"]), tuple(steps))
    except (OSError, ValueError, KeyError, TypeError, IndexError):
        return None


def _prune(current: Path) -> None:
    """Remove the oldest records until the limits are kept, but never ``current``."""
    found = sorted((path for path in _all() if path != current), key=lambda path: path.stat().st_mtime)
    sizes = {path: sum(file.stat().st_size for file in path.iterdir()) for path in (*found, current)}
    while found and (len(found) >= RECORDS_MAX or sum(sizes.values()) > SIZE_MAX):
        oldest = found.pop(0)
        del sizes[oldest]
        shutil.rmtree(oldest, ignore_errors=True)


def _create(path: Path) -> TextIO:
    """Create a file that only the user can read."""
    return open(path, "x", encoding="utf-8", opener=lambda name, flags: os.open(name, flags | os.O_CLOEXEC, 0o600))
