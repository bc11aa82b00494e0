"""Faults around a keeper: misbehaving clients, killed processes, concurrent starts."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import socket
import struct
import sys
from pathlib import Path

import msgspec
import psutil
import pytest

from ccvm_tui import claim, framing, protocol
from ccvm_tui.client import connection, listing, spawn
from ccvm_tui.errors import VersionMismatch
from ccvm_tui.guest import SessionKind, TermSize
from ccvm_tui.paths import GuestPaths
from ccvm_tui.protocol import LaunchSpec, SessionSpec
from tests.conftest import Launch
from tests.terminals import attached
from tests.waiting import eventually

SHELL = ("bash", "--norc", "--noprofile")


def _raw(name: str) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX)
    sock.settimeout(5)
    sock.connect(str(GuestPaths(name).keeper_socket))
    return sock


async def test_a_client_killed_in_the_middle_of_a_frame_affects_no_other_client(local: Launch) -> None:
    keeper = await local(*SHELL)
    async with attached(keeper.name) as terminal:
        broken = _raw(keeper.name)
        broken.sendall(framing.pack_json({"protocol": protocol.PROTOCOL, "op": "open"}))
        broken.sendall(struct.pack(">I", 1000) + b"half of it")
        broken.close()
        terminal.type("echo still$((1+1))here\r")
        await terminal.until("still2here")


@pytest.mark.parametrize(
    "data",
    [b"\xff" * 64, struct.pack(">I", 5) + b"{}{}{", struct.pack(">I", 2) + b"[]", b"GET / HTTP/1.1\r\n\r\n", b""],
)
async def test_invalid_data_ends_only_its_own_connection(local: Launch, data: bytes) -> None:
    keeper = await local(*SHELL)
    sock = _raw(keeper.name)
    sock.sendall(data)
    sock.shutdown(socket.SHUT_WR)
    await asyncio.to_thread(lambda: [None for _ in iter(lambda: sock.recv(4096), b"")])
    sock.close()
    assert (await keeper.info()).name == keeper.name


async def test_a_connection_cannot_begin_with_another_message(local: Launch) -> None:
    keeper = await local(*SHELL)
    sock = _raw(keeper.name)
    sock.sendall(framing.pack_json({"protocol": protocol.PROTOCOL, "op": "open"}) + protocol.pack(protocol.Ack()))
    await asyncio.to_thread(lambda: [None for _ in iter(lambda: sock.recv(4096), b"")])
    assert (await keeper.info()).name == keeper.name


async def test_a_guest_of_another_version_is_reported_and_can_be_stopped(
    local: Launch, monkeypatch: pytest.MonkeyPatch
) -> None:
    keeper = await local(*SHELL)
    monkeypatch.setattr(protocol, "PROTOCOL", protocol.PROTOCOL + 1)
    with pytest.raises(VersionMismatch, match=r"0\."):
        await connection.connect(keeper.name)
    assert listing.ask_once(keeper.name)["project"]
    await asyncio.to_thread(listing.stop_any, keeper.name)
    assert keeper.name not in listing.names()


async def test_a_killed_keeper_leaves_no_processes_and_no_directory(local: Launch) -> None:
    keeper = await local("sleep", "1000")
    info = await keeper.info()
    children = psutil.Process(info.keeper_pid).children(recursive=True)
    assert children
    os.kill(info.keeper_pid, signal.SIGKILL)
    await eventually(lambda: not claim.alive(GuestPaths(keeper.name).lock), within=5)
    assert listing.running() == []
    assert not GuestPaths(keeper.name).dir.exists()
    await eventually(lambda: not any(_runs(child) for child in children), within=5)


def _runs(process: psutil.Process) -> bool:
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


async def test_sessions_survive_a_killed_screen_process(local: Launch) -> None:
    keeper = await local(*SHELL)
    async with attached(keeper.name) as terminal:
        terminal.type("trap 'echo re''drawn' WINCH; echo be''fore\r")
        await terminal.until("before")
        screen = next(
            child
            for child in psutil.Process((await keeper.info()).keeper_pid).children()
            if "ccvm_tui.screen" in " ".join(child.cmdline())
        )
        screen.kill()
        terminal.type("\r")
        await terminal.until("redrawn")  # the session's size was changed and restored
        terminal.type("echo af''ter\r")
        await terminal.until("after")
    async with attached(keeper.name) as again:
        again.type("until [ \"$(stty size)\" = '24 80' ]; do sleep 0.05; done; echo re''stored\r")
        await again.until("restored")


async def test_concurrent_launches_start_one_keeper(home: Path) -> None:
    specs = [
        LaunchSpec(name="twin", project=str(home), session=SessionSpec(SessionKind.COMMAND, ("cat",))) for _ in range(4)
    ]
    won = await asyncio.gather(*(spawn.launch(spec) for spec in specs))
    assert sorted(won) == [False, False, False, True]
    assert listing.names() == ["twin"]


async def test_twenty_attachments_during_a_flood_of_output_leak_nothing(local: Launch) -> None:
    flood = "while :; do printf '\\e[3%dm%s ' $((RANDOM % 8)) $RANDOM; done"
    keeper = await local("bash", "-c", flood, scrollback=200)  # a small scrollback, which is soon full
    process = psutil.Process((await keeper.info()).keeper_pid)

    async def attach() -> None:
        async with attached(keeper.name, cols=80, rows=24) as terminal:
            await terminal.until(lambda: len(terminal.received) > 20_000)

    for _ in range(10):  # until buffers and caches have reached their final size
        await attach()
    descriptors, memory = process.num_fds(), process.memory_info().rss
    for _ in range(20):
        await attach()
    await eventually(lambda: process.num_fds() <= descriptors)
    assert process.memory_info().rss - memory < 16 << 20


async def test_a_removed_runtime_directory_is_recreated(local: Launch) -> None:
    """The system removes the directory when the user logs out."""
    keeper = await local(*SHELL)
    runtime = GuestPaths(keeper.name).runtime
    shutil.rmtree(runtime)
    await eventually(lambda: keeper.name in listing.names())
    async with attached(keeper.name) as terminal:
        terminal.type("echo found$((1+1))again\r")
        await terminal.until("found2again")


async def test_the_socket_is_private(local: Launch) -> None:
    keeper = await local(*SHELL)
    paths = GuestPaths(keeper.name)
    assert paths.keeper_socket.stat().st_mode & 0o777 == 0o600
    assert paths.dir.stat().st_mode & 0o077 == 0


async def test_the_environment_of_a_session_is_in_no_process_and_no_file(local: Launch, home: Path) -> None:
    """An API key reaches the program only: it is in no file, and in no arguments or environment of other processes."""
    secret = "sk-ant-" + "x1y2z3" * 5
    keeper = await local(*SHELL)
    spec = SessionSpec(SessionKind.COMMAND, ("sh", "-c", "echo ${#THE_KEY}; cat"), {"THE_KEY": secret})
    started = await keeper.start_session(spec)
    async with attached(keeper.name, started.id) as terminal:
        await terminal.until(str(len(secret)))
        root = psutil.Process((await keeper.info()).keeper_pid)
        screens = [child for child in root.children() if "ccvm_tui.screen" in " ".join(child.cmdline())]
        for process in [root, *screens]:
            assert secret not in " ".join(process.cmdline())
            assert secret not in " ".join(process.environ().values())
    for file in home.rglob("*"):
        if file.is_file():
            assert secret.encode() not in file.read_bytes()


@pytest.mark.usefixtures("home")
async def test_a_full_disk_stops_only_the_logs() -> None:
    """The runtime directory is a full tmpfs of a few pages in its own mount namespace."""
    script = f"""
