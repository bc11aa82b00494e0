"""The examination of a project before an attempt starts."""

from __future__ import annotations

from pathlib import Path

import pytest

from ccvm_tui.attempt.plan import Plan, plan
from ccvm_tui.attempt.spec import AttemptSpec
from ccvm_tui.errors import UserError
from tests.attempt.projects import commit, git, repository, write


def planned(project: Path, name: str = "fix", *patterns: str, with_changes: bool = False) -> Plan:
    return plan(str(project), AttemptSpec(name, with_changes=with_changes), patterns)


def refused(project: Path) -> UserError:
    with pytest.raises(UserError) as caught:
        planned(project)
    return caught.value


def test_an_attempt_starts_at_the_current_commit(tmp_path: Path) -> None:
    project = repository(tmp_path)
    found = planned(project)
    assert found.attempt.base == found.attempt.start == git(project, "rev-parse", "HEAD")
    assert (found.notes, found.attempt.copied) == ((), ())


def test_it_also_works_on_no_branch(tmp_path: Path) -> None:
    project = repository(tmp_path)
    first = git(project, "rev-parse", "HEAD")
    commit(project, "more", b="b")
    git(project, "checkout", "-q", first)
    assert planned(project).attempt.start == first


def test_an_attempt_continues_at_what_was_fetched_before(tmp_path: Path) -> None:
    project = repository(tmp_path)
    base = git(project, "rev-parse", "HEAD")
    git(project, "checkout", "-q", "-b", "side")
    fetched = commit(project, "more", b="b")
    git(project, "update-ref", "refs/ccvm/fix/fix", fetched)
    git(project, "checkout", "-q", "main")
    found = planned(project)
    assert (found.attempt.base, found.attempt.start) == (base, fetched)
    assert "continues at" in found.notes[0]


def test_an_attempt_continues_an_existing_branch_of_its_name(tmp_path: Path) -> None:
    project = repository(tmp_path)
    git(project, "checkout", "-q", "-b", "fix")
    own = commit(project, "more", b="b")
    git(project, "checkout", "-q", "main")
    found = planned(project)
    assert found.attempt.start == own
    assert "project's branch of this name" in found.notes[0]


def test_a_branch_and_fetched_commits_that_have_diverged_are_refused(tmp_path: Path) -> None:
    project = repository(tmp_path)
    git(project, "checkout", "-q", "-b", "fix")
    commit(project, "one", b="b")
    git(project, "checkout", "-q", "-b", "other", "main")
    git(project, "update-ref", "refs/ccvm/fix/fix", commit(project, "two", c="c"))
    assert "git merge refs/ccvm/fix/fix" in refused(project).hint


def test_uncommitted_changes_are_named(tmp_path: Path) -> None:
    project = repository(tmp_path, a="a", b="b")
    write(project, a="changed", new="new")
    git(project, "rm", "-q", "b")
    note = planned(project).notes[0]
    assert note.startswith("3 uncommitted changes")
    assert "(a, b, new)" in note
    assert "--with-changes" in note


def test_with_changes_they_are_copied_and_removed(tmp_path: Path) -> None:
    project = repository(tmp_path, a="a", b="b")
    write(project, a="changed", new="new")
    git(project, "rm", "-q", "b")
    found = planned(project, with_changes=True)
    assert (found.attempt.copied, found.attempt.removed, found.notes) == (("a", "new"), ("b",), ())


def test_listed_files_are_copied_but_not_tracked_ones(tmp_path: Path) -> None:
    project = repository(tmp_path, **{".gitignore": ".env\nout/\n", "a.txt": "a"})
    write(project, **{".env": "KEY=1", "out/x.bin": "x", "local.txt": "l", ".worktreeinclude": "# comment\n.env\n"})
    found = planned(project, "fix", "local.txt", "a.txt", "out/*.bin")
    assert found.attempt.copied == (".env", "local.txt", "out/x.bin")
    assert found.attempt.excluded == ("/local.txt\n",)


def test_a_list_that_is_a_link_is_not_read(tmp_path: Path) -> None:
    project = repository(tmp_path / "project", a="a")
    (tmp_path / "outside").write_text("*\n")
    (project / ".worktreeinclude").symlink_to(tmp_path / "outside")
    write(project, secret="s")
    assert planned(project).attempt.copied == ()


def test_a_directory_without_a_repository_is_refused(tmp_path: Path) -> None:
    assert "git init" in refused(tmp_path).hint


def test_a_repository_without_a_commit_is_refused(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q")
    assert "git commit" in refused(tmp_path).hint


def test_a_part_of_a_repository_is_refused_and_the_whole_is_named(tmp_path: Path) -> None:
    project = repository(tmp_path / "project", **{"inner/a": "a"})
    assert refused(project / "inner").hint == f"`ccvm-tui run --attempt fix {project}`"


def test_a_linked_worktree_is_refused_and_the_main_checkout_is_named(tmp_path: Path) -> None:
    project = repository(tmp_path / "project")
    git(project, "worktree", "add", "-q", str(tmp_path / "linked"))
    assert refused(tmp_path / "linked").hint == f"`ccvm-tui run --attempt fix {project}`"


def test_a_repository_that_borrows_objects_is_refused(tmp_path: Path) -> None:
    project = repository(tmp_path / "project")
    git(tmp_path, "clone", "-q", "--shared", str(project), "borrowing")
    assert "borrows objects" in refused(tmp_path / "borrowing").message
