from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from ccvm_tui.client import connection
from ccvm_tui.errors import UserError
from ccvm_tui.guest import SessionInfo, SessionKind, TermSize
from ccvm_tui.protocol import SessionSpec
from ccvm_tui.review import difference
from ccvm_tui.tui.model.edits import Edits, Mark
from ccvm_tui.tui.screens.review import ReviewScreen
from tests.review.guests import EditedProject, edited_project
from tests.tui.conftest import Drive, Driven, start_guest
from tests.tui.test_screens import SIZES, Album, in_each_size

SOURCE = [f"line {number} of the source\n" for number in range(1, 60)]


@pytest.fixture
def project() -> Iterator[EditedProject]:
    with edited_project() as project:
        (project.host / "src").mkdir()
        (project.host / "src" / "server.py").write_text("".join(SOURCE))
        for name in ("conflict.txt", "old-name.txt", "gone.txt"):
            (project.host / name).write_text("host's\n")
        changed = [*SOURCE]
        changed[4] = "another line\twith a tab and \x1b[31mred\n"
        changed[5:5] = ["one more " + "long " * 30 + "\n"]
        changed[30] = "a second hunk\n"
        project.write("src/server.py", "".join(changed))
        project.write("src/new.py", "print('new')\n", 0o755)
        project.write("picture.png", b"\x89PNG\0" * 20)
        project.write("conflict.txt", "guest's\n")
        project.client.rename(b"old-name.txt", b"new-name.txt")
        project.client.unlink(b"gone.txt")
        project.client.symlink(b"/etc/passwd", b"outside")
        (project.host / "conflict.txt").write_text("changed on the host\n")
        yield project


def edits_of(project: EditedProject) -> Edits:
    edits = Edits(project.review())
    for change in edits.changes:
        if change.is_text:
            edits.add_hunks(change.path, difference.compared(change.base.data or b"", change.guest.data or b""))
    return edits


def at(edits: Edits, path: str) -> Edits:
    edits.move([change.path for change in edits.changes].index(path) - edits.index)
    return edits


# --- decisions ------------------------------------------------------------------------------------------------------


def marks(edits: Edits) -> dict[str, Mark]:
    return {change.path: edits.mark(change) for change in edits.changes}


def test_everything_that_can_be_applied_is_chosen_at_first(project: EditedProject) -> None:
    refused = {"conflict.txt", "outside"}
    found = marks(edits_of(project))
    assert {path for path, mark in found.items() if mark is Mark.REFUSED} == refused
    assert {mark for path, mark in found.items() if path not in refused} == {Mark.APPLY}


def test_a_skipped_hunk_is_not_applied(project: EditedProject) -> None:
    edits = at(edits_of(project), "src/server.py")
    edits.move_hunk(1)
    edits.toggle_hunk()
    assert marks(edits)["src/server.py"] is Mark.SOME
    changes, partly = edits.chosen()
    assert len(changes) == len(edits.changes) - 2
    assert [hunk.counts for hunk in partly["src/server.py"]] == [(2, 1)]
    edits.move_hunk(-1)
    edits.toggle_hunk()
    assert marks(edits)["src/server.py"] is Mark.SKIP
    edits.toggle_hunk()
    assert marks(edits)["src/server.py"] is Mark.SOME
    edits.toggle()
    assert marks(edits)["src/server.py"] is Mark.APPLY


def test_a_hunk_of_a_skipped_file_can_be_chosen(project: EditedProject) -> None:
    edits = at(edits_of(project), "src/server.py")
    edits.toggle_all()
    assert edits.chosen() == ([], {})
    edits.toggle_hunk()
    changes, partly = edits.chosen()
    assert [change.path for change in changes] == ["src/server.py"]
    assert [hunk.counts for hunk in partly["src/server.py"]] == [(2, 1)]
    edits.toggle_all()
    edits.toggle_all()
    assert Mark.SKIP not in marks(edits).values()


def test_what_is_refused_cannot_be_chosen(project: EditedProject) -> None:
    edits = at(edits_of(project), "conflict.txt")
    edits.toggle()
    edits.toggle_hunk()
    assert marks(edits)["conflict.txt"] is Mark.REFUSED
    assert any(row.kind == "problem" and "changed on the host" in row.text for row in edits.diff())


def test_no_control_character_of_a_guest_is_shown(project: EditedProject) -> None:
    for index in range(len(project.review().changes)):
        edits = edits_of(project)
        edits.move(index)
        assert all(row.text.isprintable() for row in edits.diff())


def test_a_comment_quotes_the_hunk_with_its_place(project: EditedProject) -> None:
    edits = at(edits_of(project), "src/server.py")
    edits.move_hunk(1)
    lines = edits.comment("why?").splitlines()
    assert lines[0] == "src/server.py:30: why?"
    assert "    +a second hunk" in lines


