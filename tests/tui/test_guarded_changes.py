"""The guard in the dashboard: a notice, the list, and allowing an item."""

from __future__ import annotations

from pathlib import Path

from ccvm_tui.guard.quarantine import Quarantine
from ccvm_tui.guard.report import Report
from ccvm_tui.tui.dialogs.guarded_changes import GuardedChanges
from tests.tui.conftest import Drive, start_guest

HOOK = Report(
    ".git/hooks/pre-push", "hook", "Git runs hooks", ("program x",), True, b"#!/bin/sh\necho evil\n", complete=True
)
OTHER = Report(".envrc", "tool", "a shell may run it", ("version y",), False)


async def test_an_item_is_shown_and_allowed(drive: Drive, home: Path) -> None:
    await start_guest(home, "work", "cat", title="program")
    (home / "work/.git/hooks").mkdir(parents=True)
    quarantine = Quarantine("work")
    item = quarantine.add(HOOK, str(home / "work"), 1.0)
    quarantine.add(OTHER, str(home / "work"), 2.0)
    async with drive() as driven:
        await driven.shows("program")
        await driven.press("b")
        await driven.shows(".envrc: a shell may run it")
        await driven.press("j")
        await driven.shows("echo evil")
        await driven.press("a")
        await driven.until((home / "work/.git/hooks/pre-push").exists)
        await driven.until(lambda: quarantine.item(item.id).state == "allowed")


async def test_an_empty_list_says_so(drive: Drive, home: Path) -> None:
    await start_guest(home, "work", "cat", title="program")
    async with drive() as driven:
        await driven.shows("program")
        await driven.press("b")
        await driven.shows("Nothing was blocked or noticed.")
        await driven.press("a", "escape")
        await driven.until(lambda: not isinstance(driven.app.screen, GuardedChanges))
