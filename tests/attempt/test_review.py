"""Review, application and comparison of attempts."""

from __future__ import annotations

import asyncio
import os
import stat
from pathlib import Path

from ccvm_tui.review import apply, columns, comparing, difference, journal, reviewing
from ccvm_tui.review.model import Review
from tests.attempt.conftest import Start
from tests.attempt.projects import commit, git, write


def review_of(guest: str) -> Review:
    return asyncio.run(reviewing.review_of(guest))


def shown(review: Review) -> list[str]:
    return [f"{change.letter} {change.path}{' conflict' if change.three_way else ''}" for change in review.changes]


def test_committed_and_uncommitted_changes_are_applied_and_undone(attempt: Start, here: Path) -> None:
    commit(here, "more", **{"old.txt": "o" * 200, "gone.txt": "g", "dir/kept.txt": "k"})
    (here / "a.txt").chmod(0o664)  # as with umask 002, which Git does not distinguish
    running = attempt("fix")
    commit(running.clone, **{"a.txt": "one\nTWO\nthree\n", "b/new.txt": "new\n"})
    git(running.clone, "mv", "old.txt", "moved.txt")
    (running.clone / "gone.txt").unlink()
    (running.clone / "data.bin").write_bytes(bytes(range(256)))
    (running.clone / "script").write_text("#!/bin/sh\n")
    (running.clone / "script").chmod(0o755)
    (running.clone / "link").symlink_to("a.txt")
    found = review_of(running.name)
    assert shown(found) == [
        "M a.txt", "A b/new.txt", "A data.bin", "D gone.txt", "A link", "R moved.txt", "A script"
    ]  # fmt: skip
    outcomes, _ = apply.apply(found, found.changes)
    assert [outcome.problem for outcome in outcomes] == [""] * 7
    assert (here / "a.txt").read_text() == "one\nTWO\nthree\n"
    assert stat.S_IMODE((here / "a.txt").stat().st_mode) == 0o664
    assert (here / "data.bin").read_bytes() == bytes(range(256))
    assert os.readlink(here / "link") == "a.txt"
    assert os.access(here / "script", os.X_OK)
    assert not (here / "gone.txt").exists()
    assert shown(review_of(running.name)) == []
    record = journal.last_record(running.name)
    assert record is not None
    apply.undo(record)
    assert git(here, "status", "--porcelain") == ""


def test_what_the_host_has_changed_itself_is_a_conflict(attempt: Start, here: Path) -> None:
    running = attempt("fix")
    commit(running.clone, **{"a.txt": "one\nguest\nthree\n"})
    write(here, **{"a.txt": "one\nhost\nthree\n"})
    found = review_of(running.name)
    assert shown(found) == ["M a.txt conflict"]
    outcomes, _ = apply.apply(found, found.changes)
    assert "both sides" in outcomes[0].problem
    assert (here / "a.txt").read_text() == "one\nhost\nthree\n"


def test_commits_that_the_host_has_meanwhile_are_not_changes_of_the_attempt(attempt: Start, here: Path) -> None:
    running = attempt("fix")
    commit(here, "host", c="1")
    git(running.clone, "fetch", "-q", "host")
    git(running.clone, "merge", "-q", "host/main")
    write(running.clone, b="1")
    assert shown(review_of(running.name)) == ["A b"]


def test_ignored_files_are_not_in_a_review(attempt: Start, here: Path) -> None:
    commit(here, "ignore", **{".gitignore": "*.o\n"})
    running = attempt("fix")
    write(running.clone, **{"a.o": "o", "b": "b"})
    assert shown(review_of(running.name)) == ["A b"]


def test_listed_files_are_copied_and_not_committed(attempt: Start, here: Path) -> None:
    write(here, **{"local [1].txt": "l", "d/.env": "E=1"})
    (here / "d/.env").chmod(0o600)
    running = attempt("fix", patterns=("local*", ".env"))
    assert (running.clone / "local [1].txt").read_text() == "l"
    assert stat.S_IMODE((running.clone / "d/.env").stat().st_mode) == 0o600
    commit(running.clone, b="1")
    assert git(running.clone, "show", "--name-only", "--format=") == "b"


def test_with_changes_the_clone_is_like_the_checkout(attempt: Start, here: Path) -> None:
    commit(here, "more", b="b", c="c")
    write(here, **{"a.txt": "changed\n", "new/file": "n"})
    git(here, "rm", "-q", "b")
    running = attempt("fix", with_changes=True)
    assert git(running.clone, "diff", "--name-status", "HEAD") == "M\ta.txt\nD\tb"
    assert (running.clone / "new/file").read_text() == "n"
    assert git(running.clone, "diff", "--stat", "HEAD", "--", "c") == ""


def test_two_attempts_are_compared(attempt: Start, here: Path) -> None:
    commit(here, "more", common="c")
    one, other = attempt("one"), attempt("two")
    commit(one.clone, **{"a.txt": "one\nleft\nthree\n", "same": "s"})
    write(other.clone, **{"a.txt": "one\nright\nthree\n", "same": "s", "new.bin": "\0"})
    comparison = asyncio.run(comparing.compare(one.name, other.name))
    assert comparison.ahead == (1, 0)
    rows = {row.path: row for row in comparison.rows}
    assert {path: row.same for path, row in rows.items()} == {"a.txt": False, "new.bin": False, "same": True}
    assert rows["new.bin"].one is None
    texts = comparison.texts(rows["a.txt"])
    assert texts is not None
    pairs = [pair for hunk in difference.compared(*texts) for pair in columns.pairs(hunk)]
    assert [(left.text if left else b"", right.text if right else b"") for left, right in pairs] == [
        (b"one\n", b"one\n"), (b"left\n", b"right\n"), (b"three\n", b"three\n"),
    ]  # fmt: skip
    assert comparison.texts(rows["new.bin"]) is None
