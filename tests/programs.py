"""Programs in a guest, run as ``exec`` does, but without a process of the command line for each."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field

from ccvm_tui.client import connection
from ccvm_tui.protocol import Data, Exited, Signal

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

    async def ended(self) -> int:
        """Wait for the program to end, and return its status, or -1 if the connection to the guest was lost."""
        async with asyncio.timeout(WITHIN):
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


async def ran(guest: str, *argv: str, env: Mapping[str, str] | None = None) -> tuple[int, bytes, bytes]:
    """Run a program with an empty input, and return its status, standard output and standard error."""
    async with running(guest, *argv, env=env) as program:
        program.type(b"")
        status = await program.ended()
        return status, program.printed[1], program.printed[2]
