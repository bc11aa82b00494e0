"""The frequency of this host's time stamp counter.

Under TCG the guest's counter is the host's (QEMU's ``cpu_get_host_ticks``). On a microvm with ACPI the guest's kernel
can measure it only against the PIT. On a busy host that measurement fails: the kernel then has no clock source and
loops forever in its delay loop, without any message. The parameter ``tsc_early_khz=`` (the kernel's
admin-guide/kernel-parameters) replaces the measurement. KVM passes the frequency to its guests without a parameter.

No file or system call reports the frequency to an unprivileged process, so this module reads the counter twice.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import mmap
import os
import platform
import time
from collections.abc import Callable, Iterator

_INTERVAL = 0.02
"""Seconds between the two readings. The error is then a few parts per million."""

_TRIES = 7
_READ = b"\x0f\x31\x48\xc1\xe2\x20\x48\x09\xd0\xc3"  # rdtsc; shl rdx, 32; or rax, rdx; ret
_PLAUSIBLE_KHZ = range(100_000, 20_000_000)


async def host_khz() -> int | None:
    """Measure the frequency in kHz, which takes 20 ms.

    The result is None on other architectures, and if the system refuses executable memory.
    """
    if platform.machine() not in ("x86_64", "amd64"):
        return None
    try:
        with _executable(_READ) as code:
            read = ctypes.CFUNCTYPE(ctypes.c_uint64)(code)
            first_time, first = _reading(read)
            await asyncio.sleep(_INTERVAL)
            second_time, second = _reading(read)
    except OSError:
        return None
    khz = round((second - first) * 1_000_000 / (second_time - first_time))
    return khz if khz in _PLAUSIBLE_KHZ else None


def _reading(read: Callable[[], int]) -> tuple[int, int]:
    """Return the time in nanoseconds and the counter, taken together: the least interrupted of several readings."""
    best: tuple[int, int, int] | None = None
    for _ in range(_TRIES):
        before = time.clock_gettime_ns(time.CLOCK_MONOTONIC_RAW)
        ticks = read()
        after = time.clock_gettime_ns(time.CLOCK_MONOTONIC_RAW)
        if best is None or after - before < best[0]:
            best = (after - before, (before + after) // 2, ticks)
    assert best is not None
    return best[1], best[2]


@contextlib.contextmanager
def _executable(code: bytes) -> Iterator[int]:
    """Map ``code`` into memory and yield its address.

    The code goes through a memory file, because hardened systems refuse memory that is both writable and executable.
    Raises OSError if the mapping is refused.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    libc.mmap.restype = ctypes.c_void_p
    libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_long]
    libc.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
    fd = os.memfd_create("tsc")
    try:
        os.write(fd, code)
        address = libc.mmap(None, mmap.PAGESIZE, mmap.PROT_READ | mmap.PROT_EXEC, mmap.MAP_PRIVATE, fd, 0)
    finally:
        os.close(fd)
    if address in (None, ctypes.c_void_p(-1).value):
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))
    try:
        yield int(address)
    finally:
        libc.munmap(address, mmap.PAGESIZE)
