"""Reading of the user's files and directories into memory, with limits.

Symbolic links are followed, because tools such as home-manager and stow create the configuration as links. A guest can
write to its project, though, and the user's configuration may be in a project. So a link in a project must not lead out
of it, since a guest could have created it to read any file of the user. All checks use the path of the opened file, so
that a file that is exchanged meanwhile has no effect.
"""

from __future__ import annotations

import errno
import os
import posixpath
import stat
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ccvm_tui.agents import CREDENTIALS

FILE_MAX = 4 << 20
"""Maximum size of a file in bytes. Encoded as base64, it fits into a message to the guest."""

TOTAL_MAX = 32 << 20
"""Maximum size of all files in bytes. They are in the memory of the keeper and of the guest."""

FILES_MAX = 5_000
"""Maximum number of files."""

DEPTH_MAX = 32
"""Maximum depth of directories."""

HIDDEN = (
    *(".ssh", ".aws", ".gnupg", ".azure", ".kube", ".docker", ".netrc", ".password-store"),
    *(".config/gcloud", ".config/gh", ".local/share/keyrings"),
)
"""Paths below the home directory that never cross, even if a link leads there."""

_NEVER = CREDENTIALS | {".git", "history.jsonl"}
_FLAGS = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY


@dataclass(frozen=True, slots=True)
class TreeFile:
    """A file. ``path`` is relative to what was read, or empty if that is the file itself."""

    path: str
    data: bytes
    mode: int


class TooMuch(OSError):
    """The files exceed a limit together. None of them is read then."""

    def __init__(self, reason: str) -> None:
        super().__init__(errno.EFBIG, reason)


@dataclass(slots=True)
class Budget:
    """The number and the size of files that may still be read."""

    files: int = FILES_MAX
    size: int = TOTAL_MAX

    def take(self, size: int) -> None:
        """Subtract a file of ``size`` bytes. Raises OSError (EFBIG) if it is too large, TooMuch if the budget is."""
        if size > FILE_MAX:
            raise OSError(errno.EFBIG, f"it has more than {FILE_MAX >> 20} MiB")
        if not self.files:
            raise TooMuch(f"there are more than {FILES_MAX:,} files")
        if size > self.size:
            raise TooMuch(f"the files have more than {TOTAL_MAX >> 20} MiB together")
        self.files -= 1
        self.size -= size


class Tree:
    """A reader of files below ``home`` and elsewhere.

    ``writable`` are the resolved directories to which guests can write. ``private`` are paths that are never read.
    ``warn`` receives a text for each file that is omitted, except credentials.
    """

    def __init__(self, home: str, writable: Sequence[str], private: Sequence[str], warn: Callable[[str], None]) -> None:
        self._writable = writable
        hidden = [posixpath.join(home, name) for name in HIDDEN]
        self._closed = [os.path.realpath(path) for path in (*hidden, *private)]
        self._home = os.path.realpath(home)
        self._warn = warn

    def read(self, path: str, budget: Budget) -> list[TreeFile]:
        """Return the file ``path``, or all files below the directory ``path``.

        Raises OSError if it cannot be read or is another kind of file, TooMuch if ``budget`` is exceeded. Files below
        a directory that cannot be read are omitted with a warning.
        """
        if posixpath.basename(path) in CREDENTIALS:
            raise OSError(errno.EPERM, "files with credentials never cross")
        parent = os.open(posixpath.dirname(path), _FLAGS | os.O_DIRECTORY)
        try:
            return list(self._entry(parent, posixpath.basename(path), "", budget, ()))
        finally:
            os.close(parent)

    def _entry(
        self, parent: int, name: str, path: str, budget: Budget, above: tuple[tuple[int, int], ...]
    ) -> Iterator[TreeFile]:
        kind = stat.S_IFMT(os.stat(name, dir_fd=parent).st_mode)  # opening a device could have effects
        if kind not in (stat.S_IFREG, stat.S_IFDIR):
            raise OSError(errno.EINVAL, "it is neither a file nor a directory")
        fd = os.open(name, _FLAGS, dir_fd=parent)
        try:
            info = os.fstat(fd)
            self._check(_path_of(parent), _path_of(fd))
            if stat.S_ISREG(info.st_mode):
                yield self._file(fd, info, path, budget)
            elif stat.S_ISDIR(info.st_mode):
                identity = (info.st_dev, info.st_ino)
                if identity in above:
                    raise OSError(errno.ELOOP, "its symbolic links form a loop")
                if len(above) >= DEPTH_MAX:
                    raise OSError(errno.ELOOP, f"it has more than {DEPTH_MAX} levels of directories")
                yield from self._directory(fd, path, budget, (*above, identity))
            else:
                raise OSError(errno.EINVAL, "it is neither a file nor a directory")
        finally:
            os.close(fd)

    def _directory(self, fd: int, path: str, budget: Budget, above: tuple[tuple[int, int], ...]) -> Iterator[TreeFile]:
        names = sorted(os.listdir(fd))
        for name in names:
            if name in _NEVER or _is_backup(name, names):
                continue
            inner = posixpath.join(path, name)
            try:
                yield from self._entry(fd, name, inner, budget, above)
            except TooMuch:
                raise
            except OSError as error:
                self._warn(f"{_path_of(fd)}/{name} is not in the guest: {error.strerror}")

    @staticmethod
    def _file(fd: int, info: os.stat_result, path: str, budget: Budget) -> TreeFile:
        budget.take(info.st_size)
        with os.fdopen(os.dup(fd), "rb") as file:
            data = file.read(FILE_MAX + 1)
        if len(data) > FILE_MAX:  # it has grown
            raise OSError(errno.EFBIG, f"it has more than {FILE_MAX >> 20} MiB")
        return TreeFile(path, data, 0o755 if info.st_mode & 0o111 else 0o644)

    def _check(self, directory: str, path: str) -> None:
        """Raise OSError (EPERM) if ``path``, which a name in ``directory`` leads to, must not be read."""
        for root in self._writable:
            if is_below(directory, root) and not is_below(path, root):
                raise OSError(errno.EPERM, f"the link leads out of {root}, to which guests can write")
        if any(is_below(path, closed) for closed in self._closed):
            raise OSError(errno.EPERM, f"{path} never crosses")
        if is_below(self._home, path):
            raise OSError(errno.EPERM, "it is the home directory, or above it")
        if posixpath.basename(path) in CREDENTIALS:
            raise OSError(errno.EPERM, "files with credentials never cross")


def _is_backup(name: str, names: list[str]) -> bool:
    """Return whether ``name`` is history in a copy of an agent's configuration directory, with ``names`` in it."""
    return name in ("projects", "sessions") and not {".credentials.json", "history.jsonl"}.isdisjoint(names)


def _path_of(fd: int) -> str:
    return str(Path(f"/proc/self/fd/{fd}").readlink())


def is_below(path: str, root: str) -> bool:
    """Return whether ``path`` is ``root`` or below it."""
    return path == root or path.startswith(root.rstrip("/") + "/")
