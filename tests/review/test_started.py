"""The changes of a writable project since its guest was started, also in repositories that a guest has poisoned."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from ccvm_tui.errors import UserError
from ccvm_tui.project import snapshots
from ccvm_tui.review import started
from ccvm_tui.review.model import Review
from tests.review.guests import edited_project


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A project with two commits' worth of files, of which some are changed and some unknown to Git."""
    project = tmp_path / "project"
    (project / "src").mkdir(parents=True)
    for name in ("kept", "changed", "deleted", "src/moved"):
        (project / name).write_text("".join(f"{name} {number}\n" for number in range(20)))
    (project / ".gitignore").write_text("build/\n*.log\n")
    git(project, "init", "-q")
    git(project, "add", ".")
    git(project, "commit", "-qm", "first")
    (project / "changed").write_text("changed before the start\n")
    (project / "unknown").write_text("before the start\n")
    return project


def git(project: Path, *arguments: str) -> None:
    identity = ("-c", "user.name=a", "-c", "user.email=a@b.invalid")
    subprocess.run(["git", "-C", str(project), *identity, *arguments], check=True)


def start(project: Path) -> Path:
    directory = project.parent / "start.git"
    repository = snapshots.create(directory, project)
    assert repository is not None
    snapshots.remember_start(repository)
    return directory


def review(project: Path, directory: Path) -> Review:
    return started.changes_since_start("project-1", str(project), directory)


def letters(project: Path, directory: Path) -> dict[str, str]:
    return {change.path: change.letter for change in review(project, directory).changes}


def edit(project: Path) -> None:
    (project / "changed").write_text("changed by the guest\n")
    (project / "deleted").unlink()
    (project / "src" / "moved").rename(project / "src" / "new-name")
    (project / "unknown").write_text("changed too\n")
    (project / "build").mkdir()
    (project / "build" / "output").write_text("ignored")
    (project / "binary").write_bytes(b"\0\1\2")
    (project / "link").symlink_to("changed")
    (project / "kept").chmod(0o755)


EXPECTED = {
    "changed": "M", "deleted": "D", "src/new-name": "R", "unknown": "M", "binary": "A", "link": "A", "kept": "M",
}  # fmt: skip


def test_only_changes_since_the_start_are_shown(repository: Path) -> None:
    directory = start(repository)
    assert letters(repository, directory) == {}
    edit(repository)
    assert letters(repository, directory) == EXPECTED
    changes = {change.path: change for change in review(repository, directory).changes}
    assert (changes["changed"].base.data, changes["changed"].guest.data) == (
        b"changed before the start\n",
        b"changed by the guest\n",
    )
    assert changes["src/new-name"].origin == "src/moved"
    assert (changes["kept"].base.mode, changes["kept"].guest.mode) == (0o644, 0o755)
    assert not changes["binary"].is_text
    assert changes["link"].guest.data == b"changed"


def test_commits_and_branches_of_the_guest_change_nothing(repository: Path) -> None:
    directory = start(repository)
    edit(repository)
    git(repository, "checkout", "-qb", "other")
    git(repository, "add", "-A")
    git(repository, "commit", "-qm", "by the guest")
    assert letters(repository, directory) == EXPECTED


def test_the_projects_own_index_is_left_alone(repository: Path) -> None:
    before = (repository / ".git" / "index").stat()
    directory = start(repository)
    edit(repository)
    letters(repository, directory)
    after = (repository / ".git" / "index").stat()
    assert (before.st_mtime_ns, before.st_ino) == (after.st_mtime_ns, after.st_ino)


def test_a_worktree_of_another_repository_can_be_compared(repository: Path) -> None:
    worktree = repository.parent / "worktree"
    git(repository, "worktree", "add", "-q", str(worktree))
    directory = start(worktree)
    (worktree / "changed").write_text("changed\n")
    assert letters(worktree, directory) == {"changed": "M"}


def test_a_directory_that_is_no_repository_is_reported(tmp_path: Path) -> None:
    assert snapshots.create(tmp_path / "start.git", tmp_path) is None
    with pytest.raises(UserError, match="there is no snapshot"):
        review(tmp_path, tmp_path / "start.git")


