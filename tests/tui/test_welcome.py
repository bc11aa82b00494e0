"""The welcome tour: its steps and what is remembered of them, and the way from the first start to the first guest."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ccvm_tui import config, paths
from ccvm_tui.errors import ConfigError, ImageError
from ccvm_tui.project import demo
from ccvm_tui.project.history import History
from ccvm_tui.tui.actions.welcome import SHOWN_LATER, HostPreparation, current_directory
from ccvm_tui.tui.dialogs.welcome import TITLES, Welcome
from ccvm_tui.tui.dialogs.welcome_pages import PAGES
from ccvm_tui.tui.model.welcome import SKIPPED, AgentState, Step, Tour
from tests.cli.conftest import COMMAND
from tests.tui.conftest import Drive, Driven, start_guest
from tests.tui.outer import OuterTerminal
from tests.tui.preparation import FINDINGS, MISSING, SetPreparation
from tests.waiting import eventually


@pytest.fixture
def here(home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory that can be a project, which is the working directory."""
    path = home / "shop"
    path.mkdir()
    monkeypatch.chdir(path)
    monkeypatch.delenv("ANTHROPIC_API_KEY", raising=False)
    monkeypatch.delenv("CLAUDE_CODE_OAUTH_TOKEN", raising=False)
    return path


def stored() -> dict[str, object]:
    return dict(json.loads((paths.state_dir() / "welcome.json").read_text()))


def step_of(tour: Tour) -> Step:
    """Return the current step. For a type checker, an attribute does not change during a call of a method."""
    return tour.step


# --- what is remembered -----------------------------------------------------------------------------------------


def test_an_interrupted_tour_continues_at_the_first_step_without_an_answer(tmp_path: Path) -> None:
    file = tmp_path / "state" / "welcome.json"
    tour = Tour(file)
    assert tour.is_due(known_projects=False)
    assert not tour.is_due(known_projects=True)
    assert tour.answer("done")
    assert tour.answer(SKIPPED)
    again = Tour(file)
    assert again.is_due(known_projects=True)
    assert again.step is Step.PROJECT
    assert again.answered(Step.CHECK) == "done"
    assert again.answered(Step.IMAGE) == ""


def test_a_tour_that_was_left_or_finished_does_not_open_by_itself(tmp_path: Path) -> None:
    left = Tour(tmp_path / "left")
    left.answer("done")
    left.leave()
    assert not Tour(tmp_path / "left").is_due(known_projects=False)
    finished = Tour(tmp_path / "finished")
    assert [finished.answer("x") for _ in Step] == [True] * 5 + [False]
    assert not Tour(tmp_path / "finished").is_due(known_projects=False)


def test_a_tour_that_is_opened_again_shows_what_was_skipped_or_else_everything(tmp_path: Path) -> None:
    tour = Tour(tmp_path / "file")
    for step in Step:
        tour.answer(SKIPPED if step in (Step.IMAGE, Step.LOGIN) else "x")
    tour.reopen()
    assert (step_of(tour), tour.over) == (Step.IMAGE, False)
    assert tour.answer("built")
    assert step_of(tour) is Step.LOGIN
    assert not tour.answer("later")
    tour.reopen()
    assert step_of(tour) is Step.CHECK


def test_going_back_and_answering_again_asks_nothing_twice(tmp_path: Path) -> None:
    tour = Tour(tmp_path / "file")
    for _ in range(4):
        tour.answer("x")
    assert tour.back()
    assert tour.back()
    assert step_of(tour) is Step.PROJECT
    assert tour.answer("/other")
    assert (step_of(tour), tour.answered(Step.PROJECT)) == (Step.LOGIN, "/other")
    while tour.back():
        pass
    assert step_of(tour) is Step.CHECK


@given(st.text() | st.recursive(st.none() | st.integers() | st.text(), lambda inner: st.lists(inner) | st.dictionaries(
    st.sampled_from(["answers", "over", "image", "x"]), inner)).map(json.dumps))  # fmt: skip
