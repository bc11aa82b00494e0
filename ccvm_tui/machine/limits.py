"""Limits on a guest's memory and cores, depending on the host."""

from __future__ import annotations

import os
import resource
from dataclasses import dataclass

import psutil

from ccvm_tui.errors import PrerequisiteError

_RESERVE_MIB = 512
"""Memory that is always left to the host."""

_SMALLEST_MIB = 256

_LOCKED_BESIDES = {"kvm": 512, "tcg": 1536}
"""MiB that QEMU locks besides the guest's memory: code and data, and for emulation up to 1 GiB of translated code."""


@dataclass(frozen=True, slots=True)
class Host:
    """The resources of this host. ``cores`` counts the cores that this process may run on; memory is in MiB."""

    memory_mib: int
    available_mib: int
    cores: int

    @classmethod
    def here(cls) -> Host:
        """Return the resources that this host has now."""
        memory = psutil.virtual_memory()
        return cls(memory.total >> 20, memory.available >> 20, len(os.sched_getaffinity(0)))


@dataclass(frozen=True, slots=True)
class Limited:
    """A guest's memory in MiB and cores after limiting, with warnings for the user."""

    memory_mib: int
    cores: int
    warnings: tuple[str, ...] = ()


def require_lockable(memory_mib: int, accel: str) -> None:
    """Raise this process's soft limit of locked memory to the hard limit, for the QEMU that it starts.

    Raises PrerequisiteError if the hard limit is too low for a guest with ``memory_mib`` MiB.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_MEMLOCK)
    needed = memory_mib + _LOCKED_BESIDES[accel] << 20
    if resource.RLIM_INFINITY not in (soft, hard) and hard < needed and os.geteuid() != 0:
        raise PrerequisiteError(
            f"the guest's memory cannot be locked: that needs {needed >> 20} MiB, and RLIMIT_MEMLOCK allows "
            f"{hard >> 20} MiB",
            "as root, write `YOUR-NAME - memlock unlimited` to /etc/security/limits.d/ccvm.conf and log in again "
            "(`ulimit -Hl` shows the limit), or set `lock_guest_memory = false`",
        )
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_MEMLOCK, (hard, hard))


def clamp(memory_mib: int, cores: int, host: Host) -> Limited:
    """Limit ``memory_mib`` and ``cores`` to the resources of ``host``.

    An eighth of the memory, and at least 512 MiB, is left to the host.
    """
    warnings = []
    ceiling = max(_SMALLEST_MIB, host.memory_mib - max(_RESERVE_MIB, host.memory_mib // 8))
    if memory_mib > ceiling:
        warnings.append(f"memory limited to {ceiling} MiB instead of {memory_mib}: the host has {host.memory_mib} MiB")
        memory_mib = ceiling
    if memory_mib > host.available_mib:
        warnings.append(f"the guest may use {memory_mib} MiB, but the host has only {host.available_mib} MiB free now")
    if cores > host.cores:
        warnings.append(f"cores limited to {host.cores} instead of {cores}: the host has no more cores")
        cores = host.cores
    return Limited(memory_mib, cores, tuple(warnings))
