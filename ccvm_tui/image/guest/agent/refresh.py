"""The helper of a share: keeps this kernel's caches as the host's directory is.

The host's file server names the system call to make over the share's port. It answers the requests that result from the
call as done already: the call changes nothing but the caches, and inotify reports it to the programs of the guest.
Paths are relative to the share, in a mount that nothing else is mounted over.
"""

from __future__ import annotations

import errno
import os
import struct

from . import ports

TYPE_CHECKING = False  # importing typing costs more than it says
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

TAG = "workspace"
PORT = f"ccvm.share.{TAG}"
MOUNTED = f"/run/ccvm/shares/{TAG}"
RECORD = "/run/ccvm/refresh.pid"

_CHUNK = 1 << 16
_LENGTH = 4
_DESCRIPTORS = 64  # far more than an agent has open
_NOW, _OMIT = (1 << 30) - 1, (1 << 30) - 2
_WRITE_AND_WAIT = 7  # SYNC_FILE_RANGE_WAIT_BEFORE, WRITE, WAIT_AFTER

_TIMES = struct.Struct("qqqq")

_c_library: Any = None
_flushed: dict[bytes, int] = {}
_FLUSHED_MAX = 16


def is_needed() -> bool:
    """Whether there is a share."""
    return os.path.isdir(MOUNTED)


def start() -> int:
    """Start the helper; returns its process number."""
    port = ports.open_port(PORT)
    pid = os.fork()
    if pid:
        os.close(port)
        return pid
    try:
        # The control port above all: it can be opened once only, and its agent may have to start again.
        os.closerange(3, port)
        os.closerange(port + 1, _DESCRIPTORS)
        os.setsid()
        os.umask(0)
        os.chdir(MOUNTED)
        Helper(port).run()
    finally:
        os._exit(1)


class Helper:
    """Carries out instructions one after the other and acknowledges each."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._received = bytearray()

    def run(self) -> None:
        self._say(f"hello {os.getpid()}")
        while data := os.read(self._port, _CHUNK):
            self._received += data
            while (frame := self._frame()) is not None:
                self._take(*frame.split(b"\0"))

    def _frame(self) -> bytes | None:
        size = int.from_bytes(self._received[:_LENGTH], "little")
        if len(self._received) < _LENGTH + size or len(self._received) < _LENGTH:
            return None
        frame = bytes(self._received[_LENGTH : _LENGTH + size])
        del self._received[: _LENGTH + size]
        return frame

    def _take(self, number: bytes, operation: bytes, *arguments: bytes) -> None:
        if operation == b"signals":
            if _has_signal(arguments[0].decode()):
                self._say(f"signalled {arguments[0].decode()}")
            return
        error = 0
        try:
            _OPERATIONS[operation](*arguments)
        except OSError as failure:
            error = failure.errno or errno.EIO
        self._say(f"done {number.decode()} {error}")

    def _say(self, line: str) -> None:
        view = memoryview(line.encode() + b"\n")
        while view:
            view = view[os.write(self._port, view) :]


def _make(path: bytes, kind: bytes) -> None:
    os.mknod(path, int(kind) | 0o600)


def _make_link(path: bytes) -> None:
    os.symlink(b"target", path)  # the host's entry, which is the answer, has the true one


def _mode(path: bytes, mode: bytes) -> None:
    os.chmod(path, int(mode))


def _modify(path: bytes) -> None:
    """Opening drops the cached pages; a new modification time alone is IN_MODIFY; closing is IN_CLOSE_WRITE."""
    flags = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    # A program must not find itself "busy" because it is open for writing.
    executable = os.stat(path, follow_symlinks=False).st_mode & 0o111
    fd = os.open(path, flags | (os.O_RDONLY if executable else os.O_WRONLY))
    try:
        _touch(fd)
    finally:
        os.close(fd)


def _drop(path: bytes) -> None:
    """Opening drops the cached pages."""
    os.close(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC))


def _flush(path: bytes, number: bytes) -> None:
    """Write back what programs here have changed in mappings of the file, which has a ``number`` of its own."""
    fd = _flushed.pop(number, -1)
    if fd < 0:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    _flushed[number] = fd  # open from now on: databases are flushed many times
    if len(_flushed) > _FLUSHED_MAX:
        os.close(_flushed.pop(next(iter(_flushed))))
    if _library().sync_file_range(fd, 0, 0, _WRITE_AND_WAIT):
        raise _failure("sync_file_range")


def _touch(fd: int) -> None:
    if _library().futimens(fd, _TIMES.pack(0, _OMIT, 0, _NOW)):
        raise _failure("futimens")


def _library() -> Any:
    """The C library, for calls that ``os`` lacks. Loaded once, when it is needed first: both cost milliseconds."""
    global _c_library
    if _c_library is None:
        from ctypes import CDLL, c_char_p, c_int, c_int64, c_uint

        _c_library = CDLL(None, use_errno=True)
        _c_library.sync_file_range.argtypes = [c_int, c_int64, c_int64, c_uint]
        _c_library.futimens.argtypes = [c_int, c_char_p]
    return _c_library


def _failure(call: str) -> OSError:
    from ctypes import get_errno

    return OSError(get_errno(), call)


def _has_signal(task: str) -> bool:
    """Whether a signal waits for ``task`` that is neither blocked nor ignored."""
    words: dict[str, int] = {}
    try:
        with open(f"/proc/{task}/status") as status:
            for line in status:
                key, _, value = line.partition(":")
                if key in ("SigPnd", "ShdPnd", "SigBlk", "SigIgn"):
                    words[key] = int(value, 16)
    except (OSError, ValueError):
        return True
    return bool((words["SigPnd"] | words["ShdPnd"]) & ~words["SigBlk"] & ~words["SigIgn"])


_OPERATIONS: dict[bytes, Callable[..., None]] = {
    b"mknod": _make,
    b"mkdir": os.mkdir,
    b"symlink": _make_link,
    b"unlink": os.unlink,
    b"rmdir": os.rmdir,
    b"rename": os.rename,
    b"chmod": _mode,
    b"modify": _modify,
    b"drop": _drop,
    b"flush": _flush,
}
