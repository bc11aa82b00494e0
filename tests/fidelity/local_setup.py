"""The setup of the local comparisons: a keeper without a guest, a tmux server, and a project directory."""

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
"""Files that are renamed on unpacking, because their final names are hidden or would be treated as source code."""


def unpack(target: Path) -> None:
    """Copy the files that the programs use."""
    shutil.copytree(FILES, target)
    for name, final in RENAMED.items():
        (target / name).rename(target / final)


class LocalSetup:
    """A keeper and a tmux server, in which programs run in sessions and directly in a terminal."""

    def __init__(self, home: Path) -> None:
        self.name = "local"
        self.project = home / "project"
        unpack(self.project)
        self.argv = shell(str(self.project), str(home))
        self.tmux = Tmux(home, environment(home))
        assert asyncio.run(spawn.launch(LaunchSpec(self.name, str(self.project), linger=True)))

    def close(self) -> None:
        self.tmux.close()

    def session(self, size: TermSize) -> str:
        """Start a shell in a session. Returns the session's name for ``attach``."""

        async def start() -> str:
            async with await connection.connect(self.name) as keeper:
                spec = SessionSpec(SessionKind.COMMAND, self.argv, term=TERM, size=size)
                return (await keeper.start_session(spec)).id

        return f"{self.name}/{asyncio.run(start())}"

    @contextlib.contextmanager
    def stage(self, size: TermSize) -> Iterator[Stage]:
        """Open a plain, an attached and a returning terminal, each with a shell at its prompt."""
        reference = Plain(self.tmux.open(self.argv, size, self.project))
        others = {
            kind.__name__: kind(self.tmux, self.session(size), size, self.project) for kind in (Attached, Returning)
        }
        stage = Stage(reference, others, size)
        stage.prompt()
        yield stage
        for terminal in (reference, *others.values()):
            terminal.pane.close()
