"""The one way in which these tests wait: terminals tell nobody that they have changed, so they are looked at again."""

from __future__ import annotations

import time
from collections.abc import Callable

WITHIN = 15.0
POLL = 0.03


def until(holds: Callable[[], bool], otherwise: Callable[[], str], within: float = WITHIN) -> None:
    """Return once ``holds`` does; after ``within`` seconds fail with what ``otherwise`` says."""
    deadline = time.monotonic() + within
    while not holds():
        if time.monotonic() > deadline:
            raise AssertionError(otherwise())
        time.sleep(POLL)
