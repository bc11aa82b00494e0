"""The framing of the tunnel, and the keeper's end against a hostile guest."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ccvm_tui.egress.link import Link, Serve, Stream
from ccvm_tui.image.guest.agent import tunnel
from ccvm_tui.image.guest.agent.tunnel import Destination
from tests.waiting import eventually

frames = st.lists(st.tuples(st.integers(2, 10), st.integers(0, (1 << 32) - 1), st.binary(max_size=200)), max_size=8)
NONCE = bytes(range(16))


@given(st.binary(max_size=100).filter(lambda data: tunnel.MAGIC not in data), frames, st.integers(1, 50))
def test_frames_arrive_in_any_pieces(before: bytes, sent: list[tuple[int, int, bytes]], size: int) -> None:
    data = before + tunnel.MAGIC + NONCE + b"".join(tunnel.frame(*frame) for frame in sent)
    decoder = tunnel.Frames()
    received = [frame for at in range(0, len(data), size) for frame in decoder.feed(data[at : at + size])]
    assert received == [(tunnel.HELLO, 0, NONCE), *sent]


@given(frames, st.integers(0, 500), frames)
def test_a_restarted_gate_is_understood_wherever_its_predecessor_stopped(
    old: list[tuple[int, int, bytes]], cut: int, new: list[tuple[int, int, bytes]]
) -> None:
    first = tunnel.MAGIC + NONCE + b"".join(tunnel.frame(*frame) for frame in old)
    again = tunnel.PADDING + tunnel.MAGIC + NONCE + b"".join(tunnel.frame(*frame) for frame in new)
    received = tunnel.Frames().feed(first[: max(len(tunnel.MAGIC + NONCE), len(first) - cut)] + again)
    assert received[-len(new) - 1 :] == [(tunnel.HELLO, 0, NONCE), *new]


@given(st.binary(max_size=500))
@pytest.mark.attack
def test_any_bytes_are_decoded_without_an_error(data: bytes) -> None:
    for _, _, body in tunnel.Frames().feed(tunnel.MAGIC + NONCE + data):
        assert len(body) <= tunnel.PIECE


@given(st.text(max_size=300), st.integers(0, 65535), st.booleans(), st.from_regex("[a-z0-9]{0,20}", fullmatch=True))
def test_a_destination_is_what_was_packed(name: str, port: int, proxy: bool, session: str) -> None:
    parsed = Destination.parse(Destination(name, port, proxy, session).pack())
    assert (parsed.port, parsed.proxy, parsed.session) == (port, proxy, session)
    with contextlib.suppress(UnicodeEncodeError):
        assert name.encode()[: tunnel.NAME_MAX].startswith(parsed.name.rstrip("\ufffd").encode())


@given(st.binary(max_size=60))
def test_any_destination_is_parsed_or_rejected(body: bytes) -> None:
    with contextlib.suppress(tunnel.TunnelError):
        session = Destination.parse(body).session
        assert not session or (session.isascii() and session.isalnum())


class Guest:
    """A guest that can send anything over its port."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self._decoder = tunnel.Frames(tunnel.MAGIC + NONCE, 0)
        self.received: list[tuple[int, int, bytes]] = []

    def send(self, data: bytes) -> None:
        self._writer.write(data)

    def open(self, number: int) -> None:
        self.send(tunnel.frame(tunnel.OPEN, number, Destination("example.com", 443).pack()))

    async def read(self) -> None:
        while data := await self._reader.read(1 << 16):
            self.received += self._decoder.feed(data)

    def data(self, number: int) -> bytes:
        return b"".join(body for kind, stream, body in self.received if (kind, stream) == (tunnel.DATA, number))


