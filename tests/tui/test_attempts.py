"""Attempts in the dashboard: started, listed beneath their project, fetched, compared, and not stopped without asking."""

from __future__ import annotations

from pathlib import Path

from ccvm_tui.client import listing
from ccvm_tui.paths import GuestPaths
from ccvm_tui.tui.screens.comparison import ComparisonScreen
from tests.attempt.projects import commit, git, repository
from tests.tui.conftest import Drive, Driven


def clone_of(attempt: str) -> Path:
    return GuestPaths(listing.find(attempt)).local_clone


async def start_attempt(dashboard: Driven, name: str) -> None:
    await dashboard.press("A")
    await dashboard.shows("New attempt of app")
    await dashboard.type(f"{name}\n")
    await dashboard.until(
        lambda: (found := dashboard.main.main_area.focused_terminal) is not None and found.key.guest.endswith(name),
        f"the session of {name} in focus",
    )
    await dashboard.leader("d")


async def test_attempts_are_started_compared_fetched_and_kept(drive: Drive, home: Path) -> None:
    project = repository(home / "app")
    async with drive(here=str(project)) as dashboard:
        await dashboard.shows(str(project))
        await dashboard.press("A")
        await dashboard.type("not a name\n")
        await dashboard.shows("cannot be the name of an attempt")
        await dashboard.press("escape")
        await start_attempt(dashboard, "one")
        await start_attempt(dashboard, "two")
        await dashboard.press("enter")
        await dashboard.type(
            "git config user.email a@b; git config user.name a; echo right > a.txt; git commit -qam w\n"
        )
        await dashboard.leader("d")
        await dashboard.shows("↑1 ±1*")
        commit(clone_of("one"), **{"a.txt": "left\n"})
        await dashboard.press("C")
        await dashboard.shows("1 file, 0 the same")
        await dashboard.shows("right")
        await dashboard.shows("left")
        await dashboard.press("q", "S")
        await dashboard.shows("1 commit of the attempt two was not fetched")
        await dashboard.press("n", "F")
        await dashboard.shows("refs/ccvm/two/two: 1 new commit")
        assert git(project, "log", "--format=%s", "refs/ccvm/two/two") == "w\nstart"
        await dashboard.press("S")
        await dashboard.hides("● two")
        assert [name.partition(".")[2] for name in listing.names()] == ["one"]


async def test_an_attempt_that_runs_is_opened_and_the_project_can_run_too(drive: Drive, home: Path) -> None:
    project = repository(home / "app")
    async with drive(here=str(project)) as dashboard:
        await start_attempt(dashboard, "one")
        await start_attempt(dashboard, "one")
        assert len(listing.names()) == 1
        await dashboard.press("up", "up", "up", "r")
        await dashboard.until(lambda: dashboard.main.main_area.focused_terminal is not None, "its session in focus")
        assert "." not in dashboard.terminal.key.guest
    assert len(listing.names()) == 2


async def test_a_project_that_is_no_repository_says_so(drive: Drive, home: Path) -> None:
    project = home / "app"
    project.mkdir()
    async with drive(here=str(project)) as dashboard:
        await dashboard.shows(str(project))
        await dashboard.press("A")
        await dashboard.type("x\n")
        await dashboard.shows("is not a Git repository")


async def test_a_comparison_that_fails_says_why(drive: Drive) -> None:
    async with drive() as dashboard:
        dashboard.app.push_screen(ComparisonScreen("gone-1", "gone-2"))
        await dashboard.shows("not read")
        await dashboard.shows("no guest 'gone-1' is running")
        await dashboard.hides("reading …")
