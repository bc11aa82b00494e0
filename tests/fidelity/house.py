"""A keeper without a guest, a tmux server, and the files to work on: all that the local comparisons share."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path

from ccvm_tui.client import connection, spawn
from ccvm_tui.guest import SessionKind, TermSize
from ccvm_tui.protocol import LaunchSpec, SessionSpec
from tests.fidelity.attached import Attached, Plain, Returning
from tests.fidelity.shell import shell
from tests.fidelity.stage import Stage
from tests.fidelity.tmux import TERM, Tmux, environment

FILES = Path(__file__).parent / "project"
RENAMED = {"zshrc": ".zshrc", "edited": "code.py"}
"""Names that would have a meaning here, or be hidden."""


def unpack(target: Path) -> None:
    """The files that the programs work on."""
    shutil.copytree(FILES, target)
    for name, there in RENAMED.items():
        (target / name).rename(target / there)


class House:
    """Runs programs right in a terminal, and in sessions."""

    def __init__(self, home: Path) -> None:
        self.name = "house"
        self.project = home / "project"
        unpack(self.project)
        self.argv = shell(str(self.project), str(home))
        self.tmux = Tmux(home, environment(home))
        assert asyncio.run(spawn.launch(LaunchSpec(self.name, str(self.project), linger=True)))

    def close(self) -> None:
        self.tmux.close()

    def session(self, size: TermSize) -> str:
        """Start a shell in a session; returns what ``attach`` calls it."""

        async def start() -> str:
            async with await connection.connect(self.name) as keeper:
                spec = SessionSpec(SessionKind.COMMAND, self.argv, term=TERM, size=size)
                return (await keeper.start_session(spec)).id

        return f"{self.name}/{asyncio.run(start())}"

    @contextlib.contextmanager
    def stage(self, size: TermSize) -> Iterator[Stage]:
        """The program right in its terminal, attached to, and left and come back to; each at a shell's prompt."""
        reference = Plain(self.tmux.open(self.argv, size, self.project))
        others = {way.__name__: way(self.tmux, self.session(size), size, self.project) for way in (Attached, Returning)}
        stage = Stage(reference, others, size)
        stage.prompt()
        yield stage
        for way in (reference, *others.values()):
            way.pane.close()
