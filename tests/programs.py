"""Programs in a guest, run as ``exec`` does, but without a process of the command line for each."""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
from collections.abc import AsyncIterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from ccvm_tui.client import connection
from ccvm_tui.protocol import INPUT_WINDOW, Data, Exited, Signal

WITHIN = 60.0


@dataclass
class Running:
    """A program that is running. ``printed`` contains its output so far, by stream."""

    stream: connection.Stream
    printed: dict[int, bytes] = field(default_factory=lambda: {1: b"", 2: b""})

    def type(self, data: bytes) -> None:
        self.stream.send(Data(0, data))

    def signal(self, number: int) -> None:
        self.stream.send(Signal(number))

    async def until(self, text: bytes) -> None:
        """Wait for the program to print ``text`` on its standard output."""
        async with asyncio.timeout(WITHIN):
            while text not in self.printed[1]:
                assert await self._receive() is None, self.printed

    async def lines(self, count: int) -> list[bytes]:
        """Wait for ``count`` lines on its standard output, and return them."""
        async with asyncio.timeout(WITHIN):
            while self.printed[1].count(b"\n") < count:
                assert await self._receive() is None, self.printed
        return self.printed[1].splitlines()

    async def ended(self, within: float = WITHIN) -> int:
        """Wait for the program to end, and return its status, or -1 if the connection to the guest was lost."""
        async with asyncio.timeout(within):
            while True:
                if (exited := await self._receive()) is not None:
                    return exited.status

    async def _receive(self) -> Exited | None:
        message = await self.stream.receive()
        if isinstance(message, Data):
            self.printed[message.stream] += message.data
        return message if isinstance(message, Exited) else None


@contextlib.asynccontextmanager
async def running(guest: str, *argv: str, env: Mapping[str, str] | None = None) -> AsyncIterator[Running]:
    """Start a program. Leaving the block closes the connection, which ends the program."""
    async with await connection.execute(guest, argv, dict(env or {})) as stream:
        yield Running(stream)


async def ran(
    guest: str, *argv: str, env: Mapping[str, str] | None = None, data: bytes = b"", within: float = WITHIN
) -> tuple[int, bytes, bytes]:
    """Run a program with the input ``data``, and return its status, standard output and standard error."""
    assert len(data) < INPUT_WINDOW
    async with running(guest, *argv, env=env) as program:
        if data:
            program.type(data)
        program.type(b"")
        status = await program.ended(within)
        return status, program.printed[1], program.printed[2]


def completed(guest: str, *argv: str, data: bytes = b"", within: float = WITHIN) -> subprocess.CompletedProcess[bytes]:
    """Run a program as ``ran`` does, and block until it has ended. It has its own event loop, so coroutines can call it."""
    with ThreadPoolExecutor(1) as thread:
        status, output, errors = thread.submit(asyncio.run, ran(guest, *argv, data=data, within=within)).result()
    return subprocess.CompletedProcess(argv, status, output, errors)
