"""Web pages that programs in the guest want to open. They are offered to the user and never opened by themselves."""

from __future__ import annotations

import itertools
import time

from ccvm_tui.errors import UserError
from ccvm_tui.guest import Link
from ccvm_tui.weblinks import callback_port, web_address

KEPT = 5
"""Offers that are kept; the oldest are dropped."""

INTERVAL = 1.0
"""Minimum seconds between two events. A program may offer thousands of addresses per second."""


class Links:
    """The offers of one guest."""

    def __init__(self) -> None:
        self._ids = itertools.count(1)
        self._offers: list[Link] = []
        self._reported = 0.0

    def all(self) -> tuple[Link, ...]:
        """Return the offers, oldest first."""
        return tuple(self._offers)

    def offer(self, session: str, address: str) -> Link | None:
        """Keep an offer of a program in ``session``. Return it, or None if it is not valid."""
        if not web_address(address):
            return None
        self._offers = [offer for offer in self._offers if offer.address != address]
        link = Link(next(self._ids), session, address, callback_port(address))
        self._offers = [*self._offers, link][-KEPT:]
        return link

    def worth_an_event(self) -> bool:
        """Return whether an offer may be reported now."""
        now = time.monotonic()
        if now - self._reported < INTERVAL:
            return False
        self._reported = now
        return True

    def find(self, id_: int) -> Link:
        """Return an offer. Raises UserError if there is none with that id."""
        for offer in self._offers:
            if offer.id == id_:
                return offer
        raise UserError("this page is no longer offered", "`ccvm-tui open GUEST` lists the offers")

    def forget(self, id_: int) -> None:
        """Remove an offer."""
        self._offers = [offer for offer in self._offers if offer.id != id_]
