"""Limits on a guest's memory and cores, depending on the host."""

from __future__ import annotations

import os
from dataclasses import dataclass

import psutil

_RESERVE_MIB = 512
"""Memory that is always left to the host."""

_SMALLEST_MIB = 256


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
