"""The question whether a guest may connect to a host, which the guest has caused by trying it."""

from __future__ import annotations

from enum import Enum

from rich.text import Text

from ccvm_tui.text import plain
from ccvm_tui.tui.dialogs.held_question import HeldQuestion


class Decision(Enum):
    """An answer, and the label of its key."""

    ONCE = "once"
    GUEST = "for this guest"
    PROJECT = "always for the project"
    REFUSE = "refuse"


KEYS = {"o": Decision.ONCE, "g": Decision.GUEST, "p": Decision.PROJECT, "r": Decision.REFUSE}
"""The keys and their answers."""


class EgressQuestion(HeldQuestion[Decision]):
    """A question about ``target`` (``host:port``)."""

    def __init__(self, guest: str, project: str, target: str) -> None:
        super().__init__("A connection is waiting", KEYS)
        self._guest, self._project, self._target = guest, project, target

    def text(self) -> Text:
        """Return the question."""
        text = Text()
        text.append(f"{plain(self._guest, 60)} wants to connect to\n\n")
        text.append(f"  {plain(self._target, 260)}\n\n", "bold")
        text.append(f"Project: {plain(self._project, 200)}\n")
        return text
