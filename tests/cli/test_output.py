"""Errors in writing to standard output and standard error are handled by all verbs."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

from ccvm_tui.cli.output import SIGNS
from tests.cli.conftest import COMMAND, Open, Run, Start

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


@pytest.mark.parametrize("charset", ["ascii", "iso-8859-1"])
def test_characters_that_the_character_set_lacks_are_replaced(
    ccvm_tui: Run, monkeypatch: pytest.MonkeyPatch, charset: str
) -> None:
    # Python takes the character set of its streams from this variable, or else from the locale
    monkeypatch.setenv("PYTHONIOENCODING", charset)
    done = ccvm_tui("doctor")
    assert done.returncode in (0, 1)
    shown = done.stdout.decode(charset)
    assert re.search(r"^\+ ok +kernel +Linux", shown, re.MULTILINE)
    assert " -> " in shown
    assert not re.search(r"[^\s]\?|\\u", shown + done.stderr.decode(charset))
    failed = ccvm_tui("attach")
    assert failed.stderr.decode(charset).splitlines()[1].startswith("  -> ")


def test_characters_of_names_are_written_as_far_as_the_character_set_has_them(
    start: Start, ccvm_tui: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    start("sh", "-c", "exec cat", "gr\xfc\xdfe \u4e16")
    monkeypatch.setenv("PYTHONIOENCODING", "iso-8859-1")
    assert "gr\xfc\xdfe ?".encode("iso-8859-1") in ccvm_tui("ls").stdout


def test_a_replacement_exists_for_every_sign_of_doctor() -> None:
    from ccvm_tui.cli.verbs.doctor import SIGNS as RESULTS

    assert all(character.isascii() or character in SIGNS for sign in RESULTS.values() for character in sign)


@pytest.mark.parametrize("term", ["dumb", "unknown", ""])
def test_nothing_is_erased_on_a_terminal_that_cannot(
    on_terminal: Open, here: Path, monkeypatch: pytest.MonkeyPatch, term: str
) -> None:
    monkeypatch.setenv("TERM", term)
    monkeypatch.setenv("XDG_CACHE_HOME", str(here / "cache"))
    monkeypatch.setenv("CCVM_IMAGE", str(here / "missing"))
    terminal = on_terminal("image", "build")
    assert terminal.ended() == 4
    assert b"\x1b" not in terminal.shown


def test_a_directory_that_cannot_be_written_is_named_with_the_variable_that_moves_it(
    ccvm_tui: Run, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = here / "cache"
    cache.mkdir(mode=0o500)
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache))
    done = ccvm_tui("image", "build", "--agent", "none")
    assert (done.returncode, done.stdout) == (4, b"")
    assert done.stderr.decode().splitlines() == [
        f"ccvm-tui: {cache}/ccvm: Permission denied",
        "  → set XDG_CACHE_HOME to a directory that you can write to",
    ]
