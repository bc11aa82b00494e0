"""The parser of Git's configuration files, compared with Git itself."""

from __future__ import annotations

import os
import re
import subprocess

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ccvm_tui.guard.config_file import Entry, parse

PIECES = (
    b"[core]", b"[remote \"o\"]", b"[a.B]", b"[x \"q\\\"\\\\.y\"]", b"[", b"]", b"\n", b"\r\n", b" ", b"\t", b"\r", b"=",
    b"fsmonitor", b"Key-1", b"url", b"# comment", b"; comment", b"\"", b"\\", b"\\n", b"\\t", b"\\\n", b"\\q", b"v", b"1",
    b"a = b", b"c=\"d e\" f # g", b"\xc3\xa9", b"\xff", b".", b"\xef\xbb\xbf",
)  # fmt: skip


def entries_of_git(data: bytes) -> list[Entry] | None:
    """Return the entries that Git reads, or None if it refuses the file."""
    done = subprocess.run(
        ["git", "config", "--file", "-", "--list", "-z"],
        input=data, capture_output=True, cwd="/",
        env={"PATH": os.environ["PATH"], "GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": os.devnull, "HOME": "/"},
    )  # fmt: skip
    if done.returncode:
        return None
    found = []
    for part in done.stdout.split(b"\0")[:-1]:
        key, newline, value = part.partition(b"\n")
        found.append(Entry(key, value if newline else None))
    return found


def plain(entries: list[Entry]) -> list[tuple[bytes, bytes | None]]:
    """Return keys and values. Versions of Git differ in what they make of blanks within values."""
    return [(entry.key, None if entry.value is None else re.sub(rb"[ \t\r]", b" ", entry.value)) for entry in entries]


@given(st.lists(st.sampled_from(PIECES), max_size=14).map(b"".join))
@example(b"[core] fsmonitor = x")
@example(b"[core]\nfsmonitor = \\\n  /x\n")
@example(b"key = 1\n[core]a\n")
@example(b"\xef\xbb\xbf[core]\n\ta = b")
@example(b'[core]\n\ta = "b\nc"\n')
def test_the_parser_reads_what_git_reads(data: bytes) -> None:
    expected, parsed = entries_of_git(data), parse(data)
    if expected is None:
        assert parsed.error
    else:
        assert not parsed.error
        assert plain(list(parsed.entries)) == plain(expected)


@given(st.binary(max_size=200))
def test_any_bytes_are_parsed_without_a_failure(data: bytes) -> None:
    parse(data)


@pytest.mark.parametrize("data", [b"[core]\n\tfsmonitor = \x00/x\n", b"[core]\n\ta\x01 = b\n", b"\x1b[core]\n"])
def test_control_characters_are_errors(data: bytes) -> None:
    assert parse(data).error
    assert not parse(data).truncated


def test_entries_before_an_error_are_returned() -> None:
    parsed = parse(b"[core]\n\tfsmonitor = /x\n]]")
    assert parsed.entries == (Entry(b"core.fsmonitor", b"/x"),)
    assert parsed.error
    assert not parsed.truncated


@pytest.mark.parametrize("data", [b"[co", b'[core "x', b'[core]\n\ta = "b', b"[core]\n\ta "])
def test_a_file_that_is_being_written_is_truncated(data: bytes) -> None:
    parsed = parse(data)
    assert parsed.truncated or not parsed.error


def test_a_name_at_the_end_of_the_file_is_unfinished() -> None:
    assert parse(b"[core]\n\tignorec").entries == (Entry(b"core.ignorec", None, unfinished=True),)
    assert parse(b"[core]\n\tbare\n").entries == (Entry(b"core.bare", None),)
