"""A seccomp filter that denies system calls, for QEMU, the file server and the screen process.

Landlock does not cover unix sockets with a path, UDP, and most of the kernel's own interfaces. QEMU's ``-sandbox``
denies neither sockets nor ``ptrace``, and the other processes have no filter of their own. A filter that lists what is
*allowed* would depend on the versions of QEMU, Python and the C library, so this one lists what is denied.

The program is written here because that takes a page: libseccomp is not installed where guests run in the QEMU of a
runtime, and its bindings would be one more dependency. Numbers of system calls never change. A test compares them with
libseccomp's.

Sources: seccomp(2), the kernel's Documentation/userspace-api/seccomp_filter.rst, ``linux/filter.h``.
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct
from collections.abc import Collection, Mapping
from enum import StrEnum
from typing import Final

_PR_SET_SECCOMP = 22
_MODE_FILTER = 2

_LOAD = 0x20
_JUMP_IF_EQUAL = 0x15
_JUMP_IF_AT_LEAST = 0x35
_JUMP_IF_ANY_BIT = 0x45
_RETURN = 0x06

_ALLOW = 0x7FFF0000
_KILL_PROCESS = 0x80000000
_ERRNO = 0x00050000

_NUMBER, _ARCHITECTURE, _FIRST_ARGUMENT = 0, 4, 16
"""Offsets in ``struct seccomp_data``. The lower half of the first argument comes first on little-endian machines."""

_X32 = 0x40000000
"""The bit in the numbers of the x32 ABI, which has the same architecture as x86-64."""

_CLONE_THREAD = 0x00010000
_CLONE_NAMESPACES = 0x7E020080
"""CLONE_NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET and NEWTIME of clone(2)."""

ARCHITECTURES: Final = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
"""The kernel's numbers of the supported architectures (``AUDIT_ARCH_*``), by the name of uname(2)."""


class Denied(StrEnum):
    """A group of system calls."""

    KERNEL = "kernel"
    """Calls that none of the processes needs: other processes' memory, namespaces, mounts, keys, BPF, io_uring (whose
    operations no filter sees), System V IPC, modules, clocks, and handles that open files without a path."""
    SOCKETS = "sockets"
    """Creating, binding and connecting sockets. Open ones remain usable."""
    LISTENERS = "listeners"
    """Listening and accepting connections on sockets that are already bound."""
    PROGRAMS = "programs"
    """Starting processes and programs, and signals to other processes. Threads are allowed."""


ALL: Final = frozenset(Denied)

NUMBERS: Final[Mapping[Denied, Mapping[str, tuple[int, int]]]] = {
    Denied.KERNEL: {
        "acct": (163, 89),
        "add_key": (248, 217),
        "adjtimex": (159, 171),
        "bpf": (321, 280),
        "chroot": (161, 51),
        "clock_adjtime": (305, 266),
        "clock_settime": (227, 112),
        "delete_module": (176, 106),
        "fanotify_init": (300, 262),
        "finit_module": (313, 273),
        "fsconfig": (431, 431),
        "fsmount": (432, 432),
        "fsopen": (430, 430),
        "fspick": (433, 433),
        "init_module": (175, 105),
        "io_uring_enter": (426, 426),
        "io_uring_register": (427, 427),
        "io_uring_setup": (425, 425),
        "ioperm": (173, -1),
        "iopl": (172, -1),
        "kcmp": (312, 272),
        "kexec_file_load": (320, 294),
        "kexec_load": (246, 104),
        "keyctl": (250, 219),
        "lookup_dcookie": (212, 18),
        "modify_ldt": (154, -1),
        "mount": (165, 40),
        "mount_setattr": (442, 442),
        "move_mount": (429, 429),
        "mq_open": (240, 180),
        "msgget": (68, 186),
        "name_to_handle_at": (303, 264),
        "open_by_handle_at": (304, 265),
        "open_tree": (428, 428),
        "perf_event_open": (298, 241),
        "personality": (135, 92),
        "pidfd_getfd": (438, 438),
        "pidfd_open": (434, 434),
        "pidfd_send_signal": (424, 424),
        "pivot_root": (155, 41),
        "process_madvise": (440, 440),
        "process_vm_readv": (310, 270),
        "process_vm_writev": (311, 271),
        "ptrace": (101, 117),
        "quotactl": (179, 60),
        "quotactl_fd": (443, 443),
        "reboot": (169, 142),
        "request_key": (249, 218),
        "semget": (64, 190),
        "setdomainname": (171, 162),
        "sethostname": (170, 161),
        "setns": (308, 268),
        "settimeofday": (164, 170),
        "shmat": (30, 196),
        "shmget": (29, 194),
        "swapoff": (168, 225),
        "swapon": (167, 224),
        "syslog": (103, 116),
        "umount2": (166, 39),
        "unshare": (272, 97),
        "uselib": (134, -1),
        "userfaultfd": (323, 282),
        "vhangup": (153, 58),
    },
    Denied.SOCKETS: {"bind": (49, 200), "connect": (42, 203), "socket": (41, 198)},
    Denied.LISTENERS: {"accept": (43, 202), "accept4": (288, 242), "listen": (50, 201)},
    Denied.PROGRAMS: {
        "execve": (59, 221),
        "execveat": (322, 281),
        "fork": (57, -1),
        "kill": (62, 129),
        "vfork": (58, -1),
    },
}
"""The numbers of the denied system calls on x86-64 and on aarch64; -1 if there is no such call."""

