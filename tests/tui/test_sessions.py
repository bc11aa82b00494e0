"""Sessions in the dashboard: starting, showing, switching, leaving and ending them."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from textual.widget import MountError

from ccvm_tui.client import connection, listing
from ccvm_tui.errors import ImageError
from ccvm_tui.guest import SessionKind, TermSize
from ccvm_tui.project.history import History
from ccvm_tui.protocol import LaunchSpec
from ccvm_tui.tui.model.key_names import stroke_of
from ccvm_tui.tui.model.text_selection import Point, TextSelection
from tests.tui.conftest import Drive, Driven, start_guest
from tests.tui.local import LocalStarter


async def test_a_project_is_added_and_its_guest_started_by_what_the_screen_says(drive: Drive, home: Path) -> None:
    project = home / "first-project"
    project.mkdir()
    async with drive() as dashboard:
        await dashboard.shows("Press + to add a directory")
        await dashboard.press("plus")
        await dashboard.shows("Add a project")
        await dashboard.type(str(home / "first-pr"))
        await dashboard.press("tab")
        await dashboard.shows("first-project/")
        await dashboard.press("enter")
        await dashboard.shows("start with a shell")
        await dashboard.press("c")
        await dashboard.until(lambda: dashboard.main.main_area.focused_terminal is not None, "the new session in focus")
        await dashboard.shows("$")
        await dashboard.type("echo it-$((20+1))\n")
        await dashboard.shows("it-21")
    assert len(listing.names()) == 1  # quitting stopped nothing


async def test_the_working_directory_is_offered_and_its_guest_is_started_on_request(drive: Drive, home: Path) -> None:
    await start_guest(home, "another")
    project = home / "here"
    project.mkdir()
    async with drive(here=str(project)) as dashboard:
        await dashboard.shows("another")
        await dashboard.shows(str(project))
        await dashboard.press("r")
        await dashboard.until(lambda: dashboard.main.main_area.focused_terminal is not None, "the new session in focus")
        assert dashboard.terminal.key.guest.startswith("here-")
    async with drive(here=str(project)) as dashboard:  # it runs now, and the cursor begins on it all the same
        await dashboard.shows("agent>")
        await dashboard.press("enter")
        await dashboard.until(lambda: dashboard.main.main_area.focused_terminal is not None, "the session in focus")
        assert dashboard.terminal.key.guest.startswith("here-")


async def test_a_guest_starts_although_the_history_cannot_be_written(drive: Drive, home: Path) -> None:
    project = home / "here"
    project.mkdir()
    (home / "state").chmod(0o500)
    async with drive(here=str(project)) as dashboard:
        await dashboard.shows(str(project))
        await dashboard.press("r")
        await dashboard.until(lambda: dashboard.main.main_area.focused_terminal is not None, "the new session in focus")
        assert "That did not work" not in dashboard.text()


async def test_every_key_but_the_leader_goes_to_the_program(drive: Drive, home: Path) -> None:
    await start_guest(home, "keys", "sh", "-c", "stty -ixon; cat -v")
    async with drive() as dashboard:
        await dashboard.shows("keys")
        await dashboard.into("cat")
        await dashboard.type("q?/")
        await dashboard.press("escape", "ctrl+p", "ctrl+q", "f1", "up", "alt+x", "tab", "enter")
        await dashboard.shows("q?/^[^P^Q^[OP^[[A^[x")


async def test_the_leader_twice_sends_itself(drive: Drive, home: Path) -> None:
    await start_guest(home, "keys", "sh", "-c", "stty -isig -icanon -echo; printf ready; cat -v")
    async with drive() as dashboard:
        await dashboard.shows("ready")
        await dashboard.leader("1")
        await dashboard.until(lambda: dashboard.main.main_area.focused_terminal is not None)
        await dashboard.leader("ctrl+backslash")
        await dashboard.shows("ready^\\")


async def test_keys_typed_while_a_session_is_being_opened_arrive_in_it(drive: Drive, home: Path) -> None:
    await start_guest(home, "early", "cat", sessions=2, title="c")
    async with drive() as dashboard:
        await dashboard.shows("2 sessions")
        for stroke in ("ctrl+backslash", "2", "x", "S", "q"):  # each of the last three would do harm in the tree
            dashboard.app.take_stroke(stroke_of(stroke))
        await dashboard.shows("xSq")
        assert dashboard.terminal.key.session == "s2"
        dashboard.app.take_stroke(stroke_of("ctrl+backslash"))
        dashboard.app.take_stroke(stroke_of("1"))
        assert dashboard.app.take_paste(b"pasted")
        await dashboard.shows("pasted")
        assert dashboard.terminal.key.session == "s1"


async def test_sessions_are_switched_by_number_by_step_and_back(drive: Drive, home: Path) -> None:
    await start_guest(home, "three", "/bin/sh", sessions=3, title="s")
    async with drive() as dashboard:
        await dashboard.shows("3 sessions")
        for number in (1, 2, 3):
            await dashboard.leader(str(number))
            assert dashboard.session == f"s{number}"
            await dashboard.until(lambda: dashboard.main.main_area.focused_terminal is not None)
            await dashboard.until(lambda: dashboard.terminal.key.session == dashboard.session)
        await dashboard.leader("tab")
        assert dashboard.session == "s2"
        await dashboard.leader("n")
        assert dashboard.session == "s3"
        await dashboard.leader("n")
        assert dashboard.session == "s1"
        await dashboard.leader("p")
        assert dashboard.session == "s3"


async def test_detached_and_back_the_screen_is_as_it_was(drive: Drive, home: Path) -> None:
    await start_guest(home, "stays")
    async with drive() as dashboard:
        await dashboard.leader("1")
        await dashboard.shows("stays")
        await dashboard.leader("1")
        await dashboard.until(lambda: dashboard.main.main_area.focused_terminal is not None)
        await dashboard.type("echo left-$((1+1))\n")
        await dashboard.shows("left-2")
        await dashboard.leader("d")
        await dashboard.until(lambda: dashboard.app.focused is dashboard.main.tree_view, "the tree in focus")
    async with drive() as dashboard:
        await dashboard.shows("left-2")


async def test_a_new_shell_and_its_end(drive: Drive, home: Path) -> None:
    await start_guest(home, "grows")
    async with drive() as dashboard:
        await dashboard.shows("1 session")
        await dashboard.press("c")
        await dashboard.shows("2 sessions")
        await dashboard.until(lambda: dashboard.main.main_area.focused_terminal is not None, "the new shell in focus")
        await dashboard.type("exit\n")
        await dashboard.shows("1 session ")


async def test_output_that_arrives_while_a_session_is_hidden_is_shown_afterwards(drive: Drive, home: Path) -> None:
    remembered(home, "another")
    await start_guest(home, "hides", "sh", "-c", "read go; printf later; cat", title="prints")
    async with drive() as dashboard:
        await dashboard.shows("1 session")
        await dashboard.leader("1")
        await dashboard.until(lambda: dashboard.main.main_area.focused_terminal is not None)
        terminal = dashboard.terminal
        await dashboard.leader("d")
        await dashboard.press("down")
        await dashboard.until(lambda: terminal.size.height == 0, "the page of the other project")
        terminal.send(b"\n")
        await dashboard.until(lambda: terminal.grid.cursor.x == len("later"), "the output")
        await dashboard.leader("1")
        await dashboard.shows("│later")


def remembered(home: Path, name: str) -> None:
    """Add a project that the tree offers to start."""
    (home / name).mkdir()
    History().remember(str(home / name), f"{name}-0", time.time())


async def test_the_last_screen_of_a_session_that_failed_remains_until_it_is_closed(drive: Drive, home: Path) -> None:
    remembered(home, "fails")
    async with drive(argv=("/bin/sh", "-c", "echo no way to reach the service; exit 3")) as dashboard:
        await dashboard.press("g")
        await dashboard.shows("ended with status 3")
        await dashboard.shows("no way to reach the service")
        await dashboard.shows("Enter close   r run again")
        await dashboard.until(lambda: dashboard.main.main_area.focused_terminal is not None, "the last screen in focus")
        await dashboard.press_until(
            "r",
            lambda: dashboard.main.model.selection.current and dashboard.session == "s2",
        )
        await dashboard.shows("no way to reach the service")
        await dashboard.shows("Enter close   r run again")
        await dashboard.press_until("enter", lambda: dashboard.app.focused is dashboard.main.tree_view)
        await dashboard.hides("no way to reach the service")


async def test_keys_typed_after_the_last_screen_was_closed_start_nothing(drive: Drive, home: Path) -> None:
    remembered(home, "typed-on")
    async with drive(argv=("/bin/sh", "-c", "exit 3")) as dashboard:
        await dashboard.press("g")
        await dashboard.shows("Enter close   r run again")
        await dashboard.until(lambda: dashboard.main.main_area.focused_terminal is not None, "the last screen in focus")
        terminal = dashboard.terminal
        await dashboard.until(
            lambda: (keys := terminal.last_screen_keys) is not None and keys.available(time.monotonic())
        )
        for stroke in ("enter", "r", "r"):
            dashboard.app.take_stroke(stroke_of(stroke))
        await dashboard.until(lambda: dashboard.app.focused is dashboard.main.tree_view, "back in the tree")
        info = next(iter(dashboard.main.model.fleet.guests.values())).info
        assert info is not None
        assert info.sessions == ()
        assert "starting" not in dashboard.text()


async def test_an_error_of_a_screen_that_is_being_removed_is_no_crash(drive: Drive, home: Path) -> None:
    await start_guest(home, "quits", "cat")
    async with drive() as dashboard:
        await dashboard.shows("1 session")
        under_way, quitting = asyncio.Event(), asyncio.Event()

        async def mount_late() -> None:
            under_way.set()
            await quitting.wait()
            raise MountError("as Textual says where the widget to mount in is gone already")

        dashboard.main.run_worker(mount_late(), group="shown")
        await under_way.wait()
        quitting.set()
        dashboard.app.exit(0)
        await dashboard.until(lambda: not dashboard.app.is_running, "the end")
    assert dashboard.app.crash_file is None


async def test_an_end_that_the_user_requested_does_not_affect_the_next_guest(drive: Drive, home: Path) -> None:
    remembered(home, "again")
    starter = LocalStarter(("/bin/sh", "-c", "echo ready; read x; exit 3"), linger=False)
    async with drive(starter=starter) as dashboard:
        await dashboard.press("g")
        await dashboard.shows("ready")
        await dashboard.until(lambda: dashboard.main.main_area.focused_terminal is not None, "the session in focus")
        await dashboard.leader("x")
        await dashboard.shows("End this session?")
        await dashboard.press("y")
        await dashboard.until(lambda: not dashboard.main.model.fleet.guests, "the guest gone")
        await dashboard.shows("start with an agent")
        await dashboard.press("g")
        await dashboard.shows("ready")
        await dashboard.until(lambda: dashboard.main.main_area.focused_terminal is not None, "its second life in focus")
        await dashboard.press("enter")
        await dashboard.shows("ended with status 3")
        await dashboard.shows("Enter close   r run again")


async def test_the_last_screen_can_be_copied(drive: Drive, home: Path) -> None:
    remembered(home, "copies")
    async with drive(argv=("/bin/sh", "-c", "echo words at the end; exit 3")) as dashboard:
        await dashboard.press("g")
        await dashboard.shows("ended with status 3")
        await dashboard.until(lambda: dashboard.main.main_area.focused_terminal is not None, "the last screen in focus")
        terminal = dashboard.terminal
        line = terminal.grid.top
        selection = TextSelection(Point(line, 0), Point(line, 4))
        terminal.post_message(terminal.Copied(terminal, selection))
        await dashboard.until(lambda: dashboard.app.clipboard == "words", dashboard.app.clipboard)


class Building(LocalStarter):
    """A starter whose build takes until it is cancelled."""

    def launch(
        self,
        _path: str,
        _kind: SessionKind,
        _size: TermSize,
        report: Callable[[str], None],
        cancel: threading.Event,
        _attempt: str = "",
    ) -> LaunchSpec:
        report("image: 10% downloading")
        assert cancel.wait(10)
        raise ImageError("the build was cancelled", "try again")


async def test_the_progress_of_a_build_is_shown_and_it_can_be_cancelled(drive: Drive, home: Path) -> None:
    remembered(home, "needs")
    async with drive(starter=Building()) as dashboard:
        await dashboard.press("r")
        await dashboard.shows("image: 10% downloading")
        await dashboard.shows("S  cancel")
        await dashboard.press("S")
        await dashboard.shows("✗ the build was cancelled")
        await dashboard.shows("start with a shell")
    assert listing.names() == []


async def test_a_paused_guest_is_marked_above_its_session(drive: Drive, home: Path) -> None:
    await start_guest(home, "rests", "cat")
    async with drive() as dashboard:
        await dashboard.shows("1 session")
        await dashboard.press("P")
        await dashboard.shows("paused: P in the tree resumes it")
        await dashboard.press("P")
        await dashboard.hides("paused: P in the tree resumes it")


async def test_muted_sessions_and_projects_remain_muted_in_the_next_dashboard(drive: Drive, home: Path) -> None:
    await start_guest(home, "noisy", "cat", sessions=2, title="cat")
    async with drive() as dashboard:
        await dashboard.shows("2 sessions")
        await dashboard.press("m")
        await dashboard.until(lambda: dashboard.text().count("muted") == 3, "the project and its sessions muted")
    async with drive() as dashboard:
        await dashboard.until(lambda: dashboard.text().count("muted") == 3, "the project and its sessions muted")
        await dashboard.press("m")
        await dashboard.hides("muted")
        await dashboard.press("j", "j", "m")
        await dashboard.until(lambda: dashboard.text().count("muted") == 1, "one session muted")
    async with drive() as dashboard:
        await dashboard.until(lambda: dashboard.text().count("muted") == 1, "one session muted")


async def test_a_theme_that_does_not_exist_is_reported(drive: Drive, home: Path) -> None:
    configured = home / "config" / "ccvm"
    configured.mkdir(parents=True)
    (configured / "config.toml").write_text('[theme]\nname = "nrod"\n')
    async with drive() as dashboard:
        await dashboard.shows("There is no theme nrod")
        await dashboard.shows("nord")


async def test_ending_a_session_asks(drive: Drive, home: Path) -> None:
    await start_guest(home, "ends", "cat", sessions=2, title="cat")
    async with drive() as dashboard:
        await dashboard.shows("2 sessions")
        await dashboard.leader("1")
        await dashboard.until(lambda: dashboard.main.main_area.focused_terminal is not None)
        await dashboard.leader("x")
        await dashboard.shows("End this session?")
        await dashboard.press("escape")
        await dashboard.hides("End this session?")
        await dashboard.leader("x")
        await dashboard.shows("End this session?")
        await dashboard.press("y")
        await dashboard.shows("1 session ")


async def test_stopping_a_busy_guest_asks_and_names_the_running_program(drive: Drive, home: Path) -> None:
    await start_guest(home, "busy")
    async with drive() as dashboard:
        await dashboard.leader("1")
        await dashboard.shows("busy")
        await dashboard.leader("1")
        await dashboard.until(lambda: dashboard.main.main_area.focused_terminal is not None)
        await dashboard.type("sleep 1000\n")
        await dashboard.shows("sleep 1000")
        async with await connection.connect("busy") as keeper:
            while not await keeper.busy():
                pass
        await dashboard.leader("d")
        await dashboard.press("S")
        await dashboard.shows("Stop busy?")
        await dashboard.shows("sleep")
        await dashboard.press("n")
        await dashboard.hides("Stop busy?")
        assert listing.names() == ["busy"]
        await dashboard.press("S")
        await dashboard.shows("Stop busy?")
        await dashboard.press("y")
        await dashboard.shows("0 running")
        await dashboard.until(lambda: listing.names() == [], "the keeper gone")


def _has_tiles(dashboard: Driven, count: int) -> bool:
    return len(dashboard.main.main_area.panes()) == count


async def test_sessions_are_shown_side_by_side_and_alone_again(drive: Drive, home: Path) -> None:
    await start_guest(home, "tiles", "cat", sessions=3, title="t")
    async with drive(size=(200, 50)) as dashboard:
        await dashboard.shows("3 sessions")
        await dashboard.leader("1")
        await dashboard.until(lambda: dashboard.main.main_area.focused_terminal is not None)
        for count in (2, 3):
            await dashboard.leader("t")
            await dashboard.until(partial(_has_tiles, dashboard, count), f"{count} tiles")
        await dashboard.type("one")
        await dashboard.shows("one")
        first, second, _ = dashboard.main.main_area.panes()
        assert await dashboard.pilot.click(second.terminal, offset=(3, 3))
        await dashboard.until(lambda: dashboard.main.model.selection.current == second.key, "the clicked session")
        assert dashboard.main.model.selection.previous == first.key
        await dashboard.leader("t")
        await dashboard.until(lambda: len(dashboard.main.main_area.panes()) == 1, "one tile")


async def test_the_keys_after_the_leader_are_shown_as_they_are_set(drive: Drive, home: Path) -> None:
    configured = home / "config" / "ccvm"
    configured.mkdir(parents=True)
    (configured / "config.toml").write_text('leader = "ctrl-a"\n[keys]\nzoom = "f5"\n')
    await start_guest(home, "popup", "cat")
    async with drive() as dashboard:
        await dashboard.shows("popup")
        await dashboard.press("ctrl+a")
        await dashboard.shows("F5 Zoom")
        await dashboard.press("escape")
        await dashboard.hides("F5 Zoom")


async def test_hiding_the_sidebar_resizes_the_session(drive: Drive, home: Path) -> None:
    await start_guest(home, "sizes", "sh", "-c", "trap 'stty size' WINCH; echo up; while :; do sleep 0.05; done")
    async with drive(size=(100, 30)) as dashboard:
        await dashboard.shows("up")
        await dashboard.leader("1")
        await dashboard.until(lambda: dashboard.main.main_area.focused_terminal is not None)
        await dashboard.press("x")
        await dashboard.leader("s")
        await dashboard.shows("27 100")
        await dashboard.leader("s")
        await dashboard.shows("27 67")


@pytest.mark.usefixtures("home")
async def test_ctrl_c_explains_how_to_quit(drive: Drive) -> None:
    async with drive() as dashboard:
        await dashboard.press("ctrl+c")
        await dashboard.shows("Press q in the tree to quit; guests keep running")


async def test_details_make_way_for_a_session_on_a_narrow_screen(drive: Drive, home: Path) -> None:
    await start_guest(home, "small", "cat", title="cat")
    async with drive(size=(80, 24)) as dashboard:
        await dashboard.shows("1 session")
        await dashboard.press("i")
        await dashboard.shows("memory")
        await dashboard.leader("1")
        await dashboard.until(lambda: dashboard.main.main_area.focused_terminal is not None)
        await dashboard.until(lambda: dashboard.terminal.size.width > 50, "room for the session")
        await dashboard.leader("d")
        await dashboard.shows("memory")


async def test_the_page_of_a_guest_that_died_shows_the_reason(drive: Drive, home: Path) -> None:
    last = home / "state" / "ccvm" / "last"
    last.mkdir(parents=True)
    project = home / "crashed"
    project.mkdir()
    record = {
        "name": "crashed-1234", "project": str(project), "failed": True, "reason": "QEMU was killed by signal 9",
        "console_tail": "[ 3.1] Kernel panic\x1b[2J - not syncing\nlast words", "ended": 1700000000,
    }  # fmt: skip
    (last / "crashed-1234.json").write_text(json.dumps(record))
    async with drive() as dashboard:
        await dashboard.shows("died")
        await dashboard.shows("QEMU was killed by signal 9")
        await dashboard.shows("Kernel panic - not syncing")
        await dashboard.shows("start again")
