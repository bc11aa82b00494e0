"""System calls that the ``os`` module lacks. They raise OSError on failure."""

from __future__ import annotations

import ctypes
import os

_libc = ctypes.CDLL(None, use_errno=True)
_AT_EMPTY_PATH = 0x1000
_UTIME_NOW = (1 << 30) - 1
_UTIME_OMIT = (1 << 30) - 2
_SECOND = 1_000_000_000


class TimeSpec(ctypes.Structure):
    """The C type ``struct timespec``."""

    _fields_ = (("seconds", ctypes.c_long), ("nanoseconds", ctypes.c_long))


_libc.renameat2.argtypes = (ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_char_p, ctypes.c_uint)
_libc.fallocate.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64)
_libc.utimensat.argtypes = (ctypes.c_int, ctypes.c_char_p, ctypes.c_void_p, ctypes.c_int)
_libc.fchownat.argtypes = (ctypes.c_int, ctypes.c_char_p, ctypes.c_uint, ctypes.c_uint, ctypes.c_int)
_libc.syncfs.argtypes = (ctypes.c_int,)


def _checked(result: int) -> None:
    if result != 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))


def rename(old_fd: int, old: bytes, new_fd: int, new: bytes, flags: int) -> None:
    """Call renameat2(2) with flags such as RENAME_NOREPLACE (1) and RENAME_EXCHANGE (2)."""
    _checked(_libc.renameat2(old_fd, old, new_fd, new, flags))


def allocate(fd: int, mode: int, offset: int, length: int) -> None:
    """Call fallocate(2)."""
    _checked(_libc.fallocate(fd, mode, offset, length))


def sync_file_system(fd: int) -> None:
    """Call syncfs(2)."""
    _checked(_libc.syncfs(fd))


def change_owner(fd: int, uid: int | None, gid: int | None) -> None:
    """Call fchownat(2) for an open file, which may be path-only. None leaves an id unchanged."""
    ids = ((-1 if number is None else number) & 0xFFFFFFFF for number in (uid, gid))
    _checked(_libc.fchownat(fd, b"", *ids, _AT_EMPTY_PATH))


def set_times(fd: int, accessed: int | str | None, modified: int | str | None) -> None:
    """Call utimensat(2) for an open file, which may be path-only.

    Times are ns since 1970, or "now". None leaves a time unchanged.
    """
    pair = (TimeSpec * 2)(_time_spec(accessed), _time_spec(modified))
    _checked(_libc.utimensat(fd, b"", pair, _AT_EMPTY_PATH))


def _time_spec(time: int | str | None) -> TimeSpec:
    if time is None:
        return TimeSpec(0, _UTIME_OMIT)
    if isinstance(time, str):
        return TimeSpec(0, _UTIME_NOW)
    return TimeSpec(time // _SECOND, time % _SECOND)
