"""Access to files below a directory, by directory descriptors, without ever following a symbolic link.

A guest or another program can replace directories by links at any time. So every directory of a path is opened by its
name in the directory above it, and a link is an error.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import stat
from collections.abc import Iterator
from typing import BinaryIO

from ccvm_tui.errors import UserError
from ccvm_tui.review.model import ABSENT, Kind, Version, kind_of

TEXT_MAX = 1 << 20
"""Maximum size in bytes of a file that is compared line by line."""

_PATH = os.O_PATH | os.O_NOFOLLOW | os.O_DIRECTORY | os.O_CLOEXEC
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY
_CHUNK = 1 << 20
_PROBE = 8000
"""The bytes at the start of a file in which a NUL marks it as binary, as in Git."""


class Refused(UserError):
    """A file cannot be accessed or changed. The message continues a sentence that names the file."""


class Directory:
    """The directory ``path``, to be used in a ``with`` block."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._fd = -1

    def __enter__(self) -> Directory:
        try:
            self._fd = os.open(self._path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            raise UserError(f"{self._path} cannot be opened: {error.strerror}") from error
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._fd)

    @contextlib.contextmanager
    def parent(self, path: str) -> Iterator[tuple[int, str]]:
        """Yield a descriptor of the directory of ``path``, and the last part of the path.

        Raises Refused if the path leaves the directory or a part of it is missing.
        """
        *above, name = parts = path.split("/")
        if any(part in ("", ".", "..") or "\0" in part for part in parts):
            raise Refused("its path leaves the project")
        fd = os.dup(self._fd)
        try:
            for depth, part in enumerate(above, 1):
                following = self._enter(fd, part, "/".join(above[:depth]))
                os.close(fd)
                fd = following
            yield fd, name
        finally:
            os.close(fd)

    @staticmethod
    def _enter(fd: int, part: str, path: str) -> int:
        try:
            return os.open(part, _PATH, dir_fd=fd)
        except FileNotFoundError:
            raise Refused(f"the directory {path} does not exist on the host") from None
        except NotADirectoryError:
            if stat.S_ISLNK(os.stat(part, dir_fd=fd, follow_symlinks=False).st_mode):
                raise Refused(f"{path} is a symbolic link on the host, which could lead out of the project") from None
            raise Refused(f"{path} is not a directory on the host") from None

    def attributes(self, path: str) -> os.stat_result | None:
        """Return the attributes of a file, or None if it does not exist or cannot be reached."""
        try:
            with self.parent(path) as (fd, name):
                return os.stat(name, dir_fd=fd, follow_symlinks=False)
        except (OSError, Refused):
            return None

    def version(self, path: str) -> Version:
        """Return the version of a file, which is absent if it cannot be reached. Raises OSError if it is unreadable."""
        try:
            with self.parent(path) as (fd, name):
                return version_at(fd, name)
        except Refused:
            return ABSENT

    def files_below(self, path: str, limit: int) -> list[tuple[str, os.stat_result]]:
        """Return the paths and attributes of everything below a directory, each after its directory.

        Raises Refused if there are more than ``limit``.
        """
        found: list[tuple[str, os.stat_result]] = []
        with self.parent(path + "/.x") as (fd, _):
            self._collect(fd, path, found, limit)
        return found

    def _collect(self, fd: int, path: str, found: list[tuple[str, os.stat_result]], limit: int) -> None:
        readable = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=fd)
        try:
            names = sorted(os.listdir(readable))
        finally:
            os.close(readable)
        for name in names:
            info = os.stat(name, dir_fd=fd, follow_symlinks=False)
            if len(found) >= limit:
                raise Refused(f"it has more than {limit:,} files")
            found.append((f"{path}/{name}", info))
            if stat.S_ISDIR(info.st_mode):
                inner = os.open(name, _PATH, dir_fd=fd)
                try:
                    self._collect(inner, f"{path}/{name}", found, limit)
                finally:
                    os.close(inner)


@contextlib.contextmanager
def opened(directory: int, name: str) -> Iterator[tuple[BinaryIO, os.stat_result]]:
    """Yield a regular file, opened for reading, and its attributes. Raises OSError if it is another kind of file."""
    with open(os.open(name, _READ, dir_fd=directory), "rb", buffering=0) as file:
        info = os.fstat(file.fileno())
        if not stat.S_ISREG(info.st_mode):
            raise OSError(errno.EINVAL, "it is not a regular file")
        yield file, info


def version_at(directory: int, name: str) -> Version:
    """Return the version of ``name``. Raises OSError if it cannot be read."""
    try:
        info = os.stat(name, dir_fd=directory, follow_symlinks=False)
    except FileNotFoundError:
        return ABSENT
    kind = kind_of(info.st_mode)
    if kind is Kind.SYMLINK:
        target = os.fsencode(os.readlink(name, dir_fd=directory))
        return Version(kind, 0o777, len(target), hashlib.sha256(target).digest(), target)
    if kind is not Kind.FILE:
        return Version(kind, stat.S_IMODE(info.st_mode))
    with opened(directory, name) as (file, info):
        return read_version(file, info)


def read_version(file: BinaryIO, info: os.stat_result) -> Version:
    """Return the version of an open regular file."""
    digest, size, kept = hashlib.sha256(), 0, bytearray()
    while data := file.read(_CHUNK):
        digest.update(data)
        size += len(data)
        if size <= TEXT_MAX:
            kept += data
    text = size <= TEXT_MAX and b"\0" not in kept[:_PROBE]
    mode = stat.S_IMODE(info.st_mode)
    return Version(Kind.FILE, mode, size, digest.digest(), bytes(kept) if text else None)


def copy(source: BinaryIO, target: int) -> bytes:
    """Copy a file to the descriptor ``target`` and return the SHA-256 of the content."""
    digest = hashlib.sha256()
    while data := source.read(_CHUNK):
        digest.update(data)
        view = memoryview(data)
        while view:
            view = view[os.write(target, view) :]
    return digest.digest()
