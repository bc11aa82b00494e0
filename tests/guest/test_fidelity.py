"""A guest's programs look the same through ``ccvm-tui attach`` as through plain ssh.

All scripts share one shell per kind of connection, since a connection takes seconds on an emulated processor. After a
script has failed, its shells are in an unknown state, so the next script gets new shells.
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

pytestmark = pytest.mark.unmeasured

SIZE = TermSize(90, 26)


class GuestTerminals:
    """The terminals of one guest."""

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
        """Yield all terminals, each at a shell's prompt."""
        stage, self._stage = self._stage or self._open(), None
        yield stage
        self._stage = stage

    def close(self) -> None:
        if self._stage is not None:
            self._stage.type("exit\r")
        self.tmux.close()
        shutil.rmtree(self.project)


@pytest.fixture(scope="module")
def opened() -> Iterator[list[GuestTerminals]]:
    """The terminals of the guest. The list is empty before the first test."""
    terminals: list[GuestTerminals] = []
    yield terminals
    for guest_terminals in terminals:
        guest_terminals.close()


@pytest.mark.parametrize("script", scripts.IN_A_GUEST, ids=lambda script: script.__name__)
def test_programs_look_the_same_as_through_plain_ssh(
    script: scripts.Script, guest: RealGuest, opened: list[GuestTerminals], tmp_path: Path
) -> None:
    if not opened:
        opened.append(GuestTerminals(guest, tmp_path))
    with opened[0].stage() as stage:
        stage.type("clear\r")
        stage.prompt()
        script(stage)
