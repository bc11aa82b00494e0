"""The dashboard with a real guest: start it, work in it, quit, and return to it."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

import pytest

from ccvm_tui.client import listing
from tests.guest.conftest import BOOT_WITHIN, COMMAND
from tests.tui.outer import OuterTerminal
from tests.waiting import eventually

pytestmark = pytest.mark.unmeasured

LEADER = "\x1c"
WRITES_ON_EXIT = "sh -c 'trap \"echo politely > ended; exit\" HUP TERM; while :; do sleep 0.1; done'"


@pytest.mark.usefixtures("image")
async def test_a_guest_can_be_started_used_left_and_reopened(home: Path) -> None:
    config = home / "config" / "ccvm"
    config.mkdir(parents=True)
    (config / "config.toml").write_text("memory = 1024\nlinger = true\n")
    project = home / "project"
    project.mkdir()
    environment = {"HOME": os.environ["HOME"]}  # the image is in the cache below it
    async with OuterTerminal(home, 100, 30, *COMMAND, env=environment) as outer:
        await outer.until("Welcome to ccvm-tui")
        await outer.type("\x1b")  # the tour does not open again
        await outer.until(lambda: "Welcome" not in outer.text)  # a key right after Escape would be Alt and the key
        await outer.until("Press + to add a directory")
        await outer.type("+")
        await outer.until("Add a project")
        await outer.type(f"{project}\r")
        await outer.until("start with a shell")
        await outer.type("c")
        await outer.until("Ctrl+\\ then", BOOT_WITHIN)
        await outer.type("uname -n; echo in-$((40+2))\r")
        await outer.until("in-42", 60)
        await outer.type("vim -N note.txt\r")
        await outer.until(lambda: outer.text.count("~") > 10, 60)
        await outer.type("ifrom the guest\x1b")
        await outer.until("from the guest")
        outer.resize(120, 40)
        with contextlib.suppress(AssertionError):
            await outer.until(lambda: outer.text.count("~") > 25)
        await outer.type("\x1b")  # vim sometimes handles a change of size only at the next key
        await outer.until(lambda: outer.text.count("~") > 25, 60)
        await outer.type(":w\r")
        await outer.until("written", 60)
        await outer.type(LEADER + "c")
        await outer.until("2 sessions", 60)
        await outer.type("echo second-$((1+1))\r")
        await outer.until("second-2", 60)
        await outer.type(f"{WRITES_ON_EXIT}\r")
        await outer.type(LEADER + "\t")
        await outer.until("from the guest")
        await outer.type(LEADER + "d")
        await outer.until("q quit")
        await outer.type("q")
        assert await outer.ended() == 0
        assert "1 guest keeps running" in outer.text
    assert (project / "note.txt").read_text() == "from the guest\n"
    async with OuterTerminal(home, 120, 40, *COMMAND, env=environment, cwd=project) as outer:
        await outer.until("2 sessions", 60)
        await outer.until("from the guest", 60)  # the cursor starts on the project in the working directory
        await outer.type(LEADER + "1")
        await outer.until("Ctrl+\\ then")
        await outer.type(LEADER + "d")
        await outer.until("q quit")
        await outer.type("S")
        await outer.until("Stop ")
        await outer.until("vim")
        await outer.type("y")
        await outer.until("0 running", 60)
        await eventually(lambda: listing.names() == [])
    assert (
        project / "ended"
    ).read_text() == "politely\n"  # programs received the signal, and the files were written back
