"""The review of a running guest: its edits from the keeper, and the report of those that were applied."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from ccvm_tui.client import connection
from ccvm_tui.errors import NoSuchGuest, UserError, VersionMismatch
from ccvm_tui.paths import GuestPaths
from ccvm_tui.project import snapshots
from ccvm_tui.review import apply, attempted, load, started
from ccvm_tui.review.apply import Outcome
from ccvm_tui.review.journal import Record
from ccvm_tui.review.model import Review
from ccvm_tui.review.received import receive

ANSWER_TIMEOUT = 30.0
"""Seconds within which a keeper must list the edits."""


async def review_of(guest: str, *, with_ignored: bool = False) -> Review:
    """Return the edits of a running guest for review, or the changes since its start if its project is writable.

    The edits of an attempt are the differences between its files and the commit from which it started. New files that
    the project's .gitignore excludes are left out, unless ``with_ignored`` is true. Raises UserError if they are
    unknown or the keeper does not answer, and the errors of ``connection.connect``.
    """
    try:
        async with asyncio.timeout(ANSWER_TIMEOUT), await connection.connect(guest) as keeper:
            info = await keeper.info()
            edits = await keeper.list_edits() if info.read_only and info.attempt is None else None
    except TimeoutError:
        raise UserError(f"the keeper of {guest} did not list the edits", "see `ccvm-tui ls`") from None
    if info.attempt is not None:
        return await asyncio.to_thread(attempted.review, await receive(guest))
    paths = GuestPaths(guest)
    if edits is None:
        return await asyncio.to_thread(started.changes_since_start, guest, info.project, paths.start_repository)
    ignored = partial(snapshots.ignored, paths.start_repository, Path(info.project))
    if not edits.listed:
        return Review(guest, info.project, str(paths.edits_dir), ())
    store = str(paths.edits_dir)
    return await asyncio.to_thread(
        load.load, guest, info.project, store, edits.listed, edits.files, (lambda _: ()) if with_ignored else ignored
    )


async def undo(record: Record) -> list[Outcome]:
    """Undo what was applied; see ``apply.undo``. If the guest is running, it has these edits again."""
    paths = apply.undone_places(record)
    await report_applied(record.guest, paths, undoing=True)
    outcomes = await asyncio.to_thread(apply.undo, record)
    await asyncio.sleep(2 * load.CLOCK_SLACK / 1e9)  # so that the restored files are certainly older than the report
    await report_applied(record.guest, paths)
    return outcomes


async def report_applied(guest: str, paths: Sequence[str], *, undoing: bool = False) -> None:
    """Report applied edits to the guest's keeper, if it is running, so that later changes are compared with them.

    With ``undoing``, report that they are about to be undone.
    """
    if not paths:
        return
    with contextlib.suppress(NoSuchGuest, VersionMismatch, TimeoutError):
        async with asyncio.timeout(ANSWER_TIMEOUT), await connection.connect(guest) as keeper:
            await keeper.accept_edits(paths, undoing=undoing)
