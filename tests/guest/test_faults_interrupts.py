"""Ctrl+C while a real guest boots: in every phase it ends the boot and leaves nothing behind."""

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
from ccvm_tui.image import Image
from tests.cli.ptys import Pty
from tests.guest.conftest import BOOT_WITHIN, COMMAND
from tests.waiting import eventually

pytestmark = pytest.mark.unmeasured

INTERRUPTED = 130


@pytest.fixture
def here(home: Path, image: Image, monkeypatch: pytest.MonkeyPatch) -> Path:  # noqa: ARG001 - it must exist
    monkeypatch.setenv("TERM", "xterm-256color")
    path = home / "project"
    path.mkdir()
    return path


@pytest.fixture
def terminal(here: Path) -> Iterator[Pty]:
    """A terminal on which ``run`` was started."""
    pty = Pty([*COMMAND, "run", "--shell", "--memory", "512", str(here)], 160, 24)
    yield pty
    pty.close()


def processes_of(home: Path, guest: str) -> list[str]:
    """Return the command lines of all processes that use this home or run this guest's machine."""
    found = []
    for process in psutil.process_iter():
        try:
            argv = process.cmdline()
            if process.pid != os.getpid() and (
                f"guest={guest}" in argv or process.environ().get("XDG_RUNTIME_DIR", "").startswith(str(home))
            ):
                found.append(" ".join(argv))
        except psutil.Error:
            continue
    return found


async def assert_nothing_left(terminal: Pty, home: Path, here: Path) -> None:
    assert terminal.ended() == INTERRUPTED
    assert terminal.attributes == terminal.before
    assert b"Traceback" not in terminal.shown
    guest = project.resolve(here).name
    await eventually(lambda: processes_of(home, guest) == [], within=1)  # the keeper exits after it has replied
    assert list(paths.runtime_dir().iterdir()) == []


@pytest.mark.parametrize("phase", ["starting", "machine", "kernel", "login"])
async def test_an_interrupt_leaves_nothing(terminal: Pty, home: Path, here: Path, phase: str) -> None:
    terminal.until(phase, BOOT_WITHIN)
    terminal.type("\x03")
    await assert_nothing_left(terminal, home, here)


async def test_an_interrupt_leaves_nothing_if_the_machine_hangs_as_the_session_starts(
    terminal: Pty, home: Path, here: Path
) -> None:
    machine = _booted(project.resolve(here).name)
    os.kill(machine, signal.SIGSTOP)
    terminal.until("session", BOOT_WITHIN)
    terminal.type("\x03")
    await assert_nothing_left(terminal, home, here)


def _booted(guest: str) -> int:
    """Wait until the guest is ready for its first session, and return the pid of QEMU."""
    deadline = time.monotonic() + BOOT_WITHIN
    while time.monotonic() < deadline:
        try:
            info = listing.ask_once(guest)
        except UserError:  # the keeper has not started yet
            continue
        if info["state"] == "running":
            return int(info["qemu_pid"])
    raise AssertionError("the guest does not boot")
