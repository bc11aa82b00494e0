"""A program in a guest that uses the standard streams of this process instead of a terminal.

The streams are pipes, files or terminals that other processes may use too, so they are not made non-blocking, and epoll
does not support files. Each stream has a thread that blocks instead. The threads are daemons and never delay the exit.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import threading
from collections.abc import Awaitable, Callable

from ccvm_tui.client import connection
from ccvm_tui.client.connection import Stream
from ccvm_tui.errors import KeeperLost, OutputFailed
from ccvm_tui.protocol import INPUT_WINDOW, LOST, Data, Exited, Signal, Taken

FORWARDED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
"""Signals that are forwarded to the program. The guest kills it 5 seconds later."""

ENDED_WITHIN = 6.0
"""Seconds to wait for the end of the program after such a signal, which takes longer if the guest is paused or busy."""

_CHUNK = 1 << 16


async def execute(guest: str, argv: tuple[str, ...], env: dict[str, str], *, no_stdin: bool = False) -> int:
    """Run a program until it ends, and return its exit status, or 128 + n if signal n ended the wait for it.

    Raises NoSuchGuest, VersionMismatch or KeeperLost if the guest cannot be reached, OutputFailed if the output cannot
    be written, BrokenPipeError if its reader has exited.
    """
    stream = await connection.execute(guest, argv, env)
    sending = None
    try:
        program_input = ProgramInput(stream)
        if no_stdin or sys.stdin is None:  # None: descriptor 0 was closed, and may be another file by now
            await program_input.send(b"")
        else:
            sending = read_in_thread(sys.stdin.fileno(), program_input.send)
        receiving = asyncio.ensure_future(_receive(stream, program_input))
        signals = _Signals(stream, receiving)
        try:
            return await receiving
        except asyncio.CancelledError:
            if signals.first is None:
                raise
            return 128 + signals.first
    finally:
        if sending is not None:
            sending.cancel()
        stream.abort()  # unsent input is of no use; if the program still runs, this ends it


class ProgramInput:
    """The program's input, of which only ``INPUT_WINDOW`` bytes are in transit, so that signals are not delayed."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._window = INPUT_WINDOW
        self._changed = asyncio.Condition()

    async def send(self, data: bytes) -> None:
        """Send at most ``INPUT_WINDOW`` bytes once the program has read enough; empty bytes end the input."""
        async with self._changed:
            await self._changed.wait_for(lambda: self._window >= len(data))
            self._window -= len(data)
        self._stream.send(Data(0, data))
        await self._stream.drain()

    async def taken(self, count: int) -> None:
        """Handle that the program has read ``count`` bytes."""
        async with self._changed:
            self._window += count
            self._changed.notify_all()


class _Signals:
    """The signals that are forwarded to the program. After the first, its end is awaited; the second ends the wait."""

    def __init__(self, stream: Stream, receiving: asyncio.Future[int]) -> None:
        self.first: int | None = None
        self._stream = stream
        self._receiving = receiving
        loop = asyncio.get_running_loop()
        for number in FORWARDED:
            loop.add_signal_handler(number, self._handle, number)

    def _handle(self, number: int) -> None:
        self._stream.send(Signal(number))
        if self.first is None:
            self.first = number
            asyncio.get_running_loop().call_later(ENDED_WITHIN, self._receiving.cancel)
        else:
            self._receiving.cancel()


async def _receive(guest: Stream, program_input: ProgramInput) -> int:
    """Write the program's output until it ends, and return its exit status."""
    outputs = {
        number: ThreadedOutput(stream.fileno())
        for number, stream in ((1, sys.stdout), (2, sys.stderr))
        if stream is not None
    }
    while True:
        message = await guest.receive()
        if isinstance(message, Data) and message.stream in outputs:
            await _write(outputs[message.stream], message)
        elif isinstance(message, Taken):
            await program_input.taken(message.count)
        elif isinstance(message, Exited):
            if message.reason:
                print(f"ccvm-tui: {guest.name}: {message.reason}", file=sys.stderr)
            return KeeperLost.exit_status if message.status == LOST else message.status


async def _write(output: ThreadedOutput, message: Data) -> None:
    try:
        await output.write(message.data)
    except BrokenPipeError:
        raise
    except OSError as error:
        raise OutputFailed.of(error, "standard output" if message.stream == 1 else "standard error") from error


def read_in_thread(fd: int, send: Callable[[bytes], Awaitable[None]]) -> asyncio.Task[None]:
    """Read ``fd`` until its end in a thread, and await ``send`` for each piece and for empty bytes at the end.

    A read error counts as the end, because standard input may have been closed. The caller must keep the task that is
    returned, and cancel it if no more input is wanted.
    """
    loop = asyncio.get_running_loop()
    pieces: asyncio.Queue[bytes] = asyncio.Queue()
    sent = threading.Semaphore(1)

    def read() -> None:
        data = b"begin"
        while data:
            sent.acquire()
            try:
                data = os.read(fd, _CHUNK)
            except OSError:
                data = b""
            try:
                loop.call_soon_threadsafe(pieces.put_nowait, data)
            except RuntimeError:  # the loop is closed
                return

    async def forward() -> None:
        while True:
            data = await pieces.get()
            try:
                await send(data)
            except KeeperLost:  # the receiving side reports it
                return
            if not data:
                return
            sent.release()

    threading.Thread(target=read, name=f"read fd {fd}", daemon=True).start()
    return loop.create_task(forward(), name=f"forward fd {fd}")


class ThreadedOutput:
    """An output that is written in a thread, one piece at a time."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._loop = asyncio.get_running_loop()
        self._piece = b""
        self._done: asyncio.Future[None] | None = None
        self._wake = threading.Semaphore(0)
        threading.Thread(target=self._work, name=f"write fd {fd}", daemon=True).start()

    async def write(self, data: bytes) -> None:
        """Write ``data`` and return when all of it is written. Raises OSError if it cannot be written."""
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
            with contextlib.suppress(RuntimeError):  # the loop is closed
                self._loop.call_soon_threadsafe(_finish, self._done, error)


def _finish(done: asyncio.Future[None] | None, error: OSError | None) -> None:
    if done is None or done.done():
        return
    if error is None:
        done.set_result(None)
    else:
        done.set_exception(error)
