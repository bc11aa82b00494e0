"""Programs in a real guest: their statuses, their streams, and their end after their caller's."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from ccvm_tui.client import connection
from tests.cli.ptys import Pty
from tests.guest.conftest import COMMAND, RealGuest, Starter, ccvm_tui
from tests.programs import ran, running
from tests.terminals import attached
from tests.waiting import eventually

pytestmark = pytest.mark.unmeasured

STAYING = "echo $$; exec sleep 1000"
HARMLESS = {signal.SIGCHLD, signal.SIGCONT, signal.SIGURG, signal.SIGWINCH}
STOPPING = {signal.SIGSTOP, signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU}


def until_ended(guest: RealGuest, *pids: int) -> None:
    """Wait until all these processes of the guest have ended."""
    alive = " || ".join(f"[ -e /proc/{pid} ]" for pid in pids)
    guest.sh(f"for i in $(seq 150); do {alive} || exit 0; sleep 0.1; done; ps -ef; exit 1")


# --- statuses ---------------------------------------------------------------------------------------------------


async def test_the_status_for_a_signal_is_128_plus_its_number(guest: RealGuest) -> None:
    fatal = sorted(signal.valid_signals() - HARMLESS - STOPPING)
    assert len(fatal) > 50
    for some in (fatal[at : at + 8] for at in range(0, len(fatal), 8)):
        ends = await asyncio.gather(*(ran(guest.name, "sh", "-c", f"kill -{int(n)} $$") for n in some))
        assert [status for status, _, _ in ends] == [128 + n for n in some]


async def test_programs_that_cannot_be_run_print_the_reason(guest: RealGuest) -> None:
    guest.sh("echo 'echo a script without a first line: $1' >script; chmod +x script; echo x >plain; mkdir -p folder")
    for argv, status, printed in [
        (("no-such-program",), 127, b"ccvm: no-such-program: No such file or directory\n"),
        (("./plain",), 126, b"ccvm: ./plain: Permission denied\n"),
        (("./folder",), 126, b"ccvm: ./folder: Permission denied\n"),
        (("",), 127, b"ccvm: : No such file or directory\n"),
        (("./script", "one"), 0, b"a script without a first line: one\n"),
    ]:
        ended, output, errors = await ran(guest.name, *argv)
        assert (ended, output + errors) == (status, printed)


# --- streams ----------------------------------------------------------------------------------------------------


async def test_streams_are_pipes_that_the_user_can_open(guest: RealGuest) -> None:
    script = "readlink /proc/self/fd/0 /proc/self/fd/1; echo by name >/dev/stderr; cat /dev/stdin"
    status, output, errors = await ran(guest.name, "sh", "-c", script)
    assert (status, errors) == (0, b"by name\n")
    assert [line.partition(b":")[0] for line in output.splitlines()] == [b"pipe", b"pipe"]


@pytest.mark.parametrize(
    "script",
    ["sleep 40 & echo hi", "nohup sleep 40 >/dev/null & echo hi", "setsid sleep 40 & echo hi", "(sleep 40 &); echo hi"],
)
async def test_background_processes_survive_and_are_not_waited_for(guest: RealGuest, script: str) -> None:
    began = time.monotonic()
    status, output, _ = await ran(guest.name, "sh", "-c", script)
    assert (status, output) == (0, b"hi\n")
    assert guest.sh("pkill -c -fx 'sleep 40'").strip() == "1"
    assert time.monotonic() - began < 40  # pkill ended the process, not its time


async def test_all_output_arrives_even_if_it_is_read_slowly(guest: RealGuest) -> None:
    """The last output is in a pipe that a background process holds open, and is read after the wait for that process."""
    async with running(guest.name, "sh", "-c", "head -c 6000000 /dev/zero; echo end; sleep 40 & exit 4") as program:
        guest.sh("until pgrep -x sleep >/dev/null || ! pgrep -x head >/dev/null; do sleep 0.1; done; sleep 1")
        assert await program.ended() == 4
        assert len(program.printed[1]) == 6_000_004
        assert program.printed[1].endswith(b"end\n")
    guest.sh("pkill -x sleep")


# --- arguments --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [10_000, 40_000, 100_000])
async def test_long_command_lines_arrive(guest: RealGuest, count: int) -> None:
    args = [str(number) for number in range(count)]
    assert await ran(guest.name, "echo", *args) == (0, " ".join(args).encode() + b"\n", b"")


async def test_the_only_limits_of_arguments_are_those_of_linux(guest: RealGuest) -> None:
    async with running(guest.name, "cat") as other:
        word = "w" * 131_071  # MAX_ARG_STRLEN, including the final NUL
        assert (await ran(guest.name, "printf", "%s", word))[1] == word.encode()
        assert (await ran(guest.name, "sh", "-c", "printf %s ${#WORD}", env={"WORD": word[5:]}))[1] == b"131066"
        too_long: list[tuple[list[str], dict[str, str]]] = [
            ([word + "w"], {}),
            ([], {"WORD": word}),
            (["w" * 1000] * 3000, {}),
            ([word] * 40, {}),
        ]
        for args, env in too_long:
            status, output, errors = await ran(guest.name, "printf", "%s", *args, env=env)
            assert (status, output, errors) == (126, b"", b"ccvm: printf: Argument list too long\n")
        other.type(b"still here\n")
        await other.until(b"still here\n")


def test_bytes_that_are_not_utf8_are_passed_unchanged(guest: RealGuest) -> None:
    name = os.fsdecode(b"caf\xe9")
    (guest.project / name).write_text("inside\n")
    assert guest.exec("printf", "%s", name).stdout == b"caf\xe9"
    assert guest.run("cat", name).stdout == b"inside\n"
    assert guest.run("ls", "-N").stdout.splitlines().count(b"caf\xe9") == 1
    opened = ccvm_tui("run", "--detach", "--command", "--", "sh", "-c", "sleep 1000", name, cwd=guest.project)
    assert (opened.returncode, opened.stderr) == (0, b"")
    listed = ccvm_tui("ls", "--json")
    assert b'"caf\\udce9"' in listed.stdout
    assert ccvm_tui("ls").returncode == 0
    session = opened.stdout.decode().strip().partition("/")[2]
    guest.run("sh", "-c", f"kill -9 $(cat /run/ccvm/sessions/{session})")
    (guest.project / name).unlink()


def test_names_of_edits_that_are_not_utf8_are_listed(own_guest: Starter) -> None:
    guest = own_guest("--read-only")
    guest.run("touch", os.fsdecode(b"caf\xe9"))
    refused = ccvm_tui("stop", guest.name)
    assert (refused.returncode, refused.stdout) == (1, b"")
    assert "caf�".encode() in refused.stderr


# --- the end ----------------------------------------------------------------------------------------------------


def test_a_program_ends_with_its_caller(guest: RealGuest) -> None:
    statuses = {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGHUP: 129, signal.SIGQUIT: 131, signal.SIGKILL: -9}
    argv = [*COMMAND, "exec", guest.name, "--", "sh", "-c", STAYING]
    callers = {
        number: subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=guest.project)
        for number in statuses
    }
    pids = [int(caller.stdout.readline()) for caller in callers.values() if caller.stdout is not None]
    for number, caller in callers.items():
        caller.send_signal(number)
    assert {number: caller.wait(30) for number, caller in callers.items()} == statuses
    until_ended(guest, *pids)


def test_a_program_ends_when_its_terminal_is_closed(guest: RealGuest) -> None:
    terminal = Pty([*COMMAND, "exec", guest.name, "--", "sh", "-c", STAYING], 80, 24)
    pid = int(terminal.until("\n").split()[-1])
    terminal.close()
    until_ended(guest, pid)


async def test_signals_run_the_programs_traps(guest: RealGuest) -> None:
    script = (
        "for s in INT TERM HUP QUIT; do trap 'echo got '$s'; exit 9' $s; done; echo ready; while :; do sleep 0.1; done"
    )
    for name in ("INT", "TERM", "HUP", "QUIT"):
        async with running(guest.name, "sh", "-c", script) as program:
            await program.until(b"ready\n")
            program.signal(signal.Signals[f"SIG{name}"])
            assert await program.ended() == 9
            assert program.printed[1] == f"ready\ngot {name}\n".encode()
    async with running(guest.name, "sh", "-c", script.replace("echo got ", "echo >gone got ")) as program:
        await program.until(b"ready\n")
    guest.sh("for i in $(seq 100); do [ -s gone ] && break; sleep 0.1; done; grep 'got HUP' gone; rm gone")


async def test_a_program_that_ignores_signals_is_killed_with_its_children(guest: RealGuest) -> None:
    script = "trap '' INT TERM HUP; setsid sh -c 'echo $$; exec sleep 1000' & sleep 1000 & echo $!; echo $$; wait"
    for number in (signal.SIGTERM, 0):  # a signal; a closed connection
        async with running(guest.name, "sh", "-c", script) as program:
            pids = await program.lines(3)
            if number:
                program.signal(number)
                assert await program.ended() == 137
        until_ended(guest, *map(int, pids))


async def test_an_interrupt_is_not_delayed_by_unread_input(guest: RealGuest) -> None:
    for script in (STAYING, "head -c 1000000 >/dev/null; " + STAYING):
        with Path("/dev/zero").open("rb") as endless:
            argv = [*COMMAND, "exec", guest.name, "--", "sh", "-c", script]
            with subprocess.Popen(argv, stdin=endless, stdout=subprocess.PIPE) as caller:
                assert caller.stdout is not None
                pid = int(caller.stdout.readline())
                caller.send_signal(signal.SIGINT)
                assert await asyncio.to_thread(caller.wait, 30) == 130
        until_ended(guest, pid)


async def test_background_processes_survive_a_session_that_exits_but_not_one_that_is_ended(guest: RealGuest) -> None:
    session = guest.open()
    async with await connection.connect(guest.name) as control, attached(guest.name, session) as terminal:
        await terminal.until("❯")
        terminal.type("clear; setsid -f sleep 3001; sleep 3002 & disown; trap '' HUP; sleep 3003\r")
        await asyncio.to_thread(guest.sh, "until pgrep -fx 'sleep 3003'; do sleep 0.1; done")
        pids = guest.sh("pgrep -x sleep").split()
        assert len(pids) == 3
        await control.end_session(session)
        assert (await terminal.ended()).status == 129
    await asyncio.to_thread(until_ended, guest, *map(int, pids))
    session = guest.open("--command", "sh", "-c", "setsid -f sleep 3004; exit 5")
    await eventually(lambda: session not in [info["id"] for info in guest.info["sessions"]])
    # its supervisor, whose number is the name of the cgroup, has exited
    await asyncio.to_thread(
        guest.sh,
        "p=$(pgrep -fx 'sleep 3004'); c=$(sed 's,.*/ccvm/,,' /proc/$p/cgroup);"
        "for i in $(seq 100); do [ -e /proc/${c%%.*} ] || break; sleep 0.1; done; [ ! -e /proc/${c%%.*} ]; kill $p",
    )


def test_a_full_disk_on_the_host_ends_the_program_in_the_guest(guest: RealGuest) -> None:
    script = "echo $$ >pid; head -c 300000 /dev/zero; exec sleep 1000"
    with Path("/dev/full").open("wb") as full:
        argv = [*COMMAND, "exec", "-n", guest.name, "--", "sh", "-c", script]
        done = subprocess.run(argv, stdout=full, stderr=subprocess.PIPE, timeout=60, check=False)
    assert done.returncode == 1
    assert b"standard output cannot be written: No space left on device" in done.stderr
    until_ended(guest, int((guest.project / "pid").read_text()))
