"""Known issues of QEMU versions."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ccvm_tui.machine import qemu_issues
from ccvm_tui.machine.status import Status


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("QEMU emulator version 7.2.22 (Debian 1:7.2+dfsg-7+deb12u18)", (7, 2, 22)),
        ("10.0.13 (Debian 1:10.0.13+ds-0+deb13u1)", (10, 0, 13)),
        ("QEMU emulator version 8.2", (8, 2, 0)),
        ("QEMU emulator", None),
    ],
)
def test_versions_are_parsed_from_qemus_output(text: str, version: qemu_issues.Version | None) -> None:
    assert qemu_issues.parse_version(text) == version


@pytest.mark.parametrize(
    ("version", "emulated", "status"),
    [
        ("4.2.1", False, Status.FAIL),
        ("6.2.0", False, Status.WARN),
        ("7.2.22", True, Status.WARN),
        ("7.2.22", False, None),
        ("8.1.0", True, None),
        ("10.0.13", True, None),
        ("no version number", True, None),
    ],
)
def test_the_worst_issue_of_a_version(version: str, emulated: bool, status: Status | None) -> None:
    issue = qemu_issues.worst_issue(version, emulated=emulated)
    assert (issue.status if issue else None) is status


@given(st.tuples(st.integers(0, 12), st.integers(0, 9)), st.booleans())
def test_a_newer_version_is_never_worse(version: tuple[int, int], emulated: bool) -> None:
    order = {None: 0, Status.WARN: 1, Status.FAIL: 2}
    older, newer = (
        qemu_issues.worst_issue(f"{major}.{minor}", emulated=emulated)
        for major, minor in (version, (version[0], version[1] + 1))
    )
    assert order[newer.status if newer else None] <= order[older.status if older else None]
