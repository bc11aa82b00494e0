"""Commits of attempts on the host, from guests that do their best and from hostile ones."""

from __future__ import annotations

import asyncio
import subprocess
from pathlib import Path

import pytest

from ccvm_tui.attempt import install
from ccvm_tui.errors import UserError
from ccvm_tui.project import snapshots
from ccvm_tui.project.git import PrivateRepository
from ccvm_tui.review import fetching, received
from tests.attempt.conftest import Start
from tests.attempt.projects import commit, git, repository, write


def fetch(guest: str) -> fetching.Result:
    return asyncio.run(fetching.fetch(guest))


def test_commits_are_fetched_and_the_checkout_stays(attempt: Start, here: Path) -> None:
    running = attempt("fix")
    assert git(running.clone, "symbolic-ref", "--short", "HEAD") == "fix"
    before = git(here, "rev-parse", "HEAD"), git(here, "status", "--porcelain"), git(here, "branch", "--list")
    new = commit(running.clone, **{"a.txt": "one\n2\nthree\n", "b.txt": "new\n"})
    result = fetch(running.name)
    assert [(one.reference, one.commit, one.commits) for one in result.fetched] == [("refs/ccvm/fix/fix", new, 1)]
    assert git(here, "rev-parse", "ccvm/fix/fix") == new
    assert git(here, "fsck", "--strict") == ""
    assert (git(here, "rev-parse", "HEAD"), git(here, "status", "--porcelain"), git(here, "branch", "--list")) == before
    assert not fetch(running.name).fetched[0].changed


def test_later_commits_rewritten_ones_and_other_branches_follow(attempt: Start, here: Path) -> None:
    running = attempt("fix")
    first = commit(running.clone, b="1")
    fetch(running.name)
    second = commit(running.clone, b="2")
    git(running.clone, "tag", "v1")
    git(running.clone, "checkout", "-q", "-b", "feature/x")
    third = commit(running.clone, b="3")
    assert {one.reference: (one.old, one.commit) for one in fetch(running.name).fetched} == {
        "refs/ccvm/fix/fix": (first, second),
        "refs/ccvm/fix/feature/x": ("", third),
    }
    assert git(here, "tag") == ""
    git(running.clone, "checkout", "-q", "fix")
    git(running.clone, "reset", "-q", "--hard", "HEAD~1")
    rewritten = commit(running.clone, b="4")
    found = {one.reference: one for one in fetch(running.name).fetched}["refs/ccvm/fix/fix"]
    assert (found.forced, found.old, found.commit) == (True, second, rewritten)


def test_new_commits_of_the_host_are_counted_and_need_not_be_sent(attempt: Start, here: Path) -> None:
    running = attempt("fix")
    commit(running.clone, b="1")
    commit(here, "host", c="1")
    git(running.clone, "fetch", "-q", "host")
    git(running.clone, "rebase", "-q", "host/main")
    commit(here, "host again", c="2")
    fetch(running.name)
    assert git(here, "log", "--format=%s", "ccvm/fix/fix").split() == ["work", "host", "start"]


def test_branches_with_odd_names_are_refused_and_the_others_fetched(attempt: Start) -> None:
    running = attempt("fix")
    commit(running.clone, b="1")
    for name in ("ä", "-x", "a'b"):
        git(running.clone, "update-ref", f"refs/heads/{name}", "HEAD")
    result = fetch(running.name)
    assert len(result.refused) == 3
    assert [one.reference for one in result.fetched] == ["refs/ccvm/fix/fix"]


def test_objects_that_git_would_not_accept_are_refused(attempt: Start, here: Path) -> None:
    running = attempt("fix")
    blob = git(running.clone, "hash-object", "-w", "--stdin", data="x")
    tree = git(running.clone, "mktree", data=f"100644 blob {blob}\t.git\n")
    evil = git(running.clone, "commit-tree", tree, "-p", "HEAD", "-m", "evil")
    git(running.clone, "update-ref", "refs/heads/fix", evil)
    with pytest.raises(UserError, match="does not accept"):
        fetch(running.name)
    assert git(here, "for-each-ref", "refs/ccvm") == ""


