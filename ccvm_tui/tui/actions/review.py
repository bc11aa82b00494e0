"""The review of edits: reading, comparing, applying and undoing them, and comments for the agent."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import msgspec

from ccvm_tui.client import connection
from ccvm_tui.errors import ProtocolError, UserError
from ccvm_tui.guest import SessionInfo, SessionKind
from ccvm_tui.protocol import FrameData, Input
from ccvm_tui.review import apply, difference, journal, reviewing, unified
from ccvm_tui.review.apply import Outcome
from ccvm_tui.review.journal import Record
from ccvm_tui.review.model import Change
from ccvm_tui.terminal.cells import decode_frame
from ccvm_tui.terminal.paste import encode_paste
from ccvm_tui.text import plain
from ccvm_tui.tui.model.edits import Edits

FRAME_TIMEOUT = 5.0
"""Seconds within which a session must show its screen before a comment is sent to it."""

PROBLEMS_SHOWN = 4
"""The number of files that were refused and are named with the reason."""


async def load(guest: str) -> Edits:
    """Read the edits of a guest. Raises UserError if they cannot be read."""
    return Edits(await reviewing.review_of(guest))


async def compare(edits: Edits, change: Change) -> None:
    """Compare the lines of one file, unless that was done already."""
    if edits.hunks_of(change) is None and unified.has_lines(change):
        hunks = await asyncio.to_thread(difference.compared, *unified.sides(change))
        on_host = unified.host_sides(change)
        theirs = await asyncio.to_thread(difference.compared, *on_host) if on_host is not None else None
        edits.add_hunks(change.path, hunks, theirs)


async def apply_chosen(edits: Edits) -> str:
    """Apply the chosen changes, and return the result for the user."""
    changes, partly = edits.chosen()
    if not changes:
        return "Nothing is chosen: Space chooses a file, x a hunk"
    outcomes, accepted = await asyncio.to_thread(apply.apply, edits.review, changes, partly)
    await reviewing.report_applied(edits.review.guest, accepted)
    done = sum(not outcome.problem for outcome in outcomes)
    return "\n".join([f"Applied {done} of {len(outcomes)} changes; u undoes this", *_problems(outcomes)])


def last_applied(guest: str) -> Record | None:
    """Return what was applied last, or None if there is nothing to undo."""
    return journal.last_record(guest)


def restored(record: Record) -> list[str]:
    """Return the paths that undoing concerns."""
    return apply.undone_places(record)


async def undo(record: Record) -> str:
    """Undo what was applied, and return the result for the user."""
    outcomes = await reviewing.undo(record)
    done = sum(not outcome.problem for outcome in outcomes)
    return "\n".join([f"Restored {done} of {len(outcomes)} files", *_problems(outcomes)])


def _problems(outcomes: Sequence[Outcome]) -> list[str]:
    refused = [outcome for outcome in outcomes if outcome.problem]
    lines = [plain(f"{outcome.path}: {outcome.problem}", 200) for outcome in refused[:PROBLEMS_SHOWN]]
    return [*lines, *([f"… and {len(refused) - PROBLEMS_SHOWN} more"] if len(refused) > PROBLEMS_SHOWN else [])]


# --- comments -------------------------------------------------------------------------------------------------------


def commented_session(sessions: Sequence[SessionInfo]) -> SessionInfo | None:
    """Return the session that receives comments: the agent that printed something last, or None."""
    agents = [info for info in sessions if info.kind is SessionKind.AGENT and info.exit_status is None]
    return max(agents, key=lambda info: info.last_output, default=None)


async def send_comment(guest: str, session: SessionInfo, text: str) -> None:
    """Paste a comment into the session, without Enter, so that the user can complete and send it there.

    Raises UserError if the session does not show its screen.
    """
    async with await connection.view(guest, session.id, session.size) as stream:
        try:
            async with asyncio.timeout(FRAME_TIMEOUT):
                while not isinstance(message := await stream.receive(), FrameData):
                    pass
            modes = decode_frame(message.frame).modes
        except TimeoutError:
            raise UserError(f"{session.id} does not show its screen", "try again") from None
        except msgspec.DecodeError as error:
            raise ProtocolError(f"invalid frame from the keeper of {guest}: {error}") from error
        stream.send(Input(encode_paste(text.encode("utf-8", "replace"), modes)))
        await stream.drain()