_CLONE = (56, 220)
_CLONE3 = 435

_UNAVAILABLE = ("clone3", "io_uring_setup")
"""Calls that fail as if the kernel did not have them, so that programs use older ones, which a filter understands."""

Instruction = tuple[int, int, int, int]
"""An instruction of BPF: code, the two relative jumps, and the operand."""


def supported() -> bool:
    """Return whether this kernel filters system calls, on an architecture that this module knows."""
    if os.uname().machine not in ARCHITECTURES:
        return False
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_PR_SET_SECCOMP, ctypes.c_ulong(_MODE_FILTER), None, 0, 0)  # fails: there is no program at address 0
    return ctypes.get_errno() == errno.EFAULT


def program(denied: Collection[Denied], architecture: str) -> list[Instruction]:
    """Return the filter that denies the groups ``denied``. Denied calls fail with EPERM, a few with ENOSYS.

    A process that makes a call of another architecture is killed, because its numbers have other meanings. New
    namespaces are denied to ``clone`` whenever ``KERNEL`` is.
    """
    column = list(ARCHITECTURES).index(architecture)
    refused, unavailable = _ERRNO | errno.EPERM, _ERRNO | errno.ENOSYS
    code: list[Instruction] = [
        (_LOAD, 0, 0, _ARCHITECTURE),
        (_JUMP_IF_EQUAL, 1, 0, ARCHITECTURES[architecture]),
        (_RETURN, 0, 0, _KILL_PROCESS),
        (_LOAD, 0, 0, _NUMBER),
    ]
    if architecture == "x86_64":
        code += [(_JUMP_IF_AT_LEAST, 0, 1, _X32), (_RETURN, 0, 0, unavailable)]
    for group in Denied:
        if group not in denied:
            continue
        for name, numbers in NUMBERS[group].items():
            if (number := numbers[column]) >= 0:
                answer = unavailable if name in _UNAVAILABLE else refused
                code += [(_JUMP_IF_EQUAL, 0, 1, number), (_RETURN, 0, 0, answer)]
    if denied:
        # The flags of clone3 are in memory, where a filter cannot read them.
        code += [(_JUMP_IF_EQUAL, 0, 1, _CLONE3), (_RETURN, 0, 0, unavailable)]
    code += [(_JUMP_IF_EQUAL, 1, 0, _CLONE[column]), (_RETURN, 0, 0, _ALLOW), (_LOAD, 0, 0, _FIRST_ARGUMENT)]
    if Denied.KERNEL in denied:
        code += [(_JUMP_IF_ANY_BIT, 0, 1, _CLONE_NAMESPACES), (_RETURN, 0, 0, refused)]
    if Denied.PROGRAMS in denied:
        code += [(_JUMP_IF_ANY_BIT, 1, 0, _CLONE_THREAD), (_RETURN, 0, 0, refused)]
    return [*code, (_RETURN, 0, 0, _ALLOW)]


class _Program(ctypes.Structure):
    """``struct sock_fprog``."""

    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_void_p))


def deny(denied: Collection[Denied]) -> bool:
    """Deny the groups ``denied`` to this thread, and to what it starts. Returns False if the kernel cannot filter.

    The process must have no other thread, and no new privileges (``confine.no_new_privileges``). Raises OSError if the
    kernel refuses the filter.
    """
    if not supported():
        return False
    install(program(denied, os.uname().machine))
    return True


def install(code: list[Instruction]) -> None:
    """Install a filter. Raises OSError if the kernel refuses it."""
    packed = b"".join(struct.pack("=HBBI", *instruction) for instruction in code)
    buffer = ctypes.create_string_buffer(packed, len(packed))
    fprog = _Program(len(code), ctypes.addressof(buffer))
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_SECCOMP, ctypes.c_ulong(_MODE_FILTER), ctypes.byref(fprog), 0, 0) != 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error), "seccomp filter")
