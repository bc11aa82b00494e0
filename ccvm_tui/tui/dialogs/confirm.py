"""A question that is answered with yes or no. Enter and Escape mean no, so that nothing is lost by habit."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from rich.text import Text
from textual import events
from textual.containers import Horizontal
from textual.message import Message
from textual.widget import Widget
from textual.widgets import Static

from ccvm_tui.tui.dialogs.dialog import DialogScreen
from ccvm_tui.tui.widgets.controls import KeyButton

PAUSE = 0.6
"""Seconds without a key after which a key answers a question that the user has not caused."""


class Confirm(DialogScreen[bool]):
    """A question with lines that explain it. ``yes`` and ``no`` are the labels of the answers."""

    DEFAULT_CSS = "Confirm Horizontal { height: auto; } Confirm KeyButton { margin-right: 2; }"

    @dataclass
    class Answered(Message):
        """The user has clicked an answer."""

        yes: bool

    def __init__(self, question: str, lines: Sequence[str], yes: str, no: str = "cancel") -> None:
        super().__init__()
        self.title_text = question
        self._explanation = "\n".join(lines) + "\n"
        self._yes = yes
        self._no = no

    def inside(self) -> list[Widget]:
        """Return the explanation and the answers."""
        return [Static(Text(self._explanation), markup=False), Horizontal(*self.buttons())]

    def buttons(self) -> list[KeyButton]:
        """Return the answers."""
        return [
            KeyButton("y", self._yes, partial(self.Answered, True)),
            KeyButton("n", self._no, partial(self.Answered, False)),
        ]

    def on_key(self, event: events.Key) -> None:
        """Answer with a key."""
        if event.key in ("y", "Y"):
            self.dismiss(True)
        elif event.key in ("n", "N", "enter", "q"):
            self.dismiss(False)
        else:
            return
        event.stop()

    def on_confirm_answered(self, event: Answered) -> None:
        """Answer with a click."""
        self.dismiss(event.yes)


class ConfirmOrReview(Confirm):
    """A question whether a guest may end. The third answer, None, opens the review of its edits; Escape means no."""

    def buttons(self) -> list[KeyButton]:
        """Return the answers."""
        return [*super().buttons(), KeyButton("r", "review the edits", self.ReviewRequested)]

    @dataclass
    class ReviewRequested(Message):
        """The user has clicked the third answer."""

    def on_key(self, event: events.Key) -> None:
        """Answer with a key."""
        if event.key == "r":
            event.stop()
            self.dismiss(None)

    def on_confirm_or_review_review_requested(self) -> None:
        """Answer with a click."""
        self.dismiss(None)

    def action_leave(self) -> None:
        """Answer no."""
        self.dismiss(False)


class UnexpectedConfirm(Confirm):
    """A question that a guest has caused. It ignores keys until the user stops typing, because they are no answer."""

    _last_key = 0.0

    def on_mount(self) -> None:
        """Begin to wait for a pause."""
        self._last_key = time.monotonic()

    def on_key(self, event: events.Key) -> None:
        """Ignore the key unless there was a pause before it."""
        typing, self._last_key = time.monotonic() - self._last_key < PAUSE, time.monotonic()
        if typing:
            event.stop()
            event.prevent_default()
