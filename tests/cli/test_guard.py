"""``ccvm-tui guard``, for a running guest and after its end."""

from __future__ import annotations

import json
from pathlib import Path

from ccvm_tui.guard.quarantine import Quarantine
from ccvm_tui.guard.report import Report
from tests.cli.conftest import Run, Start

HOOK = Report(
    ".git/hooks/pre-push", "hook", "Git runs hooks", ("program x", "more"), True,
    b"#!/bin/sh\necho \x1b[2Jhidden\rvisible\n", complete=True,
)  # fmt: skip


def test_items_are_listed_shown_and_allowed(start: Start, ccvm_tui: Run, here: Path) -> None:
    guest = start("cat")
    (here / ".git/hooks").mkdir(parents=True)
    empty = ccvm_tui("guard")
    assert (empty.returncode, empty.stdout) == (0, b"")
    item = Quarantine(guest).add(HOOK, str(here), 1.0)
    head, row = ccvm_tui("guard", guest).stdout.decode().splitlines()
    assert head.split() == ["ID", "TIME", "STATE", "FILE", "PROBLEM"]
    assert row.endswith("blocked  .git/hooks/pre-push  program x (and 1 more)")
    shown = ccvm_tui("guard", "--show", item.id).stdout.decode()
    assert "Git runs hooks" in shown
    assert "hidden" in shown
    assert "visible" in shown
    assert "\x1b" not in shown
    assert "\r" not in shown
    (listed,) = json.loads(ccvm_tui("guard", "--json").stdout)["items"]
    assert (listed["state"], listed["path"]) == ("blocked", ".git/hooks/pre-push")
    assert b"is written" in ccvm_tui("guard", "--allow", item.id).stdout
    assert (here / ".git/hooks/pre-push").read_bytes() == HOOK.content


def test_items_are_allowed_after_the_guests_end(start: Start, ccvm_tui: Run, here: Path) -> None:
    guest = start("cat")
    (here / ".git/hooks").mkdir(parents=True)
    item = Quarantine(guest).add(HOOK, str(here), 1.0)
    ccvm_tui("stop", guest)
    assert b"blocked" in ccvm_tui("guard").stdout
    assert ccvm_tui("guard", "--allow", item.id).returncode == 0
    assert (here / ".git/hooks/pre-push").exists()
    assert ccvm_tui("guard", "--show", "99").returncode == 1


def test_a_guest_that_never_existed_is_an_error(ccvm_tui: Run) -> None:
    assert ccvm_tui("guard", "nothing").returncode == 3
