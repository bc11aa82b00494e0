"""The keeper's unix socket: access control, the greeting, and the four kinds of connection.

A client's error ends its own connection and affects nothing else.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import logging
import os
import signal
import socket
import struct
from collections.abc import AsyncIterator, Callable
from typing import Any

from ccvm_tui import __version__, bridging, framing, protocol
from ccvm_tui.aio import Background
from ccvm_tui.errors import ProtocolError, UserError
from ccvm_tui.guest import SessionKind
from ccvm_tui.keeper import requests
from ccvm_tui.keeper.keeper import Keeper
from ccvm_tui.protocol import Data, Exited, Failure, SessionSpec, ToClient, ToKeeper
from ccvm_tui.screen.link import ScreenError
from ccvm_tui.session.channel import Channel, Transport
from ccvm_tui.session.clients import Client, RawClient, ViewClient
from ccvm_tui.session.outbox import Outbox
from ccvm_tui.session.session import Session

log = logging.getLogger(__name__)

GREETING_MAX = 1 << 16
"""Maximum length of a greeting in bytes."""

REQUESTS_AT_ONCE = 32
"""Maximum number of concurrent requests of one connection."""

EVENTS_BACKLOG = 4 << 20
"""Queued bytes of a control connection, beyond which events are dropped."""

OUTPUT_BACKLOG = 4 << 20
"""Queued bytes of an exec's output, beyond which the program's output is not read (back pressure)."""

FLUSH_TIMEOUT = 1.0
"""Seconds for sending the last messages of a connection."""


class Server:
    """The server, which listens while its ``async with`` block runs, and then flushes and closes its connections."""

    def __init__(self, keeper: Keeper) -> None:
        self._keeper = keeper
        self._connections = Background(f"clients of {keeper.spec.name}")
        self._server: asyncio.Server | None = None
        self._ending = asyncio.Event()

    async def listen(self) -> None:
        """Bind the guest's socket. May be called again after its directory was recreated.

        Raises OSError if the socket cannot be bound.
        """
        path = self._keeper.paths.keeper_socket
        path.unlink(missing_ok=True)
        listener = socket.socket(socket.AF_UNIX)
        old = os.umask(0o177)
        try:
            listener.bind(str(path))
        finally:
            os.umask(old)
        previous, self._server = self._server, await asyncio.start_unix_server(self._accept, sock=listener, backlog=128)
        if previous is not None:
            previous.close()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._connections.start(_connection(self._keeper, reader, writer, self._ending), "client")

    async def __aenter__(self) -> Server:
        await self.listen()
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        self._ending.set()
        await self._connections.finish(FLUSH_TIMEOUT)


async def _connection(
    keeper: Keeper, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, ending: asyncio.Event
) -> None:
    try:
        if _peer_uid(writer) not in (os.getuid(), 0):
            return
        if await _handle_greeting(keeper, reader, writer):
            await _handle_opening(keeper, reader, writer, ending)
    except (ProtocolError, ConnectionError, TimeoutError) as error:
        log.info("client dropped: %s", error)
    except UserError as error:
        with contextlib.suppress(ConnectionError):
            writer.write(protocol.pack(_failure(0, error)))
            await writer.drain()
    finally:
        await _close(reader, writer)


async def _close(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Close a connection so that the client receives all messages.

    A client that sends to a closed socket gets EPIPE and may then drop messages that it has not read yet. So shut down
    the sending side, and read until the client closes its side or the timeout expires.
    """
    with contextlib.suppress(OSError, TimeoutError):
        writer.write_eof()
        async with asyncio.timeout(FLUSH_TIMEOUT):
            while await reader.read(1 << 16):
                pass
    writer.close()


def _peer_uid(writer: asyncio.StreamWriter) -> int:
    """Return the uid of the peer (unix(7), SO_PEERCRED)."""
    sock = writer.get_extra_info("socket")
    credentials = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    return int(struct.unpack("3i", credentials)[1])


