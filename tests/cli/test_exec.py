"""``ccvm-tui exec`` has separate, binary streams and the program's exit status."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import pytest

from tests.cli.conftest import COMMAND, Run, Start
from tests.waiting import wait_until

pytestmark = pytest.mark.unmeasured

LARGE = 5_000_000


def test_input_and_output_are_binary(start: Start, ccvm_tui: Run) -> None:
    start("cat")
    data = os.urandom(LARGE)
    done = ccvm_tui("exec", "project", "--", "cat", stdin=data)
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout == data


def test_streams_are_separate_and_the_status_is_the_programs(start: Start, ccvm_tui: Run) -> None:
    start("cat")
    done = ccvm_tui("exec", ".", "--", "sh", "-c", "echo out; echo err >&2; exit 7")
    assert (done.returncode, done.stdout, done.stderr) == (7, b"out\n", b"err\n")


def test_arguments_are_not_changed(start: Start, ccvm_tui: Run) -> None:
    start("cat")
    arguments = ["two words", "", "*", "$HOME", "--", "-x", "a'b\"c", "é"]
    done = ccvm_tui("exec", "project", "--", "printf", "%s\\0", *arguments)
    assert done.stdout.decode().split("\0")[:-1] == arguments


def test_standard_input_can_be_empty(start: Start, ccvm_tui: Run) -> None:
    start("cat")
    assert ccvm_tui("exec", "-n", "project", "--", "cat", stdin=b"unread").stdout == b""


def test_a_closed_standard_input_is_empty(start: Start) -> None:
    start("cat")
    done = subprocess.run(
        ["sh", "-c", 'exec "$@" <&-', "sh", *COMMAND, "exec", "project", "--", "sh", "-c", "cat; echo end"],
        capture_output=True, timeout=30, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (0, b"end\n")


def test_a_pipeline_of_archives_works(start: Start, here: Path) -> None:
    start("cat")
    (here / "from").mkdir()
    (here / "from" / "file").write_bytes(os.urandom(300_000))
    (here / "to").mkdir()
    command = " ".join(COMMAND)
    script = f"tar -C from -c . | {command} exec project -- tar -C to -x"
    assert subprocess.run(["sh", "-c", script], timeout=30, check=False).returncode == 0
    assert (here / "to" / "file").read_bytes() == (here / "from" / "file").read_bytes()


def test_the_exit_of_the_reader_ends_the_program(start: Start, here: Path) -> None:
    start("cat")
    script = f"{{ {' '.join(COMMAND)} exec -n project -- yes; echo $? >status; }} | head -n 1"
    done = subprocess.run(["sh", "-c", script], capture_output=True, timeout=30, check=False)
    assert (done.stdout, done.stderr) == (b"y\n", b"")
    assert (here / "status").read_text() == "141\n"


def wait_for_end(pid: int) -> None:
    wait_until(lambda: not Path(f"/proc/{pid}").exists(), lambda: "the program is still running")


@pytest.mark.parametrize(
    ("number", "status"),
    [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129), (signal.SIGQUIT, 131), (signal.SIGKILL, -9)],
)
def test_a_signal_ends_the_program(start: Start, number: int, status: int) -> None:
    start("cat")
    argv = [*COMMAND, "exec", "project", "--", "sh", "-c", "echo $$; exec sleep 1000"]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        pid = int(process.stdout.readline())
        process.send_signal(number)
        assert process.wait(20) == status
    wait_for_end(pid)


def test_the_program_can_handle_the_interrupt(start: Start) -> None:
    start("cat")
    script = "trap 'echo cleaned; exit 3' INT; echo ready; while :; do sleep 0.1; done"
    argv = [*COMMAND, "exec", "project", "--", "sh", "-c", script]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        process.send_signal(signal.SIGINT)
        assert (process.stdout.read(), process.wait(20)) == (b"cleaned\n", 3)


def test_a_program_that_ignores_the_interrupt_is_killed(start: Start) -> None:
    start("cat")
    argv = [*COMMAND, "exec", "project", "--", "sh", "-c", "trap '' INT; echo $$; while :; do sleep 1; done"]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        pid = int(process.stdout.readline())
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 137
    wait_for_end(pid)


def test_a_second_signal_ends_the_wait(start: Start) -> None:
    start("cat")
    script = "trap '' INT; trap 'echo; exit' HUP; echo ready; while :; do sleep 0.1; done"
    argv = [*COMMAND, "exec", "project", "--", "sh", "-c", script]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        process.send_signal(signal.SIGINT)
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) in (130, 143)  # the kernel may deliver either signal first


@pytest.mark.parametrize("script", ["echo $$; exec sleep 1000", "echo $$; read x; echo $x; exec sleep 1000"])
def test_unread_input_does_not_delay_the_interrupt(start: Start, script: str) -> None:
    start("cat")
    argv = [*COMMAND, "exec", "project", "--", "sh", "-c", script]
    with (
        Path("/dev/zero").open("rb") as endless,
        subprocess.Popen(argv, stdin=endless, stdout=subprocess.PIPE) as process,
    ):
        assert process.stdout is not None
        pid = int(process.stdout.readline())
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 130
    wait_for_end(pid)


@pytest.mark.parametrize("script", ["sleep 30 & echo hi", "setsid sleep 30 & echo hi", "(sleep 30 &); echo hi"])
def test_background_processes_do_not_delay_the_end(start: Start, ccvm_tui: Run, script: str) -> None:
    start("cat")
    done = ccvm_tui("exec", "-n", "project", "--", "sh", "-c", script, within=20)
    assert (done.returncode, done.stdout) == (0, b"hi\n")


def test_all_output_is_received_before_the_end(start: Start) -> None:
    start("cat")
    argv = [*COMMAND, "exec", "-n", "project", "--", "sh", "-c", "head -c 3000000 /dev/zero; sleep 30 & exit 4"]
    with subprocess.Popen(argv, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert (len(process.stdout.read()), process.wait(20)) == (3_000_000, 4)


def test_arguments_need_not_be_utf8(start: Start, ccvm_tui: Run) -> None:
    start("cat")
    done = ccvm_tui("exec", "project", "--", "printf", "%s", os.fsdecode(b"caf\xe9"))
    assert (done.returncode, done.stdout, done.stderr) == (0, b"caf\xe9", b"")


def test_a_full_disk_is_reported_and_ends_the_program(start: Start, here: Path) -> None:
    start("cat")
    script = "echo $$ >pid; head -c 300000 /dev/zero; exec sleep 1000"
    with Path("/dev/full").open("wb") as full:
        argv = [*COMMAND, "exec", "-n", "project", "--", "sh", "-c", script]
        done = subprocess.run(argv, stdout=full, stderr=subprocess.PIPE, timeout=30, check=False)
    assert done.returncode == 1
    assert done.stderr == b"ccvm-tui: standard output cannot be written: No space left on device\n"
    wait_for_end(int((here / "pid").read_text()))


def test_the_end_does_not_wait_for_input(start: Start) -> None:
    start("cat")
    argv = [*COMMAND, "exec", "project", "--", "echo", "done"]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.wait(20) == 0


def test_input_in_transit_does_not_hide_the_end(start: Start) -> None:
    """The keeper closes the connection after its last message, while input is still being sent."""
    start("cat")
    script = f"yes | {' '.join(COMMAND)} exec project -- sh -c 'echo last; exit 7'"
    for _ in range(5):
        done = subprocess.run(["sh", "-c", script], capture_output=True, timeout=30, check=False)
        assert (done.returncode, done.stdout, done.stderr) == (7, b"last\n", b"")


def test_mistakes_are_reported(start: Start, ccvm_tui: Run) -> None:
    start("cat")
    missing = ccvm_tui("exec", "project")
    assert (missing.returncode, missing.stdout) == (2, b"")
    assert b"no command" in missing.stderr
    unknown = ccvm_tui("exec", "other", "--", "true")
    assert unknown.returncode == 3
    assert b"'other' is not running (running: project-" in unknown.stderr
    absent = ccvm_tui("exec", "project", "--", "no-such-program")
    assert absent.returncode != 0
    assert b"no-such-program" in absent.stderr
