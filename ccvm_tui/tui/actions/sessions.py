"""Copying and saving a session's scrollback, and attaching to a session in the whole host terminal."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path

import msgspec

from ccvm_tui.errors import ProtocolError
from ccvm_tui.terminal.cells import Lines
from ccvm_tui.tui.actions.clipboard import Clipboard
from ccvm_tui.tui.actions.command_line import own_command
from ccvm_tui.tui.model.fleet import Fleet
from ccvm_tui.tui.model.grid import Grid, Line, lines_of
from ccvm_tui.tui.model.sessions import SessionKey
from ccvm_tui.tui.model.text_selection import TextSelection, selected_text

LINES_AT_ONCE = 2000
"""The number of lines of the scrollback that are fetched at once."""


async def fetch_lines(fleet: Fleet, key: SessionKey, first: int, count: int) -> dict[int, Line]:
    """Return lines of a session's scrollback by absolute number, without those that do not exist."""
    data = await fleet.keeper(key.guest).rows(key.session, first, count)
    try:
        return lines_of(msgspec.msgpack.decode(data, type=Lines))
    except msgspec.DecodeError as error:
        raise ProtocolError(f"invalid lines from the keeper of {key.guest}: {error}") from error


async def copy_selection(
    fleet: Fleet,
    key: SessionKey,
    selection: TextSelection,
    available: Mapping[int, Line],
    clipboard: Clipboard,
    *,
    ended: bool,
) -> str:
    """Copy the selected text as it was shown, even if the program has overwritten it since.

    Lines that are not ``available`` are fetched, unless the session has ended. Return the message for the user, or an
    empty string if the selection is empty.
    """
    lines = dict(available)
    wanted = range(selection.first.line, selection.last.line + 1)
    missing = [] if ended else [number for number in wanted if number not in lines]
    while missing:
        first = missing[0]
        piece = [number for number in missing if number < first + LINES_AT_ONCE]
        fetched = await fetch_lines(fleet, key, first, piece[-1] + 1 - first)
        lines.update((number, fetched[number]) for number in piece if number in fetched)
        del missing[: len(piece)]
    text = selected_text(lines, selection)
    if not text:
        return ""
    accepted = await clipboard.copy(text.encode("utf-8", "replace"))
    count = text.count("\n") + (not text.endswith("\n"))
    size = f"{count} lines" if count > 1 else f"{len(text)} characters"
    return f"Copied {size}" if accepted else f"{size} are too long for the terminal's clipboard"


async def save_scrollback(fleet: Fleet, key: SessionKey, grid: Grid) -> Path:
    """Save the scrollback and the screen as text in the user's home directory, and return the file."""
    text = await fleet.keeper(key.guest).text(key.session, grid.oldest, grid.top + grid.rows - 1)
    path = Path.home() / f"ccvm-{key.guest}-{key.session}-{time.strftime('%Y%m%d-%H%M%S')}.txt"
    await asyncio.to_thread(_write_private, path, text)
    return path


def _write_private(path: Path, text: str) -> None:
    """Write a file that only the user can read, because the scrollback may contain secrets."""
    with open(path, "w", encoding="utf-8", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
        file.write(text)


async def mark_seen(fleet: Fleet, key: SessionKey) -> None:
    """Report to the keeper that the user has seen why a session needs them."""
    await fleet.keeper(key.guest).seen(key.session)


async def attach(key: SessionKey, suspended: AbstractContextManager[None]) -> None:
    """Run ``ccvm-tui attach`` in the host terminal until it detaches, with the dashboard ``suspended``.

    The session's output reaches the terminal unfiltered, including pictures.
    """
    with suspended:
        process = await asyncio.create_subprocess_exec(*own_command("attach", str(key)))
        await process.wait()
