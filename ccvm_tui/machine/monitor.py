"""QMP: commands to a running QEMU, and the events that it sends.

``qemu.qmp`` implements the protocol and matches replies to commands. This module adds the few commands that the
program needs, their errors, and bounded streams of events.

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

# The library logs the end of the connection as an error. Here QEMU's exit is normal, and is reported elsewhere.
logging.getLogger("qemu.qmp").setLevel(logging.CRITICAL + 1)

REPLY_TIMEOUT = 10.0
"""Seconds within which QEMU must reply. It replies from its main loop, even if the guest hangs."""

_BACKLOG = 256


class MonitorError(CcvmError):
    """QEMU refused a command (then ``refused`` is true), did not reply in time, or has exited."""

    def __init__(self, message: str, *, refused: bool = False) -> None:
        super().__init__(message)
        self.refused = refused


@dataclass(frozen=True, slots=True)
class MonitorEvent:
    """An event. ``name`` is QMP's (SHUTDOWN, RESET, STOP, RESUME, GUEST_PANICKED…), ``time`` in seconds since 1970."""

    name: str
    data: dict[str, Any]
    time: float


class _EventTap(EventListener):
    """A listener that passes on every event and rejects it, so that the library's unbounded queue stays empty."""

    def __init__(self, dispatch: Callable[[Message], None]) -> None:
        super().__init__()
        self._dispatch = dispatch

    def accept(self, event: Message) -> bool:
        self._dispatch(event)
        return False


class Monitor:
    """The QMP connection to one QEMU, created by ``connect``. It ends when QEMU exits, or by ``close``."""

    def __init__(self, client: QMPClient) -> None:
        self._client = client
        self._queues: set[asyncio.Queue[MonitorEvent | None]] = set()
        self._ended = False
        self.shutdown: MonitorEvent | None = None
        """The last SHUTDOWN event, which contains the reason for QEMU's exit."""
        self.panicked = False
        """True after a GUEST_PANICKED event."""

    @classmethod
    async def connect(cls, sock: socket.socket, name: str) -> Monitor:
        """Perform the handshake on the connected ``sock`` and take ownership of it.

        QEMU sends its greeting once the machine is created, a few hundred milliseconds after the start. Raises
        MonitorError if the handshake fails.
        """
        client = QMPClient(name)
        client.events.event_filter = lambda _: False
        monitor = cls(client)
        client.register_listener(_EventTap(monitor._dispatch))
        try:
            await client.connect(sock)
        except (QMPError, AssertionError) as error:  # an assertion of the library fails if QEMU exits meanwhile
            raise MonitorError(f"no QMP greeting from QEMU: {error}") from error
        return monitor

    def _dispatch(self, message: Message) -> None:
        data: Any = message.get("data", {})
        stamp: Any = message.get("timestamp", {})
        seconds = stamp.get("seconds", 0) + stamp.get("microseconds", 0) / 1e6
        event = MonitorEvent(str(message["event"]), data, seconds)
        if event.name == "SHUTDOWN":
            self.shutdown = event
        elif event.name == "GUEST_PANICKED":
            self.panicked = True
        for queue in self._queues:
            if queue.full():  # a slow consumer loses the oldest events
                queue.get_nowait()
            queue.put_nowait(event)

    async def events(self) -> AsyncIterator[MonitorEvent]:
        """Iterate over further events until QEMU exits. The oldest are dropped if more than 256 are queued."""
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
        """Execute a QMP command and return the ``return`` member of the reply.

        Raises MonitorError if QEMU refuses the command, does not reply within ``REPLY_TIMEOUT``, or has exited.
        """
        try:
            async with asyncio.timeout(REPLY_TIMEOUT):
                return await self._client.execute(command, arguments)
        except ExecuteError as error:
            raise MonitorError(f"QEMU refused {command}: {error}", refused=True) from error
        except TimeoutError as error:
            raise MonitorError(f"QEMU did not answer {command} within {REPLY_TIMEOUT:.0f} s") from error
        except (QMPError, OSError, EOFError) as error:
            raise MonitorError(f"QEMU exited before it answered {command}") from error

    async def pause(self) -> None:
        """Stop the guest's processors and clocks."""
        await self.execute("stop")

    async def resume(self) -> None:
        """Start the guest's processors, or continue them after ``pause``."""
        await self.execute("cont")

    async def status(self) -> str:
        """Return QEMU's RunState: running, paused, prelaunch, shutdown, internal-error, guest-panicked and others."""
        return str((await self.execute("query-status"))["status"])

    async def quit(self) -> None:
        """Make QEMU exit at once. An exit before the reply is not an error."""
        try:
            await self.execute("quit")
        except MonitorError as error:
            if error.refused:
                raise

    async def close(self) -> None:
        """Close the connection, which ends the iterators over events. Idempotent; never raises."""
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
