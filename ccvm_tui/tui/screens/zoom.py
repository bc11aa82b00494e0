"""Giving the host terminal to a session."""

from __future__ import annotations

from textual.app import SuspendNotSupported
from textual.screen import Screen

from ccvm_tui.tui.actions import sessions
from ccvm_tui.tui.model.sessions import SessionKey
from ccvm_tui.tui.terminal_io.app import host_of


async def zoom(screen: Screen[None], key: SessionKey) -> bool:
    """Give the host terminal to a session until it detaches, and return True, or False if there is no terminal."""
    try:
        await sessions.attach(key, screen.app.suspend())
    except SuspendNotSupported:
        return False
    finally:
        host_of(screen).reset()
        screen.app.refresh(layout=True)
    return True
