"""Versions of QEMU that are known to hurt guests, and how. A new one is a new row."""

from __future__ import annotations

import re
from dataclasses import dataclass

from ccvm_tui.machine.status import Status

Version = tuple[int, ...]

_VERSION = re.compile(r"(\d+)\.(\d+)(?:\.(\d+))?")


@dataclass(frozen=True, slots=True)
class Damage:
    """Every version before ``mended`` has it. ``emulated``: only guests without KVM notice."""

    mended: Version
    status: Status
    what: str
    emulated: bool = False


KNOWN = (
    # "microvm: add acpi support" (QEMU 5.2); distributions' kernels take virtio devices from nowhere else
    Damage((5, 2), Status.FAIL, "its microvm has no ACPI, and without that the guest finds no device"),
    Damage((7, 2), Status.WARN, "older than any version that guests are tested with"),
    # "accel/tcg: Always lock pages before translation" (QEMU 8.1); seen with 7.2 about once in 300 starts
    Damage(
        (8, 1),
        Status.WARN,
        "emulated processors sometimes lose a race while the guest's kernel starts, which then is started again",
        emulated=True,
    ),
)


def parse(text: str) -> Version | None:
    """The first version number in ``text``, such as what ``--version`` prints; None without one."""
    found = _VERSION.search(text)
    return tuple(int(part) for part in found.groups(default="0")) if found else None


def worst(text: str, *, emulated: bool) -> Damage | None:
    """The worst that is known of the version that ``text`` names; ``emulated`` says that guests run without KVM."""
    version = parse(text)
    if version is None:
        return None
    found = [one for one in KNOWN if version < one.mended and (emulated or not one.emulated)]
    return next((one for one in found if one.status is Status.FAIL), found[-1] if found else None)
