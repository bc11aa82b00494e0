"""A session in the foreground of this terminal: raw mode, the leader's commands, and the last words."""

from __future__ import annotations

import contextlib
import sys

from ccvm_tui.cli import modes
from ccvm_tui.cli.keyboard import Command, Keyboard
from ccvm_tui.cli.raw import How, Outcome, RawTerminal
from ccvm_tui.cli.tty import Tty
from ccvm_tui.config import Settings
from ccvm_tui.errors import KeeperLost

LOST_STATUS = KeeperLost.exit_status
"""Our status when the guest or its keeper died under the session."""

LOST = -1
"""The status of a session whose program could not tell its own."""


async def foreground(guest: str, session: str, settings: Settings, *, scrollback: bool = True) -> Outcome:
    """Show ``session`` until it ends or the user detaches; the terminal is put back in any case.

    Raises UserError when there is no terminal, the session cannot be had, or its keeper goes away.
    """
    tty = Tty()
    try:
        keys = {settings.keys.zoom: "detach", settings.keys.detach: "detach", settings.keys.help: "help"}
        terminal = RawTerminal(tty, Keyboard(settings.leader, keys))
        with terminal.signals(), tty.raw():
            last_words = modes.left
            tty.write_now(modes.ENTER)
            try:
                outcome = await _until_left(terminal, tty, guest, session, settings, scrollback)
                if outcome.how is How.EXITED and outcome.status != LOST:
                    last_words = modes.ended
                elif outcome.how is not How.EXITED:
                    tty.discard_output()
            finally:
                with contextlib.suppress(OSError):  # the terminal may be gone
                    tty.write_now(last_words(tty.size().cols))
    finally:
        tty.close()
    return outcome


async def _until_left(
    terminal: RawTerminal, tty: Tty, guest: str, session: str, settings: Settings, scrollback: bool
) -> Outcome:
    while True:
        result = await terminal.show(guest, session, scrollback=scrollback)
        if isinstance(result, Outcome):
            return result
        if result == Command("detach"):
            return Outcome(How.DETACHED)
        scrollback = False  # the outer terminal has it already
        tty.write_now(modes.BLANK + _help(guest, session, settings))
        if not await terminal.any_key():
            return Outcome(How.HUNG_UP)


def _help(guest: str, session: str, settings: Settings) -> bytes:
    leader, keys = settings.leader, settings.keys
    lines = [
        f"{guest}/{session}",
        "",
        f"Every key goes to the session, except {leader}. After it:",
        "",
        f"  {keys.detach:8} leave; the session goes on, `ccvm-tui attach {guest}/{session}` comes back",
        f"  {leader:8} send {leader} itself",
        f"  {keys.help:8} this help",
        "  Esc      nothing",
        "",
        "Press any key to go back.",
    ]
    return "\r\n".join(lines).encode()


def conclude(guest: str, session: str, outcome: Outcome) -> int:
    """Say on stderr what is worth saying about how it ended; returns our exit status."""
    if outcome.how is How.DETACHED:
        _say(f"[detached from {guest}/{session}; `ccvm-tui attach {guest}/{session}` comes back]")
        return 0
    if outcome.how is How.SIGNALLED:
        return 128 + outcome.status
    if outcome.how is How.HUNG_UP:
        return 129
    if outcome.reason:
        _say(f"[{guest}/{session}: {outcome.reason}]")
        if outcome.console_tail:
            _say("the guest's console ended with:")
            _say(outcome.console_tail.rstrip())
    return LOST_STATUS if outcome.status == LOST else outcome.status


def _say(line: str) -> None:
    print(line, file=sys.stderr)
