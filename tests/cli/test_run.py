"""``ccvm-tui run`` and ``ccvm`` with real guests: booting, joining, interrupting and ending."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from ccvm_tui import claim, paths, project
from ccvm_tui.client import listing
from ccvm_tui.paths import GuestPaths
from ccvm_tui.project.history import History
from tests.cli.conftest import COMMAND, Open, Run
from tests.cli.ptys import Pty

BOOT = 120.0
"""Seconds within which a guest boots on a busy machine."""

LEADER = b"\x1c"
pytestmark = [pytest.mark.usefixtures("image"), pytest.mark.unmeasured]


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CCVM_MEMORY", "768")
    monkeypatch.setenv("CCVM_CORES", "1")
    monkeypatch.setenv("CCVM_AGENT", "none")


def machines_of(guest: str) -> list[str]:
    """Return the command lines of the processes that run this guest."""
    found = []
    for process in Path("/proc").iterdir():
        if process.name.isdigit():
            try:
                arguments = (process / "cmdline").read_bytes().decode(errors="replace").split("\0")
            except OSError:
                continue
            if any(f"guest={guest}" in argument for argument in arguments):
                found.append(" ".join(arguments))
    return found


def test_edits_of_a_read_only_shell_are_listed_before_it_is_stopped(
    on_terminal: Open, ccvm_tui: Run, here: Path
) -> None:
    (here / "old").write_text("old\n")
    guest = project.resolve(here).name
    terminal = on_terminal("run", "--shell", "--read-only", cols=90, rows=20)
    terminal.until("kernel", BOOT)
    terminal.until("❯", BOOT)
    terminal.type("echo new >old; stty size; echo $TERM; pwd; id -u; hostname\r")
    for line in ("20 90", "xterm-256color", str(here), str(here.stat().st_uid), "project"):
        terminal.until(line)
    terminal.type(LEADER + b"d")
    assert terminal.ended() == 0
    assert [seen.path for seen in History().list()] == [str(here)]
    assert ccvm_tui("exec", "-n", guest, "--", "cat", "old").stdout == b"new\n"
    refused = ccvm_tui("stop", guest)
    assert refused.returncode == 1
    assert b"1 changed file exists only in the guest: old" in refused.stderr
    asked = on_terminal("stop", guest)
    asked.until("1 changed file")
    asked.until("[N/y/d/a]")
    asked.type("y\r")
    assert asked.ended() == 0
    assert (here / "old").read_text() == "old\n"
    assert machines_of(guest) == []
    assert not GuestPaths(guest).dir.exists()


def test_two_runs_at_once_make_one_guest(ccvm_tui: Run, here: Path) -> None:
    both = [
        subprocess.Popen([*COMMAND, "run", "--detach", "--shell"], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        for _ in range(2)
    ]
    printed = sorted(process.communicate(timeout=BOOT)[0].decode().strip() for process in both)
    guest = project.resolve(here).name
    assert printed == [f"{guest}/s1", f"{guest}/s2"]
    assert [process.returncode for process in both] == [0, 0]
    assert listing.names() == [guest]
    assert len(machines_of(guest)) == 1
    assert ccvm_tui("stop", "--yes").returncode == 0


def test_ccvm_destroys_its_guest_when_the_agent_exits(here: Path) -> None:
    """A shell is run instead of the agent."""
    guest = project.resolve(here).name
    terminal = Pty([sys.executable, "-P", "-c", "import sys; from ccvm_tui.cli.ccvm import main; sys.exit(main())",
                    "--shell", "--ccvm-debug"], 80, 24)  # fmt: skip
    try:
        terminal.until("❯", BOOT)
        terminal.type("exit 42\r")
        assert terminal.ended() == 42
    finally:
        terminal.close()
    assert not claim.alive(GuestPaths(guest).lock)
    assert machines_of(guest) == []
    assert (paths.state_dir() / "last" / f"{guest}.console.log").exists()


def test_a_command_without_a_terminal_runs_in_pipes(ccvm_tui: Run, here: Path) -> None:
    guest = project.resolve(here).name
    done = ccvm_tui("run", "--command", "sh", "-c", "cat; echo err >&2; exit 3", stdin=b"\0in", within=BOOT)
    assert (done.returncode, done.stdout) == (3, b"\0in")
    *progress, err = done.stderr.decode().splitlines()
    assert any(line.startswith(f"{guest} is ready after ") for line in progress), progress
    assert err == "err"
    assert not claim.alive(GuestPaths(guest).lock)
    assert machines_of(guest) == []
