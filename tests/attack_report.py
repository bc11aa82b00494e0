"""The result of attacks: tests with the mark ``attack``, of which each tries to get through a promise of docs/security.md.

``pytest -m attack`` runs all attacks. After each run with attacks, a table shows how many were tried and how many got
through. An attack that could not be tried, because of an error in its set-up, is counted separately.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator
from dataclasses import dataclass, field

import pytest

MARK = "attack"


@dataclass
class Result:
    """The counts by file, and the names of the attacks that got through or could not be tried."""

    tried: Counter[str] = field(default_factory=Counter)
    through: list[str] = field(default_factory=list)
    untried: list[str] = field(default_factory=list)

    def add(self, report: pytest.TestReport) -> None:
        """Count the report of an attack's phase."""
        if report.when == "call" and not report.skipped:
            self.tried[report.nodeid.partition("::")[0]] += 1
            if report.failed:
                self.through.append(report.nodeid)
        elif report.failed or report.skipped:
            # what an attack changed on the host is checked after it
            (self.through if report.when == "teardown" else self.untried).append(report.nodeid)

    @property
    def summary(self) -> str:
        """The figures in one line."""
        line = f"attacks: {self.tried.total()} tried, {len(set(self.through))} got through"
        return f"{line}, {len(self.untried)} not tried" if self.untried else line


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Note in the report of an attack that it is one; with several processes, the mark itself is not transferred."""
    report = yield
    if item.get_closest_marker(MARK) is not None:
        report.user_properties.append((MARK, True))
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the table."""
    result = Result()
    for reports in terminalreporter.stats.values():
        for report in reports:
            if isinstance(report, pytest.TestReport) and (MARK, True) in report.user_properties:
                result.add(report)
    if not result.tried and not result.untried:
        return
    terminalreporter.section("attacks")
    for file, count in sorted(result.tried.items()):
        terminalreporter.line(f"{count:5}  {file}")
    for name in result.untried:
        terminalreporter.line(f"not tried: {name}")
    for name in sorted(set(result.through)):
        terminalreporter.line(f"got through: {name}", red=True)
    terminalreporter.line(result.summary, bold=True, red=bool(result.through), green=not result.through)
