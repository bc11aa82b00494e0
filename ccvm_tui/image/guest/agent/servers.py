"""Server processes that are forked from the agent, outlive it, and are restarted when they exit.

The file ``record`` of a server contains its pid, for an agent that was itself restarted.
"""

from __future__ import annotations

import os
import time

from .files import write

TYPE_CHECKING = False  # typing is slow to import
if TYPE_CHECKING:
    from collections.abc import Callable

_RESTART_DELAY = 0.2


def ensure_running(record: str, start: Callable[[], int]) -> int:
    """Start a server with ``start``, which returns its pid, unless it runs already.

    Returns a pidfd, which becomes readable when the process exits.
    """
    try:
        with open(record) as file:
            return os.pidfd_open(int(file.read()))
    except (FileNotFoundError, ProcessLookupError):
        pass
    pid = start()
    write(record, str(pid), 0o600)
    return os.pidfd_open(pid)


def reap(record: str) -> None:
    """Reap a server that has exited, and delay the restart, in case it cannot start at all."""
    try:
        os.waitpid(-1, os.WNOHANG)
    except ChildProcessError:
        pass
    try:
        os.unlink(record)
    except FileNotFoundError:
        pass
    time.sleep(_RESTART_DELAY)
