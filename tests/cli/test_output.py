"""Errors in writing to standard output and standard error are handled by all verbs."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.cli.conftest import COMMAND, Run, Start

VERBS = ["ls --json", "config --json", "version", "completion bash", "logs", "--help", "run --help"]


def outcomes(script: str) -> list[tuple[int, bytes]]:
    """Return the exit status and standard error of each verb, run by a shell ``script`` in which "$@" is the command."""
    callers = [
        subprocess.Popen(
            ["sh", "-c", script, "sh", *COMMAND, *verb.split()], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
        )
        for verb in VERBS
    ]
    return [(caller.wait(), stderr) for caller in callers for stderr in [caller.communicate(timeout=60)[1]]]


def test_a_full_disk_is_reported(start: Start) -> None:
    start("cat")
    reported = [(status, stderr.splitlines()[-1]) for status, stderr in outcomes('"$@" >/dev/full')]
    assert set(reported) == {(1, b"ccvm-tui: standard output cannot be written: No space left on device")}


def test_the_exit_of_the_reader_ends_every_verb_silently(start: Start, here: Path) -> None:
    start("cat")
    fifo = here / "pipe"
    os.mkfifo(fifo)
    reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    writer = os.open(fifo, os.O_WRONLY)
    os.close(reader)
    try:
        for verb in VERBS:
            done = subprocess.run(
                [*COMMAND, *verb.split()], stdout=writer, stderr=subprocess.PIPE, timeout=60, check=False
            )
            assert (done.returncode, b"unexpected" in done.stderr) == (141, False), verb
    finally:
        os.close(writer)


@pytest.mark.parametrize("streams", [">&-", "2>/dev/full", ">&- 2>&-", "2>&-"])
def test_closed_streams_change_no_status(start: Start, streams: str) -> None:
    start("cat")
    assert {status for status, _ in outcomes(f'"$@" {streams}')} == {0}


def test_errors_in_writing_to_standard_error_change_no_status(start: Start, ccvm_tui: Run) -> None:
    name = start("cat")
    for argv, status in ((("exec", "other", "--", "true"), 3), (("stop", "--yes", name), 0), (("ls",), 0)):
        with Path("/dev/full").open("wb") as full:
            assert subprocess.run([*COMMAND, *argv], stderr=full, timeout=60, check=False).returncode == status
    assert ccvm_tui("ls").stdout == b""
