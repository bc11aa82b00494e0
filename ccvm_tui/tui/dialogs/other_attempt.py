"""The attempts with which one is compared: the one that is chosen is shown beside it."""

from __future__ import annotations

from rich.text import Text

from ccvm_tui.text import plain
from ccvm_tui.tui.dialogs.finder import Finder
from ccvm_tui.tui.model.guests import Guest
from ccvm_tui.tui.model.tree_rows import attempt_note
from ccvm_tui.tui.terminal_io.app import inks_of


class OtherAttempt(Finder[Guest]):
    """The dialog."""

    title_text = "Compare with"
    placeholder = "another attempt of the project"

    def searchable(self, entry: Guest) -> str:
        """Return the name of the guest."""
        return entry.name

    def line(self, entry: Guest, needle: str, width: int) -> Text:  # noqa: ARG002 - the interface of a finder
        """Return the name and the state of the attempt."""
        text = Text(no_wrap=True, overflow="ellipsis", end="")
        text.append_text(self.matched(needle, plain(entry.name, 60)))
        if entry.info is not None and entry.info.attempt is not None:
            text.append(f"  {attempt_note(entry.info.attempt)}", inks_of(self).ink("muted", ""))
        return text
