"""The lock that tells a living guest from a dead one's leftovers.

A keeper holds an exclusive flock on its directory's lock file for life. The kernel gives it back when the
keeper dies, however it dies; process numbers are never trusted. Whoever finds a directory whose lock is free
takes the lock and removes the directory.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
from collections.abc import Iterator
from pathlib import Path


class Taken(Exception):
    """Somebody else holds the lock: the guest is alive."""


def claim(lock: Path) -> int:
    """Take ``lock``, creating it and its directory; returns the descriptor that holds it. Raises Taken, OSError.

    Whoever cleans up may unlink the file between our open and our flock: then we hold a lock on a file that
    nobody can find any more, and try again.
    """
    while True:
        lock.parent.mkdir(mode=0o700, exist_ok=True)
        try:
            fd = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        except FileNotFoundError:
            continue
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if is_found(fd, lock):
                return fd
        except BlockingIOError:
            os.close(fd)
            raise Taken(str(lock)) from None
        except BaseException:
            os.close(fd)
            raise
        os.close(fd)


def is_found(fd: int, path: Path) -> bool:
    """Whether ``path`` still leads to the file behind ``fd``: a lock that nobody can find protects nothing."""
    try:
        there = path.stat()
    except FileNotFoundError:
        return False
    here = os.fstat(fd)
    return (here.st_dev, here.st_ino) == (there.st_dev, there.st_ino)


def alive(lock: Path) -> bool:
    """Whether a keeper holds ``lock``. A shared lock is tried, so that two who look never mistake each other."""
    try:
        fd = os.open(lock, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(fd)
    return False


def remove_if_dead(directory: Path) -> bool:
    """Remove a guest's directory unless its keeper lives; returns whether it is gone."""
    try:
        fd = claim(directory / "lock")
    except (Taken, OSError):
        return False
    with _closing(fd):
        remove(directory)
    return True


def remove(directory: Path) -> None:
    """Remove a directory whose lock the caller holds: the lock file goes last, so that nobody is fooled."""
    for entry in directory.iterdir():
        if entry.name == "lock":
            continue
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry, ignore_errors=True)
        else:
            entry.unlink(missing_ok=True)
    (directory / "lock").unlink(missing_ok=True)
    with contextlib.suppress(OSError):
        directory.rmdir()


@contextlib.contextmanager
def _closing(fd: int) -> Iterator[None]:
    try:
        yield
    finally:
        os.close(fd)
