"""Shared by tests of machines: the type of the fixture ``start``, and waiting with a deadline."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from ccvm_tui.machine.process import Machine

StartMachine = Callable[..., Awaitable[Machine]]


async def eventually(condition: Callable[[], object], seconds: float = 20.0) -> None:
    """Return once ``condition()`` is true. Raises TimeoutError if it is not within ``seconds``."""
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.01)
