"""The connections of a guest for the egress screen: the newest ones, and totals for each host."""

from __future__ import annotations

from dataclasses import dataclass

from ccvm_tui.outbound import EgressAttempt, EgressReport

ATTEMPTS_MAX = 2000
"""Maximum number of attempts that are kept."""


@dataclass
class HostTotal:
    """The totals of one host and port: attempts, refused ones, and bytes from and to the guest."""

    attempts: int = 0
    refused: int = 0
    sent: int = 0
    received: int = 0


class Connections:
    """The attempts of one guest, collected from reports. ``version`` is for the next request."""

    def __init__(self) -> None:
        self.version = 0
        self._attempts: dict[int, EgressAttempt] = {}

    def update(self, report: EgressReport) -> None:
        """Add the attempts of a report."""
        self.version = report.version
        for attempt in report.attempts:
            self._attempts[attempt.number] = attempt
        for number in list(self._attempts)[: max(0, len(self._attempts) - ATTEMPTS_MAX)]:
            del self._attempts[number]

    def matching(self, needle: str = "") -> list[EgressAttempt]:
        """Return the attempts whose host, outcome or reason contains ``needle``, oldest first."""
        needle = needle.lower()
        return [
            attempt
            for attempt in self._attempts.values()
            if needle in f"{attempt.host}:{attempt.port} {attempt.outcome} {attempt.reason}".lower()
        ]

    def totals(self, needle: str = "") -> dict[str, HostTotal]:
        """Return the totals for each ``host:port``, those with the most attempts first."""
        totals: dict[str, HostTotal] = {}
        for attempt in self.matching(needle):
            total = totals.setdefault(f"{attempt.host}:{attempt.port}", HostTotal())
            total.attempts += 1
            total.refused += attempt.outcome == "refused"
            total.sent += attempt.sent
            total.received += attempt.received
        return dict(sorted(totals.items(), key=lambda item: -item[1].attempts))
