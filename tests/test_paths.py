"""Errors of file systems, as users see them."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from ccvm_tui import paths


def failed(number: int, path: Path | None = None) -> OSError:
    return OSError(number, os.strerror(number), *([str(path)] if path else []))


@pytest.mark.parametrize("variable", ["XDG_CACHE_HOME", "XDG_STATE_HOME", "XDG_CONFIG_HOME"])
def test_a_full_disk_is_reported_with_the_variable_that_selects_another(
    variable: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, str(tmp_path))
    path = tmp_path / "ccvm" / "file"
    error = paths.unwritable(failed(errno.ENOSPC, path))
    assert error is not None
    assert error.message == f"{path}: No space left on device"
    assert error.hint == f"free some space there, or set {variable} to a directory with more space"


def test_a_directory_above_the_own_ones_is_reported_with_the_variable_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "/home/user/.cache")
    monkeypatch.setenv("XDG_STATE_HOME", "/home/user/.local/state")
    for path, variable in (("/home/user/.cache", "XDG_CACHE_HOME"), ("/home/user/.local", "XDG_STATE_HOME")):
        error = paths.unwritable(failed(errno.EROFS, Path(path)))
        assert error is not None
        assert error.hint == f"set {variable} to a directory that you can write to"


def test_a_read_only_file_system_is_reported_without_a_useless_variable(tmp_path: Path) -> None:
    error = paths.unwritable(failed(errno.EROFS, tmp_path / "file"))
    assert error is not None
    assert (error.message, error.hint) == (f"{tmp_path}/file: Read-only file system", "")


def test_a_failed_write_names_the_place_that_the_caller_knows(tmp_path: Path) -> None:
    error = paths.unwritable(failed(errno.EDQUOT), tmp_path)
    assert error is not None
    assert (error.message, error.hint) == (f"{tmp_path}: Disk quota exceeded", "free some space there")
    unknown = paths.unwritable(failed(errno.ENOSPC))
    assert unknown is not None
    assert unknown.message == "No space left on device"


def test_errors_of_other_kinds_are_not_explained(tmp_path: Path) -> None:
    assert paths.unwritable(failed(errno.EIO, tmp_path)) is None
    assert paths.unwritable(FileNotFoundError(errno.ENOENT, "No such file or directory", str(tmp_path))) is None
