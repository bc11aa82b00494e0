"""Fixtures that run the command line in a process, with pipes or on a real terminal."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ccvm_tui import project
from ccvm_tui.client import spawn
from ccvm_tui.guest import SessionKind
from ccvm_tui.protocol import LaunchSpec, SessionSpec
from tests.cli.ptys import Pty
from tests.conftest import wait_for_start

COMMAND = (sys.executable, "-P", "-m", "ccvm_tui")

Start = Callable[..., str]
Run = Callable[..., subprocess.CompletedProcess[bytes]]
Open = Callable[..., Pty]


@pytest.fixture
def here(home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project's directory, which is also the current directory."""
    path = home / "project"
    path.mkdir()
    monkeypatch.chdir(path)
    monkeypatch.setenv("TERM", "xterm-256color")
    return path


@pytest.fixture
def start(here: Path) -> Start:
    """``start("cat", "-v")`` starts the project's guest with that program as session s1, and returns the guest's name.

    The guest runs then, or has ended with its program.
    """

    def run(*argv: str, linger: bool = False) -> str:
        place = project.resolve(here)
        session = SessionSpec(SessionKind.COMMAND, argv, {"PS1": "$ "}, detached=True)
        spec = LaunchSpec(place.name, str(place.path), session=session, linger=linger)
        assert asyncio.run(spawn.launch(spec))
        wait_for_start(place.name)
        return place.name

    return run


@pytest.fixture
def ccvm_tui(here: Path) -> Run:  # noqa: ARG001 - the working directory
    """``ccvm_tui("ls", "--json")`` runs a command with pipes until it ends."""

    def run(*argv: str, stdin: bytes = b"", within: float = 30) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run([*COMMAND, *argv], input=stdin, capture_output=True, timeout=within, check=False)

    return run


@pytest.fixture
def on_terminal(here: Path) -> Iterator[Open]:  # noqa: ARG001 - the working directory
    """``on_terminal("attach")`` runs a command on a new terminal, to which the test can type and which it can read."""
    opened: list[Pty] = []

    def run(*argv: str, cols: int = 80, rows: int = 24, width: int = 0, height: int = 0) -> Pty:
        terminal = Pty([*COMMAND, *argv], cols, rows, width, height)
        opened.append(terminal)
        return terminal

    yield run
    for terminal in opened:
        terminal.close()
