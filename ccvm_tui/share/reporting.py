"""The reports of the file server to the keeper."""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable
from typing import Final

from ccvm_tui.guard.report import Report, encode

log = logging.getLogger(__name__)

REPORTED_MAX: Final = 2000
"""The number of different reports. Further ones are not sent; all changes are still checked."""

Send = Callable[[Report], None]
"""Sends a report."""


class Reporter:
    """Sends each different report once over ``connection``, a connected SOCK_SEQPACKET socket.

    A report is dropped if the keeper does not read: the guest must not be able to make the server wait.
    """

    def __init__(self, connection: socket.socket) -> None:
        connection.setblocking(False)
        self._connection = connection
        self._reported: set[tuple[str, tuple[str, ...], bool]] = set()

    def __call__(self, report: Report) -> None:
        """Send ``report``, unless it was sent before."""
        key = (report.path, report.problems, report.blocked)
        if key in self._reported or len(self._reported) >= REPORTED_MAX:
            return
        try:
            self._connection.send(encode(report))
        except OSError as error:
            log.debug("a report was dropped: %s", error)
            return
        self._reported.add(key)
