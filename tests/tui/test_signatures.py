"""The questions of guests about signatures, in the dashboard with a guest that exists only here."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from ccvm_tui.guest import GuestInfo, GuestState, SessionInfo, SessionKind, SignatureQuestion, TermSize
from ccvm_tui.tui.dialogs import held_question
from ccvm_tui.tui.dialogs.signature_question import SignatureDialog
from ccvm_tui.tui.model.guests import Contact, Guest
from tests.tui.conftest import Drive, Driven

GIT = SignatureQuestion(4, "s1", "SHA256:abc", "me@laptop", "sign a Git commit, tag or push", True)
UNKNOWN = SignatureQuestion(5, "s1", "SHA256:abc", "me@laptop", "sign 32B of an unknown kind", False)


class Keeper:
    """A keeper that notes the answers."""

    def __init__(self) -> None:
        self.answers: list[tuple[int, bool, bool]] = []

    async def answer_signature(self, question: int, *, allow: bool, once: bool) -> None:
        self.answers.append((question, allow, once))


def with_questions(dashboard: Driven, home: Path, *questions: SignatureQuestion) -> Keeper:
    """Let the dashboard have a guest with questions, and return its keeper."""
    project, keeper = str(home / "shop"), Keeper()
    session = SessionInfo("s1", SessionKind.SHELL, "s9 (a false title)", (), TermSize(), time.time(), name="release")
    info = GuestInfo(
        "shop", project, GuestState.RUNNING, 1, 2, time.time(), "tcg", "", "microvm", 512, 1, False, "user", "", "none", "0.1.0",
        sessions=(session,), signatures=questions,
    )  # fmt: skip
    guest = Guest("shop", Contact.CONNECTED, info, project=project, version="0.1.0")
    guest.keeper = keeper  # type: ignore[assignment]
    dashboard.main.model.fleet.guests["shop"] = guest
    dashboard.main.refresh_all()
    return keeper


@pytest.mark.parametrize(
    ("key", "answer"), [("o", (True, True)), ("s", (True, False)), ("r", (False, True)), ("n", (False, True))]
)
async def test_a_signature_is_answered_with_a_key(
    drive: Drive, home: Path, key: str, answer: tuple[bool, bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(held_question, "PAUSE", 0.0)
    async with drive() as dashboard:
        keeper = with_questions(dashboard, home, GIT)
        for text in ("Session s1 (release) of shop", GIT.purpose, "me@laptop", "SHA256:abc"):
            await dashboard.shows(text)
        await dashboard.press_until(key, lambda: keeper.answers)
        assert keeper.answers == [(4, *answer)]
        dashboard.main.refresh_all()  # the question is still open, since the keeper's answer has not arrived
        await dashboard.hides("A signature is waiting")


async def test_data_of_an_unknown_kind_are_signed_only_once(
    drive: Drive, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(held_question, "PAUSE", 0.0)
    async with drive() as dashboard:
        keeper = with_questions(dashboard, home, UNKNOWN)
        await dashboard.shows("can mean anything")
        await dashboard.press("s", "s")
        assert isinstance(dashboard.app.screen, SignatureDialog)
        await dashboard.press_until("o", lambda: keeper.answers)
        assert keeper.answers == [(5, True, True)]


async def test_a_signature_that_is_not_waiting_any_more_closes_its_dialog(drive: Drive, home: Path) -> None:
    async with drive() as dashboard:
        with_questions(dashboard, home, GIT)
        await dashboard.shows("A signature is waiting")
        with_questions(dashboard, home)
        await dashboard.until(lambda: not isinstance(dashboard.app.screen, SignatureDialog), "the dialog is closed")


async def test_questions_are_shown_one_after_another(drive: Drive, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(held_question, "PAUSE", 0.0)
    async with drive() as dashboard:
        keeper = with_questions(dashboard, home, GIT, UNKNOWN)
        await dashboard.shows(GIT.purpose)
        await dashboard.press_until("r", lambda: keeper.answers)
        dashboard.main.refresh_all()
        await dashboard.shows(UNKNOWN.purpose)