async def _handle_greeting(keeper: Keeper, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
    """Answer the client's greeting, and return whether it continues with messages."""
    async with asyncio.timeout(10):
        body = await framing.read_frame(reader, GREETING_MAX)
    if body is None:
        return False
    greeting = framing.unpack_json(body)
    answer: dict[str, Any] = {"protocol": protocol.PROTOCOL, "version": __version__}
    match greeting.get("op"):
        case "open":
            writer.write(framing.pack_json(answer))
            await writer.drain()
            return greeting.get("protocol") == protocol.PROTOCOL
        case "stop":
            keeper.stop(force=bool(greeting.get("force")))
            await keeper.stopped.wait()
    writer.write(framing.pack_json({**answer, "guest": dataclasses.asdict(keeper.info())}))
    await writer.drain()
    return False


async def _handle_opening(
    keeper: Keeper, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, ending: asyncio.Event
) -> None:
    body = await framing.read_frame(reader)
    if body is None:
        return
    outbox = Outbox(writer)
    match protocol.unpack_from_client(body):
        case protocol.Control() as opening:
            await _control(keeper, opening, reader, outbox, ending)
        case protocol.Attach() as opening:
            session = await keeper.session(opening.session)
            raw = RawClient(session.id, opening.size, outbox, keeper.screen, scrollback=opening.scrollback)
            await _terminal(session, raw, reader, outbox, keeper.clipboard.received, watch_only=opening.watch_only)
        case protocol.View() as opening:
            session = await keeper.session(opening.session)
            view = ViewClient(session.id, opening.size, opening.colours, outbox, keeper.screen)
            await _terminal(session, view, reader, outbox, keeper.clipboard.received, watch_only=False)
        case protocol.Exec() as opening:
            await _exec(keeper, opening, reader, outbox)
        case other:
            raise ProtocolError(f"a connection cannot begin with {type(other).__name__}")


async def _messages(reader: asyncio.StreamReader) -> AsyncIterator[ToKeeper]:
    while (body := await framing.read_frame(reader)) is not None:
        yield protocol.unpack_from_client(body)


async def _run_both(outbox: Outbox, reading: Callable[[], Any]) -> None:
    """Run ``reading`` and the outbox until the client disconnects or the outbox is closed and flushed."""
    tasks = [asyncio.ensure_future(reading()), asyncio.ensure_future(outbox.run())]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
    for result in results:
        if isinstance(result, Exception):
            raise result


# --- control ----------------------------------------------------------------------------------------------


class _EventQueue:
    """The events for one listener. A listener that does not read loses events, and receives later Info messages."""

    def __init__(self, outbox: Outbox, *, console: bool, asks: bool) -> None:
        self._outbox = outbox
        self._console = console
        self.asks = asks

    def send(self, message: ToClient) -> None:
        if isinstance(message, protocol.Console) and not self._console:
            return
        if self._outbox.queued < EVENTS_BACKLOG:
            self._outbox.put(message)


async def _control(
    keeper: Keeper, opening: protocol.Control, reader: asyncio.StreamReader, outbox: Outbox, ending: asyncio.Event
) -> None:
    listener = _EventQueue(outbox, console=opening.console, asks=opening.asks)
    running = Background("requests")
    slots = asyncio.Semaphore(REQUESTS_AT_ONCE)

    async def read() -> None:
        async for message in _messages(reader):
            if not isinstance(message, protocol.Ask):
                raise ProtocolError(f"{type(message).__name__} on a control connection")
            await slots.acquire()
            running.start(_answer(keeper, message, outbox, slots), type(message.request).__name__)

    async def close_at_the_end() -> None:
        await ending.wait()
        outbox.close()

    running.start(close_at_the_end(), "end of the guest")
    if opening.events:
        listener.send(protocol.Info(keeper.info()))
        keeper.listeners.add(listener)
    try:
        await _run_both(outbox, read)
    finally:
        keeper.listeners.discard(listener)
        await running.close()


async def _answer(keeper: Keeper, ask: protocol.Ask, outbox: Outbox, slots: asyncio.Semaphore) -> None:
    try:
        outbox.put(protocol.Answer(ask.id, await requests.answer(keeper, ask.request)))
    except UserError as error:
        outbox.put(_failure(ask.id, error))
    except ScreenError as error:
        outbox.put(_failure(ask.id, UserError(f"the screen process did not answer: {error}", "try again")))
    except TimeoutError:
        outbox.put(Failure(ask.id, "KeeperLost", "the guest does not answer", "it may be paused or very busy"))
    finally:
        slots.release()


def _failure(id_: int, error: UserError) -> Failure:
    return Failure(id_, type(error).__name__, error.message, error.hint)


# --- terminals --------------------------------------------------------------------------------------------


async def _terminal(
    session: Session,
    client: Client,
    reader: asyncio.StreamReader,
    outbox: Outbox,
    on_image: Callable[[bridging.ClipboardImage], None],
    *,
    watch_only: bool,
) -> None:
    async def read() -> None:
        async for message in _messages(reader):
            match message:
                case protocol.Input(data=data):
                    if not watch_only:
                        session.typed(client, data)
                        if session.channel is not None:
                            await session.channel.drain()
                case protocol.Resize(size=size):
                    session.resized(client, size)
                case protocol.Recolour(colours=colours):
                    session.recoloured(client, colours)
                case protocol.Ack():
                    client.acknowledged()
                case bridging.ClipboardImage():
                    on_image(message)
                case _:
                    raise ProtocolError(f"{type(message).__name__} on a terminal's connection")

    try:
        await session.add(client, lead=not watch_only)
        await _run_both(outbox, read)
    finally:
        session.remove(client)


# --- exec -------------------------------------------------------------------------------------------------


class _ExecOutput:
    """The output of a program, sent to its client with back pressure."""

    def __init__(self, outbox: Outbox) -> None:
        self._outbox = outbox
        self.channel: Channel | None = None
        self._held = False
        outbox.on_empty = self._flushed

    def output(self, data: bytes, stream: int) -> None:
        self._outbox.put(Data(stream, data))
        if self._outbox.queued > OUTPUT_BACKLOG and self.channel is not None and not self._held:
            self._held = True
            self.channel.pause_reading()

    def _flushed(self) -> None:
        if self._held and self.channel is not None:
            self._held = False
            self.channel.resume_reading()

    def ended(self, status: int, reason: str) -> None:
        self._outbox.put(Exited(status, reason))
        self._outbox.close()


class _ExecInput:
    """The input of a program, passed on at the speed at which the program consumes it.

    The client's messages are always read, so that signals and the end of the connection are handled immediately.
    """

    def __init__(self, channel: Channel, outbox: Outbox) -> None:
        self._channel = channel
        self._outbox = outbox
        self._pieces: asyncio.Queue[bytes] = asyncio.Queue()
        self._queued = 0

    def put(self, data: bytes) -> None:
        """Queue input; empty data ends it. Raises ProtocolError if it exceeds the window."""
        self._queued += len(data)
        if self._queued > protocol.INPUT_WINDOW:
            raise ProtocolError("the input exceeds the window")
        self._pieces.put_nowait(data)

    async def run(self) -> None:
        while data := await self._pieces.get():
            self._channel.write(data)
            await self._channel.drain()
            self._queued -= len(data)
            self._outbox.put(protocol.Taken(len(data)))
        self._channel.write_eof()


async def _exec(keeper: Keeper, opening: protocol.Exec, reader: asyncio.StreamReader, outbox: Outbox) -> None:
    with keeper.keep_running():
        await _run_exec(await keeper.transport(), opening, reader, outbox)


async def _run_exec(transport: Transport, opening: protocol.Exec, reader: asyncio.StreamReader, outbox: Outbox) -> None:
    owner = _ExecOutput(outbox)
    spec = SessionSpec(SessionKind.COMMAND, opening.argv, opening.env)
    channel = owner.channel = await transport.start("exec", spec, owner, pty=False)
    stdin = _ExecInput(channel, outbox)
    feeding = asyncio.ensure_future(stdin.run())

    async def read() -> None:
        async for message in _messages(reader):
            match message:
                case Data(data=data):
                    stdin.put(data)
                case protocol.Signal(number=number) if 0 < number < signal.NSIG:
                    channel.signal(number)
                case _:
                    raise ProtocolError(f"{type(message).__name__} on an exec connection")

    try:
        await _run_both(outbox, read)
    finally:
        feeding.cancel()
        channel.hang_up()
        await asyncio.gather(feeding, return_exceptions=True)
