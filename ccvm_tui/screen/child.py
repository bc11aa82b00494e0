"""The parent's side of a screen process: start, communication over a socket, and reaping."""

import asyncio
import os
import socket
from collections.abc import Callable
from typing import Final

from ccvm_tui import aio, processes
from ccvm_tui.errors import ProtocolError
from ccvm_tui.screen import messages
from ccvm_tui.screen.current_session import CurrentSession

WRITE_HIGH: Final = 128 * 1024
WRITE_LOW: Final = 32 * 1024
"""Bytes in the write buffer at which writing is paused and resumed."""

SOCKET_BUFFER: Final = 128 * 1024
"""Bytes of the send buffer of each end of the socket."""


class Child(asyncio.Protocol):
    """One run of the screen process.

    ``on_report`` is called with each report of the process, and ``on_end`` once, after the connection has ended.
    ``writable`` is cleared while more than ``WRITE_HIGH`` bytes wait to be sent. ``problem`` describes a violation of
    the protocol by the process, or is empty.
    """

    def __init__(self, on_report: Callable[[messages.Report], None], on_end: Callable[["Child"], None]) -> None:
        self._on_report = on_report
        self._on_end = on_end
        self._splitter = messages.Splitter()
        self._transport: asyncio.Transport | None = None
        self._process: asyncio.subprocess.Process | None = None
        self._current = CurrentSession.create()
        self.writable = asyncio.Event()
        self.writable.set()
        self.closed = asyncio.Event()
        self.problem = ""

    async def start(self, stderr: int | None) -> None:
        """Start the process. ``stderr`` is its standard error, as for ``asyncio.create_subprocess_exec``.

        Raises OSError if the process cannot be started.
        """
        ours, theirs = socket.socketpair()
        with theirs:
            for end in (ours, theirs):
                end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SOCKET_BUFFER)
            try:
                self._process = await asyncio.create_subprocess_exec(
                    *processes.command("ccvm_tui.screen", str(os.getpid()), str(self._current.fd)),
                    stdin=theirs.fileno(),
                    stdout=asyncio.subprocess.DEVNULL,
                    stderr=stderr,
                    pass_fds=(self._current.fd,),
                    env=processes.environment(),
                    start_new_session=True,
                )
            except OSError:
                ours.close()
                self._current.close()
                raise
        ours.setblocking(False)
        transport, _ = await asyncio.get_running_loop().create_connection(lambda: self, sock=ours)
        transport.set_write_buffer_limits(WRITE_HIGH, WRITE_LOW)

    def send(self, order: messages.Order) -> None:
        """Queue an order. Orders are discarded after the connection has ended."""
        if self._transport is not None and not self.closed.is_set():
            self._transport.write(messages.encode(order))

    @property
    def pid(self) -> int:
        """The id of the process."""
        assert self._process is not None
        return self._process.pid

    @property
    def waiting(self) -> int:
        """The number of bytes that wait to be sent to the process."""
        return self._transport.get_write_buffer_size() if self._transport is not None else 0

    async def reap(self, grace: float = 0.5) -> tuple[int, str]:
        """Close the connection and reap the process, which is killed if it does not exit within ``grace`` seconds.

        Returns its exit status (negative for a signal) and the name of the session it worked on last, or "".
        """
        assert self._process is not None
        if self._transport is not None:
            self._transport.abort()
        if await self._exits_within(grace):
            status = self._process.returncode
        else:
            process = aio.Child(self._process)
            status = await process.end(0)
            process.close()
        session = self._current.get()
        self._current.close()
        return status or 0, session

    async def _exits_within(self, grace: float) -> bool:
        assert self._process is not None
        try:
            async with asyncio.timeout(grace):
                await self._process.wait()
        except TimeoutError:
            return False
        return True

    # --- asyncio.Protocol --------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Pass on complete reports; end the connection if the process violates the protocol."""
        try:
            for body in self._splitter.split(data):
                self._on_report(messages.decode_report(body))
        except ProtocolError as error:
            self.problem = str(error)
            assert self._transport is not None
            self._transport.abort()

    def pause_writing(self) -> None:
        """Clear ``writable``."""
        self.writable.clear()

    def resume_writing(self) -> None:
        """Set ``writable``."""
        self.writable.set()

    def connection_lost(self, _: Exception | None) -> None:
        """Wake all waiters and call ``on_end``."""
        self.closed.set()
        self.writable.set()
        self._on_end(self)
