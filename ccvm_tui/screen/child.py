"""The screen process as its parent sees it: started, spoken to over a socket, reaped."""

import asyncio
import os
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

import ccvm_tui
from ccvm_tui import aio
from ccvm_tui.errors import ProtocolError
from ccvm_tui.screen import messages
from ccvm_tui.screen.blame import Blame

WRITE_HIGH: Final = 128 * 1024
WRITE_LOW: Final = 32 * 1024
SOCKET_BUFFER: Final = 128 * 1024


class Child(asyncio.Protocol):
    """One run of the process. `on_report` gets what it says, `on_end` is called once, when it is gone.

    `writable` is cleared while more than `WRITE_HIGH` bytes wait for it.
    """

    def __init__(self, on_report: Callable[[messages.Report], None], on_end: Callable[["Child"], None]) -> None:
        self._on_report = on_report
        self._on_end = on_end
        self._splitter = messages.Splitter()
        self._transport: asyncio.Transport | None = None
        self._process: asyncio.subprocess.Process | None = None
        self._blame = Blame.create()
        self.writable = asyncio.Event()
        self.writable.set()
        self.gone = asyncio.Event()
        self.problem = ""

    async def start(self, stderr: int | None) -> None:
        """Start the process.

        Raises:
            OSError: it cannot be started.
        """
        ours, theirs = socket.socketpair()
        with theirs:
            for end in (ours, theirs):
                end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SOCKET_BUFFER)
            try:
                self._process = await asyncio.create_subprocess_exec(
                    sys.executable,
                    "-P",
                    "-m",
                    "ccvm_tui.screen",
                    str(os.getpid()),
                    str(self._blame.fd),
                    stdin=theirs.fileno(),
                    stdout=asyncio.subprocess.DEVNULL,
                    stderr=stderr,
                    pass_fds=(self._blame.fd,),
                    # It needs to find this package, and nothing else of our environment.
                    env={
                        "PYTHONPATH": str(Path(ccvm_tui.__file__).parent.parent),
                        **({"PYTHONPYCACHEPREFIX": sys.pycache_prefix} if sys.pycache_prefix else {}),
                    },
                    start_new_session=True,
                )
            except OSError:
                ours.close()
                self._blame.close()
                raise
        ours.setblocking(False)
        transport, _ = await asyncio.get_running_loop().create_connection(lambda: self, sock=ours)
        transport.set_write_buffer_limits(WRITE_HIGH, WRITE_LOW)

    def send(self, order: messages.Order) -> None:
        """Queue an order; one sent after the process has gone is lost."""
        if self._transport is not None and not self.gone.is_set():
            self._transport.write(messages.encode(order))

    @property
    def pid(self) -> int:
        """The process id."""
        assert self._process is not None
        return self._process.pid

    @property
    def waiting(self) -> int:
        """Bytes that wait to be taken by the process."""
        return self._transport.get_write_buffer_size() if self._transport is not None else 0

    async def reap(self, grace: float = 0.5) -> tuple[int, str]:
        """End the process, which has `grace` seconds to go by itself now that its socket is closed.

        Returns its status (negative: the signal) and the session it worked on last, or "".
        """
        assert self._process is not None
        if self._transport is not None:
            self._transport.abort()
        if await self._leaves(grace):
            status = self._process.returncode
        else:
            process = aio.Child(self._process)
            status = await process.end(0)
            process.close()
        session = self._blame.get()
        self._blame.close()
        return status or 0, session

    async def _leaves(self, grace: float) -> bool:
        assert self._process is not None
        try:
            async with asyncio.timeout(grace):
                await self._process.wait()
        except TimeoutError:
            return False
        return True

    # --- asyncio.Protocol --------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        try:
            for body in self._splitter.split(data):
                self._on_report(messages.decode_report(body))
        except ProtocolError as error:
            self.problem = str(error)
            assert self._transport is not None
            self._transport.abort()

    def pause_writing(self) -> None:
        self.writable.clear()

    def resume_writing(self) -> None:
        self.writable.set()

    def connection_lost(self, exc: Exception | None) -> None:
        self.gone.set()
        self.writable.set()
        self._on_end(self)
