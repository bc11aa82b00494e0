"""A program in a guest with our own standard streams in place of a terminal."""

from __future__ import annotations

import asyncio
import signal
import sys

from ccvm_tui.cli.pipes import OutputPipe, pump_input
from ccvm_tui.client import connection
from ccvm_tui.client.connection import Stream
from ccvm_tui.errors import KeeperLost, OutputFailed
from ccvm_tui.protocol import INPUT_WINDOW, Data, Exited, Signal, Taken

PASSED_ON = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
"""Signals that are the program's, which decides what becomes of it; the guest kills it after 5 seconds."""

ENDED_WITHIN = 6.0
"""Seconds after such a signal within which the program's end is heard of, unless the guest is paused or very busy."""


async def execute(guest: str, argv: tuple[str, ...], env: dict[str, str], *, no_stdin: bool = False) -> int:
    """Run ``argv`` to its end; returns its exit status, or 128 and the number of the signal that ended us.

    Raises NoSuchGuest, VersionMismatch, KeeperLost, OutputFailed; BrokenPipeError when our output is no longer
    wanted.
    """
    stream = await connection.execute(guest, argv, env)
    feeding = None
    try:
        given = _Input(stream)
        if no_stdin or sys.stdin is None:  # None: descriptor 0 was closed, and is something else by now
            await given.send(b"")
        else:
            feeding = pump_input(sys.stdin.fileno(), given.send)
        receiving = asyncio.ensure_future(_receive(stream, given))
        signals = _Signals(stream, receiving)
        try:
            return await receiving
        except asyncio.CancelledError:
            if signals.first is None:
                raise
            return 128 + signals.first
    finally:
        if feeding is not None:
            feeding.cancel()
        stream.abort()  # what the program has not taken yet is of no use; if it still runs, this ends it


class _Input:
    """Sends what the program may be given, and no more than that: what it does not read is in nobody's way."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._window = INPUT_WINDOW
        self._room = asyncio.Condition()

    async def send(self, data: bytes) -> None:
        async with self._room:
            await self._room.wait_for(lambda: self._window >= len(data))
            self._window -= len(data)
        self._stream.send(Data(0, data))
        await self._stream.drain()

    async def taken(self, count: int) -> None:
        async with self._room:
            self._window += count
            self._room.notify_all()


class _Signals:
    """The first signal is the program's affair, whose end is waited for; the next one ends us at once."""

    def __init__(self, stream: Stream, receiving: asyncio.Future[int]) -> None:
        self.first: int | None = None
        self._stream = stream
        self._receiving = receiving
        loop = asyncio.get_running_loop()
        for number in PASSED_ON:
            loop.add_signal_handler(number, self._came, number)

    def _came(self, number: int) -> None:
        self._stream.send(Signal(number))
        if self.first is None:
            self.first = number
            asyncio.get_running_loop().call_later(ENDED_WITHIN, self._receiving.cancel)
        else:
            self._receiving.cancel()


async def _receive(guest: Stream, given: _Input) -> int:
    """Copy the program's output until it ends; returns its status."""
    pipes = {
        number: OutputPipe(stream.fileno())
        for number, stream in ((1, sys.stdout), (2, sys.stderr))
        if stream is not None
    }
    while True:
        message = await guest.receive()
        if isinstance(message, Data) and message.stream in pipes:
            await _write(pipes[message.stream], message)
        elif isinstance(message, Taken):
            await given.taken(message.count)
        elif isinstance(message, Exited):
            if message.reason:
                print(f"ccvm-tui: {guest.name}: {message.reason}", file=sys.stderr)
            return KeeperLost.exit_status if message.status < 0 else message.status


async def _write(pipe: OutputPipe, message: Data) -> None:
    """Raises BrokenPipeError when nobody reads any more, OutputFailed when it cannot be written."""
    try:
        await pipe.write(message.data)
    except BrokenPipeError:
        raise
    except OSError as error:
        raise OutputFailed.of(error, "standard output" if message.stream == 1 else "standard error") from error
