"""Projects, guest names and the history of projects."""

from __future__ import annotations

import json
import multiprocessing
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ccvm_tui import paths
from ccvm_tui.errors import UserError
from ccvm_tui.project import directory, resolve
from ccvm_tui.project.history import PROJECTS_MAX, History

pytestmark = pytest.mark.usefixtures("home")


def test_names_are_derived_from_the_directory(tmp_path: Path) -> None:
    path = tmp_path / "My Project (2)"
    path.mkdir()
    project = resolve(path)
    assert project.path == path
    assert project.hostname == "my-project-2"
    assert project.name.startswith("my-project-2-")
    assert resolve(path) == project


def test_a_symbolic_link_is_the_same_project_as_its_target(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    assert resolve(tmp_path / "link") == resolve(tmp_path / "real")


def test_directories_of_the_same_name_have_different_guest_names(tmp_path: Path) -> None:
    for parent in "ab":
        (tmp_path / parent / "x").mkdir(parents=True)
    assert resolve(tmp_path / "a/x").name != resolve(tmp_path / "b/x").name


@given(st.text(st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1))
def test_every_name_is_valid_as_a_file_name_and_a_host_name(name: str) -> None:
    guest = directory.guest_name(Path("/srv") / name)
    assert paths.check_guest_name(guest) == guest
    slug = directory.slug(name)
    assert slug == slug.strip("-").lower()
    assert 0 < len(slug) <= 63


@pytest.mark.parametrize("path", ["/", "/etc", "/usr", "/proc/1", "/dev/shm", "/sys/kernel"])
def test_system_directories_are_refused(path: str) -> None:
    with pytest.raises(UserError) as caught:
        resolve(path)
    assert caught.value.hint


def test_home_directories_and_their_parents_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = tmp_path / "users" / "me"
    (home / "project").mkdir(parents=True)
    monkeypatch.setenv("HOME", str(home))
    for path in (home, home.parent, tmp_path):
        with pytest.raises(UserError, match="home directory"):
            resolve(path)
    assert resolve("~/project").path == home / "project"


def test_the_programs_own_directories_are_refused(home: Path) -> None:
    for own in (paths.state_dir(), paths.runtime_dir(), home):
        own.mkdir(exist_ok=True, parents=True)
        with pytest.raises(UserError, match="own files"):
            resolve(own)


def test_paths_that_cannot_be_mounted_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="No such file"):
        resolve(tmp_path / "missing")
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="not a directory"):
        resolve(tmp_path / "file")
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(UserError):
        resolve(tmp_path / "loop")
    odd = os.fsencode(tmp_path) + b"/\xff"
    os.mkdir(odd)
    with pytest.raises(UserError, match="UTF-8"):
        resolve(os.fsdecode(odd))
    (tmp_path / "new\nline").mkdir()
    with pytest.raises(UserError, match="control characters"):
        resolve(tmp_path / "new\nline")


def test_unusual_names_are_accepted(tmp_path: Path) -> None:
    for name in ("with space", "quote'\"", "comma,=", "ärgerlich", "日本"):
        (tmp_path / name).mkdir()
        assert resolve(tmp_path / name).path.name == name


def test_history_is_newest_first_and_without_duplicates(tmp_path: Path) -> None:
    history = History(tmp_path / "state")
    assert history.list() == ()
    history.remember("/a", "a-1", now=1)
    history.remember("/b", "b-1", now=2)
    history.remember("/a", "a-1", now=3)
    assert [(project.path, project.last) for project in history.list()] == [("/a", 3), ("/b", 2)]
    history.forget("/a")
    history.forget("/never")
    assert [project.path for project in history.list()] == ["/b"]


def test_history_is_bounded(tmp_path: Path) -> None:
    history = History(tmp_path)
    for number in range(PROJECTS_MAX + 5):
        history.remember(f"/{number}", "x", now=number)
    assert len(history.list()) == PROJECTS_MAX
    assert history.list()[0].path == f"/{PROJECTS_MAX + 4}"


@pytest.mark.parametrize("text", ["", "{", "[]", '{"projects": 1}', '{"projects": [1]}', '{"projects": [{"path": 1}]}'])
def test_a_damaged_history_counts_as_empty(tmp_path: Path, text: str) -> None:
    history = History(tmp_path)
    history.file.write_text(text)
    assert history.list() == ()
    history.remember("/a", "a")
    assert len(json.loads(history.file.read_text())["projects"]) == 1


def _remember_many(directory: Path, writer: int) -> None:
    for number in range(20):
        History(directory).remember(f"/{writer}/{number}", "x")


def test_concurrent_writers_lose_no_projects(tmp_path: Path) -> None:
    writers = [multiprocessing.Process(target=_remember_many, args=(tmp_path, writer)) for writer in range(3)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert len(History(tmp_path).list()) == 60


def test_a_directory_without_read_permission_is_refused(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0)
    with pytest.raises(UserError, match="permission to read it"):
        resolve(closed)


def test_a_relative_path_below_a_closed_directory_is_named_in_full(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inner = tmp_path / "closed" / "inner"
    inner.mkdir(parents=True)
    monkeypatch.chdir(inner)
    inner.parent.chmod(0)
    try:
        with pytest.raises(UserError, match=f"cannot use {inner} as a project: .* permission to read it"):
            resolve(".")
    finally:
        inner.parent.chmod(0o700)
