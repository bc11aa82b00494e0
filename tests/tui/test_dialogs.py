"""Results of dialogs: completions of paths, and sections of the configuration."""

from __future__ import annotations

from pathlib import Path

from ccvm_tui.tui.dialogs.add_project import completions
from ccvm_tui.tui.dialogs.settings import with_section


def test_a_section_is_added_where_there_is_none_and_found_where_there_is(tmp_path: Path) -> None:
    text, number = with_section("memory = 1\n", str(tmp_path))
    assert f'[project."{tmp_path}"]' in text
    assert text.startswith("memory = 1\n")
    assert with_section(text, str(tmp_path)) == (text, number)
    quoted = tmp_path / 'a "b"'
    quoted.mkdir()
    text, number = with_section("", str(quoted))
    assert with_section(text, str(quoted)) == (text, number)


def test_paths_are_completed_by_directories(tmp_path: Path) -> None:
    for name in ("alpha", "alps", ".hidden", "beta"):
        (tmp_path / name).mkdir()
    (tmp_path / "alfile").touch()
    assert completions(f"{tmp_path}/al") == [f"{tmp_path}/alpha/", f"{tmp_path}/alps/"]
    assert completions(f"{tmp_path}/") == [f"{tmp_path}/alpha/", f"{tmp_path}/alps/", f"{tmp_path}/beta/"]
    assert completions(f"{tmp_path}/.h") == [f"{tmp_path}/.hidden/"]
    assert completions(f"{tmp_path}/nothing/x") == []
