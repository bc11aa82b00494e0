"""Killed processes of a real guest: its keeper, QEMU, file server, screen process, a client, and its kernel."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import struct
from pathlib import Path

import psutil
import pytest

from ccvm_tui import framing, protocol
from ccvm_tui.client.ends import End, end_of
from ccvm_tui.guest import TermSize
from ccvm_tui.paths import GuestPaths
from ccvm_tui.protocol import Attach
from tests.cli.ptys import Pty
from tests.guest.conftest import COMMAND, RealGuest, ccvm_tui
from tests.terminals import Terminal, attached
from tests.waiting import eventually

pytestmark = pytest.mark.unmeasured

LOST = 6
"""The exit status of a client whose guest or keeper died."""


def runs(process: psutil.Process) -> bool:
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def nothing_left(guest: RealGuest, directory: Path) -> bool:
    """Return whether neither ``ls`` nor the runtime directory contains the guest. Its absence from ``ls`` is asserted."""
    listed = ccvm_tui("ls")
    assert listed.returncode == 0
    assert guest.name not in listed.stdout.decode()
    return not directory.exists()


def recorded_end(guest: RealGuest) -> End:
    record = end_of(guest.name)
    assert record is not None
    assert record.project == str(guest.project)
    return record


async def test_the_guest_ends_with_a_killed_keeper(spare: RealGuest) -> None:
    keeper, directory = spare.keeper, spare.directory
    children = keeper.children(recursive=True)
    assert spare.qemu in children
    terminal = Pty([*COMMAND, "attach", f"{spare.name}/{spare.open()}"], 80, 24)
    terminal.until("❯")
    keeper.kill()
    await eventually(lambda: not any(runs(process) for process in children), within=2)
    assert nothing_left(spare, directory)
    assert terminal.ended() == LOST
    assert b"went away" in terminal.shown
    assert terminal.attributes == terminal.before
    terminal.close()


async def test_a_killed_file_server_ends_the_guest_and_loses_no_written_data(spare: RealGuest) -> None:
    directory = spare.directory
    spare.sh("echo written > written")
    spare.file_server.kill()
    await eventually(lambda: not directory.exists())
    assert nothing_left(spare, directory)
    record = recorded_end(spare)
    assert record.failed
    assert "the file server exited" in record.reason
    assert (spare.project / "written").read_text() == "written\n"


async def test_a_guest_follows_its_project_when_it_is_moved(spare: RealGuest) -> None:
    spare.sh("echo before > moved-along")
    elsewhere = spare.project.with_name("elsewhere")
    spare.project.rename(elsewhere)
    try:
        assert spare.sh("cat moved-along; echo after > moved-along") == "before\n"
        assert (elsewhere / "moved-along").read_text() == "after\n"
    finally:
        elsewhere.rename(spare.project)


async def test_clients_of_a_killed_qemu_report_the_reason(spare: RealGuest) -> None:
    directory = spare.directory
    spare.sh("echo last line of the console | sudo tee /dev/console")
    terminal = Pty([*COMMAND, "attach", f"{spare.name}/{spare.open()}"], 80, 24)
    terminal.until("❯")
    spare.qemu.kill()
    assert terminal.ended() == LOST
    shown = terminal.shown.decode()
    assert "QEMU was killed by signal 9" in shown
    assert "last line of the console" in shown
    assert terminal.attributes == terminal.before
    terminal.close()
    await eventually(lambda: not directory.exists())
    assert nothing_left(spare, directory)
    record = recorded_end(spare)
    assert record.failed
    assert "killed by signal 9" in record.reason
    assert "last line of the console" in record.console_tail


async def test_a_kernel_panic_is_reported(spare: RealGuest) -> None:
    directory = spare.directory
    async with attached(spare.name, spare.open()) as terminal:
        await terminal.until("❯")
        terminal.type("echo c | sudo tee /proc/sysrq-trigger\r")
        exited = await terminal.ended()
    assert exited.reason == "the guest's kernel panicked"
    assert "Kernel panic - not syncing" in exited.console_tail
    await eventually(lambda: not directory.exists())
    assert nothing_left(spare, directory)
    record = recorded_end(spare)
    assert record.failed
    assert record.reason == "the guest's kernel panicked"
    assert "sysrq triggered crash" in record.console_tail


async def vim_shows(terminal: Terminal, text: str) -> None:
    """Wait for ``text`` while pressing Esc. After changes of size, vim sometimes handles input only at the next key."""
    for _ in range(50):
        with contextlib.suppress(AssertionError):
            await terminal.until(text, within=0.3)
            return
        terminal.type("\x1b")
    await terminal.until(text)


async def test_sessions_survive_a_killed_screen_process(spare: RealGuest) -> None:
    async with attached(spare.name, spare.open()) as terminal:
        await terminal.until("❯")
        terminal.type("vim -u NONE -N\r")
        await terminal.until("VIM - Vi IMproved")
        terminal.type("iwritten before\x1b")
        await terminal.until("written before")
        screen = spare.screen
        screen.kill()
        await eventually(lambda: not runs(screen))
        terminal.type("owritten after\x1b")
        await vim_shows(terminal, "written after")
    events = ccvm_tui("logs", spare.name, "--events").stdout.decode()
    assert "the screen process died and was restarted" in events


async def test_the_screen_is_restored_after_its_process_was_killed(spare: RealGuest) -> None:
    session = spare.open()
    async with attached(spare.name, session) as terminal:
        await terminal.until("❯")
        terminal.type("seq 500; vim -u NONE -N\r")
        await terminal.until("VIM - Vi IMproved")
        terminal.type(
            "iwritten before\x1b:sleep 2 | echo 'sa' .. 'ved'\r"
        )  # the screen is saved while there is no output
        await terminal.until("saved")
    spare.screen.kill()
    async with attached(spare.name, session) as again:
        await again.until("written before")
        again.type(":q!\r")
        await vim_shows(again, "500")
        assert b"\n123\r" in bytes(again.received)


async def test_a_client_killed_in_the_middle_of_a_frame_does_not_affect_others(spare: RealGuest) -> None:
    session = spare.open()
    async with attached(spare.name, session) as terminal:
        await terminal.until("❯")
        clients = [_half_a_frame(spare.name, session) for _ in range(3)]
        await eventually(lambda: spare.info["sessions"][-1]["clients"] == 1 + len(clients))
        for pid in clients:
            os.kill(pid, signal.SIGKILL)
            await asyncio.to_thread(os.waitpid, pid, 0)
        await eventually(lambda: spare.info["sessions"][-1]["clients"] == 1)
        terminal.type("echo still$((1+1))here\r")
        await terminal.until("still2here")


def _half_a_frame(guest: str, session: str) -> int:
    """Start a process that attaches and sends an incomplete message, and return its pid."""
    if pid := os.fork():
        return pid
    try:
        sock = socket.socket(socket.AF_UNIX)
        sock.connect(str(GuestPaths(guest).keeper_socket))
        sock.sendall(framing.pack_json({"protocol": protocol.PROTOCOL, "op": "open"}))
        sock.sendall(protocol.pack(Attach(session, TermSize())))
        sock.sendall(struct.pack(">I", 1000) + b"half of it")
        signal.pause()
    finally:
        os._exit(1)
