"""The questions of guests about connections and signatures, which are shown one after another."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, Generic, TypeVar

from textual.app import App

from ccvm_tui.client.connection import Keeper
from ccvm_tui.config.edit import add_to_project
from ccvm_tui.guest import SessionInfo, SignatureQuestion
from ccvm_tui.tui.dialogs import egress_question, signature_question
from ccvm_tui.tui.dialogs.dialog import DialogScreen
from ccvm_tui.tui.dialogs.egress_question import EgressQuestion
from ccvm_tui.tui.dialogs.signature_question import SignatureDialog
from ccvm_tui.tui.model.guests import Guest
from ccvm_tui.tui.widgets.controls import start

Key = tuple[str, str | int]
"""A guest, and the target of a connection or the number of a signature."""

Decision = TypeVar("Decision")


@dataclass(frozen=True)
class _Question(Generic[Decision]):
    """An open question: ``dialog`` returns a new dialog that asks it, ``answer`` sends the answer to the keeper.

    ``unique`` is true if no later question has the same key.
    """

    key: Key
    unique: bool
    dialog: Callable[[], DialogScreen[Decision]]
    answer: Callable[[Decision], Awaitable[None]]


class Questions:
    """Shows a dialog in ``app`` for each open question, and sends the answers to the keepers."""

    def __init__(self, app: App[Any]) -> None:
        self._app = app
        self._shown: tuple[Key, DialogScreen[Any]] | None = None
        self._left: set[Key] = set()
        """Questions that the user has left without an answer, or has just answered."""

    def update(self, guests: Iterable[Guest]) -> None:
        """Show the next question, and close the dialog of one that is not open any more."""
        questions = {question.key: question for guest in guests for question in self._of(guest)}
        self._left.intersection_update(questions)
        if self._shown is not None:
            key, dialog = self._shown
            if key not in questions and dialog.is_current:
                dialog.dismiss(None)
            return
        for key, question in questions.items():
            if key not in self._left:
                dialog = question.dialog()
                self._shown = key, dialog
                start(self._app, partial(self._ask, question, dialog), f"question of {key[0]}")
                return

    def _of(self, guest: Guest) -> Iterator[_Question[Any]]:
        info, keeper = guest.info, guest.keeper
        if info is None or keeper is None:
            return
        for target in info.egress.questions:
            yield _Question(
                (guest.name, target),
                False,
                partial(EgressQuestion, guest.name, guest.project, target),
                partial(self._answer_connection, keeper, guest.project, target),
            )
        names = {session.id: _named(session) for session in info.sessions}
        for signature in info.signatures:
            session = names.get(signature.session, signature.session)
            yield _Question(
                (guest.name, signature.number),
                True,
                partial(SignatureDialog, guest.name, guest.project, session, signature),
                partial(_answer_signature, keeper, signature),
            )

    async def _ask(self, question: _Question[Any], dialog: DialogScreen[Any]) -> None:
        try:
            decision = await self._app.push_screen_wait(dialog)
        finally:
            self._shown = None
        if decision is None or question.unique:
            self._left.add(question.key)
        if decision is not None:
            await question.answer(decision)

    async def _answer_connection(
        self, keeper: Keeper, project: str, target: str, decision: egress_question.Decision
    ) -> None:
        refused = decision is egress_question.Decision.REFUSE
        once = refused or decision is egress_question.Decision.ONCE
        await keeper.answer_egress(target, allow=not refused, once=once)
        if decision is egress_question.Decision.PROJECT:
            path = add_to_project(project, "egress_allowlist", (target,))
            self._app.notify(f"Added to {path}", timeout=4, markup=False)


async def _answer_signature(keeper: Keeper, question: SignatureQuestion, decision: signature_question.Decision) -> None:
    allow = decision is not signature_question.Decision.REFUSE
    once = decision is not signature_question.Decision.SESSION
    await keeper.answer_signature(question.number, allow=allow, once=once)


def _named(session: SessionInfo) -> str:
    """Return a session's name for people. The title is not part of it, because the guest determines it."""
    return f"Session {session.id} ({session.name or session.kind.value})"
