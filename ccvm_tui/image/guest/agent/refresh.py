"""The helper of a share, which keeps the guest kernel's caches consistent with the host's directory.

The host's file server sends instructions over the share's port, each naming a system call. It answers the FUSE requests
that result from the call without repeating the change, so the call only updates the caches, and inotify reports it to
the programs of the guest. Paths are relative to the share, in a mount that nothing else is mounted over.
"""

from __future__ import annotations

import errno
import os
import struct

from . import ports

TYPE_CHECKING = False  # typing is slow to import
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

TAG = "workspace"
"""The tag of the share."""

PORT = f"ccvm.share.{TAG}"
"""The name of the share's virtio-serial port."""

MOUNTED = f"/run/ccvm/shares/{TAG}"
"""The mount of the share that the helper uses."""

RECORD = "/run/ccvm/refresh.pid"
"""The file with the pid of the helper."""

_CHUNK = 1 << 16
_LENGTH = 4
_DESCRIPTORS = 64  # more than an agent ever has open
_NOW, _OMIT = (1 << 30) - 1, (1 << 30) - 2
_WRITE_AND_WAIT = 7  # SYNC_FILE_RANGE_WAIT_BEFORE, WRITE, WAIT_AFTER

_TIMES = struct.Struct("qqqq")

_c_library: Any = None
_flushed: dict[bytes, int] = {}
_FLUSHED_MAX = 16


def is_needed() -> bool:
    """Return whether the share is mounted."""
    return os.path.isdir(MOUNTED)


def start() -> int:
    """Start the helper and return its pid."""
    port = ports.open_port(PORT)
    pid = os.fork()
    if pid:
        os.close(port)
        return pid
    try:
        # In particular the control port: it can be opened only once, and a restarted agent must be able to open it.
        os.closerange(3, port)
        os.closerange(port + 1, _DESCRIPTORS)
        os.setsid()
        os.umask(0)
        os.chdir(MOUNTED)
        Helper(port).run()
    finally:
        os._exit(1)


class Helper:
    """The helper, which executes instructions in order and acknowledges each."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._received = bytearray()

    def run(self) -> None:
        """Execute instructions until the host closes the port."""
        self._send(f"hello {os.getpid()}")
        while data := os.read(self._port, _CHUNK):
            self._received += data
            while (frame := self._frame()) is not None:
                self._execute(*frame.split(b"\0"))

    def _frame(self) -> bytes | None:
        size = int.from_bytes(self._received[:_LENGTH], "little")
        if len(self._received) < _LENGTH + size or len(self._received) < _LENGTH:
            return None
        frame = bytes(self._received[_LENGTH : _LENGTH + size])
        del self._received[: _LENGTH + size]
        return frame

    def _execute(self, number: bytes, operation: bytes, *arguments: bytes) -> None:
        if operation == b"signals":
            if _has_signal(arguments[0].decode()):
                self._send(f"signalled {arguments[0].decode()}")
            return
        error = 0
        try:
            _OPERATIONS[operation](*arguments)
        except OSError as failure:
            error = failure.errno or errno.EIO
        self._send(f"done {number.decode()} {error}")

    def _send(self, line: str) -> None:
        view = memoryview(line.encode() + b"\n")
        while view:
            view = view[os.write(self._port, view) :]


def _make(path: bytes, kind: bytes) -> None:
    os.mknod(path, int(kind) | 0o600)


def _make_link(path: bytes) -> None:
    os.symlink(b"target", path)  # the host's answer has the actual target


def _mode(path: bytes, mode: bytes) -> None:
    os.chmod(path, int(mode))


def _modify(path: bytes) -> None:
    """Drop the cached pages (by opening) and trigger IN_MODIFY (by a new modification time) and IN_CLOSE_WRITE."""
    flags = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    # An executable that is open for writing cannot be executed (ETXTBSY).
    executable = os.stat(path, follow_symlinks=False).st_mode & 0o111
    fd = os.open(path, flags | (os.O_RDONLY if executable else os.O_WRONLY))
    try:
        _touch(fd)
    finally:
        os.close(fd)


def _drop(path: bytes) -> None:
    """Drop the cached pages, by opening the file."""
    os.close(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC))


def _flush(path: bytes, number: bytes) -> None:
    """Write back the changes that programs of the guest made in mappings of the file, identified by ``number``."""
    fd = _flushed.pop(number, -1)
    if fd < 0:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    _flushed[number] = fd  # stays open: databases are flushed many times
    if len(_flushed) > _FLUSHED_MAX:
        os.close(_flushed.pop(next(iter(_flushed))))
    if _library().sync_file_range(fd, 0, 0, _WRITE_AND_WAIT):
        raise _failure("sync_file_range")


def _touch(fd: int) -> None:
    if _library().futimens(fd, _TIMES.pack(0, _OMIT, 0, _NOW)):
        raise _failure("futimens")


def _library() -> Any:
    """Return the C library, for calls that ``os`` lacks. It is loaded on first use, which takes milliseconds."""
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
    """Return whether ``task`` has a pending signal that is neither blocked nor ignored."""
    masks: dict[str, int] = {}
    try:
        with open(f"/proc/{task}/status") as status:
            for line in status:
                key, _, value = line.partition(":")
                if key in ("SigPnd", "ShdPnd", "SigBlk", "SigIgn"):
                    masks[key] = int(value, 16)
    except (OSError, ValueError):
        return True
    return bool((masks["SigPnd"] | masks["ShdPnd"]) & ~masks["SigBlk"] & ~masks["SigIgn"])


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
