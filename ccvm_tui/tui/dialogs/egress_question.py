"""The question whether a guest may connect to a host, which the guest has caused by trying it."""

from __future__ import annotations

import time
from dataclasses import dataclass
from enum import Enum
from functools import partial

from rich.text import Text
from textual import events
from textual.containers import Horizontal
from textual.message import Message
from textual.widget import Widget
from textual.widgets import Static

from ccvm_tui.text import plain
from ccvm_tui.tui.dialogs.confirm import PAUSE
from ccvm_tui.tui.dialogs.dialog import DialogScreen
from ccvm_tui.tui.widgets.controls import KeyButton


class Decision(Enum):
    """An answer, and the label of its key."""

    ONCE = "once"
    GUEST = "for this guest"
    PROJECT = "always for the project"
    REFUSE = "refuse"


KEYS = {"o": Decision.ONCE, "g": Decision.GUEST, "p": Decision.PROJECT, "r": Decision.REFUSE, "n": Decision.REFUSE}
"""The keys and their answers. The last one is not shown."""


class EgressQuestion(DialogScreen[Decision]):
    """A question about ``target`` (``host:port``). It ignores keys until the user stops typing.

    Escape answers nothing: the connection stays held until its time is over.
    """

    DEFAULT_CSS = "EgressQuestion Horizontal { height: auto; } EgressQuestion KeyButton { margin-right: 2; }"

    @dataclass
    class Answered(Message):
        """The user has clicked an answer."""

        decision: Decision

    def __init__(self, guest: str, project: str, target: str) -> None:
        super().__init__()
        self.guest, self.target = guest, target
        self._project = project
        self._last_key = time.monotonic()
        self.title_text = "A connection is waiting"

    def inside(self) -> list[Widget]:
        """Return the question and the answers."""
        text = Text()
        text.append(f"{plain(self.guest, 60)} wants to connect to\n\n")
        text.append(f"  {plain(self.target, 260)}\n\n", "bold")
        text.append(f"Project: {plain(self._project, 200)}\n")
        buttons = [
            KeyButton(key, decision.value, partial(self.Answered, decision))
            for key, decision in KEYS.items()
            if key != "n"
        ]
        return [Static(text, markup=False), Horizontal(*buttons[:2]), Horizontal(*buttons[2:])]

    def on_key(self, event: events.Key) -> None:
        """Answer with a key, unless the user was typing something else."""
        typing, self._last_key = time.monotonic() - self._last_key < PAUSE, time.monotonic()
        if typing:
            event.stop()
            event.prevent_default()
        elif (decision := KEYS.get(event.key)) is not None:
            event.stop()
            self.dismiss(decision)

    def on_egress_question_answered(self, event: Answered) -> None:
        """Answer with a click."""
        self.dismiss(event.decision)
