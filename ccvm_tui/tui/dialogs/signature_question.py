"""The question whether a session may use a key of the user's SSH agent, which it has caused by trying it."""

from __future__ import annotations

from enum import Enum

from rich.text import Text

from ccvm_tui.guest import SignatureQuestion
from ccvm_tui.text import plain
from ccvm_tui.tui.dialogs.held_question import HeldQuestion


class Decision(Enum):
    """An answer, and the label of its key."""

    ONCE = "once"
    SESSION = "for this session"
    REFUSE = "refuse"


ONCE_ONLY = {"o": Decision.ONCE, "r": Decision.REFUSE}
KEYS = {"o": Decision.ONCE, "s": Decision.SESSION, "r": Decision.REFUSE}
"""The keys and their answers, for signatures of unknown data and of others."""


class SignatureDialog(HeldQuestion[Decision]):
    """A question about a signature. ``session`` is the session's name for people."""

    def __init__(self, guest: str, project: str, session: str, question: SignatureQuestion) -> None:
        super().__init__("A signature is waiting", KEYS if question.repeatable else ONCE_ONLY)
        self._guest, self._project, self._session, self._question = guest, project, session, question

    def text(self) -> Text:
        """Return the question."""
        question, text = self._question, Text()
        text.append(f"{plain(self._session, 80)} of {plain(self._guest, 60)} wants to use your SSH key to\n\n")
        text.append(f"  {plain(question.purpose, 300)}\n\n", "bold")
        if not question.repeatable:
            text.append("Such a signature can mean anything, even a login.\n\n")
        text.append(f"Key:     {plain(question.comment, 80)}\n         {plain(question.key, 80)}\n")
        text.append(f"Project: {plain(self._project, 200)}\n")
        return text
