"""The part of the main screen for ports and offered web pages."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any

from textual.app import App

from ccvm_tui.protocol import Happened
from ccvm_tui.tui.actions import bridges
from ccvm_tui.tui.actions.bridges import Port
from ccvm_tui.tui.dialogs.confirm import Confirm
from ccvm_tui.tui.dialogs.ports import Ports
from ccvm_tui.tui.model.fleet import Fleet
from ccvm_tui.tui.model.selection import Subject
from ccvm_tui.tui.widgets.controls import start


class Bridges:
    """Ports and pages of the guests in ``fleet``.

    ``subject`` returns what is selected. ``notify`` reaches the user, ``copy`` their clipboard.
    """

    def __init__(
        self,
        app: App[Any],
        fleet: Fleet,
        subject: Callable[[], Subject],
        notify: Callable[[str], None],
        copy: Callable[[bytes], Awaitable[bool]],
    ) -> None:
        self._app = app
        self._fleet = fleet
        self._subject = subject
        self._notify = notify
        self._copy = copy

    def offered(self, guest: str, event: Happened, key: str) -> None:
        """Notify the user of a page that a program wants to open."""
        address = event.text.rpartition(" ")[2]
        self._app.notify(bridges.offer_text(guest, address, key), timeout=10, markup=False)

    def action_ports(self) -> None:
        """Let the user choose a port of the selected guest."""
        if (guest := self._subject().guest) is not None:
            start(self._app, partial(self._show_ports, guest.name), f"ports {guest.name}")

    async def _show_ports(self, guest: str) -> None:
        found = await bridges.ports(self._fleet, guest)
        if not found:
            self._notify("No program of the guest listens on a port")
            return
        chosen: Port | None = await self._app.push_screen_wait(Ports(found))
        if chosen is not None:
            await bridges.forward_or_remove(self._fleet, guest, chosen, self._notify)

    def action_page(self) -> None:
        """Ask the user about the newest page that the selected guest offers."""
        if (guest := self._subject().guest) is not None and guest.info is not None:
            work = partial(bridges.answer_offer, self._fleet, guest.info, self._ask, self._notify, self._copy_address)
            start(self._app, work, f"page {guest.name}")

    async def _ask(self, question: str, lines: Sequence[str], yes: str) -> bool:
        return await self._app.push_screen_wait(Confirm(question, lines, yes)) is True

    def _copy_address(self, address: bytes) -> None:
        start(self._app, partial(self._copy_quietly, address), "copy address")

    async def _copy_quietly(self, address: bytes) -> None:
        await self._copy(address)
