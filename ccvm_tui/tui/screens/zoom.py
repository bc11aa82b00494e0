"""A session in the whole host terminal."""

from __future__ import annotations

from collections.abc import Callable

from textual.app import SuspendNotSupported

from ccvm_tui.tui.actions import sessions
from ccvm_tui.tui.model.fleet import Fleet
from ccvm_tui.tui.model.sessions import SessionKey
from ccvm_tui.tui.terminal_io.app import TerminalApp


async def zoom(app: TerminalApp, fleet: Fleet, key: SessionKey, open_session: Callable[[SessionKey], None]) -> None:
    """Give the host terminal to a session until it detaches, and then open it here unless it has ended."""
    try:
        await sessions.attach(key, app.suspend())
    except SuspendNotSupported:
        app.notify("There is no terminal to zoom into", timeout=2, markup=False)
        return
    finally:
        app.host.reset()
        app.refresh(layout=True)
    guest = fleet.guests.get(key.guest)
    if guest is not None and any(session.id == key.session for session in guest.sessions):
        open_session(key)
