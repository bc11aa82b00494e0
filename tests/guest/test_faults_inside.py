"""Failures inside a real guest, and programs that stop themselves."""

from __future__ import annotations

import json
import shutil
import time

import pytest

from ccvm_tui.client import connection
from ccvm_tui.guest import SessionKind
from ccvm_tui.protocol import SessionSpec
from tests.guest.conftest import RealGuest, Starter, ccvm_tui
from tests.terminals import Terminal, attached
from tests.waiting import eventually

pytestmark = pytest.mark.unmeasured


def events(guest: RealGuest) -> list[tuple[str, str]]:
    """Return the kind and the text of each logged event."""
    lines = (guest.directory / "events.jsonl").read_text().splitlines()
    return [(entry["kind"], entry["text"]) for entry in map(json.loads, lines)]


async def at_prompt(terminal: Terminal) -> None:
    await terminal.until("❯")


# --- the SSH connection -----------------------------------------------------------------------------------------


async def test_a_lost_connection_ends_sessions_with_a_reason_and_is_reestablished(spare: RealGuest) -> None:
    session = spare.open()
    async with attached(spare.name, session) as terminal:
        await at_prompt(terminal)
        killing = spare.exec("sudo", "pkill", "-9", "sshd")
        assert killing.returncode == 6
        assert b"the connection to the guest was lost" in killing.stderr
        exited = await terminal.ended()
    assert exited.reason == "the connection to the guest was lost"
    assert spare.info["state"] == "running"
    assert session not in [info["id"] for info in spare.info["sessions"]]
    for _ in range(2):  # the second time, a reestablished connection is lost
        async with attached(spare.name, spare.open()) as terminal:
            await at_prompt(terminal)
            terminal.type("echo still$((1+1))here; sudo pkill -9 sshd\r")
            await terminal.until("still2here")
            assert (await terminal.ended()).reason == "the connection to the guest was lost"
    assert spare.sh("echo well") == "well\n"


@pytest.mark.parametrize("victim", ["-o", "-n"])
async def test_the_connection_is_lost_if_either_ssh_process_is_killed(spare: RealGuest, victim: str) -> None:
    """The server has two processes: root's monitor, which is older, and the user's, which has the connection."""
    async with attached(spare.name, spare.open()) as terminal:
        await at_prompt(terminal)
        terminal.type(f"sudo pkill -9 {victim} sshd; while :; do echo flood; done\r")
        assert (await terminal.ended()).reason == "the connection to the guest was lost"
    assert spare.sh("pgrep -c -x sshd-session") == "2\n"


# --- memory -----------------------------------------------------------------------------------------------------


async def test_a_guest_that_runs_out_of_memory_kills_only_the_largest_program(spare: RealGuest) -> None:
    before = len(events(spare))
    async with attached(spare.name, spare.open()) as terminal:
        await at_prompt(terminal)
        terminal.type("python3 -c 'a = [b\"x\" * (1 << 24) for _ in range(1 << 20)]'; echo status $?\r")
        await terminal.until("status 137", within=60)
        terminal.type("echo still$((1+1))here\r")
        await terminal.until("still2here")
    await eventually(lambda: ("oom", "the guest ran out of memory and ended python3") in events(spare)[before:])
    assert spare.sh("echo well") == "well\n"
    assert "oom" in ccvm_tui("logs", spare.name, "--events").stdout.decode()


# --- the project's directory ------------------------------------------------------------------------------------


async def test_a_guest_survives_the_removal_of_its_project(own_guest: Starter) -> None:
    guest = own_guest("--linger")
    async with attached(guest.name, "s1") as terminal:
        await at_prompt(terminal)
        shutil.rmtree(guest.project)
        terminal.type("ls; touch new; cd; echo still$((1+1))here\r")
        await terminal.until("still2here")
        assert "new" in terminal.text
        assert "cannot touch" in terminal.text
    assert guest.info["state"] == "running"
    assert guest.run("pwd").returncode == 0
    again = ccvm_tui("run", "--detach", "--shell", str(guest.project))
    assert again.returncode == 1
    assert b"No such file or directory" in again.stderr
    listed = ccvm_tui("ls").stdout.decode()
    assert str(guest.project) in listed
    directory = guest.directory
    stopped = ccvm_tui("stop", "--yes", guest.name)
    assert stopped.returncode == 0, stopped.stderr
    assert not directory.exists()
    assert not guest.project.exists()


# --- time -------------------------------------------------------------------------------------------------------


async def test_a_resumed_guest_has_the_right_time(spare: RealGuest) -> None:
    async with attached(spare.name, spare.open()) as terminal:
        await at_prompt(terminal)
        terminal.type("while sleep 0.1; do printf '\\rnow %s' $(date +%s.%N); done\r")
        await terminal.until(lambda: "now 1" in terminal.text.replace("now %s", ""))
        assert ccvm_tui("pause", spare.name).returncode == 0
        assert spare.info["state"] == "paused"
        paused = time.monotonic()
        refused = ccvm_tui("run", "--detach", "--shell", str(spare.project))
        assert refused.returncode == 1
        assert b"is paused" in refused.stderr
        await eventually(lambda: time.monotonic() - paused > 3)
        assert ccvm_tui("resume", spare.name).returncode == 0
        resumed = time.time()
        await terminal.until(lambda: _shown(terminal) > resumed - 1, within=5)
        assert abs(_shown(terminal) - time.time()) < 1
        assert abs(float(spare.sh("date +%s.%N")) - time.time()) < 1
        terminal.type("\x03")
    assert spare.info["state"] == "running"


def _shown(terminal: Terminal) -> float:
    """Return the last time of the guest's clock on this terminal."""
    return float(terminal.text.rpartition("now ")[2].split()[0])


# --- a program that stops itself --------------------------------------------------------------------------------

STOPS_ITSELF = """\
import os, signal
print("be" + "fore", flush=True)
os.kill(os.getpid(), signal.SIGSTOP)
print("af" + "ter", input(), flush=True)
raise SystemExit(42)
"""


async def test_a_program_that_stops_itself_opens_a_shell_and_fg_resumes_it(spare: RealGuest) -> None:
    """Ctrl+Z in Claude Code sends SIGSTOP to its own process."""
    (spare.project / "stops.py").write_text(STOPS_ITSELF)
    session = spare.open("--command", "python3", "stops.py")
    async with attached(spare.name, session) as terminal:
        await terminal.until("before")
        await terminal.until("paused]")
        terminal.type("echo a she''ll; pwd\r")
        await terminal.until("a shell")
        await terminal.until(str(spare.project))
        assert "after" not in terminal.text
        terminal.type("fg\r")
        terminal.type("words\r")
        await terminal.until("after words")
        assert (await terminal.ended()).status == 42


@pytest.mark.parametrize("leave", ["exit\r", "\x04"])
async def test_leaving_the_shell_of_a_stopped_agent_resumes_the_agent(spare: RealGuest, leave: str) -> None:
    (spare.project / "stops.py").write_text(STOPS_ITSELF)
    spare.sh("sudo mkdir -p /opt/ccvm; printf '#!/bin/sh\\nexec python3 stops.py\\n' | sudo tee /opt/ccvm/agent;"
             "sudo chmod 755 /opt/ccvm/agent")  # fmt: skip
    async with await connection.connect(spare.name) as keeper:
        started = await keeper.start_session(SessionSpec(SessionKind.AGENT, detached=True))
    async with attached(spare.name, started.id) as terminal:
        await terminal.until("before")
        await terminal.until("❯")
        terminal.type(leave)
        terminal.type("words\r")
        await terminal.until("after words")
        assert (await terminal.ended()).status == 42
