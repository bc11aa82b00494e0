"""Forwarded ports, and web pages that programs in guests want to open."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from ccvm_tui import weblinks
from ccvm_tui.client import browser
from ccvm_tui.guest import GuestInfo, Link
from ccvm_tui.text import plain
from ccvm_tui.tui.actions.ask import Ask
from ccvm_tui.tui.model.fleet import Fleet

PORTS_TIMEOUT = 5.0
"""Seconds within which a guest must report its ports."""


@dataclass(frozen=True, slots=True)
class Port:
    """A port of a guest. ``host`` is the port of this machine from which it is forwarded, or 0."""

    guest: int
    listening: bool
    host: int = 0


async def ports(fleet: Fleet, guest: str) -> list[Port]:
    """Return the ports on which programs listen, and the forwarded ones. Raises TimeoutError or UserError."""
    async with asyncio.timeout(PORTS_TIMEOUT):
        found = await fleet.keeper(guest).ports()
    forwarded = [Port(one.guest, one.guest in found.listening, one.host) for one in found.forwards]
    known = {port.guest for port in forwarded}
    return sorted(
        [*forwarded, *(Port(number, True) for number in found.listening if number not in known)],
        key=lambda port: (port.guest, port.host),
    )


async def forward_or_remove(fleet: Fleet, guest: str, port: Port, notify: Callable[[str], None]) -> None:
    """Forward a port, or end that. Raises UserError if that fails."""
    keeper = fleet.keeper(guest)
    if port.host:
        await keeper.remove_forward(port.host)
        notify(f"Port {port.guest} is no longer forwarded")
    else:
        forward = await keeper.forward(port.guest)
        notify(f"Port {port.guest} of {guest} is at 127.0.0.1:{forward.host}")


def offer_text(guest: str, address: str, key: str) -> str:
    """Return the notification of an offered page. ``key`` shows the page."""
    return plain(f"{guest} wants to open a page of {weblinks.host_of(address) or address}; {key} shows it", 200)


async def answer_offer(
    fleet: Fleet, info: GuestInfo, ask: Ask, notify: Callable[[str], None], copy: Callable[[bytes], object]
) -> None:
    """Ask the user about the newest page that a guest offers, and open it if they agree.

    Raises UserError if the page is no longer offered, or if the port of its login is not available.
    """
    if not info.links:
        notify("No program wants to open a page")
        return
    link = info.links[-1]
    opened = await ask("Open this page in your browser?", _description(info.name, link), "open it")
    await fleet.keeper(info.name).answer_link(link.id, opened=opened)
    if opened and not await asyncio.to_thread(browser.open_page, link.address):
        copy(link.address.encode())
        notify("There is no browser on this machine; the address is in your clipboard")


def _description(guest: str, link: Link) -> list[str]:
    program = f"{link.session} in {guest}" if link.session else guest
    lines = [f"{program} wants to open a page of {plain(weblinks.host_of(link.address), 100)}:", "", link.address, ""]
    if link.port:
        lines.append(f"It is a login. Port {link.port} will be forwarded to the guest, where the program waits.")
    return lines
