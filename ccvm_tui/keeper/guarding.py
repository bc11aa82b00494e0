"""The reports of the guard: kept in the quarantine, and announced to clients as events."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Final

from ccvm_tui.guard.quarantine import BLOCKED, Item, Quarantine
from ccvm_tui.guard.report import Report
from ccvm_tui.protocol import Happened

log = logging.getLogger(__name__)

GATHERED_FOR: Final = 0.3
"""Seconds within which several reports become one event. A clone may bring a dozen files."""

_NAMED: Final = 3
_TEXT_MAX: Final = 300


class Guarding:
    """Handles the reports of a guest's file server. ``record_event`` receives the events."""

    def __init__(self, guest: str, project: str, record_event: Callable[[Happened], None]) -> None:
        self._guest = guest
        self._project = project
        self._quarantine = Quarantine(guest)
        self._record_event = record_event
        self._gathered: list[Item] = []

    def handle(self, report: Report) -> None:
        """Keep a report, and announce it soon."""
        now = time.time()
        try:
            item = self._quarantine.add(report, self._project, now)
        except OSError as error:
            log.warning("cannot keep what the guard reported: %s", error)
            item = Quarantine.item_of(report, self._project, now, "0")
        self._gathered.append(item)
        if len(self._gathered) == 1:
            asyncio.get_running_loop().call_later(GATHERED_FOR, self._announce)

    def _announce(self) -> None:
        gathered, self._gathered = self._gathered, []
        for state in dict.fromkeys(item.state for item in gathered):
            items = [item for item in gathered if item.state == state]
            self._record_event(Happened(time.time(), "guard", f"{_text(items)}; see `ccvm-tui guard {self._guest}`"))


def _text(items: list[Item]) -> str:
    """Return a sentence about items of one state."""
    verb = "blocked a change of" if items[0].state == BLOCKED else "the guest has changed"
    if len(items) == 1:
        return f"{verb} {items[0].path}: {items[0].problems[0]}. {items[0].reason}"[:_TEXT_MAX]
    paths = list(dict.fromkeys(item.path for item in items))
    more = f" and {len(paths) - _NAMED} more files" if len(paths) > _NAMED else ""
    return f"{verb} {', '.join(paths[:_NAMED])}{more}"[:_TEXT_MAX]
