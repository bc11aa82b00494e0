"""Isolation beyond Landlock and seccomp: the network namespace, capabilities, resource limits.

Every function acts on the calling process, is irreversible for it, and works without privileges. Like ``confine``, this
module is used by the launcher of QEMU, which imports only the standard library.

Sources: namespaces(7), capabilities(7), getrlimit(2), core(5).
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource
from collections.abc import Collection
from enum import IntEnum
from pathlib import Path
from typing import Final

_CLONE_NEWUSER = 0x10000000
_CLONE_NEWNET = 0x40000000
_CLONE_NEWIPC = 0x08000000

_PR_SET_DUMPABLE = 4
_PR_CAPBSET_DROP = 24
_PR_CAP_AMBIENT = 47
_CAP_AMBIENT_CLEAR_ALL = 4
_CAPABILITY_VERSION = 0x20080522


class Capability(IntEnum):
    """Capabilities that a file server keeps if root started it; see capabilities(7)."""

    CHOWN = 0
    DAC_OVERRIDE = 1
    FOWNER = 3
    FSETID = 4


FILE_OWNER: Final = frozenset(Capability)
"""The capabilities with which root uses files of any owner."""

_libc = ctypes.CDLL(None, use_errno=True)


def isolate_network() -> bool:
    """Move this process to a network of its own, which has no connection and no address, and to its own System V IPC.

    That needs a user namespace, without any of the user's ids. It clears the parent-death signal, so that
    ``confine.die_with_parent`` must follow. Takes about 1 ms. Returns False if the host does not let its users create
    namespaces; the process is then unchanged.
    """
    if _libc.unshare(_CLONE_NEWUSER | _CLONE_NEWNET | _CLONE_NEWIPC) != 0:
        return False
    # The kernel hid the process's files in /proc from the user. They show what the process may do, and the keeper
    # reads them.
    _libc.prctl(_PR_SET_DUMPABLE, ctypes.c_ulong(1), ctypes.c_ulong(0), ctypes.c_ulong(0), ctypes.c_ulong(0))
    return True


class _Header(ctypes.Structure):
    """``struct __user_cap_header_struct``."""

    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


class _Sets(ctypes.Structure):
    """``struct __user_cap_data_struct``, of which there are two, for 32 capabilities each."""

    _fields_ = (("effective", ctypes.c_uint32), ("permitted", ctypes.c_uint32), ("inheritable", ctypes.c_uint32))


def drop_capabilities(kept: Collection[Capability] = ()) -> None:
    """Give up all capabilities but ``kept``, also for programs that this process executes.

    A process of an ordinary user has none. Root's remain dropped after execve(2) only without new privileges
    (``confine.no_new_privileges``). Raises OSError if the kernel refuses.
    """
    mask = sum(1 << capability for capability in kept)
    header, sets = _Header(_CAPABILITY_VERSION, 0), (_Sets * 2)()
    _check(_libc.capget(ctypes.byref(header), sets), "capget")
    if sets[0].permitted or sets[1].permitted:
        number = 0
        # Fails with EINVAL after the last capability that the kernel knows, and with EPERM without CAP_SETPCAP.
        while number in kept or _prctl(_PR_CAPBSET_DROP, number) == 0:
            number += 1
    _prctl(_PR_CAP_AMBIENT, _CAP_AMBIENT_CLEAR_ALL)
    for half in range(2):
        allowed = mask >> 32 * half & 0xFFFFFFFF
        sets[half].effective &= allowed
        sets[half].permitted &= allowed
        sets[half].inheritable = 0
    _check(_libc.capset(ctypes.byref(header), sets), "capset")


def _prctl(option: int, value: int) -> int:
    zero = ctypes.c_ulong(0)
    return int(_libc.prctl(option, ctypes.c_ulong(value), zero, zero, zero))


def _check(result: int, call: str) -> None:
    if result != 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error), call)


def limit(which: int, value: int) -> None:
    """Set a resource limit (``resource.RLIMIT_*``) to ``value``, or to the hard limit if that is lower."""
    _, hard = resource.getrlimit(which)
    value = value if hard == resource.RLIM_INFINITY else min(value, hard)
    resource.setrlimit(which, (value, value))


def no_core_dump() -> None:
    """Disable core dumps, which would contain guest memory and the output of sessions.

    The limit does not apply to a program that receives core dumps through a pipe, so the process's memory is excluded,
    too (core(5), ``coredump_filter``).
    """
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with contextlib.suppress(OSError):
        Path("/proc/self/coredump_filter").write_text("0\n")
