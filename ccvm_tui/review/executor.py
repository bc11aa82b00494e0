"""The execution of single steps in the project: atomic, durable, and only if the host's file is the expected one."""

from __future__ import annotations

import contextlib
import errno
import io
import os
import secrets
from collections.abc import Callable, Iterator

from ccvm_tui import syscalls
from ccvm_tui.review.beneath import Directory, Refused, copy, opened, version_at
from ccvm_tui.review.model import Kind, Version
from ccvm_tui.review.steps import MakeDirectory, Move, Put, RemoveDirectory

Content = Callable[[int], bytes]
"""Writes the new content of a file to a descriptor, and returns its SHA-256."""

_NOREPLACE, _EXCHANGE = 1, 2
_ANY = "x"  # the name of any file in a directory
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


class Executor:
    """Steps in the directory ``project``. They raise Refused and OSError; a step that fails has changed nothing.

    They are on the disk after ``flush``.
    """

    def __init__(self, project: Directory) -> None:
        self._project = project
        self._changed: set[str] = set()

    def flush(self) -> None:
        """Write the directories in which steps have changed names to the disk."""
        for directory in self._changed:
            with contextlib.suppress(OSError, Refused), self._project.parent(directory + _ANY) as (fd, _):
                _sync(fd)
        self._changed.clear()

    def _note(self, *places: str) -> None:
        self._changed |= {place.rpartition("/")[0] + "/" * ("/" in place) for place in places}

    def put(self, step: Put, content: Content) -> None:
        """Replace a file."""
        with self._project.parent(step.place) as (fd, name):
            if not _equal(version_at(fd, name), step.before):
                raise Refused("the host's file was changed meanwhile")
            if step.after.kind is Kind.ABSENT:
                _delete(fd, name)
            elif step.before.kind is Kind.FILE and step.after.same_content(step.before):
                _change_mode(fd, name, step.after.mode)
            else:
                with _temporary(fd, step.after, content) as temporary:
                    _replace(fd, temporary, name, absent=step.before.kind is Kind.ABSENT)
            self._note(step.place)

    def move(self, step: Move) -> None:
        """Rename a file, unless the new name exists."""
        with self._project.parent(step.old) as (old_fd, old), self._project.parent(step.new) as (new_fd, new):
            _rename(old_fd, old, new_fd, new)
            self._note(step.old, step.new)

    def make(self, step: MakeDirectory) -> None:
        """Create a directory."""
        with self._project.parent(step.place) as (fd, name):
            os.mkdir(name, step.mode & 0o777 | 0o700, dir_fd=fd)
            self._note(step.place)

    def remove(self, step: RemoveDirectory) -> None:
        """Remove a directory. Raises OSError if it is not empty."""
        with self._project.parent(step.place) as (fd, name):
            os.rmdir(name, dir_fd=fd)
            self._note(step.place)


def _equal(found: Version, expected: Version) -> bool:
    return found.same(expected) if expected.kind is not Kind.ABSENT else found.kind is Kind.ABSENT


def _new_name() -> str:
    return f".ccvm-{secrets.token_hex(6)}"


@contextlib.contextmanager
def _temporary(fd: int, version: Version, content: Content) -> Iterator[str]:
    """Create a file with a temporary name, and remove what has that name at the end."""
    name = _new_name()
    try:
        if version.kind is Kind.SYMLINK:
            os.symlink(version.data or b"", os.fsencode(name), dir_fd=fd)
        else:
            file = os.open(name, _NEW, 0o600, dir_fd=fd)
            try:
                if content(file) != version.digest:
                    raise Refused("the guest has changed it since it was compared; compare it again")
                os.fchmod(file, version.mode & 0o777)
                os.fsync(file)
            finally:
                os.close(file)
        yield name
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(name, dir_fd=fd)


def _replace(fd: int, temporary: str, name: str, *, absent: bool) -> None:
    """Rename ``temporary`` to ``name``. A file that another program has put there meanwhile is kept."""
    if absent:
        _rename(fd, temporary, fd, name)
        return
    before = os.stat(name, dir_fd=fd, follow_symlinks=False)
    try:
        syscalls.rename(fd, os.fsencode(temporary), fd, os.fsencode(name), _EXCHANGE)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOSYS):
            raise
        os.rename(temporary, name, src_dir_fd=fd, dst_dir_fd=fd)  # the file system cannot exchange names
        return
    if not _same_file(before, os.stat(temporary, dir_fd=fd, follow_symlinks=False)):
        syscalls.rename(fd, os.fsencode(temporary), fd, os.fsencode(name), _EXCHANGE)
        raise Refused("the host's file was changed meanwhile")


def _delete(fd: int, name: str) -> None:
    """Delete a file, after it was renamed so that no other file can be affected."""
    before, temporary = os.stat(name, dir_fd=fd, follow_symlinks=False), _new_name()
    os.rename(name, temporary, src_dir_fd=fd, dst_dir_fd=fd)
    if not _same_file(before, os.stat(temporary, dir_fd=fd, follow_symlinks=False)):
        _rename(fd, temporary, fd, name)
        raise Refused("the host's file was changed meanwhile")
    os.unlink(temporary, dir_fd=fd)


def _rename(old_fd: int, old: str, new_fd: int, new: str) -> None:
    """Rename a file. Raises Refused if the new name exists."""
    try:
        syscalls.rename(old_fd, os.fsencode(old), new_fd, os.fsencode(new), _NOREPLACE)
    except FileExistsError:
        raise Refused(f"{new} exists on the host") from None
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOSYS):
            raise
        if _exists(new_fd, new):  # the file system cannot do both at once
            raise Refused(f"{new} exists on the host") from None
        os.rename(old, new, src_dir_fd=old_fd, dst_dir_fd=new_fd)


def _exists(fd: int, name: str) -> bool:
    try:
        os.stat(name, dir_fd=fd, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return True


def _same_file(before: os.stat_result, after: os.stat_result) -> bool:
    return (before.st_dev, before.st_ino, before.st_size, before.st_mtime_ns) == (
        after.st_dev,
        after.st_ino,
        after.st_size,
        after.st_mtime_ns,
    )


def _change_mode(fd: int, name: str, mode: int) -> None:
    file = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=fd)
    try:
        os.chmod(f"/proc/self/fd/{file}", mode & 0o777)
    finally:
        os.close(file)


def _sync(fd: int) -> None:
    """Write a directory to the disk."""
    readable = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=fd)
    try:
        os.fsync(readable)
    finally:
        os.close(readable)


def content_of(data: bytes) -> Content:
    """Return a writer of ``data``."""

    def write(target: int) -> bytes:
        return copy(io.BytesIO(data), target)

    return write


def content_at(directory: Directory, path: str) -> Content:
    """Return a writer of the content of the file ``path`` in ``directory``."""

    def write(target: int) -> bytes:
        with directory.parent(path) as (fd, name), opened(fd, name) as (file, _):
            return copy(file, target)

    return write


def nothing(_: int) -> bytes:
    """Write nothing, for steps without content."""
    return b""
