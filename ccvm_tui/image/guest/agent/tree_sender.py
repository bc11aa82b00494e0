"""The sending side of a copy: it reads files and directories without following symbolic links."""

from __future__ import annotations

import os
import stat

from . import trees, wire

TYPE_CHECKING = False  # typing is slow to import
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_OPEN = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC


def send(
    sources: list[bytes], tally: trees.Tally, *, follow: bool, check: Callable[[int, bytes], None] = lambda *_: None
) -> Iterator[bytes]:
    """Yield the frames of a copy of ``sources``. Those that cannot be read are reported in a PROBLEM.

    With ``follow``, a source that is itself a symbolic link is replaced by what it leads to. ``check`` is called with
    the descriptor and the path of each source, and may raise TreeError.
    """
    for number, source in enumerate(sources):
        top = b"%d" % number
        try:
            path = os.path.realpath(source) if follow else source.rstrip(b"/") or b"/"
            parent, name = os.path.split(path)
            directory = os.open(parent or b".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            yield _problem(source, str(error.strerror))
            continue
        try:
            check(directory, source)
            yield from _entry(directory, name or b".", top, source, tally, 0)
        finally:
            os.close(directory)
    yield wire.frame(trees.END)


def _problem(path: bytes, text: str) -> bytes:
    return wire.frame(trees.PROBLEM, path[-1000:] + b": " + text.encode())


def _entry(directory: int, name: bytes, sent_as: bytes, path: bytes, tally: trees.Tally, depth: int) -> Iterator[bytes]:
    """Yield the frames of one entry of a directory. ``path`` is its path in messages."""
    try:
        kind = os.stat(name, dir_fd=directory, follow_symlinks=False).st_mode
        if stat.S_ISLNK(kind):
            target = os.readlink(name, dir_fd=directory)
            yield wire.frame(trees.LINK, sent_as + b"\0" + target)
            return
        if not (stat.S_ISREG(kind) or stat.S_ISDIR(kind)):
            yield _problem(path, "not a file, a directory or a symbolic link; omitted")
            return
        fd = os.open(name, _OPEN, dir_fd=directory)
    except OSError as error:
        yield _problem(path, str(error.strerror))
        return
    try:
        info = os.fstat(fd)
        if stat.S_ISDIR(info.st_mode):
            yield from _directory(fd, info, sent_as, path, tally, depth)
        elif stat.S_ISREG(info.st_mode):
            yield from _file(fd, info, sent_as, path, tally)
    finally:
        os.close(fd)


def _directory(
    fd: int, info: os.stat_result, sent_as: bytes, path: bytes, tally: trees.Tally, depth: int
) -> Iterator[bytes]:
    if depth == trees.DEPTH_MAX:
        yield _problem(path, f"more than {trees.DEPTH_MAX} nested directories; omitted")
        return
    try:
        names = sorted(map(os.fsencode, os.listdir(fd)))
    except OSError as error:
        yield _problem(path, str(error.strerror))
        return
    yield wire.frame(trees.DIRECTORY, trees.attributes(info.st_mode, info.st_mtime_ns, sent_as))
    for name in names:
        yield from _entry(fd, name, name, path + b"/" + name, tally, depth + 1)
    yield wire.frame(trees.LEAVE)


def _file(fd: int, info: os.stat_result, sent_as: bytes, path: bytes, tally: trees.Tally) -> Iterator[bytes]:
    tally.name = trees.shown(path)
    yield wire.frame(trees.FILE, trees.attributes(info.st_mode, info.st_mtime_ns, sent_as))
    while True:
        try:
            data = os.read(fd, trees.PIECE)
        except OSError as error:
            yield wire.frame(trees.BROKEN)
            yield _problem(path, str(error.strerror))
            return
        if not data:
            break
        tally.bytes += len(data)
        yield wire.frame(trees.CHUNK, data)
    tally.files += 1
    yield wire.frame(trees.COMPLETE)
