"""Programs in a guest, as `exec` runs them, without the command line's own process for each."""

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
    """``printed`` holds what came on each stream so far."""

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
        """Wait for so many lines on its standard output."""
        async with asyncio.timeout(WITHIN):
            while self.printed[1].count(b"\n") < count:
                assert await self._receive() is None, self.printed
        return self.printed[1].splitlines()

    async def ended(self) -> int:
        """The status; -1 when the connection to the guest was lost."""
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
    """A program that has been started. Leaving the block hangs up on it."""
    async with await connection.execute(guest, argv, dict(env or {})) as stream:
        yield Running(stream)


async def ran(guest: str, *argv: str, env: Mapping[str, str] | None = None) -> tuple[int, bytes, bytes]:
    """(status, standard output, standard error) of a program that was given an empty input."""
    async with running(guest, *argv, env=env) as program:
        program.type(b"")
        status = await program.ended()
        return status, program.printed[1], program.printed[2]
