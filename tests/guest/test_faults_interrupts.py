"""Ctrl+C while a real guest boots: at every phase it ends what was begun, and nothing stays behind."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from ccvm_tui import paths, project
from ccvm_tui.client import listing
from ccvm_tui.errors import UserError
from tests.cli.ptys import Pty
from tests.guest.conftest import BOOT_WITHIN, COMMAND, ccvm_tui, start
from tests.terminals import eventually

INTERRUPTED = 130


@pytest.fixture
def here(home: Path, image: object, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TERM", "xterm-256color")
    path = home / "project"
    path.mkdir()
    return path


@pytest.fixture
def terminal(here: Path) -> Iterator[Pty]:
    """``run`` on a terminal of its own, as a user starts it."""
    pty = Pty([*COMMAND, "run", "--shell", "--memory", "512", str(here)], 160, 24)
    yield pty
    pty.close()


def processes_of(home: Path, guest: str) -> list[str]:
    """Command lines of all processes that live in this home, or that are this guest's machine."""
    found = []
    for process in psutil.process_iter():
        try:
            words = process.cmdline()
            if process.pid != os.getpid() and (
                f"guest={guest}" in words or process.environ().get("XDG_RUNTIME_DIR", "").startswith(str(home))
            ):
                found.append(" ".join(words))
        except psutil.Error:
            continue
    return found


async def gone_without_trace(terminal: Pty, home: Path, here: Path) -> None:
    assert terminal.ended() == INTERRUPTED
    assert terminal.attributes == terminal.before
    assert b"Traceback" not in terminal.shown
    guest = project.resolve(here).name
    await eventually(lambda: processes_of(home, guest) == [], within=1)  # the keeper's last moment is after its word
    assert list(paths.runtime_dir().iterdir()) == []


@pytest.mark.parametrize("phase", ["starting", "accelerator", "machine", "kernel", "configure", "login"])
async def test_an_interrupt_leaves_nothing(terminal: Pty, home: Path, here: Path, phase: str) -> None:
    terminal.until(phase, BOOT_WITHIN)
    terminal.type("\x03")
    await gone_without_trace(terminal, home, here)


async def test_an_interrupt_while_the_session_starts_in_a_machine_that_hangs(
    terminal: Pty, home: Path, here: Path
) -> None:
    machine = _booted(project.resolve(here).name)
    os.kill(machine, signal.SIGSTOP)
    terminal.until("session", BOOT_WITHIN)
    terminal.type("\x03")
    await gone_without_trace(terminal, home, here)
    guest = start(here)  # and the next one is none the worse
    assert guest.sh("echo well") == "well\n"
    assert ccvm_tui("stop", "--yes", guest.name).returncode == 0


def _booted(guest: str) -> int:
    """The pid of QEMU, at the very moment when the guest is ready for its first session."""
    deadline = time.monotonic() + BOOT_WITHIN
    while time.monotonic() < deadline:
        try:
            info = listing.ask_once(guest)
        except UserError:  # not begun yet
            continue
        if info["state"] == "running":
            return int(info["qemu_pid"])
    raise AssertionError("the guest does not boot")
