"""A guest's programs through ``ccvm-tui attach`` look as they do through plain ssh.

One shell per way serves all scripts: a connection takes seconds on an emulated processor. A script that fails
leaves its shells anywhere, so the next one gets new ones.
"""

from __future__ import annotations

import asyncio
import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from ccvm_tui.client import connection
from ccvm_tui.guest import SessionKind, TermSize
from ccvm_tui.protocol import SessionSpec
from tests.fidelity import scripts
from tests.fidelity.attached import Attached, Plain, Returning
from tests.fidelity.local_setup import unpack
from tests.fidelity.plain_ssh import PlainSsh
from tests.fidelity.shell import shell
from tests.fidelity.stage import Stage
from tests.fidelity.tmux import TERM, Tmux, environment
from tests.guest.conftest import RealGuest

SIZE = TermSize(90, 26)


class GuestHouse:
    """The terminals on one guest."""

    def __init__(self, guest: RealGuest, directory: Path) -> None:
        self.name = guest.name
        self.directory = directory
        self.project = guest.project / "project"
        unpack(self.project)
        self.argv = shell(str(self.project), "/home/dev")
        self.ssh = PlainSsh.to(guest, directory)
        self.tmux = Tmux(directory, environment(directory))
        self._stage: Stage | None = None

    async def _sessions(self, count: int) -> list[str]:
        spec = SessionSpec(SessionKind.COMMAND, self.argv, term=TERM, size=SIZE)
        async with await connection.connect(self.name) as keeper:
            return [f"{self.name}/{(await keeper.start_session(spec)).id}" for _ in range(count)]

    def _open(self) -> Stage:
        reference = Plain(self.tmux.open(self.ssh.command(*self.argv), SIZE, self.directory))
        ways = (Attached, Returning)
        targets = asyncio.run(self._sessions(len(ways)))
        others = {
            way.__name__: way(self.tmux, target, SIZE, self.directory)
            for way, target in zip(ways, targets, strict=True)
        }
        stage = Stage(reference, others, SIZE, within=60, quiet=0.4)
        stage.prompt()
        return stage

    @contextlib.contextmanager
    def stage(self) -> Iterator[Stage]:
        """All terminals, at a shell's prompt."""
        stage, self._stage = self._stage or self._open(), None
        yield stage
        self._stage = stage

    def close(self) -> None:
        if self._stage is not None:
            self._stage.type("exit\r")
        self.tmux.close()
        shutil.rmtree(self.project)


@pytest.fixture(scope="module")
def houses() -> Iterator[list[GuestHouse]]:
    """The one house, once the guest is there."""
    built: list[GuestHouse] = []
    yield built
    for house in built:
        house.close()


@pytest.mark.parametrize("script", scripts.IN_A_GUEST, ids=lambda script: script.__name__)
def test_as_through_plain_ssh(
    script: scripts.Script, guest: RealGuest, houses: list[GuestHouse], tmp_path: Path
) -> None:
    if not houses:
        houses.append(GuestHouse(guest, tmp_path))
    with houses[0].stage() as stage:
        stage.type("clear\r")
        stage.prompt()
        script(stage)
