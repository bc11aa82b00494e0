"""The welcome tour: the dialog that leads from an unknown machine to the first guest."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from rich.text import Text
from textual import events
from textual.containers import Horizontal, VerticalScroll
from textual.message import Message
from textual.widget import Widget
from textual.widgets import Static

from ccvm_tui.config import Keys
from ccvm_tui.errors import CcvmError
from ccvm_tui.text import plain
from ccvm_tui.tui.actions.table import shown_key
from ccvm_tui.tui.actions.welcome import Preparation
from ccvm_tui.tui.dialogs.add_project import AddProject
from ccvm_tui.tui.dialogs.dialog import DialogScreen
from ccvm_tui.tui.dialogs.welcome_pages import PAGES, Choice, FirstGuest, Page, Surroundings, Work
from ccvm_tui.tui.model.welcome import SKIPPED, Step, Tour
from ccvm_tui.tui.terminal_io.app import inks_of
from ccvm_tui.tui.widgets.controls import KeyButton, described, run_in_background
from ccvm_tui.tui.widgets.page import Writer

TITLES = {
    Step.CHECK: "machine",
    Step.IMAGE: "image",
    Step.PROJECT: "project",
    Step.AGENT: "agent",
    Step.LOGIN: "login",
    Step.GUEST: "first guest",
}
"""The names of the steps in the line at the top."""


class Welcome(DialogScreen[FirstGuest]):
    """The dialog. Its answer is the guest to start, if the user wants one."""

    title_text = "Welcome to ccvm-tui"

    DEFAULT_CSS = """
    Welcome Dialog { width: 78; height: 22; max-height: 95%; }
    Welcome VerticalScroll { height: 1fr; margin: 1 0; scrollbar-size-vertical: 1; }
    Welcome Horizontal { height: 1; }
    Welcome KeyButton { margin: 0 1 0 0; }
    """

    @dataclass
    class Chosen(Message):
        """The user has clicked a choice."""

        key: str

    def __init__(self, tour: Tour, host: Preparation, leader: str, keys: Keys) -> None:
        super().__init__()
        self._tour = tour
        self._around = Surroundings(host, tour, self._show, self._ask_directory, self._set_first, leader, keys)
        self._page = Page(self._around)
        self._error: Exception | None = None
        self._first: FirstGuest | None = None
        self._steps = Static(markup=False)
        self._text = Static(markup=False)
        self._scroll_area = VerticalScroll(self._text, can_focus=True)
        self._own_keys = Horizontal()
        self._common_keys = Horizontal()
        self._shown_keys: tuple[list[tuple[str, str]], ...] = ()

    def inside(self) -> list[Widget]:
        """Return the steps, the page, its choices, and those that all pages have."""
        return [self._steps, self._scroll_area, self._own_keys, self._common_keys]

    def on_mount(self) -> None:
        """Show the first page."""
        self._scroll_area.focus()
        self._open_page(forward=True)

    # --- pages ---------------------------------------------------------------------------------------------

    def _open_page(self, *, forward: bool) -> None:
        """Show the page of the current step. ``forward`` is false if the user wants to see it again."""
        page = self._page = PAGES[self._tour.step](self._around)
        self._error = None
        self._scroll_area.scroll_home(animate=False)
        self._show()
        self._run(page.prepare, answers=forward)

    def _run(self, work: Work, *, answers: bool = True) -> None:
        run_in_background(self, partial(self._carry_out, self._page, work, answers), "welcome", group="welcome")

    async def _carry_out(self, page: Page, work: Work, answers: bool) -> None:
        """Do the work of a page, and show its error or go on with its answer, unless another page is shown by then."""
        error: Exception | None = None
        answer = None
        try:
            answer = await work()
        except (CcvmError, OSError) as failed:
            error = failed
        if page is not self._page or self._tour.over:
            return
        if answer is not None and answers:
            self._answer(answer)
        else:
            self._error = error
            self._show()

    def _answer(self, answer: str) -> None:
        if self._tour.answer(answer):
            self._open_page(forward=True)
        else:
            self.dismiss(self._first)

    def _set_first(self, guest: FirstGuest) -> None:
        self._first = guest

    async def _ask_directory(self) -> str | None:
        return await self.app.push_screen_wait(AddProject())

    # --- drawing -------------------------------------------------------------------------------------------

    def _show(self) -> None:
        """Show the current page as it is now."""
        if not self.is_attached:
            return
        self._steps.update(self._steps_text())
        writer = Writer(inks_of(self), "panel")
        self._page.write(writer)
        if (error := self._error) is not None:
            message, hint = described(error)
            writer.line().line(f"✗ {plain(message, 400)}", "error")
            if hint:
                writer.line(f"  → {plain(hint, 300)}", "muted")
        self._text.update(writer.text)
        rows = (self._page.choices(), self._common_choices())
        shown = tuple([(choice.key, choice.label) for choice in choices] for choices in rows)
        if shown != self._shown_keys:
            self._shown_keys = shown
            run_in_background(self, self._replace_keys, "keys", group="keys", exclusive=True)

    def _steps_text(self) -> Text:
        inks = inks_of(self)
        text = Text(no_wrap=True)
        for step, title in TITLES.items():
            current, answer = step is self._tour.step, self._tour.answers.get(step, "")
            sign = "●" if current else "–" if answer == SKIPPED else "✓" if answer else "○"
            colour = "accent" if current else "success" if sign == "✓" else "faint"
            text.append(f"{sign} ", inks.ink(colour, "panel"))
            text.append(f"{title}   ", inks.ink("foreground" if current else "muted", "panel", bold=current))
        return text

    async def _replace_keys(self) -> None:
        for row, keys in zip((self._own_keys, self._common_keys), self._shown_keys, strict=True):
            await row.query(KeyButton).remove()
            await row.mount(*(KeyButton(_shown(key), label, partial(self.Chosen, key)) for key, label in keys))

    # --- keys ----------------------------------------------------------------------------------------------

    def _common_choices(self) -> list[Choice]:
        """Return the choices that every page has. During a build, the tour can only be left."""
        leave = Choice("escape", "leave", self._leave)
        if self._page.working:
            return [leave]
        back = [Choice("b", "back", self._back)] if self._tour.step is not Step.CHECK else []
        return [Choice("s", "skip", self._skip), *back, leave]

    def on_key(self, event: events.Key) -> None:
        """Carry out the choice of a key."""
        if event.key != "escape" and self._choose(event.key):
            event.stop()
            event.prevent_default()

    def on_welcome_chosen(self, event: Chosen) -> None:
        """Carry out the choice of a click."""
        self._choose(event.key)

    def _choose(self, key: str) -> bool:
        choices = [*self._page.choices(), *self._common_choices()]
        choice = next((choice for choice in choices if choice.key == key), None)
        if choice is not None:
            self._error = None
            self._run(choice.does)
        return choice is not None

    async def _skip(self) -> str:
        return SKIPPED

    async def _back(self) -> None:
        if self._tour.back():
            self._open_page(forward=False)

    async def _leave(self) -> None:
        self.action_leave()

    def action_leave(self) -> None:
        """Leave the tour, and cancel a build. It can be opened again from the command palette."""
        self._tour.leave()
        self.app.notify("The command palette (:) opens the tour again", timeout=6, markup=False)
        self.dismiss(None)


def _shown(key: str) -> str:
    """Return a key as the other dialogs name it."""
    return "Esc" if key == "escape" else shown_key(key)
