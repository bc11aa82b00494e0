"""How much memory and how many cores a guest gets, given what the host has."""

from __future__ import annotations

import os
from dataclasses import dataclass

import psutil

_RESERVE_MIB = 512
"""What the host keeps for itself, at the least."""

_SMALLEST_MIB = 256


@dataclass(frozen=True, slots=True)
class Host:
    """``cores`` are those that this process may run on; memory in MiB."""

    memory_mib: int
    available_mib: int
    cores: int

    @classmethod
    def here(cls) -> Host:
        memory = psutil.virtual_memory()
        return cls(memory.total >> 20, memory.available >> 20, len(os.sched_getaffinity(0)))


@dataclass(frozen=True, slots=True)
class Limited:
    """What the guest gets, and what to tell the user about it."""

    memory_mib: int
    cores: int
    warnings: tuple[str, ...] = ()


def clamp(memory_mib: int, cores: int, host: Host) -> Limited:
    """``memory_mib`` and ``cores`` as far as ``host`` has them.

    An eighth of the host's memory, and at least half a GiB of it, stays with the host.
    """
    warnings = []
    ceiling = max(_SMALLEST_MIB, host.memory_mib - max(_RESERVE_MIB, host.memory_mib // 8))
    if memory_mib > ceiling:
        warnings.append(f"memory limited to {ceiling} MiB instead of {memory_mib}: the host has {host.memory_mib} MiB")
        memory_mib = ceiling
    if memory_mib > host.available_mib:
        warnings.append(f"the guest may use {memory_mib} MiB, of which the host has {host.available_mib} MiB free now")
    if cores > host.cores:
        warnings.append(f"cores limited to {host.cores} instead of {cores}: the host has no more")
        cores = host.cores
    return Limited(memory_mib, cores, tuple(warnings))
