"""Requests of every kind that are too long or malformed: each fails alone, and sessions survive."""

from __future__ import annotations

import asyncio
import os
import struct
from collections.abc import AsyncIterator, Callable
from typing import Any

import msgspec
import pytest

from ccvm_tui import framing, protocol
from ccvm_tui.client import connection
from ccvm_tui.errors import CcvmError, KeeperLost, TooLong, UserError
from ccvm_tui.guest import SessionKind, TermSize
from ccvm_tui.image.guest.agent import wire
from ccvm_tui.paths import GuestPaths
from ccvm_tui.protocol import Data, Exec, SessionSpec, Signal
from tests.guest.conftest import RealGuest
from tests.programs import ran, running
from tests.terminals import attached

pytestmark = pytest.mark.unmeasured

HUGE = 60 << 20
"""Slightly less than the maximum length of a frame."""

Check = Callable[[], Any]


@pytest.fixture
async def living(guest: RealGuest) -> AsyncIterator[Check]:
    """A check that two sessions and a program are still running on their original connection."""
    answering = "while read x; do echo got $x; done"
    async with (
        running(guest.name, "sh", "-c", answering) as program,
        attached(guest.name, guest.open()) as terminal,
        attached(guest.name, "s1") as first,
    ):
        await terminal.until("❯")
        count = 0

        async def check() -> None:
            nonlocal count
            count += 1
            program.type(b"%d\n" % count)
            await program.until(b"got %d\n" % count)
            for attached_terminal in (terminal, first):
                attached_terminal.type(f"echo still{count}$((1+1))here\r")
                await attached_terminal.until(f"still{count}2here", within=60)
            assert guest.info["state"] == "running"

        yield check
        terminal.type("exit\r")


async def raw(guest: RealGuest, data: bytes) -> bytes:
    """Send bytes to the keeper's socket, and read until the keeper closes the connection."""
    reader, writer = await asyncio.open_unix_connection(str(GuestPaths(guest.name).keeper_socket))
    try:
        writer.write(data)
        async with asyncio.timeout(60):
            return await reader.read()
    except ConnectionError:
        return b""
    finally:
        writer.close()


async def incomplete(guest: RealGuest, data: bytes) -> None:
    """Send bytes to the keeper's socket, which waits for more, and close the connection."""
    _, writer = await asyncio.open_unix_connection(str(GuestPaths(guest.name).keeper_socket))
    writer.write(data)
    await writer.drain()
    writer.close()
    await writer.wait_closed()


def frame(message: object) -> bytes:
    body = msgspec.msgpack.encode(message)
    return struct.pack(">I", len(body)) + body


OPEN = framing.pack_json({"protocol": protocol.PROTOCOL, "op": "open"})
EXEC = protocol.pack(Exec(("sleep", "1000")))
VIEW = {"type": "View", "session": "s1", "size": {"cols": 80, "rows": 24}}

INCOMPLETE = [b"", OPEN + struct.pack(">I", 100) + b"half"]
MALFORMED = [
    b"\xff" * 100,
    b"GET / HTTP/1.1\r\n\r\n",
    struct.pack(">I", 60_000) + b"[" * 60_000,
    struct.pack(">I", 1 << 31),
    OPEN + struct.pack(">I", (64 << 20) + 1),
    OPEN + struct.pack(">I", 4) + b"\xc1\xc1\xc1\xc1",
    OPEN + struct.pack(">I", 5000) + b"\x91" * 5000,
    OPEN + frame({"type": "Exec"}),
    OPEN + frame({"type": "Exec", "argv": [None]}),
    OPEN + frame({"type": "Exec", "argv": ["true"], "env": {"a": 1}}),
    OPEN + frame({"type": "Exec", "argv": [msgspec.msgpack.Ext(9, b"x")]}),
    OPEN + frame({**VIEW, "size": {"cols": 0, "rows": 1}}),
    OPEN + frame({**VIEW, "size": {"cols": 1 << 40, "rows": 1}}),
    OPEN + frame({"type": "Ask", "id": 1, "request": {"type": "GetInfo"}}),
    OPEN + EXEC + frame({"type": "Ack"}),
    OPEN + EXEC + protocol.pack(Data(0, b"x" * (protocol.INPUT_WINDOW + 1))),
    OPEN + EXEC + protocol.pack(Data(0, b"x" * HUGE)),
    OPEN + frame(VIEW) + protocol.pack(Signal(15)),
]


@pytest.mark.attack
async def test_malformed_data_on_the_keepers_socket_is_refused(guest: RealGuest, living: Check) -> None:
    for data in INCOMPLETE:
        await incomplete(guest, data)
    for data in MALFORMED:
        await raw(guest, data)
    await living()


