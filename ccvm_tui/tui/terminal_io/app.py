"""An app on a host terminal: it draws with Textual, and beside it."""

from __future__ import annotations

from textual.dom import DOMNode

from ccvm_tui.tui.terminal_io import internals
from ccvm_tui.tui.terminal_io.driver import HostDriver
from ccvm_tui.tui.terminal_io.host_terminal import HostTerminal
from ccvm_tui.tui.theme import Inks


class TerminalApp(internals.HookedApp):
    """An app with a ``HostTerminal``, whose cursor is hidden while Textual draws."""

    def __init__(self) -> None:
        super().__init__(driver_class=HostDriver)
        self.host = HostTerminal(self)
        self._inks = Inks({})

    @property
    def inks(self) -> Inks:
        """The inks of the current theme."""
        if self._inks.variables is not self.theme_variables:
            self._inks = Inks(self.theme_variables)
        return self._inks

    def set_clipboard(self, text: str) -> None:
        """Set the text that input lines paste, without sending it to the terminal."""
        internals.set_clipboard(self, text)

    def update_begins(self) -> None:
        """Hide the cursor."""
        self.host.write(self.host.cursor_hidden())

    def update_ends(self) -> None:
        """Show the cursor of the focused session."""
        self.host.write(self.host.cursor_restored())


def terminal_app(node: DOMNode) -> TerminalApp:
    """Return the app of a widget or screen."""
    app = node.app
    assert isinstance(app, TerminalApp), "the dashboard's widgets need an app with a host terminal"
    return app


def host_of(node: DOMNode) -> HostTerminal:
    """Return the host terminal of a widget's app."""
    return terminal_app(node).host


def inks_of(node: DOMNode) -> Inks:
    """Return the inks of the current theme of a widget's app."""
    return terminal_app(node).inks
