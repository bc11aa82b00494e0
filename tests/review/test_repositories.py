"""Edits of repositories that are not called ``.git``, which Git on the host uses if it is started in them."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.review.guests import EditedProject, edited_project


@pytest.fixture
def project() -> Iterator[EditedProject]:
    """A project with a bare repository."""
    with edited_project() as made:
        for name in ("refs", "objects", "hooks"):
            (made.host / "data.git" / name).mkdir(parents=True)
        (made.host / "data.git" / "HEAD").write_text("ref: refs/heads/main\n")
        (made.host / "data.git" / "config").write_text("[alias]\n\tx = !mine\n")
        yield made


@pytest.mark.attack
def test_programs_in_a_bare_repository_are_refused(project: EditedProject) -> None:
    project.write("data.git/config", "[alias]\n\tx = !mine\n[core]\n\tfsmonitor = evil\n")
    project.write("data.git/hooks/post-checkout", "#!/bin/sh\n", 0o755)
    project.write("data.git/hooks/pre-commit", b"\0binary", 0o755)
    project.write("data.git/hooks/update.sample", "#!/bin/sh\n")
    project.write("data.git/description", "harmless\n")
    problems = project.apply()
    assert "core.fsmonitor = evil" in problems["data.git/config"]
    assert problems["data.git/hooks/post-checkout"].startswith("Git runs hooks")
    assert "cannot be checked" in problems["data.git/hooks/pre-commit"]
    assert problems["data.git/hooks/update.sample"] == problems["data.git/description"] == ""
    assert os.listdir(project.host / "data.git" / "hooks") == ["update.sample"]


def test_what_the_host_has_is_no_problem(project: EditedProject) -> None:
    project.write("data.git/config", "[alias]\n\tx = !mine\n[user]\n\tname = Me\n")
    assert project.apply() == {"data.git/config": ""}


def test_links_and_directories_do_not_take_the_place_of_hooks(project: EditedProject) -> None:
    (project.host / "programs").mkdir()
    (project.host / "programs" / "post-checkout").write_text("evil")
    (project.host / "data.git" / "hooks").rmdir()
    project.client.symlink(b"programs", b"data.git/worktrees")
    project.client.rename(b"programs", b"data.git/hooks")
    problems = project.apply()
    assert problems["data.git/hooks"] == "Git runs hooks"
    assert problems["data.git/worktrees"]
    assert not (project.host / "data.git" / "hooks").exists()


def test_a_directory_does_not_become_a_repository(project: EditedProject) -> None:
    project.client.mkdir(b"lib")
    for name in (b"objects", b"REFS"):
        project.client.mkdir(b"lib/" + name)
    project.write("lib/HEAD", "ref: refs/heads/main\n")
    project.write("lib/objects/x", "x")
    project.write("lib/config", "[core]\n\tfsmonitor = evil\n")
    problems = project.apply()
    assert problems.pop("lib/config") == ""
    assert set(problems.values()) == {"it would make lib a repository of Git"}
    assert os.listdir(project.host / "lib") == ["config"]


def test_a_directory_does_not_become_a_repository_step_by_step(project: EditedProject) -> None:
    for name in ("objects", "refs"):
        (project.host / "lib" / name).mkdir(parents=True)
    project.write("lib/config", "[core]\n\tfsmonitor = evil\n")
    assert project.apply() == {"lib/config": ""}
    project.write("lib/HEAD", "ref: refs/heads/main\n")
    assert project.apply() == {"lib/HEAD": "it would make lib a repository of Git"}
