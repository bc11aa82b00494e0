"""Keeping a process in: Landlock, the parent-death signal, no new privileges, limits.

Used by the launcher, just before it becomes QEMU, and by the screen process about itself. Everything here acts
on the calling process, cannot be undone by it, and needs no privilege.

Sources: landlock(7), the kernel's Documentation/userspace-api/landlock.rst, prctl(2). The ``landlock`` library
covers files; TCP (ABI 4) and scopes (ABI 6) are a longer ``landlock_ruleset_attr``, made here.
"""

from __future__ import annotations

import ctypes
import os
import resource
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
_ABI_SCOPE = 6


class Access(StrEnum):
    """What a rule allows on a path and, where that is a directory, on everything beneath it."""

    READ = "read"
    EXECUTE = "execute"
    """Read, and run as a program."""
    WRITE = "write"
    """Everything that a user does with files, except running them and making device nodes."""
    DEVICE = "device"
    """Read, write and ioctl, on a device node that exists."""


@dataclass(frozen=True, slots=True)
class Rule:
    """``access`` to ``path``. A path that is not there grants nothing and is no error."""

    path: Path
    access: Access


@dataclass(frozen=True, slots=True)
class Active:
    """What holds after ``confine``, or would hold: ``abi`` 0 means a kernel without Landlock, and ``reason``
    then says why."""

    abi: int
    files: bool
    tcp: bool
    scopes: bool
    reason: str = ""

    @property
    def renames(self) -> bool:
        """Whether files can be allowed to move from one directory to another; the first version denies that to all."""
        return self.abi >= _ABI_REFER


class _RulesetAttr(RulesetAttr):
    """struct landlock_ruleset_attr as of ABI 6; the library's has the first field alone."""

    _fields_: ClassVar[list[Any]] = [("handled_access_net", ctypes.c_uint64), ("scoped", ctypes.c_uint64)]


def _every_right() -> FSAccess:
    """All that this kernel's Landlock knows about files and directories."""
    return FSAccess.all()  # type: ignore[no-untyped-call, no-any-return]


def _every_file_right() -> FSAccess:
    return FSAccess.all_file()  # type: ignore[no-untyped-call, no-any-return]


def available() -> Active:
    """What this kernel can hold a process to. Never raises."""
    ctypes.set_errno(0)  # the library takes a stale errno for its own failure
    try:
        abi = int(landlock_abi_version())
    except landlock.SyscallError as error:
        return Active(0, files=False, tcp=False, scopes=False, reason=error.reason or str(error))
    return Active(abi, files=True, tcp=abi >= _ABI_TCP, scopes=abi >= _ABI_SCOPE)


def confine(rules: Iterable[Rule], *, connect_tcp: bool = False) -> Active:
    """From now on this process, and whatever it becomes or starts, touches only the files in ``rules``.

    It also listens on no TCP port, connects to none unless ``connect_tcp``, and neither signals nor reaches by
    abstract unix socket any process outside. What is open already stays usable. Returns what is in force: on an
    old kernel that is less, on one without Landlock nothing. Raises OSError when the kernel refuses.
    """
    no_new_privileges()
    active = available()
    if not active.files:
        return active
    attr = _RulesetAttr(_every_right())
    size = RulesetAttr.handled_access_fs.size
    if active.tcp:
        attr.handled_access_net = _NET_BIND_TCP | (0 if connect_tcp else _NET_CONNECT_TCP)
        size = _RulesetAttr.handled_access_net.offset + _RulesetAttr.handled_access_net.size
    if active.scopes:
        attr.scoped = _SCOPE_ABSTRACT_UNIX_SOCKET | _SCOPE_SIGNAL
        size = ctypes.sizeof(_RulesetAttr)
    ruleset = get_create_ruleset()(ctypes.byref(attr), size, 0)
    try:
        for rule in rules:
            _allow(ruleset, rule)
        get_restrict_self()(ruleset, 0)
    finally:
        os.close(ruleset)
    return active


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
    """The kernel's bits for ``access``; a file must not be given those that only directories have."""
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
    """Nothing that this process executes gains a privilege by set-uid bits or file capabilities."""
    _prctl(_PR_SET_NO_NEW_PRIVS, 1)


def die_with_parent(parent: int) -> None:
    """SIGKILL for this process when its parent, whose pid is ``parent``, is gone; at once if it is gone already.

    The kernel sends the signal when the *thread* that forked ends (prctl(2)), so parents fork from a thread
    that lives as long as they do. execve keeps the setting, fork does not.
    """
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os.kill(os.getpid(), signal.SIGKILL)


def no_core_dump() -> None:
    """Guest memory and what sessions print must not land in a core file."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _prctl(option: int, value: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(option, ctypes.c_ulong(value), ctypes.c_ulong(0), ctypes.c_ulong(0), ctypes.c_ulong(0)) != 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error), f"prctl({option})")
