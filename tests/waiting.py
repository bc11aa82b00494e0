"""Waiting by polling, for conditions that send no event when they become true: files, processes, locks, screens."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

WITHIN = 20.0
"""Seconds after which a condition is given up by default. Long, since the machine may be busy."""

INTERVAL = 0.02
"""Seconds between two evaluations of a condition."""


def wait_until(
    condition: Callable[[], object],
    message: Callable[[], str] = lambda: "the condition is still false",
    within: float = WITHIN,
) -> None:
    """Wait until a condition is true. Raises AssertionError with the message after ``within`` seconds."""
    deadline = time.monotonic() + within
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(message())
        time.sleep(INTERVAL)


async def eventually(
    condition: Callable[[], object],
    message: Callable[[], str] = lambda: "the condition is still false",
    within: float = WITHIN,
) -> None:
    """Wait until a condition is true, as ``wait_until`` does, while other tasks run."""
    deadline = time.monotonic() + within
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(message())
        await asyncio.sleep(INTERVAL)
