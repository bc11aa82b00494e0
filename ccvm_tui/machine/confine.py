"""Confinement of the calling process: Landlock, the parent-death signal, no new privileges.

The launcher confines itself just before it becomes QEMU; the screen process and the file server do so too. Every
function acts on the calling process, is irreversible for it, and needs no privilege.

Sources: landlock(7), the kernel's Documentation/userspace-api/landlock.rst, prctl(2). The ``landlock`` library
supports rules for files only. TCP (ABI 4) and scopes (ABI 6) need a longer ``landlock_ruleset_attr``, defined here.
"""

from __future__ import annotations

import ctypes
import os
import signal
import stat
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, ClassVar

import landlock
from landlock.plumbing import (
    FSAccess,
    PathBeneathAttr,
    RulesetAttr,
    get_add_rule,
    get_create_ruleset,
    get_restrict_self,
    landlock_abi_version,
)

_PR_SET_PDEATHSIG = 1
_PR_SET_NO_NEW_PRIVS = 38
_RULE_PATH_BENEATH = 1

_NET_BIND_TCP = 1 << 0
_NET_CONNECT_TCP = 1 << 1
_SCOPE_ABSTRACT_UNIX_SOCKET = 1 << 0
_SCOPE_SIGNAL = 1 << 1

_ABI_REFER = 2
_ABI_TCP = 4
_ABI_DEVICES = 5
_ABI_SCOPE = 6


class Access(StrEnum):
    """The access that a rule grants to a path and, if it is a directory, to everything beneath it."""

    READ = "read"
    """Read files and list directories."""
    EXECUTE = "execute"
    """Read and execute."""
    WRITE = "write"
    """Read, write, create, rename and remove, but neither execute nor create device nodes."""
    DEVICE = "device"
    """Read, write and ioctl on an existing device node."""


@dataclass(frozen=True, slots=True)
class Rule:
    """A grant of ``access`` to ``path``. A path that does not exist grants nothing and is not an error."""

    path: Path
    access: Access


@dataclass(frozen=True, slots=True)
class LandlockSupport:
    """The Landlock features that the kernel supports. With ``abi`` 0 it supports none, for the given ``reason``."""

    abi: int
    files: bool
    tcp: bool
    scopes: bool
    reason: str = ""

    @property
    def devices(self) -> bool:
        """True if ioctl on devices is denied unless a rule allows it."""
        return self.abi >= _ABI_DEVICES

    def __str__(self) -> str:
        """List what is restricted, separated by commas. Empty without Landlock."""
        parts = {"files": self.files, "devices": self.devices, "tcp": self.tcp, "scopes": self.scopes}
        return ",".join(name for name, active in parts.items() if active)

    @property
    def renames(self) -> bool:
        """True if renames between directories can be allowed. The first ABI always denies them."""
        return self.abi >= _ABI_REFER


class _RulesetAttr(RulesetAttr):
    """``struct landlock_ruleset_attr`` as of ABI 6; the library defines only its first field."""

    _fields_: ClassVar[list[Any]] = [("handled_access_net", ctypes.c_uint64), ("scoped", ctypes.c_uint64)]


def _every_right() -> FSAccess:
    """Return all access rights to files and directories that this kernel supports."""
    return FSAccess.all()  # type: ignore[no-untyped-call, no-any-return]


def _every_file_right() -> FSAccess:
    return FSAccess.all_file()  # type: ignore[no-untyped-call, no-any-return]


def available() -> LandlockSupport:
    """Return the Landlock features of this kernel. Never raises."""
    ctypes.set_errno(0)  # the library mistakes a stale errno for its own failure
    try:
        abi = int(landlock_abi_version())
    except landlock.SyscallError as error:
        return LandlockSupport(0, files=False, tcp=False, scopes=False, reason=error.reason or str(error))
    return LandlockSupport(abi, files=True, tcp=abi >= _ABI_TCP, scopes=abi >= _ABI_SCOPE)


def confine(rules: Iterable[Rule], *, connect_tcp: bool = False) -> LandlockSupport:
    """Restrict this process, and every program that it executes or starts, to the files in ``rules``.

    The process can then not listen on TCP ports, connect to them (unless ``connect_tcp``), or signal or reach by
    abstract unix socket any process outside. Open file descriptors stay usable. Returns the features in force: fewer
    on an old kernel, none without Landlock. Raises OSError if the kernel refuses the restriction.
    """
    no_new_privileges()
    support = available()
    if not support.files:
        return support
    attr = _RulesetAttr(_every_right())
    size = RulesetAttr.handled_access_fs.size
    if support.tcp:
        attr.handled_access_net = _NET_BIND_TCP | (0 if connect_tcp else _NET_CONNECT_TCP)
        size = _RulesetAttr.handled_access_net.offset + _RulesetAttr.handled_access_net.size
    if support.scopes:
        attr.scoped = _SCOPE_ABSTRACT_UNIX_SOCKET | _SCOPE_SIGNAL
        size = ctypes.sizeof(_RulesetAttr)
    ruleset = get_create_ruleset()(ctypes.byref(attr), size, 0)
    try:
        for rule in rules:
            _allow(ruleset, rule)
        get_restrict_self()(ruleset, 0)
    finally:
        os.close(ruleset)
    return support


def _allow(ruleset: int, rule: Rule) -> None:
    try:
        fd = os.open(rule.path, os.O_PATH | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return
    try:
        directory = stat.S_ISDIR(os.fstat(fd).st_mode)
        attr = PathBeneathAttr(_rights(rule.access, directory), fd)
        get_add_rule()(ruleset, _RULE_PATH_BENEATH, ctypes.byref(attr), 0)
    finally:
        os.close(fd)


def _rights(access: Access, directory: bool) -> int:
    """Return the kernel's bits for ``access``. The kernel refuses rights for a file that only directories have."""
    match access:
        case Access.READ:
            wanted = FSAccess.READ_FILE | FSAccess.READ_DIR
        case Access.EXECUTE:
            wanted = FSAccess.READ_FILE | FSAccess.READ_DIR | FSAccess.EXECUTE
        case Access.DEVICE:
            wanted = FSAccess.READ_FILE | FSAccess.WRITE_FILE | FSAccess.IOCTL_DEV
        case Access.WRITE:
            forbidden = FSAccess.EXECUTE | FSAccess.MAKE_CHAR | FSAccess.MAKE_BLOCK | FSAccess.IOCTL_DEV
            wanted = _every_right() & ~forbidden
    possible = _every_right() if directory else _every_file_right()
    return int(wanted & possible)


def no_new_privileges() -> None:
    """Deny privileges from set-uid bits and file capabilities to every program that this process executes."""
    _prctl(_PR_SET_NO_NEW_PRIVS, 1)


def die_with_parent(parent: int) -> None:
    """Have this process killed with SIGKILL when its parent, the process ``parent``, exits or has already exited.

    The kernel sends the signal when the *thread* that forked exits (prctl(2)), so a parent must fork from a thread
    that lives as long as the parent. The setting survives execve, and is not inherited by forked children.
    """
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os.kill(os.getpid(), signal.SIGKILL)


def _prctl(option: int, value: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(option, ctypes.c_ulong(value), ctypes.c_ulong(0), ctypes.c_ulong(0), ctypes.c_ulong(0)) != 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error), f"prctl({option})")
