"""The end of an attempt's guest, its place in lists, and its start with the command line."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from ccvm_tui import claim, project
from ccvm_tui.cli import target
from ccvm_tui.client import connection, listing
from ccvm_tui.errors import NoSuchGuest
from ccvm_tui.paths import GuestPaths
from tests.attempt.conftest import Start
from tests.attempt.projects import commit, git, repository, write
from tests.cli.ptys import Pty
from tests.waiting import wait_until


def ccvm_tui(*argv: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-P", "-m", "ccvm_tui", *argv], input="", capture_output=True, text=True, timeout=60
    )


def end_session(guest: str) -> None:
    async def end() -> None:
        async with await connection.connect(guest) as keeper:
            await keeper.end_session("s1", force=True)

    asyncio.run(end())


def test_a_guest_with_unfetched_work_is_not_stopped_without_asking(attempt: Start) -> None:
    running = attempt("fix")
    commit(running.clone, b="1")
    write(running.clone, c="1")
    refused = ccvm_tui("stop", running.name)
    assert refused.returncode == 1
    assert "1 commit of the attempt fix was not fetched; 1 changed file of the attempt fix is not committed" in (
        refused.stderr
    )
    assert f"ccvm-tui fetch {running.name}" in refused.stderr
    assert ccvm_tui("stop", "--yes", "fix").returncode == 0


def test_after_a_fetch_it_is_stopped(attempt: Start) -> None:
    running = attempt("fix")
    commit(running.clone, b="1")
    assert ccvm_tui("fetch").returncode == 0
    assert ccvm_tui("stop", "fix").returncode == 0


def test_after_its_last_session_it_keeps_running_while_something_would_be_lost(attempt: Start) -> None:
    kept, done = attempt("kept", linger=False), attempt("done", linger=False)
    commit(kept.clone, b="1")
    end_session(kept.name)
    end_session(done.name)
    wait_until(lambda: not claim.alive(GuestPaths(done.name).lock))

    def has_warned() -> bool:
        return f"{kept.name} keeps running: 1 commit" in GuestPaths(kept.name).events_log.read_text()

    wait_until(has_warned)
    assert claim.alive(GuestPaths(kept.name).lock)


def test_lists_show_branch_and_counts(attempt: Start, here: Path) -> None:
    running = attempt("fix")
    commit(running.clone, b="1")
    write(running.clone, c="1")
    commit(here, "host", d="1")
    ccvm_tui("exec", "fix", "--", "true")  # the state is read again after programs have run
    wait_until(lambda: "fix* +1 -1 ~2" in ccvm_tui("ls").stdout, lambda: ccvm_tui("ls").stdout)
    guest = json.loads(ccvm_tui("ls", "--json").stdout)["guests"][0]
    assert (guest["attempt"]["name"], guest["attempt"]["unfetched"], guest["attempt"]["changed"]) == ("fix", 1, 2)


def test_names_select_attempts_and_the_own_guest_has_precedence(attempt: Start, here: Path) -> None:
    one, two = attempt("one"), attempt("two")
    assert target.guest("two") == two.name
    assert target.attempt(one.name) == one.name
    with pytest.raises(NoSuchGuest):
        target.attempt(None)
    with pytest.raises(NoSuchGuest):
        target.guest(None)
    own = project.resolve(here).name
    (GuestPaths(own).dir).mkdir()
    lock = claim.claim(GuestPaths(own).lock)
    assert listing.find(own[:-1]) == own
    os.close(lock)  # otherwise the fixture would wait for this guest, which has no keeper


def test_compare_prints_both_side_by_side(attempt: Start) -> None:
    one, two = attempt("one"), attempt("two")
    commit(one.clone, **{"a.txt": "one\nleft\nthree\n"})
    commit(two.clone, **{"a.txt": "one\nright\nthree\n"})
    table = ccvm_tui("compare", "one", "two")
    assert table.returncode == 1
    assert [line.split() for line in table.stdout.splitlines()][:2] == [
        ["FILE", "one", "two"],
        ["a.txt", "M", "+1", "-1", "M", "+1", "-1"],
    ]
    lines = ccvm_tui("compare", "one", "two", "a.txt").stdout
    assert any(line.split() == ["left", "┃", "right"] for line in lines.splitlines())
    assert ccvm_tui("compare", "one", "one").returncode == 2


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (("--attempt", "a b"), "cannot be the name of an attempt"),
        (("--attempt", "x", "--writable"), "exclude each other"),
        (("--with-changes",), "needs --attempt"),
    ],
)
def test_invalid_options_are_errors(here: Path, argv: tuple[str, ...], message: str) -> None:
    result = ccvm_tui("run", "--shell", "--detach", *argv, str(here))
    assert result.returncode == 2
    assert message in result.stderr


def test_a_project_without_a_commit_is_refused_before_anything_starts(here: Path) -> None:
    empty = here.parent / "empty"
    empty.mkdir()
    git(empty, "init", "-q")
    result = ccvm_tui("run", "--shell", "--detach", "--attempt", "x", str(empty))
    assert result.returncode == 1
    assert "no commit yet" in result.stderr
    assert listing.names() == []


def test_the_question_before_a_stop_offers_a_fetch(attempt: Start, here: Path) -> None:
    running = attempt("fix")
    commit(running.clone, b="1")
    terminal = Pty([sys.executable, "-P", "-m", "ccvm_tui", "stop", "fix"], 100, 30)
    try:
        terminal.until("1 commit of the attempt fix was not fetched")
        terminal.until("f: fetch the commits")
        terminal.type("f\n")
        assert terminal.ended(60) == 0
    finally:
        terminal.close()
    assert b"refs/ccvm/fix/fix" in terminal.shown
    assert git(here, "log", "--format=%s", "-1", "ccvm/fix/fix") == "work"
    assert listing.names() == []


def test_submodules_and_large_files_are_announced(attempt: Start, here: Path) -> None:
    library = repository(here.parent / "library")
    git(here, "-c", "protocol.file.allow=always", "submodule", "add", "-q", str(library), "lib")
    write(here, **{".gitattributes": "*.bin filter=lfs\n", "x.bin": "version https://git-lfs.github.com/spec/v1\n"})
    commit(here, "more")
    with (here / ".git/config").open("a") as file:
        file.write('[filter "lfs"]\n\tsmudge = git-lfs smudge\n\tprocess = git-lfs filter-process\n\trequired = true\n')
    running = attempt("fix")
    assert list((running.clone / "lib").iterdir()) == []
    assert (running.clone / "x.bin").read_text().startswith("version")
    commit(running.clone, b="1")
    assert git(running.clone, "show", "--name-only", "--format=") == "b"
    warnings = " ".join(listing.ask_once(running.name)["warnings"])
    assert "git submodule update --init" in warnings
    assert "Git LFS are pointers" in warnings
