"""Attempts: what would be lost with their guests, the fetch of their commits, and their comparison."""

from __future__ import annotations

import asyncio

from ccvm_tui.attempt import losses as attempt_losses
from ccvm_tui.errors import CcvmError
from ccvm_tui.review import comparing, difference, fetching
from ccvm_tui.review.comparing import Comparison, Row
from ccvm_tui.review.fetching import Fetched
from ccvm_tui.review.hunks import Hunk
from ccvm_tui.text import plain
from ccvm_tui.tui.model.fleet import Fleet
from ccvm_tui.tui.model.guests import Guest

STATE_TIMEOUT = 20.0
"""Seconds to wait for the state of an attempt, before the user is asked without it."""


async def losses(fleet: Fleet, guest: Guest) -> list[str]:
    """Return which parts of an attempt would be lost with its guest."""
    try:
        async with asyncio.timeout(STATE_TIMEOUT):
            attempt = await fleet.keeper(guest.name).check_attempt()
    except (TimeoutError, CcvmError):
        return ["The guest did not report whether its commits were fetched."]
    found = attempt_losses.losses(attempt) if attempt is not None else []
    return [*(plain(line, 200) for line in found), *(["F in the tree fetches the commits."] if found else [])]


async def fetch(guest: str) -> str:
    """Fetch the commits of an attempt, and return the result for the user. Raises UserError if that fails."""
    result = await fetching.fetch(guest)
    lines = [_line(one) for one in result.fetched]
    if count := result.received.state.uncommitted:
        lines.append(f"{attempt_losses.counted(count, 'uncommitted change')} stayed in the guest; d shows them")
    return "\n".join(plain(line, 200) for line in lines)


def _line(fetched: Fetched) -> str:
    if fetched.problem:
        return f"{fetched.reference}: {fetched.problem}"
    if not fetched.changed:
        return f"{fetched.reference}: nothing new"
    return f"{fetched.reference}: {attempt_losses.counted(fetched.commits, 'new commit')}"


async def compare(one: str, other: str) -> Comparison:
    """Return the comparison of two attempts. Raises UserError if it fails."""
    return await comparing.compare(one, other)


async def compared(comparison: Comparison, row: Row) -> list[Hunk] | None:
    """Return the differences of a file between two attempts, or None if it is not a text."""
    texts = await asyncio.to_thread(comparison.texts, row)
    return None if texts is None else await asyncio.to_thread(difference.compared, *texts)
