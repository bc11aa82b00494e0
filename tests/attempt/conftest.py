"""Attempts whose guests are this machine: the clone is a directory of the keeper."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from ccvm_tui import project
from ccvm_tui.attempt.plan import plan
from ccvm_tui.attempt.spec import AttemptSpec
from ccvm_tui.client import connection, listing, spawn
from ccvm_tui.errors import CcvmError
from ccvm_tui.guest import AttemptInfo, SessionKind
from ccvm_tui.paths import GuestPaths
from ccvm_tui.protocol import LaunchSpec, SessionSpec
from tests.attempt.projects import repository
from tests.conftest import wait_for_start


@dataclass(frozen=True)
class Attempt:
    """A running attempt: the name of its guest, and the directory of its clone."""

    name: str
    clone: Path

    def info(self) -> AttemptInfo:
        """Return the state that its keeper knows."""

        async def ask() -> AttemptInfo:
            async with await connection.connect(self.name) as keeper:
                info = await keeper.info()
                assert info.attempt is not None
                return info.attempt

        return asyncio.run(ask())


Start = Callable[..., Attempt]


@pytest.fixture
def here(home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project's repository with one commit, which is also the current directory."""
    path = repository(home / "project")
    monkeypatch.chdir(path)
    return path


@pytest.fixture
def attempt(here: Path) -> Iterator[Start]:
    """``attempt("fix")`` starts an attempt in the current project."""
    started: list[str] = []

    def start(name: str, *, with_changes: bool = False, patterns: tuple[str, ...] = (), linger: bool = True) -> Attempt:
        place = project.resolve(here)
        planned = plan(str(here), AttemptSpec(name, with_changes=with_changes), patterns)
        session = SessionSpec(SessionKind.COMMAND, ("cat",), detached=True)
        guest = project.attempt_guest(place, name)
        spec = LaunchSpec(
            guest, str(here), read_only=True, session=session, linger=linger, attempt=planned.attempt,
            warnings=planned.notes,
        )  # fmt: skip
        assert asyncio.run(spawn.launch(spec))
        started.append(guest)
        wait_for_start(guest)
        return Attempt(guest, GuestPaths(guest).local_clone)

    yield start
    for guest in started:
        with contextlib.suppress(CcvmError):
            listing.stop_any(guest, force=True)
