"""The part of the main screen for ports and offered web pages, and for zooming."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial

from textual.app import SuspendNotSupported
from textual.screen import Screen

from ccvm_tui.protocol import Happened
from ccvm_tui.tui.actions import bridges, sessions
from ccvm_tui.tui.actions.ask import Ask
from ccvm_tui.tui.actions.bridges import Port
from ccvm_tui.tui.dialogs.ports import Ports
from ccvm_tui.tui.model.fleet import Fleet
from ccvm_tui.tui.model.guests import Guest
from ccvm_tui.tui.model.sessions import SessionKey
from ccvm_tui.tui.terminal_io.app import host_of
from ccvm_tui.tui.widgets.controls import start


class Bridges:
    """Ports and pages of the guests in ``fleet``. ``ask`` and ``notify`` reach the user, ``copy`` their clipboard."""

    def __init__(
        self,
        screen: Screen[None],
        fleet: Fleet,
        ask: Ask,
        notify: Callable[[str], None],
        copy: Callable[[bytes], Awaitable[bool]],
    ) -> None:
        self._screen = screen
        self._fleet = fleet
        self._ask = ask
        self._notify = notify
        self._copy = copy

    def offered(self, guest: str, event: Happened, key: str) -> None:
        """Notify the user of a page that a program wants to open."""
        address = event.text.rpartition(" ")[2]
        self._screen.notify(bridges.offer_text(guest, address, key), timeout=10, markup=False)

    def show_ports(self, guest: Guest | None) -> None:
        """Let the user choose a port of a guest."""
        if guest is not None:
            start(self._screen, partial(self._show_ports, guest.name), f"ports {guest.name}")

    async def _show_ports(self, guest: str) -> None:
        found = await bridges.ports(self._fleet, guest)
        if not found:
            self._notify("No program of the guest listens on a port")
            return
        chosen: Port | None = await self._screen.app.push_screen_wait(Ports(found))
        if chosen is not None:
            await bridges.forward_or_remove(self._fleet, guest, chosen, self._notify)

    def show_page(self, guest: Guest | None) -> None:
        """Ask the user about the newest page that a guest offers."""
        if guest is not None and guest.info is not None:
            work = partial(bridges.answer_offer, self._fleet, guest.info, self._ask, self._notify, self._copy_address)
            start(self._screen, work, f"page {guest.name}")

    def _copy_address(self, address: bytes) -> None:
        start(self._screen, partial(self._copy_quietly, address), "copy address")

    async def _copy_quietly(self, address: bytes) -> None:
        await self._copy(address)


async def zoom(screen: Screen[None], fleet: Fleet, key: SessionKey, open_session: Callable[[SessionKey], None]) -> None:
    """Give the host terminal to a session until it detaches, and then open it here unless it has ended."""
    try:
        await sessions.attach(key, screen.app.suspend())
    except SuspendNotSupported:
        screen.notify("There is no terminal to zoom into", timeout=2, markup=False)
        return
    finally:
        host_of(screen).reset()
        screen.app.refresh(layout=True)
    guest = fleet.guests.get(key.guest)
    if guest is not None and any(session.id == key.session for session in guest.sessions):
        open_session(key)
