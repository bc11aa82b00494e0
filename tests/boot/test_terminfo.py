"""Search for the compiled terminfo entry of the host terminal."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from ccvm_tui.boot.terminfo import compiled_entry

ENTRY = b"\x1a\x01rest"


@pytest.mark.parametrize("hashed", ["x", "78"])
@pytest.mark.parametrize("where", ["TERMINFO", "HOME", "TERMINFO_DIRS"])
def test_entries_are_found_in_the_directories_of_ncurses(tmp_path: Path, hashed: str, where: str) -> None:
    root = tmp_path / ".terminfo" if where == "HOME" else tmp_path
    file = root / hashed / "x-private"
    file.parent.mkdir(parents=True)
    file.write_bytes(ENTRY)
    environ = {where: str(tmp_path) if where != "TERMINFO_DIRS" else f"/nowhere::{tmp_path}"}
    assert compiled_entry("x-private", environ) == ENTRY
    assert compiled_entry("x-other", environ) == b""


@pytest.mark.parametrize("term", ["", "../x", "x/../y", ".hidden", "a b"])
def test_paths_are_not_valid_names(tmp_path: Path, term: str) -> None:
    assert compiled_entry(term, {"TERMINFO": str(tmp_path)}) == b""


def test_other_files_are_ignored(tmp_path: Path) -> None:
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / "x1").write_bytes(b"secret")
    (tmp_path / "x" / "x2").write_bytes(ENTRY + bytes(1 << 20))
    assert compiled_entry("x1", {"TERMINFO": str(tmp_path)}) == b""
    assert compiled_entry("x2", {"TERMINFO": str(tmp_path)}) == b""


def test_an_entry_compiled_by_tic_is_found(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.write_text("ccvm-test|a terminal,\n\tcols#80, clear=\\E[H\\E[2J,\n")
    subprocess.run(["tic", "-o", str(tmp_path / "db"), str(source)], check=True, capture_output=True)
    assert b"ccvm-test" in compiled_entry("ccvm-test", {"TERMINFO": str(tmp_path / "db")})