# --- the screen -----------------------------------------------------------------------------------------------------


async def open_review(
    dashboard: Driven, project: EditedProject, sessions: Sequence[SessionInfo] = (), name: str = ""
) -> None:
    async def load() -> Edits:
        return Edits(project.review())

    dashboard.app.push_screen(ReviewScreen(name or project.name, load, lambda: sessions))
    await dashboard.shows("files")


@in_each_size
async def test_pictures(drive: Drive, home: Path, project: EditedProject, size: str) -> None:
    async with drive(size=SIZES[size]) as dashboard:
        album = Album(dashboard, home, size)
        await open_review(dashboard, project)
        await dashboard.shows("both sides have changed it")
        await dashboard.shows("+3")
        await album.take("review-conflict")
        await dashboard.press("j", "j", "j", "j", "j", "j", "j")
        await dashboard.shows("another line")
        await dashboard.press("n", "x")
        await album.take("review")
        await dashboard.press("c")
        await dashboard.shows("There is no agent")
    assert not album.different, "\n\n".join(album.different)


async def test_the_screen_says_why_nothing_can_be_read_until_it_can(drive: Drive, project: EditedProject) -> None:
    results: list[Edits | UserError] = [UserError("there is no snapshot", "run git init"), edits_of(project)]

    async def load() -> Edits:
        if isinstance(result := results.pop(0), UserError):
            raise result
        return result

    async with drive() as dashboard:
        dashboard.app.push_screen(ReviewScreen(project.name, load, list))
        await dashboard.shows("not read")
        await dashboard.shows("there is no snapshot")
        await dashboard.shows("→ run git init")
        await dashboard.hides("reading …")
        await dashboard.hides("skip file")
        await dashboard.press("r")
        await dashboard.shows("files")
        await dashboard.hides("there is no snapshot")


async def test_chosen_changes_are_applied_and_restored(drive: Drive, project: EditedProject) -> None:
    before = project.host_files()
    async with drive() as dashboard:
        await open_review(dashboard, project)
        await dashboard.shows("+3")
        await dashboard.press("A")
        await dashboard.press("j", "j", "j", "j", "j", "j", "j")
        await dashboard.shows("another line")
        await dashboard.press("n", "x", "a")
        await dashboard.shows("Applied 1 of 1 changes")
        expected = [*SOURCE]
        expected[29] = "a second hunk\n"
        assert (project.host / "src" / "server.py").read_text() == "".join(expected)
        assert {path for path, value in project.host_files().items() if before.get(path) != value} == {"src/server.py"}
        await dashboard.press("u")
        await dashboard.shows("Restore these files")
        await dashboard.press("y")
        await dashboard.until(lambda: project.host_files() == before, "restored")
        await dashboard.press("escape")
        await dashboard.shows("No projects yet")


async def test_a_comment_is_pasted_into_the_prompt_of_the_agent(
    drive: Drive, home: Path, project: EditedProject
) -> None:
    await start_guest(home, "shop", "sh")
    async with await connection.connect("shop") as keeper:
        agent = SessionSpec(SessionKind.AGENT, ("cat",), size=TermSize(80, 24), name="the agent")
        session = await keeper.start_session(agent)
        async with drive() as dashboard:
            await open_review(dashboard, project, (session,), "shop")
            await dashboard.shows("+3")
            await dashboard.press("j", "j", "j", "j", "j", "j", "j")
            await dashboard.shows("another line")
            await dashboard.press("c")
            await dashboard.shows("Enter puts it into the prompt of the agent")
            await dashboard.type("why this")
            await dashboard.press("enter")
            await dashboard.shows("The comment is in the prompt")
        text = await keeper.text(session.id, 0, 30)
        assert "src/server.py:5: why this" in text
        assert "    +another line" in text


async def test_a_question_before_the_end_of_a_read_only_guest_leads_to_the_review(drive: Drive, home: Path) -> None:
    await start_guest(home, "shop", "sh", title="the shell", read_only=True)
    async with drive() as dashboard:
        await dashboard.shows("the shell")
        await dashboard.press("d")
        await dashboard.shows("Nothing is changed")
        await dashboard.press("q")
        await dashboard.hides("Nothing is changed")
        await dashboard.press("j", "j", "x")
        await dashboard.shows("End this session?")
        await dashboard.press("r")
        await dashboard.shows("Nothing is changed")
        await dashboard.press("escape")
        await dashboard.hides("Nothing is changed")
        assert [info.name for info in dashboard.main.model.sessions.values()] == ["the shell"]
