"""A program in a guest with our own standard streams in place of a terminal."""

from __future__ import annotations

import asyncio
import signal
import sys

from ccvm_tui.cli.pipes import OutputPipe, pump_input
from ccvm_tui.client import connection
from ccvm_tui.client.connection import Stream
from ccvm_tui.errors import KeeperLost
from ccvm_tui.protocol import Data, Exited


async def execute(guest: str, argv: tuple[str, ...], env: dict[str, str], *, no_stdin: bool = False) -> int:
    """Run ``argv`` to its end; returns its exit status, or 128 and the number of the signal that ended us.

    Raises NoSuchGuest, VersionMismatch, KeeperLost, BrokenPipeError when our output is no longer wanted.
    """
    async with await connection.execute(guest, argv, env) as stream:

        async def send(data: bytes) -> None:
            stream.send(Data(0, data))
            await stream.drain()

        feeding = None
        if no_stdin or sys.stdin is None:  # None: descriptor 0 was closed, and is something else by now
            await send(b"")
        else:
            feeding = pump_input(sys.stdin.fileno(), send)
        receiving = asyncio.ensure_future(_receive(stream))
        signals: list[int] = []
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(number, _end, signals, number, receiving)
        # closing the connection, on the way out, ends the program if it still runs
        try:
            return await receiving
        except asyncio.CancelledError:
            if not signals:
                raise
            return 128 + signals[0]
        finally:
            if feeding is not None:
                feeding.cancel()


def _end(signals: list[int], number: int, receiving: asyncio.Future[int]) -> None:
    signals.append(number)
    receiving.cancel()


async def _receive(guest: Stream) -> int:
    """Copy the program's output until it ends; returns its status."""
    pipes = {
        number: OutputPipe(stream.fileno())
        for number, stream in ((1, sys.stdout), (2, sys.stderr))
        if stream is not None
    }
    while True:
        message = await guest.receive()
        if isinstance(message, Data) and message.stream in pipes:
            await pipes[message.stream].write(message.data)
        elif isinstance(message, Exited):
            if message.reason:
                print(f"ccvm-tui: {guest.name}: {message.reason}", file=sys.stderr)
            return KeeperLost.exit_status if message.status < 0 else message.status
