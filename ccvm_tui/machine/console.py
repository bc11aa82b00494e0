"""Bounded logs of the guest's console and of QEMU's output.

A guest can print without end, and the runtime directory is often a small tmpfs. A log therefore consists of at most
two files of ``limit`` bytes: the current one, and the previous one as ``NAME.1``. A full disk stops the log and never
affects the guest.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from pathlib import Path

log = logging.getLogger(__name__)

CONSOLE_LIMIT = 1 << 20
"""Maximum size of a console log file in bytes."""

QEMU_LIMIT = 1 << 18
"""Maximum size of a file with QEMU's output in bytes."""

TAIL = 1 << 16
"""Bytes kept in memory for messages about a failed guest."""


class BoundedLog:
    """A log in ``path`` that is rotated at ``limit`` bytes.

    The last ``tail`` bytes also stay in memory, even if the disk is full.
    """

    def __init__(self, path: Path, limit: int, tail: int = TAIL) -> None:
        self.path = path
        self._limit = limit
        self._tail_limit = tail
        self._tail = bytearray()
        self._written = 0
        self._broken = False
        with contextlib.suppress(OSError):
            path.with_name(path.name + ".1").unlink(missing_ok=True)
        self._file = None
        with contextlib.suppress(OSError):
            self._file = path.open("wb", buffering=0)

    def write(self, data: bytes) -> None:
        """Append ``data``, or its end if it is longer than a file may be.

        A failure to write the file is logged once and otherwise ignored.
        """
        self._tail += data
        if len(self._tail) > 2 * self._tail_limit:
            del self._tail[: -self._tail_limit]
        data = data[-self._limit :]
        try:
            if self._written + len(data) > self._limit:
                self._rotate()
            if self._file is not None:
                self._file.write(data)
                self._written += len(data)
                self._broken = False
        except OSError as error:
            if not self._broken:
                self._broken = True
                log.warning("cannot write %s: %s", self.path, error.strerror)

    def _rotate(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None
        self.path.replace(self.path.with_name(self.path.name + ".1"))
        self._file = self.path.open("wb", buffering=0)
        self._written = 0

    def tail(self, lines: int | None = None, *, marker: str = "") -> str:
        """Return the last ``lines`` lines in memory, or all of them, as text without carriage returns.

        If the last line that contains ``marker`` comes before these lines, return ``lines`` lines from there instead.
        """
        text = self.tail_bytes().decode("utf-8", "replace").replace("\r", "")
        if lines is None:
            return text
        everything = text.rstrip("\n").split("\n")
        marked = [number for number, line in enumerate(everything) if marker and marker in line]
        start = min([max(0, len(everything) - lines), *marked[-1:]])
        return "\n".join(everything[start : start + lines])

    def tail_bytes(self) -> bytes:
        """Return the last bytes written, at most as many as are kept in memory."""
        return bytes(self._tail[-self._tail_limit :])

    def __contains__(self, needle: bytes) -> bool:
        return needle in self._tail

    def close(self) -> None:
        """Close the file. Idempotent."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def __repr__(self) -> str:
        return f"BoundedLog({str(self.path)!r}, written={self._written}, broken={self._broken})"


class LogReader(asyncio.Protocol):
    """A protocol that writes everything it receives to a log.

    The event ``first_byte`` is set by the first data, ``closed`` by the end of the connection.
    """

    def __init__(self, target: BoundedLog) -> None:
        self._target = target
        self._listener: Callable[[bytes], None] | None = None
        self.first_byte = asyncio.Event()
        self.closed = asyncio.Event()

    def subscribe(self, listener: Callable[[bytes], None]) -> None:
        """Pass the log's tail, if it is not empty, and all further data to ``listener``. There is one listener."""
        if so_far := self._target.tail_bytes():
            listener(so_far)
        self._listener = listener

    def data_received(self, data: bytes) -> None:
        """Write ``data`` to the log and pass it to the listener."""
        self.first_byte.set()
        self._target.write(data)
        if self._listener is not None:
            self._listener(data)

    def connection_lost(self, _: Exception | None) -> None:
        """Set ``closed``."""
        self.closed.set()
