"""Bounded logs: a guest cannot fill the disk."""

from __future__ import annotations

import os
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from ccvm_tui.machine.console import BoundedLog


def test_a_log_has_at_most_two_files(tmp_path: Path) -> None:
    log = BoundedLog(tmp_path / "log", limit=100, tail=20)
    for number in range(100):
        log.write(b"%08d\n" % number)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["log", "log.1"]
    kept = (tmp_path / "log.1").read_bytes() + (tmp_path / "log").read_bytes()
    assert kept.endswith(b"00000099\n")
    assert len(kept) <= 200
    log.close()


def test_of_data_that_exceed_the_limit_the_end_is_kept(tmp_path: Path) -> None:
    log = BoundedLog(tmp_path / "log", limit=100)
    log.write(b"first\n")
    log.write(bytes(range(250)))
    assert (tmp_path / "log").read_bytes() == bytes(range(150, 250))
    assert (tmp_path / "log.1").read_bytes() == b"first\n"
    log.close()


def test_a_new_log_replaces_the_old_one(tmp_path: Path) -> None:
    (tmp_path / "log").write_text("old")
    (tmp_path / "log.1").write_text("older")
    log = BoundedLog(tmp_path / "log", limit=100)
    log.write(b"new")
    assert (tmp_path / "log").read_text() == "new"
    assert not (tmp_path / "log.1").exists()
    log.close()


def test_the_tail_survives_a_full_disk(tmp_path: Path) -> None:
    (tmp_path / "full").symlink_to("/dev/full")
    log = BoundedLog(tmp_path / "full", limit=100)
    log.write(b"in memory\n")
    assert log.tail() == "in memory\n"
    log.close()
    nowhere = BoundedLog(tmp_path / "no such directory" / "log", limit=10)
    nowhere.write(b"x" * 50)
    assert nowhere.tail() == "x" * 50
    nowhere.close()


def test_the_tail_survives_removal_of_the_directory(tmp_path: Path) -> None:
    home = tmp_path / "run"
    home.mkdir()
    log = BoundedLog(home / "log", limit=10)
    os.unlink(home / "log")
    home.rmdir()
    for _ in range(5):
        log.write(b"123456\n")
    assert log.tail(2) == "123456\n123456"
    log.close()


def test_the_tail_has_the_last_lines(tmp_path: Path) -> None:
    log = BoundedLog(tmp_path / "log", limit=1000)
    log.write(b"one\r\ntwo\r\nthree \xff\r\n")
    assert log.tail(2) == "two\nthree \N{REPLACEMENT CHARACTER}"
    assert log.tail(0) == ""
    assert b"two" in log
    log.close()


def test_the_tail_begins_at_the_marker(tmp_path: Path) -> None:
    log = BoundedLog(tmp_path / "log", limit=1000)
    log.write(b"one\nwhy: first\ntwo\nwhy: last\nthree\nfour\nfive\n")
    assert log.tail(2, marker="why:") == "why: last\nthree"
    assert log.tail(5, marker="why:") == "two\nwhy: last\nthree\nfour\nfive"
    assert log.tail(2, marker="nowhere") == "four\nfive"
    log.close()


@given(st.lists(st.binary(max_size=50)))
def test_the_tail_is_the_end_of_everything_written(chunks: list[bytes]) -> None:
    log = BoundedLog(Path("/dev/null"), limit=1 << 40, tail=64)
    for chunk in chunks:
        log.write(chunk)
    assert log.tail_bytes() == b"".join(chunks)[-64:]
    log.close()