@contextlib.asynccontextmanager
async def linked(serve: Serve) -> AsyncIterator[tuple[Link, Guest]]:
    async def lookup(name: str) -> int:
        return tunnel.MISSING if name == "missing" else tunnel.EXISTS

    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    link = await Link.attach(ours, serve, lookup)
    guest = Guest(*await asyncio.open_connection(sock=theirs))
    reading = asyncio.ensure_future(guest.read())
    guest.send(tunnel.MAGIC + NONCE)
    await eventually(lambda: guest.received)
    yield link, guest
    await link.close()
    await reading


async def echo(stream: Stream) -> None:
    while data := await stream.read():
        await stream.write(data)
    stream.write_eof()


async def test_a_stream_carries_bytes_and_ends() -> None:
    async with linked(echo) as (_, guest):
        guest.open(7)
        guest.send(tunnel.frame(tunnel.DATA, 7, b"hello") + tunnel.frame(tunnel.END, 7))
        await eventually(lambda: (tunnel.CLOSE, 7, b"") in guest.received)
        assert guest.data(7) == b"hello"
        assert (tunnel.END, 7, b"") in guest.received


async def test_a_stream_that_is_not_read_does_not_delay_another() -> None:
    async def flood(stream: Stream) -> None:
        if stream.number == 1:
            while True:
                await stream.write(bytes(100_000))
        await echo(stream)

    async with linked(flood) as (_, guest):
        guest.open(1)
        await eventually(lambda: len(guest.data(1)) == tunnel.WINDOW_IN)
        guest.open(2)
        guest.send(tunnel.frame(tunnel.DATA, 2, b"hello"))
        await eventually(lambda: guest.data(2) == b"hello")
        assert len(guest.data(1)) == tunnel.WINDOW_IN
        guest.send(tunnel.frame(tunnel.WINDOW, 1, tunnel.number(1000)))
        await eventually(lambda: len(guest.data(1)) == tunnel.WINDOW_IN + 1000)


async def test_names_are_looked_up() -> None:
    async with linked(echo) as (_, guest):
        guest.send(tunnel.frame(tunnel.LOOKUP, 5, b"example.com") + tunnel.frame(tunnel.LOOKUP, 6, b"missing"))
        await eventually(lambda: len(guest.received) == 3)
        assert set(guest.received[1:]) == {(tunnel.FOUND, 5, b"\0"), (tunnel.FOUND, 6, b"\3")}


@pytest.mark.parametrize(
    "violation",
    [
        tunnel.frame(tunnel.DATA, 1, bytes(tunnel.PIECE)) * (tunnel.WINDOW_OUT // tunnel.PIECE + 1),
        tunnel.frame(tunnel.WINDOW, 1, tunnel.number(1)),
        tunnel.frame(tunnel.WINDOW, 1, b""),
        tunnel.frame(tunnel.END, 1) + tunnel.frame(tunnel.DATA, 1, b"x"),
        tunnel.frame(tunnel.OPEN, 1, Destination("example.com", 443).pack()),
        tunnel.frame(tunnel.OPEN, 2, b""),
        b"".join(
            tunnel.frame(tunnel.OPEN, number, Destination("a", 1).pack()) for number in range(2, tunnel.STREAMS_MAX + 3)
        ),
    ],
    ids=["window", "credit", "number", "end", "twice", "destination", "streams"],
)
@pytest.mark.attack
async def test_a_violation_ends_all_streams_until_the_next_hello(violation: bytes) -> None:
    started, ended = asyncio.Event(), asyncio.Event()

    async def serve(stream: Stream) -> None:
        if stream.number == 9:
            await echo(stream)
            return
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            if stream.lost.is_set():
                ended.set()

    async with linked(serve) as (link, guest):
        guest.open(1)
        await started.wait()
        guest.send(violation)
        await asyncio.wait_for(ended.wait(), 20)
        assert not link.connected
        guest.send(tunnel.MAGIC + NONCE)
        guest.open(9)
        guest.send(tunnel.frame(tunnel.DATA, 9, b"again"))
        await eventually(lambda: guest.data(9) == b"again")
        assert link.connected
