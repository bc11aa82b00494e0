"""Forwarded ports, with servers of this machine in place of a guest's."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from ccvm_tui.errors import UserError
from ccvm_tui.guest import Forward
from ccvm_tui.keeper.forwards import FORWARDS_MAX, Connection, Forwards, valid_ports
from tests.waiting import eventually


@asynccontextmanager
async def server(handle: object) -> AsyncIterator[int]:
    """Run a server on this machine and yield its port."""
    listening = await asyncio.start_server(handle, "127.0.0.1", 0)  # type: ignore[arg-type]
    try:
        yield listening.sockets[0].getsockname()[1]
    finally:
        listening.close()


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(1 << 16):
        writer.write(data)
        await writer.drain()
    writer.close()


async def connect(port: int) -> Connection:
    return await asyncio.open_connection("127.0.0.1", port)


@pytest.fixture
async def forwards() -> AsyncIterator[Forwards]:
    made = Forwards(connect, lambda: None)
    yield made
    await made.close()


async def test_data_and_its_end_pass_in_both_directions(forwards: Forwards) -> None:
    async with server(echo) as port:
        forward = await forwards.add(port, 0)
        assert forward.host != port  # it is in use by the server itself
        assert forwards.all() == (forward,)
        reader, writer = await asyncio.open_connection("127.0.0.1", forward.host)
        sent = os.urandom(3 << 20)

        async def send() -> None:
            writer.write(sent)
            await writer.drain()
            writer.write_eof()

        sending = asyncio.create_task(send())
        assert await reader.read(-1) == sent
        await sending
        writer.close()


async def test_a_removed_port_accepts_no_more_connections(forwards: Forwards) -> None:
    async with server(echo) as port:
        forward = await forwards.add(port)
        assert await forwards.add(port) == forward
        assert forwards.remove(forward.host) == forward
        with pytest.raises(ConnectionRefusedError):
            await connect(forward.host)
        with pytest.raises(UserError, match="not forwarded"):
            forwards.remove(forward.host)


async def test_the_end_of_the_guest_closes_all_connections(forwards: Forwards) -> None:
    async with server(echo) as port:
        forward = await forwards.add(port)
        reader, writer = await asyncio.open_connection("127.0.0.1", forward.host)
        writer.write(b"x")
        assert await reader.read(1) == b"x"
        await forwards.close()
        assert await reader.read(1) == b""
        assert forwards.all() == ()
        writer.close()


async def test_a_connection_that_the_guest_refuses_is_closed(forwards: Forwards) -> None:
    forward = await forwards.add(9)  # nothing listens on it
    for _ in range(3):
        reader, writer = await asyncio.open_connection("127.0.0.1", forward.host)
        assert await reader.read() == b""
        writer.close()


async def test_a_client_that_does_not_read_stops_the_sender(forwards: Forwards) -> None:
    sent = 0

    async def flood(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        while not writer.is_closing():
            writer.write(bytes(1 << 16))
            await writer.drain()
            sent += 1 << 16

    async with server(flood) as port:
        forward = await forwards.add(port)
        _, writer = await asyncio.open_connection("127.0.0.1", forward.host)
        before = -1

        def stopped() -> bool:
            nonlocal before
            last, before = before, sent
            return sent == last > 0

        await eventually(stopped)
        assert sent < 64 << 20
        writer.transport.abort()


async def test_ports_are_checked_and_limited(forwards: Forwards) -> None:
    for guest, host in ((0, 0), (65536, 0), (80, 65536), (-1, 0)):
        with pytest.raises(UserError, match="not a port"):
            await forwards.add(guest, host)
    for guest in range(1, FORWARDS_MAX + 1):
        await forwards.add(guest)
    with pytest.raises(UserError, match="already"):
        await forwards.add(FORWARDS_MAX + 1)
    assert Forward(1, 1) not in forwards.all()  # privileged ports get a free one


@pytest.mark.parametrize("ports", [None, 3, "80", {"80": 1}, [True, 0, -1, 65536, 2.5, "80", None, [80]]])
def test_invalid_ports_from_a_guest_are_ignored(ports: object) -> None:
    assert valid_ports(ports) == ()


def test_the_number_of_ports_from_a_guest_is_limited() -> None:
    assert len(valid_ports(list(range(1, 5000)))) == 100