def test_any_file_can_be_read(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    file = tmp_path_factory.getbasetemp() / "any-tour"
    file.write_text(text, encoding="utf-8", errors="replace")
    assert Tour(file).step in Step


def test_a_state_directory_that_cannot_be_written_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("a file")
    tour = Tour(tmp_path / "state" / "welcome.json")
    assert tour.answer("done")
    assert step_of(tour) is Step.IMAGE


def test_every_step_has_a_page_and_a_title() -> None:
    assert list(TITLES) == list(PAGES) == list(Step)


# --- the dialog -------------------------------------------------------------------------------------------------


async def test_the_first_start_leads_to_a_session_in_the_first_guest(drive: Drive, here: Path) -> None:
    host = SetPreparation()
    async with drive(tour=Tour(), preparation=host) as dashboard:
        await dashboard.shows("guests run under emulation")
        await dashboard.shows("user, kernel, qemu, memory")
        await dashboard.press("enter")
        await dashboard.shows("Enter  build it")
        await dashboard.press("enter")
        await dashboard.shows("42% installing packages")
        host.finish.set()
        await dashboard.shows(f"Use {here}?")
        await dashboard.press("enter")
        await dashboard.shows("✓ claude")
        await dashboard.shows("It is installed on this machine: /usr/local/bin/claude")
        await dashboard.press("enter")
        await dashboard.shows("export ANTHROPIC_API_KEY=")
        await dashboard.press("enter")
        await dashboard.shows("start it with claude")
        await dashboard.press("enter", "enter")
        await dashboard.shows("agent>")
        assert dashboard.terminal.key.guest.startswith("shop-")
        assert host.built == ["none", "claude"]
    assert stored()["over"] is True
    assert stored()["answers"] == {
        "check": "done", "image": "built", "project": str(here), "agent": "claude", "login": "later", "guest": "started",
    }  # fmt: skip


async def test_every_step_can_be_skipped(drive: Drive, here: Path) -> None:
    async with drive(tour=Tour(), preparation=SetPreparation()) as dashboard:
        for title in TITLES.values():
            await dashboard.shows(f"● {title}")
            await dashboard.shows("s  skip")
            await dashboard.press("s")
        await dashboard.shows("No projects yet")
    assert stored() == {"answers": dict.fromkeys(Step, SKIPPED), "over": True}
    assert config.resolve(here, {}).settings.agent == "claude"


async def test_what_needs_no_answer_is_not_asked(drive: Drive, here: Path) -> None:  # noqa: ARG001 - the directory
    host = SetPreparation(built=True, agent=AgentState("none"))
    async with drive(tour=Tour(), preparation=host) as dashboard:
        await dashboard.shows("without problems")
        await dashboard.press("enter")
        await dashboard.shows("● project")
        await dashboard.press("enter")
        await dashboard.shows("start it with a shell")
        await dashboard.press("b")
        await dashboard.shows("● login")  # going back shows a step even if it has no question
        await dashboard.press("b")
        await dashboard.shows("guests start with a shell")


async def test_a_failed_check_must_be_fixed_or_skipped(drive: Drive, here: Path) -> None:  # noqa: ARG001
    host = SetPreparation(*FINDINGS, MISSING)
    async with drive(tour=Tour(), preparation=host) as dashboard:
        await dashboard.shows("✗ mksquashfs")
        await dashboard.shows("→ `apt install squashfs-tools`")
        await dashboard.hides("Enter  continue")
        await dashboard.press("enter")
        await dashboard.shows("● machine")
        host.checks.remove(MISSING)
        await dashboard.press("r")
        await dashboard.shows("Enter  continue")
        await dashboard.hides("mksquashfs")


async def test_a_build_can_be_cancelled_and_started_again(drive: Drive, here: Path) -> None:  # noqa: ARG001
    host = SetPreparation()
    host.failure = ImageError("the mirror does not answer", "try again later")
    async with drive(tour=Tour(), preparation=host) as dashboard:
        await _to_the_image(dashboard)
        await dashboard.press("enter", "enter")  # the second key must not start another build
        await dashboard.shows("c  cancel")
        await dashboard.hides("s  skip")
        await dashboard.press("c")
        await dashboard.shows("Cancelled.")
        assert host.cancelled == 1
        host.finish.set()
        await dashboard.press("enter")
        await dashboard.shows("✗ the mirror does not answer")
        await dashboard.shows("→ try again later")
        host.failure = None
        await dashboard.press("enter")
        await dashboard.shows("● project")


async def _to_the_image(dashboard: Driven) -> None:
    await dashboard.shows("without problems")
    await dashboard.press("enter")
    await dashboard.shows("Enter  build it")


async def test_leaving_the_tour_cancels_a_build(drive: Drive, here: Path) -> None:  # noqa: ARG001
    host = SetPreparation()
    async with drive(tour=Tour(), preparation=host) as dashboard:
        await _to_the_image(dashboard)
        await dashboard.press("enter")
        await dashboard.shows("c  cancel")
        await dashboard.press("escape")
        await dashboard.shows("No projects yet")
        await dashboard.until(lambda: host.cancelled == 1, "the end of the build")
    assert not Tour().is_due(known_projects=False)


async def test_quitting_the_dashboard_cancels_a_build(drive: Drive, here: Path) -> None:  # noqa: ARG001
    host = SetPreparation()
    async with drive(tour=Tour(), preparation=host) as dashboard:
        await _to_the_image(dashboard)
        await dashboard.press("enter")
        await dashboard.shows("c  cancel")
        dashboard.app.exit(0)
    await eventually(lambda: host.cancelled)
    assert Tour().is_due(known_projects=True)
    assert Tour().step is Step.IMAGE


async def test_another_directory_and_no_agent_can_be_chosen(drive: Drive, here: Path, home: Path) -> None:  # noqa: ARG001
    (home / "other").mkdir()
    host = SetPreparation(built=True, agent=AgentState("claude", problem="neither claude nor npm", hint="install one"))
    async with drive(tour=Tour(), preparation=host) as dashboard:
        await dashboard.shows("without problems")
        await dashboard.press("enter")
        await dashboard.shows("● project")
        await dashboard.press("o")
        await dashboard.shows("Add a project")
        await dashboard.press("escape")
        await dashboard.hides("Add a project")
        await dashboard.press("o")
        await dashboard.shows("Add a project")
        await dashboard.type(f"{home}/other\n")
        await dashboard.shows("neither claude nor npm")
        await dashboard.press("n")
        await dashboard.shows("● first guest")
        await dashboard.press("enter")
        await dashboard.until(lambda: dashboard.main.main_area.focused_terminal is not None)
        assert dashboard.terminal.key.guest.startswith("other-")
    assert config.resolve(None, {}).settings.agent == "none"


async def test_the_demo_can_be_the_first_project(drive: Drive, here: Path) -> None:
    tour = Tour()
    for answer in ("done", "built"):
        tour.answer(answer)
    async with drive(tour=tour, preparation=SetPreparation(built=True)) as dashboard:
        await dashboard.shows("● project")
        await dashboard.press("d")
        await dashboard.shows("● agent")
        await dashboard.press("s")
        await dashboard.press("s")
        await dashboard.shows("Type ./demo.sh in its shell")
        await dashboard.press("escape")
    assert (here / demo.NAME / demo.PROGRAM).is_file()


async def test_a_key_in_the_environment_is_found(
    drive: Drive, here: Path, monkeypatch: pytest.MonkeyPatch  # noqa: ARG001
) -> None:  # fmt: skip
    monkeypatch.setenv("ANTHROPIC_API_KEY", "secret")
    tour = Tour()
    for _ in range(4):
        tour.answer("x")
    async with drive(tour=tour, preparation=SetPreparation()) as dashboard:
        await dashboard.shows("✓ ANTHROPIC_API_KEY is set.")
        await dashboard.press("enter")
        await dashboard.shows("● first guest")
    answers = stored()["answers"]
    assert isinstance(answers, dict)
    assert answers["login"] == "ANTHROPIC_API_KEY"


@pytest.mark.parametrize("keys", [("colon",), ("ctrl+backslash", "colon")])
async def test_the_palette_opens_the_tour_again(drive: Drive, here: Path, keys: tuple[str, ...]) -> None:  # noqa: ARG001
    finished = Tour()
    for _ in Step:
        finished.answer("x")
    async with drive(preparation=SetPreparation()) as dashboard:
        await dashboard.press(*keys)
        await dashboard.shows("type a few letters of a command")
        await dashboard.type("welcome tour")
        await dashboard.press("enter")
        await dashboard.until(lambda: isinstance(dashboard.app.screen, Welcome), "the tour")
        await dashboard.shows("● machine")


async def test_the_program_begins_with_the_tour_once_or_if_it_is_wanted(home: Path, here: Path) -> None:
    async with OuterTerminal(home, 80, 24, *COMMAND, cwd=here) as outer:
        await outer.until("Welcome to ccvm-tui")
        await outer.until("● machine")
        await outer.type("\x1b")
        await outer.until(lambda: "Welcome" not in outer.text)  # a key right after Escape would be Alt and the key
        await outer.until("start with a shell")
        await outer.type("q")
        assert await outer.ended() == 0
    async with OuterTerminal(home, 80, 24, *COMMAND, cwd=here) as outer:
        await outer.until("start with a shell")
        assert "Welcome" not in outer.text
        await outer.type("q")
        assert await outer.ended() == 0
    async with OuterTerminal(home, 80, 24, *COMMAND, "--tour", cwd=here) as outer:
        await outer.until("Welcome to ccvm-tui")
        await outer.type("\x1b")
        await outer.until(lambda: "Welcome" not in outer.text)  # a key right after Escape would be Alt and the key
        await outer.until("start with a shell")
        await outer.type("q")
        assert await outer.ended() == 0


async def test_a_user_who_has_projects_sees_no_tour(home: Path, here: Path) -> None:
    History().remember(str(here), "shop-1")
    async with OuterTerminal(home, 80, 24, *COMMAND, cwd=here) as outer:
        await outer.until("start with a shell")
        assert "Welcome" not in outer.text
        await outer.type("q")
        assert await outer.ended() == 0


async def test_a_user_whose_guest_is_running_sees_no_tour_although_nothing_can_be_stored(
    home: Path, here: Path
) -> None:
    (home / "state").chmod(0o500)
    await start_guest(home, "goes-on", "cat")
    async with OuterTerminal(home, 80, 24, *COMMAND, cwd=here) as outer:
        await outer.until("goes-on")
        assert "Welcome" not in outer.text
        await outer.type("q")
        assert await outer.ended() == 0


# --- what it does on the machine ---------------------------------------------------------------------------------


async def test_the_findings_are_those_of_doctor(home: Path) -> None:  # noqa: ARG001 - the directories
    findings = {finding.name: finding for finding in await HostPreparation().findings()}
    assert {"user", "qemu", "kvm", "memory", "user namespaces"} <= set(findings)
    assert not SHOWN_LATER & set(findings)
    assert all(finding.status in ("ok", "warn", "fail") for finding in findings.values())
    assert all(finding.fix for finding in findings.values() if finding.status != "ok")


def test_an_empty_cache_has_no_image(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(home / "cache"))
    assert not HostPreparation().image_is_built()


def test_the_agent_is_a_program_on_the_path_or_else_a_problem(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(home / "cache"))
    monkeypatch.setenv("PATH", str(home))
    missing = HostPreparation().agent()
    assert missing.problem.startswith("neither claude nor npm")
    assert missing.hint
    (home / "npm").write_text("#!/bin/sh\n")
    (home / "npm").chmod(0o755)
    downloaded = HostPreparation().agent()
    assert downloaded.package.startswith("@anthropic-ai/claude-code-linux-")
    program = home / "claude"
    program.write_bytes(b"\x7fELF" + bytes(11 << 20))
    program.chmod(0o755)
    assert HostPreparation().agent() == AgentState("claude", str(program))


def test_the_choice_of_no_agent_is_written_to_the_settings(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: ARG001
    host = HostPreparation()
    host.use_agent("none")
    assert config.resolve(None, {}).settings.agent == "none"
    assert host.agent() == AgentState("none")
    host.use_agent("none")
    assert paths.config_file().read_text() == 'agent = "none"\n'
    monkeypatch.setenv("CCVM_AGENT", "claude")
    with pytest.raises(ConfigError, match="CCVM_AGENT overrides") as caught:
        host.use_agent("none")
    assert caught.value.hint == "`unset CCVM_AGENT`"


def test_a_known_project_keeps_the_time_of_its_last_start(here: Path) -> None:
    History().remember(str(here), "shop-1", now=5.0)
    host = HostPreparation()
    assert host.add_project(".") == str(here)
    assert [project.last for project in History().list()] == [5.0]


def test_the_demo_is_created_once(here: Path) -> None:
    host = HostPreparation()
    path = host.create_demo()
    (here / demo.NAME / "README.md").write_text("mine")
    assert host.create_demo() == path == str(here / demo.NAME)
    assert (here / demo.NAME / "README.md").read_text() == "mine"


def test_a_directory_that_cannot_be_a_project_is_not_proposed(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir("/usr")
    assert current_directory() == ("", "/usr is a system directory, not a project")
    gone = home / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    assert current_directory()[0] == ""