def test_more_than_the_limit_is_refused(attempt: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    running = attempt("fix")
    commit(running.clone, b="1")
    monkeypatch.setattr(received, "RECEIVED_MAX", 10)
    with pytest.raises(UserError, match="MiB to fetch"):
        fetch(running.name)


@pytest.mark.parametrize("place", ["objects/pack", "refs/ccvm", "refs/ccvm/fix"])
def test_nothing_is_written_through_a_link_in_the_repository(attempt: Start, here: Path, place: str) -> None:
    running = attempt("fix")
    commit(running.clone, b="1")
    outside = here.parent / "outside"
    outside.mkdir()
    link = here / ".git" / place
    if link.is_dir():
        link.rmdir()
    link.parent.mkdir(exist_ok=True)
    link.symlink_to(outside)
    try:
        failed = bool(fetch(running.name).fetched[0].problem)
    except UserError:
        failed = True
    assert failed
    assert list(outside.iterdir()) == []


def test_a_locked_reference_is_reported(here: Path) -> None:
    install.write_reference(str(here), "refs/ccvm/fix/fix", "1" * 40)
    (here / ".git/refs/ccvm/fix/fix.lock").write_text("")
    with pytest.raises(UserError, match="locked"):
        install.write_reference(str(here), "refs/ccvm/fix/fix", "2" * 40)
    assert (here / ".git/refs/ccvm/fix/fix").read_text() == "1" * 40 + "\n"


def private(tmp_path: Path) -> PrivateRepository:
    project = repository(tmp_path / "project")
    made = snapshots.create(tmp_path / "private.git", project)
    assert made is not None
    return made


@pytest.mark.parametrize("content", [b"", b"PACK", b"PACK\0\0\0\2\0\0\0\1" + b"x" * 40])
def test_damaged_packs_are_refused(tmp_path: Path, content: bytes) -> None:
    pack = tmp_path / "pack"
    pack.write_bytes(content)
    with pytest.raises(UserError, match="does not accept"):
        received.index(private(tmp_path), pack, "guest")


def test_a_pack_without_all_objects_is_refused(tmp_path: Path) -> None:
    other = repository(tmp_path / "other", secret="s")
    head = git(other, "rev-parse", "HEAD")
    done = subprocess.run(
        ["git", "pack-objects", "--stdout"], cwd=other, input=f"{head}\n".encode(), capture_output=True, check=True
    )
    pack = tmp_path / "pack"
    pack.write_bytes(done.stdout)
    with pytest.raises(UserError):
        received.index(private(tmp_path), pack, "guest")


def test_no_program_that_the_repository_names_is_run(attempt: Start, here: Path) -> None:
    mark, program = here.parent / "mark", here.parent / "program"
    program.write_text(f"#!/bin/sh\ntouch {mark}\n")
    program.chmod(0o755)
    running = attempt("fix")
    commit(running.clone, b="1")
    poison = (
        f"[core]\n\tfsmonitor = {program}\n\thooksPath = {program.parent}\n\tsshCommand = {program}\n"
        f"\talternateRefsCommand = {program}\n[uploadpack]\n\tpackObjectsHook = {program}\n[transfer]\n\tfsckObjects = false\n"
    )
    with (here / ".git/config").open("a") as file:
        file.write(poison)
    hook = here / ".git/hooks/reference-transaction"
    hook.write_text(program.read_text())
    hook.chmod(0o755)
    assert fetch(running.name).fetched[0].changed
    assert not mark.exists()


def test_shallow_and_sparse_checkouts_and_linked_objects_work(home: Path, attempt: Start, here: Path) -> None:
    write(here, **{"deep/x": "x", "b": "b"})
    commit(here, "two", b="2")
    commit(here, "three", b="3")
    (here / ".git").rename(home / "full.git")
    git(home, "clone", "-q", "--depth", "1", f"file://{home}/full.git", "shallow")
    (home / "shallow/.git").rename(here / ".git")
    git(here, "reset", "-q", "--hard")
    git(here, "sparse-checkout", "set", "--no-cone", "/*", "!/deep/")
    running = attempt("fix")
    assert sorted(path.name for path in running.clone.iterdir()) == [".git", "a.txt", "b"]
    commit(running.clone, b="4")
    assert fetch(running.name).fetched[0].commits == 1
    assert git(here, "log", "--format=%s", "ccvm/fix/fix").split() == ["work", "three"]