import asyncio, json, os, subprocess, sys
sys.path.insert(0, {str(Path.cwd())!r})
subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k,mode=700", "none", os.environ["XDG_RUNTIME_DIR"]], check=True)
from ccvm_tui.client import connection, spawn
from ccvm_tui.guest import SessionKind, TermSize
from ccvm_tui.protocol import LaunchSpec, SessionSpec
from tests.terminals import attached
async def main():
    assert await spawn.launch(LaunchSpec(name="full", project="/", session=SessionSpec(SessionKind.COMMAND, ("sh",))))
    try:
        with open(os.environ["XDG_RUNTIME_DIR"] + "/filler", "wb", buffering=0) as file:
            while True:
                file.write(b"x" * 4096)
    except OSError:
        pass
    async with attached("full") as terminal:
        terminal.type("printf '\\\\033]9;note\\\\007'; echo full$((1+1))works\\r")
        await terminal.until("full2works")
    keeper = await connection.connect("full")
    await keeper.stop()
asyncio.run(main())
print(json.dumps("fine"))
"""
    process = await asyncio.create_subprocess_exec(
        "unshare", "--user", "--map-current-user", "--mount", "--keep-caps", sys.executable, "-c", script,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    output, _ = await process.communicate()
    assert json.loads(output.splitlines()[-1]) == "fine", output.decode()


async def test_a_terminal_of_size_zero_is_rejected(local: Launch) -> None:
    keeper = await local(*SHELL)
    sock = _raw(keeper.name)
    sock.sendall(framing.pack_json({"protocol": protocol.PROTOCOL, "op": "open"}))
    body = msgspec.msgpack.encode({"type": "Attach", "session": "s1", "size": {"cols": 0, "rows": 0}})
    sock.sendall(struct.pack(">I", len(body)) + body)
    await asyncio.to_thread(lambda: [None for _ in iter(lambda: sock.recv(4096), b"")])
    assert (await keeper.info()).sessions[0].size == TermSize()
