"""Processes that are forked from the agent, outlive it, and are started again when they end.

The file ``record`` of each has its process number, for an agent that had to start again itself.
"""

from __future__ import annotations

import os
import time

from .files import write

TYPE_CHECKING = False  # importing typing costs more than it says
if TYPE_CHECKING:
    from collections.abc import Callable

_AGAIN_AFTER = 0.2


def running(record: str, start: Callable[[], int]) -> int:
    """A pidfd of the process; ``start`` starts it, and returns its number, unless it runs already.

    It becomes readable when the process ends.
    """
    try:
        with open(record) as file:
            return os.pidfd_open(int(file.read()))
    except (FileNotFoundError, ProcessLookupError):
        pass
    pid = start()
    write(record, str(pid), 0o600)
    return os.pidfd_open(pid)


def ended(record: str) -> None:
    """Reap a process that has ended, and keep one that cannot start from being started all the time."""
    try:
        os.waitpid(-1, os.WNOHANG)
    except ChildProcessError:
        pass
    try:
        os.unlink(record)
    except FileNotFoundError:
        pass
    time.sleep(_AGAIN_AFTER)
