"""The lock file that distinguishes a running guest from the leftovers of a dead one.

A keeper holds an exclusive flock on the lock file in its directory for as long as it lives. The kernel releases the
lock when the keeper dies, for whatever reason; process numbers are never trusted. A process that finds a directory
with a free lock takes the lock and removes the directory.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
from collections.abc import Iterator
from pathlib import Path


class Taken(Exception):
    """Another process holds the lock: the guest is alive."""


def claim(lock: Path) -> int:
    """Take ``lock``, creating the file and its directory, and return the descriptor that holds it.

    Another process may unlink the file between the open and the flock. The lock then protects nothing, and is taken
    again. Raises Taken if another process holds the lock, OSError if the file cannot be created.
    """
    while True:
        lock.parent.mkdir(mode=0o700, exist_ok=True)
        try:
            fd = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        except FileNotFoundError:
            continue
        with contextlib.ExitStack() as closing:
            closing.callback(os.close, fd)
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise Taken(str(lock)) from None
            if is_found(fd, lock):
                closing.pop_all()
                return fd


def is_found(fd: int, path: Path) -> bool:
    """Return whether ``path`` still leads to the open file ``fd``. A lock on an unlinked file protects nothing."""
    try:
        named = path.stat()
    except FileNotFoundError:
        return False
    held = os.fstat(fd)
    return (held.st_dev, held.st_ino) == (named.st_dev, named.st_ino)


def alive(lock: Path) -> bool:
    """Return whether a keeper holds ``lock``.

    The test takes a shared lock, so that two concurrent tests do not report each other as a keeper.
    """
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
    """Remove a guest's directory unless its keeper is alive. Return whether it was removed."""
    try:
        fd = claim(directory / "lock")
    except (Taken, OSError):
        return False
    with _closing(fd):
        remove(directory)
    return True


def remove(directory: Path) -> None:
    """Remove a directory whose lock the caller holds.

    The lock file is removed last, so that no other process mistakes a half-removed directory for a free one.
    """
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
