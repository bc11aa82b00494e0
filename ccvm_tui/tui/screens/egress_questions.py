"""The questions of guests about their egress, which are shown one after another."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial

from textual.screen import Screen

from ccvm_tui.config.edit import add_to_project
from ccvm_tui.tui.dialogs.egress_question import Decision, EgressQuestion
from ccvm_tui.tui.model.guests import Guest
from ccvm_tui.tui.widgets.controls import start


class EgressQuestions:
    """Shows a dialog on ``screen`` for each open question, and sends the answers to the keepers."""

    def __init__(self, screen: Screen[None]) -> None:
        self._screen = screen
        self._shown: EgressQuestion | None = None
        self._left: set[tuple[str, str]] = set()
        """Questions that the user has left without an answer."""

    def update(self, guests: Iterable[Guest]) -> None:
        """Show the next question, and close the dialog of one that is not open any more."""
        guests = list(guests)
        questions = {
            (guest.name, target): guest
            for guest in guests
            if guest.info is not None and guest.keeper is not None
            for target in guest.info.egress.questions
        }
        self._left &= set(questions)
        if self._shown is not None:
            if (self._shown.guest, self._shown.target) not in questions and self._shown.is_current:
                self._shown.dismiss(None)
            return
        for (_, target), guest in questions.items():
            if (guest.name, target) not in self._left:
                self._shown = EgressQuestion(guest.name, guest.project, target)
                start(self._screen, partial(self._ask, guest, self._shown), f"question of {guest.name}")
                return

    async def _ask(self, guest: Guest, dialog: EgressQuestion) -> None:
        try:
            decision = await self._screen.app.push_screen_wait(dialog)
        finally:
            self._shown = None
        if decision is None or guest.keeper is None:
            self._left.add((guest.name, dialog.target))
            return
        allow, once = decision is not Decision.REFUSE, decision in (Decision.ONCE, Decision.REFUSE)
        await guest.keeper.answer_egress(dialog.target, allow=allow, once=once)
        if decision is Decision.PROJECT:
            path = add_to_project(guest.project, "egress_allowlist", (dialog.target,))
            self._screen.notify(f"Added to {path}", timeout=4, markup=False)