@pytest.mark.attack
async def test_programs_that_cannot_be_started_fail_alone(guest: RealGuest, living: Check) -> None:
    refused: list[tuple[type[CcvmError], tuple[str, ...], dict[str, str]]] = [
        (TooLong, ("true", "w" * HUGE), {}),
        (TooLong, ("true",), {"A": "w" * (9 << 20)}),
        (UserError, (), {}),
        (UserError, ("a\0b",), {}),
        (UserError, ("true",), {"A=B": ""}),
        (UserError, ("true",), {"": "x"}),
        (UserError, ("true",), {"A": "\0"}),
    ]
    for kind, argv, env in refused:
        with pytest.raises(kind):
            await ran(guest.name, *argv, env=env)
    for argv in (("w" * 200_000,), ("true", *["w" * 120_000] * 20), ("true", *["x"] * 600_000)):
        assert (await ran(guest.name, *argv))[0] == 126
    for number in (0, -1, 1 << 20, 65):
        async with running(guest.name, "sh", "-c", "echo ready; exec sleep 1000") as program:
            await program.lines(1)
            program.signal(number)
            with pytest.raises(KeeperLost):
                await program.ended()
    await living()


@pytest.mark.attack
async def test_sessions_and_requests_that_exceed_limits_fail_alone(guest: RealGuest, living: Check) -> None:
    command = SessionSpec(SessionKind.COMMAND, ("true",), detached=True)
    specs = [
        SessionSpec(SessionKind.COMMAND, ("w" * (9 << 20),), detached=True),
        SessionSpec(SessionKind.COMMAND, ("a\0b",), detached=True),
        msgspec.structs.replace(command, name="n" * (1 << 20)),
    ]
    requests: list[protocol.Request] = [
        protocol.FindText("s1", "x" * HUGE),
        protocol.Seen("s" * HUGE),
        protocol.EndSession(os.fsdecode(b"caf\xe9")),
    ]
    async with await connection.connect(guest.name) as keeper:
        for spec in specs:
            with pytest.raises(UserError):
                await keeper.start_session(spec)
        for request in requests:
            with pytest.raises(UserError):
                await keeper.ask(request, protocol.Done)
        assert (await keeper.find_text("s1", os.fsdecode(b"caf\xe9"))).total == 0
        for first, count in ((0, 1 << 40), (-(1 << 40), 1 << 40), (1 << 62, 1)):
            await keeper.rows("s1", first, count)
            await keeper.text("s1", first, first + count)
        long = SessionSpec(SessionKind.COMMAND, ("sh", "-c", "exit 3", *["w" * 100_000] * 15), detached=True)
        started = await keeper.start_session(long)
        assert sum(map(len, started.argv)) < 5000
        # a terminal name or entry that is too long for the guest is ignored
        await keeper.start_session(msgspec.structs.replace(command, term="x" * (9 << 20), terminfo=b"x"))
        await keeper.start_session(msgspec.structs.replace(command, term="xterm-own", terminfo=b"x" * (9 << 20)))
        not_reading = await keeper.start_session(SessionSpec(SessionKind.COMMAND, ("sleep", "1000"), detached=True))
        async with attached(guest.name, not_reading.id) as terminal:
            terminal.stream.send(protocol.Input(b"x" * HUGE))
            terminal.resize(TermSize.MAX, TermSize.MAX)
            await living()
            await keeper.end_session(not_reading.id, force=True)
            assert (await terminal.ended()).status == 137
    await living()


@pytest.mark.attack
async def test_malformed_requests_inside_the_guest_are_refused(guest: RealGuest, living: Check) -> None:
    start = wire.frame(wire.START, wire.Start(b"x", b"exec", [b"cat"], [], None).pack())
    pieces = [
        b"",
        b"\xff" * 100,
        wire.frame(wire.INPUT, b"x"),
        wire.frame(wire.START, b""),
        wire.frame(wire.START, b"../../etc\0exec\0\0001\0true"),
        wire.frame(wire.START, b"s1\0exec\0\0000"),
        wire.frame(wire.START, b"s1\0nonsense\0\0001\0true"),
        start + wire.frame(b"?", b"x"),
        start + wire.frame(wire.SIGNAL, b"x"),
        start + wire.frame(wire.SIZE, b"x"),
        start + wire.frame(wire.INPUT, b"x" * wire.PIECE) * 10,
        wire.START + (wire.START_MAX + 1).to_bytes(4, "big"),
        wire.START + wire.START_MAX.to_bytes(4, "big") + b"x" * 1000,
    ]
    script = (
        "import socket, sys\n"
        "for piece in eval(sys.stdin.read()):\n"
        "    with socket.socket(socket.AF_UNIX) as s:\n"
        f"        s.connect({wire.SOCKET!r})\n"
        "        s.sendall(piece)\n"
        "        s.shutdown(socket.SHUT_WR)\n"
        "        while s.recv(4096): pass\n"
    )
    done = guest.run("python3", "-c", script, data=repr(pieces).encode())
    assert done.returncode == 0, done.stderr
    guest.sh(
        "printf 'waiting s1 caf\\351\\n\\377\\377\\nwaiting\\n' >/run/ccvm/notify; head -c 70000 /dev/zero >/run/ccvm/notify"
    )
    await living()
