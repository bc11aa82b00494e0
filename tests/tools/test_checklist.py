"""The points of the pull request's checklist, and the template that lists them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tools.checklist import TABLE, Point, pattern, points, summary, template

ROOT = Path(__file__).parents[2]
POINTS = points(TABLE.read_text())


def touched(*paths: str) -> set[str]:
    return {point.name for point in POINTS if point.touched_by(paths)}


@pytest.mark.parametrize(
    ("path", "names"),
    [
        ("docs/commands.md", set()),
        ("ccvm_tui/terminal/emulator.py", {"Terminal", "Hostile output"}),
        ("ccvm_tui/ssh/keys.py", {"Boot test", "Secrets", "Host key"}),
        ("ccvm_tui/machine/argv.py", {"Boot test", "Secrets", "Shared files", "Nothing remains", "Confinement"}),
        ("ccvm_tui/image/guest/agent/account.py", {"Boot test", "Owners"}),
        (".github/workflows/check.yml", {"Workflows"}),
        ("tests/machine/test_argv.py", set()),
    ],
)
def test_a_path_touches_its_points(path: str, names: set[str]) -> None:
    assert touched(path) == names


def test_every_pattern_matches_a_file() -> None:
    files = [str(path.relative_to(ROOT)) for path in ROOT.rglob("*") if path.is_file()]
    patterns = [path for point in POINTS for path in point.paths]
    assert [path for path in patterns if not any(pattern(path).fullmatch(file) for file in files)] == []


def test_the_template_contains_all_points() -> None:
    assert template(POINTS) in (ROOT / ".github/PULL_REQUEST_TEMPLATE.md").read_text()


@pytest.mark.parametrize(
    ("glob", "path", "matches"),
    [
        ("a/", "a/b/c.py", True),
        ("a/", "ab/c.py", False),
        ("a/*.py", "a/b.py", True),
        ("a/*.py", "a/b/c.py", False),
        ("a.py", "aXpy", False),
        ("a.py", "a.py", True),
    ],
)
def test_patterns(glob: str, path: str, *, matches: bool) -> None:
    assert bool(pattern(glob).fullmatch(path)) == matches


@given(st.text(min_size=1))
def test_a_path_without_special_characters_matches_itself(path: str) -> None:
    assert pattern(path.replace("*", "")).fullmatch(path.replace("*", ""))


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ('[[point]]\nname = "a"\ntext = "b"\n', "has name, text and paths"),
        ('[[point]]\nname = "a"\ntext = "b"\npaths = []\n', "has name, text and paths"),
        ('[[point]]\nname = "a"\ntext = "b"\npaths = ["c"]\n' * 2, "the same name"),
    ],
)
def test_an_invalid_table_is_refused(table: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        points(table)


def test_the_summary_names_the_files() -> None:
    point = Point("Key", "It is new.", ("a/",))
    assert summary([point], ["b"]).endswith("\n\nNone.\n")
    names = [f"a/{number}" for number in range(7)] + ["a/`\n## x"]
    (line,) = [line for line in summary([point], names).splitlines() if line.startswith("- ")]
    assert line == "- **Key**: It is new. (`a/0`, `a/1`, `a/2`, `a/3`, `a/4` and 3 more)"
    assert "`a/?????x`" in summary([point], names[-1:])


def test_the_paths_of_git_are_read(tmp_path: Path) -> None:
    argv = [sys.executable, "-m", "tools.checklist", "touched"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    paths = "ccvm_tui/text.py\0docs/with\nnewline\0"
    done = subprocess.run(argv, input=paths, text=True, capture_output=True, check=True, cwd=tmp_path, env=environment)
    assert "- **Hostile output**: " in done.stdout
    assert done.stdout.count("\n- ") == 1
