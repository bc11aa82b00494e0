"""The keeper's side of the guest agent's control port.

A frame is a 32-bit big-endian length, followed by that many bytes of JSON. The guest may be hostile: messages from it
are limited in size and their types are checked. An invalid message can at worst end this connection.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import logging
import socket
import struct
from collections.abc import Callable
from typing import Any

from ccvm_tui.errors import BootError, ProtocolError, UserError

log = logging.getLogger(__name__)

VERSION = 1
"""The version of the control protocol."""

FRAME_MAX = 8 << 20
"""Maximum length of a frame's JSON in bytes."""

REQUEST_TIMEOUT = 10.0
"""Seconds within which the guest must answer a request."""

_LENGTH = struct.Struct(">I")

Message = dict[str, Any]


class GuestAgent:
    """The connection to the guest agent, which is opened once in a guest's life.

    ``on_event`` receives the guest's events, ``on_phase`` the phases of its configuration. The future ``hello`` has
    the agent's first message; ``ready`` completes when the guest is configured. Both raise BootError on failure.
    """

    def __init__(self, on_event: Callable[[Message], None], on_phase: Callable[[str], None]) -> None:
        self._on_event = on_event
        self._on_phase = on_phase
        self._ids = itertools.count(1)
        self._pending: dict[int, asyncio.Future[Message]] = {}
        self._reader: asyncio.StreamReader
        self._writer: asyncio.StreamWriter
        self.hello: asyncio.Future[Message] = asyncio.get_running_loop().create_future()
        self.ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def open(self, sock: socket.socket) -> None:
        """Use the connected ``sock`` and take ownership of it."""
        self._reader, self._writer = await asyncio.open_connection(sock=sock)

    async def run(self) -> None:
        """Receive messages until the port is closed. Raises ProtocolError if the guest sends an invalid frame."""
        error: Exception = BootError("the guest's control port was closed")
        try:
            while True:
                self._dispatch(await self._read())
        except (asyncio.IncompleteReadError, ConnectionError):
            return
        except ProtocolError as violation:
            error = violation
            raise
        finally:
            futures: list[asyncio.Future[Any]] = [self.hello, self.ready, *self._pending.values()]
            for future in futures:
                if not future.done():
                    future.set_exception(error)
                    future.exception()  # marks it as retrieved: there may be no waiter

    async def _read(self) -> Message:
        (length,) = _LENGTH.unpack(await self._reader.readexactly(_LENGTH.size))
        if length > FRAME_MAX:
            raise ProtocolError(f"the guest sent a frame of {length} bytes")
        body = await self._reader.readexactly(length)
        try:
            message = json.loads(body)
        except (ValueError, RecursionError) as error:
            raise ProtocolError("the guest sent a frame that is not JSON") from error
        if not isinstance(message, dict):
            raise ProtocolError("the guest sent a frame that is not an object")
        return message

    def _dispatch(self, message: Message) -> None:
        match message:
            case {"type": "hello", "version": int(version)}:
                if version != VERSION:
                    self._fail(f"the guest agent has version {version} of the control protocol instead of {VERSION}")
                elif not self.hello.done():
                    self.hello.set_result(message)
            case {"type": "phase", "name": str(name)}:
                self._on_phase(name[:40])
            case {"type": "ready"}:
                if not self.ready.done():
                    self.ready.set_result(None)
            case {"type": "failed", "message": str(text)}:
                self._fail(f"the guest could not be set up: {text[:500]}", str(message.get("hint", ""))[:500])
            case {"type": "reply", "id": int(id_)}:
                if (future := self._pending.pop(id_, None)) is not None and not future.done():
                    future.set_result(message)
            case {"type": "event", "kind": str()}:
                self._on_event(message)
            case _:
                log.debug("the guest sent %.200r", message)

    def _fail(self, message: str, hint: str = "") -> None:
        futures: list[asyncio.Future[Any]] = [self.hello, self.ready]
        for future in futures:
            if not future.done():
                future.set_exception(BootError(message, hint or "`ccvm-tui image build` updates the image"))
                future.exception()

    def send(self, message: Message) -> None:
        """Queue a message to the guest. Raises UserError if it is longer than the guest accepts."""
        body = json.dumps(message).encode()
        if len(body) > FRAME_MAX:
            raise UserError(f"a message of {len(body):,} bytes is too long for the guest")
        if not self._writer.is_closing():
            self._writer.write(_LENGTH.pack(len(body)) + body)

    async def request(self, op: str, within: float = REQUEST_TIMEOUT, **arguments: Any) -> Message:
        """Send a request and return the reply.

        Raises UserError if the guest refuses the request, TimeoutError if it does not answer within ``within``
        seconds, BootError if the port is closed.
        """
        id_ = next(self._ids)
        future: asyncio.Future[Message] = asyncio.get_running_loop().create_future()
        self._pending[id_] = future
        try:
            self.send({"type": "request", "id": id_, "op": op, **arguments})
            async with asyncio.timeout(within):
                reply = await future
        finally:
            self._pending.pop(id_, None)
        if reply.get("ok") is not True:
            raise UserError(f"the guest refused {op}: {str(reply.get('message', ''))[:500]}")
        return reply

    def close(self) -> None:
        """Close the connection."""
        self._writer.close()
