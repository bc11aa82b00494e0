"""The ports of a guest: the one that is chosen is forwarded, or no longer forwarded."""

from __future__ import annotations

from rich.text import Text

from ccvm_tui.tui.actions.bridges import Port
from ccvm_tui.tui.dialogs.finder import Finder
from ccvm_tui.tui.terminal_io.app import inks_of


class Ports(Finder[Port]):
    """The dialog."""

    title_text = "Ports"
    placeholder = "a port on which a program of the guest listens"

    def searchable(self, entry: Port) -> str:
        """Return the port."""
        return str(entry.guest)

    def line(self, entry: Port, needle: str, width: int) -> Text:  # noqa: ARG002 - the interface of a finder
        """Return the port, from where it is forwarded, and what Enter does."""
        inks = inks_of(self)
        text = Text(no_wrap=True, overflow="ellipsis", end="")
        text.append_text(self.matched(needle, f"{entry.guest:<7}"))
        if entry.host:
            text.append(f"127.0.0.1:{entry.host:<7}", inks.ink("success", ""))
            text.append("Enter ends the forwarding", inks.ink("muted", ""))
        else:
            text.append(f"{'not forwarded':<17}", inks.ink("muted", ""))
            text.append("Enter forwards it", inks.ink("muted", ""))
        if not entry.listening:
            text.append("; nothing listens", inks.ink("warning", ""))
        return text
