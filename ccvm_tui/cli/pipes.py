"""Standard input and output of ``exec``: pipes, files or a terminal, none of them made non-blocking.

These descriptors are shared with whoever started us, so their flags are not ours to change, and epoll does
not take plain files. A thread for each does the blocking; being daemons, they never keep the process.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
from collections.abc import Awaitable, Callable

from ccvm_tui.errors import KeeperLost

_CHUNK = 1 << 16


def pump_input(fd: int, send: Callable[[bytes], Awaitable[None]]) -> asyncio.Task[None]:
    """Read ``fd`` to its end in a thread; each piece, and empty bytes at the end, is awaited by ``send``.

    An error while reading counts as the end: that is what a closed or vanished standard input is. Keep the task
    that this returns, or cancel it when nobody wants more.
    """
    loop = asyncio.get_running_loop()
    pieces: asyncio.Queue[bytes] = asyncio.Queue()
    taken = threading.Semaphore(1)

    def read() -> None:
        data = b"begin"
        while data:
            taken.acquire()
            try:
                data = os.read(fd, _CHUNK)
            except OSError:
                data = b""
            try:
                loop.call_soon_threadsafe(pieces.put_nowait, data)
            except RuntimeError:  # the loop is closed: our work is over
                return

    async def pass_on() -> None:
        while True:
            data = await pieces.get()
            try:
                await send(data)
            except KeeperLost:  # whoever receives is told too, and has more to say about it
                return
            if not data:
                return
            taken.release()

    threading.Thread(target=read, name=f"read fd {fd}", daemon=True).start()
    return loop.create_task(pass_on(), name=f"pass on fd {fd}")


class OutputPipe:
    """Writes to ``fd`` in a thread, one piece at a time; ``write`` returns when the piece is out."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._loop = asyncio.get_running_loop()
        self._piece = b""
        self._done: asyncio.Future[None] | None = None
        self._wake = threading.Semaphore(0)
        threading.Thread(target=self._work, name=f"write fd {fd}", daemon=True).start()

    async def write(self, data: bytes) -> None:
        """Raises OSError (BrokenPipeError when the reader is gone)."""
        self._piece, self._done = data, self._loop.create_future()
        self._wake.release()
        await self._done

    def _work(self) -> None:
        while True:
            self._wake.acquire()
            error: OSError | None = None
            try:
                left = memoryview(self._piece)
                while left:
                    left = left[os.write(self._fd, left) :]
            except OSError as failure:
                error = failure
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
                self._loop.call_soon_threadsafe(_finish, self._done, error)


def _finish(done: asyncio.Future[None] | None, error: OSError | None) -> None:
    if done is None or done.done():
        return
    if error is None:
        done.set_result(None)
    else:
        done.set_exception(error)
