"""From directories to projects and guest names, and the history of them."""

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
from ccvm_tui.project.history import MOST, History

pytestmark = pytest.mark.usefixtures("home")


def test_a_directory_becomes_a_name(tmp_path: Path) -> None:
    made = tmp_path / "My Project (2)"
    made.mkdir()
    project = resolve(made)
    assert project.path == made
    assert project.hostname == "my-project-2"
    assert project.name.startswith("my-project-2-")
    assert resolve(made) == project


def test_links_name_what_they_point_to(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    assert resolve(tmp_path / "link") == resolve(tmp_path / "real")


def test_directories_of_one_name_are_told_apart(tmp_path: Path) -> None:
    for parent in "ab":
        (tmp_path / parent / "x").mkdir(parents=True)
    assert resolve(tmp_path / "a/x").name != resolve(tmp_path / "b/x").name


@given(st.text(st.characters(exclude_characters="/\0", exclude_categories=("Cs",)), min_size=1))
def test_every_name_is_fit_for_a_file_and_a_host(name: str) -> None:
    guest = directory.guest_name(Path("/srv") / name)
    assert paths.name_checked(guest) == guest
    slug = directory.slug(name)
    assert slug == slug.strip("-").lower()
    assert 0 < len(slug) <= 63


@pytest.mark.parametrize("path", ["/", "/etc", "/usr", "/proc/1", "/dev/shm", "/sys/kernel"])
def test_the_system_is_no_project(path: str) -> None:
    with pytest.raises(UserError) as caught:
        resolve(path)
    assert caught.value.hint


def test_neither_is_a_home_nor_what_holds_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = tmp_path / "users" / "me"
    (home / "project").mkdir(parents=True)
    monkeypatch.setenv("HOME", str(home))
    for path in (home, home.parent, tmp_path):
        with pytest.raises(UserError, match="home directory"):
            resolve(path)
    assert resolve("~/project").path == home / "project"


def test_neither_are_our_own_files(home: Path) -> None:
    for own in (paths.state_dir(), paths.runtime_dir(), home):
        own.mkdir(exist_ok=True, parents=True)
        with pytest.raises(UserError, match="own files"):
            resolve(own)


def test_names_that_cannot_cross(tmp_path: Path) -> None:
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


def test_harmless_oddities_are_fine(tmp_path: Path) -> None:
    for name in ("with space", "quote'\"", "comma,=", "ärgerlich", "日本"):
        (tmp_path / name).mkdir()
        assert resolve(tmp_path / name).path.name == name


def test_history_is_newest_first_and_without_doubles(tmp_path: Path) -> None:
    history = History(tmp_path / "state")
    assert history.list() == ()
    history.remember("/a", "a-1", now=1)
    history.remember("/b", "b-1", now=2)
    history.remember("/a", "a-1", now=3)
    assert [(one.path, one.last) for one in history.list()] == [("/a", 3), ("/b", 2)]
    history.forget("/a")
    history.forget("/never")
    assert [one.path for one in history.list()] == ["/b"]


def test_history_is_bounded(tmp_path: Path) -> None:
    history = History(tmp_path)
    for number in range(MOST + 5):
        history.remember(f"/{number}", "x", now=number)
    assert len(history.list()) == MOST
    assert history.list()[0].path == f"/{MOST + 4}"


@pytest.mark.parametrize("text", ["", "{", "[]", '{"projects": 1}', '{"projects": [1]}', '{"projects": [{"path": 1}]}'])
def test_a_damaged_history_counts_as_empty(tmp_path: Path, text: str) -> None:
    history = History(tmp_path)
    history.file.write_text(text)
    assert history.list() == ()
    history.remember("/a", "a")
    assert len(json.loads(history.file.read_text())["projects"]) == 1


def _remember_many(directory: Path, who: int) -> None:
    for number in range(20):
        History(directory).remember(f"/{who}/{number}", "x")


def test_two_who_remember_at_once_lose_nothing(tmp_path: Path) -> None:
    others = [multiprocessing.Process(target=_remember_many, args=(tmp_path, who)) for who in range(3)]
    for other in others:
        other.start()
    for other in others:
        other.join()
    assert len(History(tmp_path).list()) == 60


def test_a_directory_that_may_not_be_read_is_refused_before_anything_starts(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0)
    with pytest.raises(UserError, match="you may not read it"):
        resolve(closed)
