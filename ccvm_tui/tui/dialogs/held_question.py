"""The form of questions that guests have caused, and for whose answers something of theirs is held."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from functools import partial
from typing import Generic, TypeVar

from rich.text import Text
from textual import events
from textual.containers import Horizontal
from textual.message import Message
from textual.widget import Widget
from textual.widgets import Static

from ccvm_tui.tui.dialogs.confirm import PAUSE
from ccvm_tui.tui.dialogs.dialog import DialogScreen
from ccvm_tui.tui.widgets.controls import KeyButton

Decision = TypeVar("Decision", bound=Enum)


class HeldQuestion(DialogScreen[Decision], Generic[Decision]):
    """A question whose answers have a key each, and their values as labels.

    It ignores keys until the user stops typing. ``n`` means what ``r`` means. Escape answers nothing: what is held
    stays so until its time is over.
    """

    DEFAULT_CSS = "HeldQuestion Horizontal { height: auto; } HeldQuestion KeyButton { margin-right: 2; }"

    @dataclass
    class Answered(Message):
        """The user has clicked the answer of ``key``."""

        key: str

    def __init__(self, title: str, answers: Mapping[str, Decision]) -> None:
        super().__init__()
        self.title_text = title
        self._answers = answers
        self._last_key = time.monotonic()

    def text(self) -> Text:
        """Return the question."""
        raise NotImplementedError

    def inside(self) -> list[Widget]:
        """Return the question and the answers."""
        buttons = [
            KeyButton(key, str(decision.value), partial(self.Answered, key)) for key, decision in self._answers.items()
        ]
        return [Static(self.text(), markup=False), Horizontal(*buttons[:2]), Horizontal(*buttons[2:])]

    def on_key(self, event: events.Key) -> None:
        """Answer with a key, unless the user was typing something else."""
        typing, self._last_key = time.monotonic() - self._last_key < PAUSE, time.monotonic()
        if typing:
            event.stop()
            event.prevent_default()
        elif (decision := self._answers.get("r" if event.key == "n" else event.key)) is not None:
            event.stop()
            self.dismiss(decision)

    def on_held_question_answered(self, event: Answered) -> None:
        """Answer with a click."""
        self.dismiss(self._answers[event.key])
