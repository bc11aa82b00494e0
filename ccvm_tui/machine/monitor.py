"""QMP: how a running QEMU is asked, told, and listened to.

``qemu.qmp`` does the talking: it numbers every command and gives each reply to the one that asked for it by
that id. This module is the few commands that the program needs, their errors, and a bounded stream of events.

Source: QEMU's docs/interop/qemu-qmp-ref.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

from qemu.qmp import EventListener, ExecuteError, QMPClient, QMPError
from qemu.qmp.message import Message

from ccvm_tui.errors import CcvmError

log = logging.getLogger(__name__)

# The library reports as an error what is an ordinary end here: QEMU went away. We say it where it matters.
logging.getLogger("qemu.qmp").setLevel(logging.CRITICAL + 1)

REPLY_TIMEOUT = 10.0
"""Seconds that QEMU has for a reply. It answers from its main loop, even when the guest is stuck."""

_BACKLOG = 256


class MonitorError(CcvmError):
    """QEMU refused a command, did not answer in time, or is gone. ``refused`` tells the first from the others."""

    def __init__(self, message: str, *, refused: bool = False) -> None:
        super().__init__(message)
        self.refused = refused


@dataclass(frozen=True, slots=True)
class MonitorEvent:
    """``name`` as QMP has it (SHUTDOWN, RESET, STOP, RESUME, GUEST_PANICKED…); ``time`` in seconds since 1970."""

    name: str
    data: dict[str, Any]
    time: float


class _Tap(EventListener):
    """Takes events where the library hands them out, so that its lists of all events ever stay empty."""

    def __init__(self, hear: Callable[[Message], None]) -> None:
        super().__init__()
        self._hear = hear

    def accept(self, event: Message) -> bool:
        self._hear(event)
        return False


class Monitor:
    """The QMP connection of one QEMU. Made by ``connect``; ends when QEMU does, or by ``close``."""

    def __init__(self, client: QMPClient) -> None:
        self._client = client
        self._queues: set[asyncio.Queue[MonitorEvent | None]] = set()
        self._ended = False
        self.shutdown: MonitorEvent | None = None
        """The last SHUTDOWN event: why QEMU is about to end."""
        self.panicked = False

    @classmethod
    async def connect(cls, sock: socket.socket, name: str) -> Monitor:
        """Shake hands over the connected ``sock``, which is ours from now on. Raises MonitorError.

        QEMU greets once its machine stands, a few hundred milliseconds after the start.
        """
        client = QMPClient(name)
        client.events.event_filter = lambda event: False
        monitor = cls(client)
        client.register_listener(_Tap(monitor._hear))
        try:
            await client.connect(sock)
        except (QMPError, AssertionError) as error:  # the library asserts that QEMU did not leave meanwhile
            raise MonitorError(f"QEMU did not greet: {error}") from error
        return monitor

    def _hear(self, message: Message) -> None:
        data: Any = message.get("data", {})
        stamp: Any = message.get("timestamp", {})
        seconds = stamp.get("seconds", 0) + stamp.get("microseconds", 0) / 1e6
        event = MonitorEvent(str(message["event"]), data, seconds)
        if event.name == "SHUTDOWN":
            self.shutdown = event
        elif event.name == "GUEST_PANICKED":
            self.panicked = True
        for queue in self._queues:
            if queue.full():  # a listener that does not listen loses the oldest
                queue.get_nowait()
            queue.put_nowait(event)

    async def events(self) -> AsyncIterator[MonitorEvent]:
        """Events from now on, until QEMU ends. The oldest are lost when more than a few hundred wait."""
        queue: asyncio.Queue[MonitorEvent | None] = asyncio.Queue(_BACKLOG)
        self._queues.add(queue)
        try:
            while not (self._ended and queue.empty()):
                event = await queue.get()
                if event is None:
                    return
                yield event
        finally:
            self._queues.discard(queue)

    async def execute(self, command: str, arguments: dict[str, Any] | None = None) -> Any:
        """Run one QMP command and return its ``return``. Raises MonitorError."""
        try:
            async with asyncio.timeout(REPLY_TIMEOUT):
                return await self._client.execute(command, arguments)
        except ExecuteError as error:
            raise MonitorError(f"QEMU refused {command}: {error}", refused=True) from error
        except TimeoutError as error:
            raise MonitorError(f"QEMU did not answer {command} within {REPLY_TIMEOUT:.0f} s") from error
        except (QMPError, OSError, EOFError) as error:
            raise MonitorError(f"QEMU is gone, {command} was not answered") from error

    async def pause(self) -> None:
        """Stop the guest's processors. Its time stands still too."""
        await self.execute("stop")

    async def resume(self) -> None:
        await self.execute("cont")

    async def status(self) -> str:
        """QEMU's RunState: running, paused, prelaunch, shutdown, internal-error, guest-panicked…"""
        return str((await self.execute("query-status"))["status"])

    async def quit(self) -> None:
        """End QEMU at once. That it is gone before it has answered is not an error."""
        try:
            await self.execute("quit")
        except MonitorError as error:
            if error.refused:
                raise

    async def close(self) -> None:
        """Close the connection; iterators over events end. Idempotent, never raises."""
        if not self._ended:
            self._ended = True
            with contextlib.suppress(QMPError, OSError, EOFError):
                await self._client.disconnect()
            for queue in self._queues:
                if queue.full():
                    queue.get_nowait()
                queue.put_nowait(None)

    def __repr__(self) -> str:
        return f"Monitor({self._client.name!r}, {self._client.runstate.name})"
