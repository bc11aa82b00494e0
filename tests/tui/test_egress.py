"""The egress screen and the questions of guests, in the dashboard with a guest that exists only here."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from ccvm_tui.config import file as config_file
from ccvm_tui.guest import EgressInfo, GuestInfo, GuestState
from ccvm_tui.outbound import EgressAttempt, EgressReport
from ccvm_tui.tui.dialogs import held_question
from ccvm_tui.tui.dialogs.egress_question import EgressQuestion
from ccvm_tui.tui.model.egress import Connections
from ccvm_tui.tui.model.guests import Contact, Guest
from tests.tui.conftest import Drive, Driven


def attempt(number: int, host: str, outcome: str, **more: Any) -> EgressAttempt:
    return EgressAttempt(number, time.time(), "tcp", host, 443, outcome, **more)


class Keeper:
    """A keeper whose guest has tried some connections; it notes the answers."""

    def __init__(self) -> None:
        self.answers: list[tuple[str, bool, bool]] = []
        self.attempts = [
            attempt(1, "good.example", "closed", sent=100, received=2_000_000),
            attempt(2, "bad.example", "refused", reason="it is not on the allowlist"),
            attempt(3, "good.example", "open"),
        ]

    async def egress(self, version: int) -> EgressReport:
        return EgressReport(3, tuple(self.attempts) if version == 0 else ())

    async def answer_egress(self, question: str, *, allow: bool, once: bool) -> None:
        self.answers.append((question, allow, once))


def with_questions(dashboard: Driven, home: Path, *questions: str) -> Keeper:
    """Let the dashboard have a guest with questions, and return its keeper."""
    project, keeper = str(home / "shop"), Keeper()
    info = GuestInfo(
        "shop", project, GuestState.RUNNING, 1, 2, time.time(), "tcg", "", "microvm", 512, 1, False, "user", "", "none", "0.1.0",
        egress=EgressInfo("ask", True, 1, questions),
    )  # fmt: skip
    guest = Guest("shop", Contact.CONNECTED, info, project=project, version="0.1.0")
    guest.keeper = keeper  # type: ignore[assignment]
    dashboard.main.model.fleet.guests["shop"] = guest
    dashboard.main.refresh_all()
    return keeper


async def test_the_egress_screen_shows_connections_totals_and_what_matches(drive: Drive, home: Path) -> None:
    async with drive() as dashboard:
        with_questions(dashboard, home)
        dashboard.main.tree_view.move_to(f"guest:{home / 'shop'}:shop:")
        await dashboard.press("w")
        await dashboard.shows("bad.example:443  it is not on the allowlist")
        await dashboard.shows("good.example:443")
        await dashboard.press("t")
        await dashboard.shows("2 good.example:443")
        await dashboard.shows("1 refused")
        await dashboard.press("slash")
        await dashboard.type("bad")
        await dashboard.hides("good.example")
        await dashboard.press("escape", "escape")
        await dashboard.hides("Egress of shop")


@pytest.mark.parametrize(
    ("key", "answer"),
    [("o", (True, True)), ("g", (True, False)), ("p", (True, False)), ("r", (False, True))],
)
async def test_a_question_is_answered_with_a_key(
    drive: Drive, home: Path, key: str, answer: tuple[bool, bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(held_question, "PAUSE", 0.0)
    async with drive() as dashboard:
        keeper = with_questions(dashboard, home, "new.example:443")
        await dashboard.shows("shop wants to connect to")
        await dashboard.shows("new.example:443")
        await dashboard.press_until(key, lambda: keeper.answers)
        assert keeper.answers == [("new.example:443", *answer)]
        if key == "p":
            await dashboard.shows("Added to")
            sections = config_file.read(home / "config" / "ccvm" / "config.toml").projects
            assert sections[str(home / "shop")].values["egress_allowlist"] == ("new.example:443",)


async def test_a_question_that_is_over_closes_its_dialog(drive: Drive, home: Path) -> None:
    async with drive() as dashboard:
        with_questions(dashboard, home, "new.example:443")
        await dashboard.shows("new.example:443")
        with_questions(dashboard, home)
        await dashboard.until(lambda: not isinstance(dashboard.app.screen, EgressQuestion), "the dialog is closed")


async def test_typing_does_not_answer_a_question_that_appears_meanwhile(
    drive: Drive, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(held_question, "PAUSE", 60.0)  # keys are slower on a busy machine
    async with drive() as dashboard:
        keeper = with_questions(dashboard, home, "new.example:443")
        await dashboard.shows("new.example:443")
        await dashboard.press("o", "o", "o")
        assert not keeper.answers
        assert isinstance(dashboard.app.screen, EgressQuestion)


def test_totals_are_those_of_the_newest_states() -> None:
    connections = Connections()
    connections.update(EgressReport(1, (attempt(1, "a.example", "open"),)))
    connections.update(EgressReport(2, (attempt(1, "a.example", "closed", sent=5, received=7),)))
    (total,) = connections.totals().values()
    assert (total.attempts, total.sent, total.received) == (1, 5, 7)
    assert connections.version == 2
