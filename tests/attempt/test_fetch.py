"""Commits and files of attempts on the host: fetch, review and apply."""

from __future__ import annotations

import asyncio
from pathlib import Path

from ccvm_tui.review import fetching
from tests.attempt.conftest import Start
from tests.attempt.projects import commit, git


def fetch(guest: str) -> fetching.Result:
    return asyncio.run(fetching.fetch(guest))


def test_commits_are_fetched_and_the_checkout_stays(attempt: Start, here: Path) -> None:
    running = attempt("fix")
    assert git(running.clone, "symbolic-ref", "--short", "HEAD") == "fix"
    before = git(here, "rev-parse", "HEAD"), git(here, "status", "--porcelain")
    new = commit(running.clone, "a.txt", **{"a.txt": "one\n2\nthree\n", "b.txt": "new\n"})
    result = fetch(running.name)
    assert [(one.reference, one.commit, one.commits) for one in result.fetched] == [("refs/ccvm/fix/fix", new, 1)]
    assert git(here, "rev-parse", "ccvm/fix/fix") == new
    assert git(here, "fsck", "--strict") == ""
    assert (git(here, "rev-parse", "HEAD"), git(here, "status", "--porcelain")) == before
    assert not fetch(running.name).fetched[0].changed
