"""The names of attempts and branches."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ccvm_tui import paths
from ccvm_tui.attempt import names
from ccvm_tui.errors import ConfigError
from ccvm_tui.project.directory import Project, attempt_guest, guest_name

NAMES = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,39}", fullmatch=True)


def is_accepted_by_git(branch: str) -> bool:
    done = subprocess.run(["git", "check-ref-format", f"refs/heads/{branch}"], capture_output=True)
    return done.returncode == 0


@pytest.mark.parametrize("name", ["fix-login", "v1.2", "A", "x" * names.NAME_MAX])
def test_ordinary_names_are_accepted(name: str) -> None:
    assert names.check(name) == name


@pytest.mark.parametrize(
    "name",
    ["", "a b", "a/b", "-x", ".x", "x.", "x.lock", "a..b", "a@{1}", "ä", "x" * 41, "HEAD", "a\n", "a:b", "~", "*"],
)
def test_other_names_are_an_error_that_says_what_to_type(name: str) -> None:
    with pytest.raises(ConfigError) as caught:
        names.check(name)
    assert caught.value.hint


@given(st.text(alphabet="ab/.-@{}~^: \\lock*?[\0\x7f", max_size=12))
def test_every_branch_that_is_fetched_is_valid_for_git(text: str) -> None:
    if names.is_branch(text):
        assert is_accepted_by_git(text)


@given(st.text(alphabet="abcXYZ -_", min_size=1, max_size=80), NAMES)
def test_the_guest_of_an_attempt_has_a_valid_name_that_ends_with_the_attempt(directory: str, attempt: str) -> None:
    path = Path("/src", directory)
    name = attempt_guest(Project(path, guest_name(path), "host"), attempt)
    assert paths.check_guest_name(name).endswith(f".{attempt}")


def test_attempts_of_different_projects_have_different_guests() -> None:
    projects = [Project(path, guest_name(path), "host") for path in (Path("/a/app"), Path("/b/app"))]
    assert len({attempt_guest(project, "x" * 40) for project in projects}) == 2
