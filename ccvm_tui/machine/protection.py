"""The protections of a process, and those that the processes of a guest lack on this host."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from ccvm_tui.errors import PrerequisiteError
from ccvm_tui.machine import confine, seccomp


def gaps(*, landlock: bool, filters: bool) -> tuple[str, ...]:
    """Return one description for each part of the confinement that a new guest would not have.

    ``landlock`` and ``filters`` are the settings ``confine`` and ``seccomp``.
    """
    found = []
    support = confine.available()
    if not landlock:
        found.append("QEMU and the file server can access all your files: the setting `confine` is false")
    elif not support.files:
        found.append(f"QEMU and the file server can access all your files: {support.reason}")
    elif not support.renames:
        found.append("the file server can access all your files: this kernel's Landlock cannot allow renames")
    if not filters:
        found.append("QEMU and the file server can make any system call: the setting `seccomp` is false")
    elif not seccomp.supported():
        found.append("the file server can make any system call: this kernel does not filter them")
    return tuple(found)


def check(*, landlock: bool, filters: bool, required: bool) -> tuple[str, ...]:
    """Return the gaps as warnings.

    Raises PrerequisiteError if there is one and confinement is ``required``, which it always is for root.
    """
    found = gaps(landlock=landlock, filters=filters)
    root = os.geteuid() == 0
    if found and (required or root):
        raise PrerequisiteError(
            f"the guest would not be confined: {'; '.join(found)}",
            "`ccvm-tui doctor` shows what this kernel supports"
            + ("; root starts only confined guests" if root else "; `require_confinement = false` starts it anyway"),
        )
    return found


@dataclass(frozen=True, slots=True)
class Protection:
    """The protections of a process, as the kernel reports them.

    ``filters`` is the number of its seccomp filters, -1 if the kernel does not count them. ``isolated`` is true if its
    network is not that of this process.
    """

    no_new_privileges: bool
    filters: int
    capabilities: int
    isolated: bool

    @classmethod
    def of(cls, pid: int) -> Protection:
        """Return the protection of a process of the same user. Raises OSError if it has ended."""
        process = Path(f"/proc/{pid}")
        lines = (line.partition(":") for line in (process / "status").read_text().splitlines())
        status = {name: value.strip() for name, _, value in lines}
        filtered = status.get("Seccomp") == "2"
        return cls(
            no_new_privileges=status.get("NoNewPrivs") == "1",
            filters=int(status.get("Seccomp_filters", "-1")) if filtered else 0,
            capabilities=int(status["CapPrm"], 16),
            isolated=(process / "ns/net").readlink() != Path("/proc/self/ns/net").readlink(),
        )

    def __str__(self) -> str:
        """List what is active, for people."""
        parts = []
        if self.filters:
            number = {-1: "", 1: ""}.get(self.filters, f"{self.filters} ")
            parts.append(f"{number}seccomp filter{'s' if self.filters > 1 else ''}")
        if self.no_new_privileges:
            parts.append("no new privileges")
        if not self.capabilities:
            parts.append("no capabilities")
        if self.isolated:
            parts.append("a network of its own")
        return ", ".join(parts)
