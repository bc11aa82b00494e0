"""Known issues of QEMU versions that affect guests. A new issue is a new row in ``KNOWN_ISSUES``."""

from __future__ import annotations

import re
from dataclasses import dataclass

from ccvm_tui.machine.status import Status

Version = tuple[int, ...]
"""Major, minor and micro number."""

_VERSION = re.compile(r"(\d+)\.(\d+)(?:\.(\d+))?")


@dataclass(frozen=True, slots=True)
class QemuIssue:
    """An issue of every version before ``fixed_in``. ``emulated`` is true if it affects only guests without KVM."""

    fixed_in: Version
    status: Status
    summary: str
    emulated: bool = False


KNOWN_ISSUES = (
    # "microvm: add acpi support" (QEMU 5.2); kernels of distributions find virtio devices only through ACPI
    QemuIssue((5, 2), Status.FAIL, "its microvm has no ACPI, and without ACPI the guest finds no devices"),
    QemuIssue((7, 2), Status.WARN, "older than any version that guests are tested with"),
    # "accel/tcg: Always lock pages before translation" (QEMU 8.1); observed with 7.2 about once in 300 starts
    QemuIssue(
        (8, 1),
        Status.WARN,
        "a race in its emulated processors sometimes crashes the guest's kernel at boot, which is then restarted",
        emulated=True,
    ),
)


def parse_version(text: str) -> Version | None:
    """Return the first version number in ``text``, such as the output of ``--version``, or None."""
    found = _VERSION.search(text)
    return tuple(int(part) for part in found.groups(default="0")) if found else None


def worst_issue(text: str, *, emulated: bool) -> QemuIssue | None:
    """Return the most severe issue of the version named in ``text``, or None.

    ``emulated`` includes the issues that affect only guests without KVM.
    """
    version = parse_version(text)
    if version is None:
        return None
    found = [issue for issue in KNOWN_ISSUES if version < issue.fixed_in and (emulated or not issue.emulated)]
    return next((issue for issue in found if issue.status is Status.FAIL), found[-1] if found else None)
