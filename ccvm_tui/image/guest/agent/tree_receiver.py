"""The receiving side of a copy. On the host, the sender is a guest, which may be hostile.

- A name is a single component, opened relative to the descriptor of its directory, and symbolic links are not followed.
- At the top, the sender's number selects one of the names that the receiver chose.
- Only directories, regular files and symbolic links are created. Bits such as setuid are dropped.
- A symbolic link must not lead out of what is copied. ``..`` is allowed only at the beginning of its target, where it
  cannot be preceded by another link, and at most as often as there are directories above.
- A file gets its name only when it is complete. It replaces a file or a symbolic link, never a directory.
"""

from __future__ import annotations

import errno
import os

from . import trees, wire
from .trees import TreeError

TYPE_CHECKING = False  # typing is slow to import
if TYPE_CHECKING:
    from collections.abc import Callable

_FATAL = (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS, errno.EMFILE)
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_TIME_MAX = 1 << 62


class _Level:
    """A directory that has been entered. ``mode`` and ``mtime_ns`` are set when it is left, unless it existed."""

    def __init__(self, fd: int, mode: int, mtime_ns: int, created: bool) -> None:
        self.fd, self.mode, self.mtime_ns, self.created = fd, mode, mtime_ns, created


class Receiver:
    """The receiver of one copy. ``root`` is the descriptor of the destination, which ``close`` closes.

    ``names`` are the names of the entries at the top. Modes are limited by ``mask``. ``report`` receives messages about
    what was omitted.
    """

    def __init__(
        self, root: int, names: list[bytes], mask: int, tally: trees.Tally, report: Callable[[str], None]
    ) -> None:
        self._names = names
        self._mask = mask
        self._tally = tally
        self._report = report
        self._frames = wire.Frames()
        self._levels = [_Level(root, 0, 0, created=False)]
        self._skipped = 0  # nested directories that are not created, because the outermost cannot be
        self._file = -1
        self._file_open = False
        self._temporary = b""
        self._final: tuple[bytes, int, int] = (b"", 0, 0)
        self._path: list[bytes] = []
        self.finished = False
        self.problems = 0

    def feed(self, data: bytes) -> None:
        """Handle a part of the stream. Raises TreeError if it is not valid or cannot be stored."""
        try:
            frames = self._frames.feed(data)
        except wire.WireError as error:
            raise TreeError(f"the other side sent invalid data: {error}") from error
        for kind, body in frames:
            if self.finished:
                raise TreeError("the other side sent data after the end of the copy")
            self._dispatch(kind, body)

    def close(self) -> None:
        """Close all descriptors, and remove a file that is not complete."""
        self._drop_file()
        while self._levels:
            os.close(self._levels.pop().fd)

    # --- frames -----------------------------------------------------------------------------------------------

    def _dispatch(self, kind: bytes, body: bytes) -> None:
        if self._file_open != (kind in (trees.CHUNK, trees.COMPLETE, trees.BROKEN)):
            raise TreeError("the other side sent the parts of a file in the wrong order")
        if kind == trees.DIRECTORY:
            self._enter(*trees.parse_attributes(body))
        elif kind == trees.LEAVE:
            self._leave()
        elif kind == trees.FILE:
            self._begin_file(*trees.parse_attributes(body))
        elif kind == trees.CHUNK:
            self._write(body)
        elif kind == trees.COMPLETE:
            self._complete_file()
        elif kind == trees.BROKEN:
            self._drop_file()
        elif kind == trees.LINK:
            name, _, target = body.partition(b"\0")
            self._link(name, target)
        elif kind == trees.PROBLEM:
            self._problem(body.decode("utf-8", "replace"))
        elif kind == trees.END and len(self._levels) == 1 and not self._skipped:
            self.finished = True
        else:
            raise TreeError("the other side sent an unexpected message")

    def _name(self, name: bytes) -> bytes:
        """Return the name of an entry in the current directory. Raises TreeError if it is not a single name."""
        if len(self._levels) == 1 and not self._skipped:
            if not name.isdigit() or len(name) > 9 or int(name) >= len(self._names):
                raise TreeError("the other side sent a file that was not asked for")
            return self._names[int(name)]
        if name in (b"", b".", b"..") or b"/" in name or b"\0" in name:
            raise TreeError(
                f"the other side sent the file name {trees.shown(name[:200])!r}, which is not a single name"
            )
        return name

    def _problem(self, text: str) -> None:
        self.problems += 1
        self._report(text)

    def _failed(self, name: bytes, error: OSError) -> None:
        """Report that an entry could not be created. Raises TreeError if the next ones would fail too."""
        text = f"{trees.shown(b'/'.join([*self._path, name]))}: {error.strerror}"
        if error.errno in _FATAL:
            raise TreeError(text) from error
        self._problem(text)

    # --- directories ------------------------------------------------------------------------------------------

    def _enter(self, mode: int, mtime_ns: int, name: bytes) -> None:
        name = self._name(name)
        if len(self._levels) + self._skipped > trees.DEPTH_MAX + 1:
            raise TreeError(f"the other side sent more than {trees.DEPTH_MAX} nested directories")
        if self._skipped:
            self._skipped += 1
            return
        above = self._levels[-1].fd
        created = True
        try:
            try:
                os.mkdir(name, 0o700, dir_fd=above)
            except FileExistsError:
                created = False
            fd = os.open(name, _DIRECTORY, dir_fd=above)
        except OSError as error:
            self._failed(name, error)
            self._skipped = 1
            return
        self._levels.append(_Level(fd, mode, mtime_ns, created))
        self._path.append(name)

    def _leave(self) -> None:
        if self._skipped:
            self._skipped -= 1
            return
        if len(self._levels) == 1:
            raise TreeError("the other side left the destination")
        level = self._levels.pop()
        self._path.pop()
        try:
            if level.created:
                os.fchmod(level.fd, level.mode & self._mask & 0o777 | 0o700)
                _set_time(level.fd, level.mtime_ns)
        finally:
            os.close(level.fd)

    # --- files ------------------------------------------------------------------------------------------------

    def _begin_file(self, mode: int, mtime_ns: int, name: bytes) -> None:
        name = self._name(name)
        self._file_open = True
        self._final = name, mode, mtime_ns
        self._tally.name = trees.shown(b"/".join([*self._path, name]))
        if self._skipped:
            return
        temporary = b".ccvm-copy-%d-%s" % (os.getpid(), os.urandom(6).hex().encode())
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        try:
            self._file = os.open(temporary, flags, 0o600, dir_fd=self._levels[-1].fd)
        except OSError as error:
            self._failed(name, error)
            return
        self._temporary = temporary

    def _write(self, data: bytes) -> None:
        self._tally.bytes += len(data)
        view = memoryview(data)
        try:
            while view and self._file >= 0:
                view = view[os.write(self._file, view) :]
        except OSError as error:
            self._failed(self._final[0], error)
            self._discard()

    def _complete_file(self) -> None:
        self._file_open = False
        if self._file < 0:
            return
        name, mode, mtime_ns = self._final
        directory = self._levels[-1].fd
        try:
            os.fchmod(self._file, mode & self._mask & 0o777 | 0o600)
            _set_time(self._file, mtime_ns)
            os.rename(self._temporary, name, src_dir_fd=directory, dst_dir_fd=directory)
        except OSError as error:
            self._failed(name, error)
            self._discard()
            return
        os.close(self._file)
        self._file = -1
        self._tally.files += 1

    def _drop_file(self) -> None:
        self._file_open = False
        self._discard()

    def _discard(self) -> None:
        """Remove the file that is being received, if there is one."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1
            try:
                os.unlink(self._temporary, dir_fd=self._levels[-1].fd)
            except OSError:
                pass

    # --- symbolic links ---------------------------------------------------------------------------------------

    def _link(self, name: bytes, target: bytes) -> None:
        name = self._name(name)
        if self._skipped:
            return
        if not stays_inside(target, len(self._levels) - 2):
            path = trees.shown(b"/".join([*self._path, name]))
            self._problem(f"{path}: leads out of what is copied, to {trees.shown(target[:200])}; omitted")
            return
        temporary = b".ccvm-copy-%d-%s" % (os.getpid(), os.urandom(6).hex().encode())
        directory = self._levels[-1].fd
        try:
            os.symlink(target, temporary, dir_fd=directory)
            try:
                os.rename(temporary, name, src_dir_fd=directory, dst_dir_fd=directory)
            except OSError:
                os.unlink(temporary, dir_fd=directory)
                raise
        except OSError as error:
            self._failed(name, error)
            return
        self._tally.files += 1


def stays_inside(target: bytes, depth: int) -> bool:
    """Return whether the target of a symbolic link, ``depth`` directories below the top, leads to what is copied."""
    parts = [part for part in target.split(b"/") if part not in (b"", b".")]
    above = 0
    while above < len(parts) and parts[above] == b"..":
        above += 1
    return (
        bool(target)
        and not target.startswith(b"/")
        and b"\0" not in target
        and depth >= 0
        and above <= depth
        and b".." not in parts[above:]
    )


def _set_time(fd: int, mtime_ns: int) -> None:
    time = max(-_TIME_MAX, min(mtime_ns, _TIME_MAX))
    try:
        os.utime(fd, ns=(time, time))
    except (OSError, OverflowError):
        pass
