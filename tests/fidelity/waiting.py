"""Waiting by polling, because tmux does not report changes of a terminal."""

from __future__ import annotations

import time
from collections.abc import Callable

WITHIN = 15.0
POLL = 0.03


def until(condition: Callable[[], bool], message: Callable[[], str], within: float = WITHIN) -> None:
    """Wait until a condition is true. Raises AssertionError with the message after ``within`` seconds."""
    deadline = time.monotonic() + within
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(message())
        time.sleep(POLL)