def test_files_behind_a_new_symbolic_link_are_deleted(repository: Path) -> None:
    directory = start(repository)
    (repository / "src").rename(repository / "elsewhere")
    (repository / "src").symlink_to("elsewhere")
    assert letters(repository, directory) == {"elsewhere/moved": "R", "src": "A"}


def poison(project: Path, marker: Path) -> None:
    """Make Git run a program wherever a repository can name one."""
    evil = project / "evil.sh"
    evil.write_text(f"#!/bin/sh\necho $0 $* >> {marker}\ncat\n")
    evil.chmod(0o755)
    settings = {
        "core.fsmonitor": str(evil), "core.pager": str(evil), "core.sshCommand": str(evil), "core.editor": str(evil),
        "diff.external": str(evil), "diff.evil.textconv": str(evil), "diff.evil.command": str(evil),
        "filter.evil.clean": str(evil), "filter.evil.smudge": str(evil), "filter.evil.process": str(evil),
        "core.hooksPath": str(project / "hooks"), "core.alternateRefsCommand": str(evil), "alias.diff-tree": f"!{evil}",
        "alias.ls-files": f"!{evil}", "credential.helper": f"!{evil}", "include.path": str(project / "more"),
        "core.worktree": "/", "uploadpack.packObjectsHook": str(evil), "gpg.program": str(evil),
    }  # fmt: skip
    for name, value in settings.items():
        git(project, "config", name, value)
    (project / "more").write_text(f"[core]\n\tfsmonitor = {evil}\n")
    (project / ".gitattributes").write_text("* filter=evil diff=evil\n")
    (project / "hooks").mkdir()
    for hook in ("post-index-change", "fsmonitor-watchman", "pre-commit", "post-checkout"):
        for directory in (project / "hooks", project / ".git" / "hooks"):
            (directory / hook).write_bytes(evil.read_bytes())
            (directory / hook).chmod(0o755)
    nested = project / "nested"
    nested.mkdir()
    git(nested, "init", "-q")
    (nested / "f").write_text("nested\n")
    git(nested, "add", ".")
    git(nested, "commit", "-qm", "nested")
    for name, value in settings.items():
        git(nested, "config", name, value)
    (nested / "f").write_text("dirty\n")


@pytest.mark.attack
def test_no_program_of_the_repository_is_run(repository: Path, tmp_path: Path) -> None:
    marker = tmp_path / "marker"
    nested = repository / "nested"
    directory = start(repository)
    edit(repository)
    poison(repository, marker)
    subprocess.run(["git", "status"], cwd=repository, capture_output=True)
    assert marker.exists()  # the poison works
    marker.unlink()
    assert set(EXPECTED) < set(letters(repository, directory))
    again = repository.parent / "again.git"
    private = snapshots.create(again, repository)
    assert private is not None
    snapshots.remember_start(private)
    (nested / "f").write_text("again\n")
    (repository / "changed").write_text("again\n")
    assert letters(repository, again) == {"changed": "M"}
    assert snapshots.ignored(again, repository, ["build/x", "x"]) == {"build/x"}
    assert not marker.exists()


def test_new_files_that_gitignore_excludes_are_left_out_of_a_review() -> None:
    with edited_project() as project:
        git(project.host, "init", "-q")
        (project.host / ".gitignore").write_text("build/\n*.log\n")
        project.client.mkdir(b"build")
        project.write("build/output", "x")
        project.write("x.log", "x")
        project.write("x.txt", "x")
        directory = project.host.parent / "store" / "ignore.git"
        ignored = snapshots.ignored(directory, project.host, ["build/", "build/output", "x.log", "x.txt"])
        assert ignored == {"build/", "build/output", "x.log"}
        assert [change.path for change in project.review().changes] == ["build/output", "x.log", "x.txt"]
        assert [change.path for change in project.review(ignored=lambda _: ignored).changes] == ["x.txt"]
        assert project.review(ignored=lambda _: ignored).ignored == 3
        assert os.listdir(project.host / ".git") != []
