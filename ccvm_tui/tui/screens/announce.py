"""Notifications that a session needs the user, in the dashboard and by the host terminal."""

from __future__ import annotations

from ccvm_tui.config import Settings
from ccvm_tui.text import plain
from ccvm_tui.tui.model import attention
from ccvm_tui.tui.model.model import Model
from ccvm_tui.tui.model.sessions import session_title
from ccvm_tui.tui.terminal_io.app import TerminalApp


def announce(app: TerminalApp, change: attention.Change, model: Model, settings: Settings) -> None:
    """Notify the user of a session that needs them, unless it is muted."""
    if model.is_muted(change.key):
        return
    title = f"{session_title(model.sessions[change.key])} · {change.key.guest}"
    app.notify(plain(change.text, 200), title=plain(title, 80), timeout=6, markup=False)
    if model.settings_of(change.key.guest, settings).notifications:
        app.host.write(attention.notification(title, change.text))
