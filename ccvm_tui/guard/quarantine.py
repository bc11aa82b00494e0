"""The changes that the guard blocked or noticed, kept in the state directory: ``guard/GUEST/ID.json`` and ``ID.data``.

Only a guest's keeper adds items. They outlive the guest, so that users can review them later. The number and the size
of the items are limited, and the oldest are removed first.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

from ccvm_tui import paths
from ccvm_tui.errors import UserError
from ccvm_tui.guard.report import Report

ITEMS_MAX: Final = 200
"""Maximum number of items of a guest. Each has at most ``report.KEPT_MAX`` bytes of content."""

BLOCKED, NOTICED, ALLOWED = "blocked", "noticed", "allowed"
"""The states of an item."""


class Item(msgspec.Struct, frozen=True, omit_defaults=True):
    """One blocked or noticed change. The fields are those of ``Report``; ``time`` is in seconds since 1970.

    ``project`` is the directory in which ``path`` is. A path that is not UTF-8 is surrogate-escaped (PEP 383).
    """

    id: str
    time: float
    state: str
    project: str
    path: str
    check: str
    reason: str
    problems: tuple[str, ...]
    complete: bool = False
    executable: bool = False
    link: bool = False
    before: str = ""


@dataclass(frozen=True, slots=True)
class Quarantine:
    """The items of one guest."""

    guest: str

    @property
    def directory(self) -> Path:
        """The directory with the items. It may not exist."""
        return paths.state_dir() / "guard" / paths.check_guest_name(self.guest)

    def items(self) -> list[Item]:
        """Return all items, the oldest first. Files that are no items are ignored."""
        found = []
        for number in self._numbers():
            try:
                found.append(msgspec.convert(json.loads((self.directory / f"{number}.json").read_bytes()), Item))
            except (OSError, ValueError):
                continue
        return found

    def _numbers(self) -> list[int]:
        try:
            names = [path.name for path in self.directory.iterdir()]
        except OSError:
            return []
        stems = (name.removesuffix(".json") for name in names if name.endswith(".json"))
        return sorted(int(stem) for stem in stems if stem.isdecimal())

    def item(self, id_: str) -> Item:
        """Return the item ``id_``. Raises UserError if there is none."""
        for item in self.items():
            if item.id == id_:
                return item
        raise UserError(f"the guard of {self.guest} has no item {id_!r}", f"see `ccvm-tui guard {self.guest}`")

    def content(self, item: Item) -> bytes:
        """Return the content that the guest wanted, as far as it is kept."""
        try:
            return (self.directory / f"{item.id}.data").read_bytes()
        except OSError:
            return b""

    def add(self, report: Report, project: str, time: float) -> Item:
        """Keep what was reported about ``project``, and return the new item. Raises OSError if that fails."""
        self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        numbers = self._numbers()
        for number in numbers[: max(0, len(numbers) - ITEMS_MAX + 1)]:
            self._remove(number)
        item = self.item_of(report, project, time, str(numbers[-1] + 1 if numbers else 1))
        _write(self.directory / f"{item.id}.data", report.content)
        self._store(item)
        return item

    @staticmethod
    def item_of(report: Report, project: str, time: float, id_: str) -> Item:
        """Return the item for a report."""
        return Item(
            id=id_,
            time=time,
            state=BLOCKED if report.blocked else NOTICED,
            project=project,
            path=report.path,
            check=report.check,
            reason=report.reason,
            problems=report.problems,
            complete=report.complete,
            executable=report.executable,
            link=report.link,
            before=report.before,
        )

    def allow(self, item: Item) -> None:
        """Record that the user has allowed ``item``. Raises OSError if that fails."""
        self._store(msgspec.structs.replace(item, state=ALLOWED))

    def _store(self, item: Item) -> None:
        _write(self.directory / f"{item.id}.json", json.dumps(msgspec.to_builtins(item)).encode())

    def _remove(self, number: int) -> None:
        for ending in ("data", "json"):
            (self.directory / f"{number}.{ending}").unlink(missing_ok=True)


def _write(path: Path, data: bytes) -> None:
    """Write a file that only the user can read, and that is not executable, atomically."""
    temporary = path.with_suffix(".new")
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    with os.fdopen(fd, "wb") as file:
        file.write(data)
    temporary.replace(path)
