"""Reading of files on the host, for decisions about them: through descriptors, and without following links."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from ccvm_tui.guard.checks import CONTENT_MAX

_FILE: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY
_DIRECTORY: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILES_MAX: Final = 5000
_DEPTH_MAX: Final = 32


@dataclass(frozen=True, slots=True)
class Found:
    """A file that was read. ``content`` is None if it is not a regular file."""

    info: os.stat_result
    content: bytes | None

    @property
    def executable(self) -> bool:
        """True if the owner may execute the file."""
        return bool(self.info.st_mode & 0o111)

    @property
    def oversized(self) -> bool:
        """True if only the first part of the file was read."""
        return self.content is not None and len(self.content) > CONTENT_MAX


class TooMuch(Exception):
    """A directory has more files or levels than are checked."""


def read(directory: int, name: bytes) -> Found | None:
    """Return the file ``name``, with up to CONTENT_MAX + 1 bytes of content, or None if it does not exist."""
    try:
        info = os.stat(name, dir_fd=directory, follow_symlinks=False)
        if not stat.S_ISREG(info.st_mode):
            return Found(info, None)
        fd = os.open(name, _FILE, dir_fd=directory)
    except FileNotFoundError:
        return None
    try:
        return Found(os.fstat(fd), read_open(fd))
    finally:
        os.close(fd)


def read_open(fd: int) -> bytes:
    """Return up to CONTENT_MAX + 1 bytes of an open file."""
    content = b""
    while len(content) <= CONTENT_MAX and (part := os.pread(fd, CONTENT_MAX + 1 - len(content), len(content))):
        content += part
    return content


def exists(directory: int, name: bytes) -> bool:
    """Return whether ``directory`` has the name."""
    try:
        os.stat(name, dir_fd=directory, follow_symlinks=False)
    except OSError:
        return False
    return True


def is_git_directory(directory: int, also: bytes = b"") -> bool:
    """Return whether a directory has the parts of a Git directory, if it had the name ``also`` as well."""

    def has(name: bytes) -> bool:
        return name.lower() == also.lower() or exists(directory, name)

    return has(b"HEAD") and (has(b"commondir") or (has(b"objects") and has(b"refs")))


def open_directory(directory: int, path: Sequence[bytes]) -> int:
    """Return a descriptor of the directory ``path`` below ``directory``. Raises OSError if there is none."""
    fd = os.open(b".", _DIRECTORY, dir_fd=directory)
    for name in path:
        try:
            following = os.open(name, _DIRECTORY, dir_fd=fd)
        finally:
            os.close(fd)
        fd = following
    return fd


def files(directory: int, pattern: tuple[bytes, ...]) -> Iterator[tuple[tuple[bytes, ...], Found]]:
    """Yield the files below ``directory`` that match ``pattern`` (``places``), with their paths.

    Something else than a directory on the way is yielded as well. Raises TooMuch if there are too many files.
    """
    fd = open_directory(directory, ())
    try:
        for count, found in enumerate(_files(fd, pattern, ())):
            if count >= _FILES_MAX:
                raise TooMuch
            yield found
    finally:
        os.close(fd)


def _files(
    directory: int, pattern: tuple[bytes, ...], above: tuple[bytes, ...]
) -> Iterator[tuple[tuple[bytes, ...], Found]]:
    first, rest = pattern[0], pattern[1:]
    everything = first == b"**"
    if len(above) > _DEPTH_MAX:
        raise TooMuch
    names = [os.fsencode(name) for name in os.listdir(directory)] if everything or first == b"*" else [first]
    for name in names:
        found = read(directory, name)
        if found is None:
            continue
        path = (*above, name)
        if not stat.S_ISDIR(found.info.st_mode):
            if everything or not rest or found.content is None:
                yield path, found
        elif everything or rest:
            fd = os.open(name, _DIRECTORY, dir_fd=directory)
            try:
                yield from _files(fd, pattern if everything else rest, path)
            finally:
                os.close(fd)
