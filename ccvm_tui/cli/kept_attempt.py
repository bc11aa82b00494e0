"""The end of a session in an attempt: the guest keeps running while only it has the work, and a message says so."""

from __future__ import annotations

import asyncio
import contextlib
import sys

from ccvm_tui.attempt.losses import losses
from ccvm_tui.client import connection
from ccvm_tui.errors import UserError
from ccvm_tui.guest import GuestState

ANSWER_TIMEOUT = 60.0
"""Seconds within which a guest must report the state of its attempt."""


async def report_kept(guest: str) -> bool:
    """Print what only the guest has, and what to type next. Return whether there is something.

    Nothing is printed if the guest has other sessions, since it does not stop then.
    """
    found: list[str] = []
    with contextlib.suppress(UserError, TimeoutError):  # it has stopped because there was nothing to lose
        async with asyncio.timeout(ANSWER_TIMEOUT), await connection.connect(guest) as keeper:
            info = await keeper.info()
            if info.state is not GuestState.RUNNING or any(one.exit_status is None for one in info.sessions):
                return False
            attempt = await keeper.check_attempt()
            found = losses(attempt) if attempt is not None else []
    if found:
        print(f"[{guest} keeps running: {', '.join(found)}]", file=sys.stderr)
        print(
            f"  → `ccvm-tui fetch {guest}` gets the commits, `ccvm-tui diff {guest}` shows all changes, "
            f"`ccvm-tui stop {guest}` ends it",
            file=sys.stderr,
        )
    return bool(found)
