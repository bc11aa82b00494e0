"""What the guest prints on its console, and QEMU on stderr: kept, and bounded.

A guest can print for ever, and the runtime directory is often a small tmpfs. So a log is at most two files of
``limit`` bytes: the current one, and ``NAME.1``, the one before. A full disk costs the log, never the guest.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from pathlib import Path

log = logging.getLogger(__name__)

CONSOLE_LIMIT = 1 << 20
"""Bytes of one console log file."""

QEMU_LIMIT = 1 << 18
"""Bytes of one file of QEMU's own words."""

TAIL = 1 << 16
"""Bytes kept in memory, for messages about a guest that failed."""


class BoundedLog:
    """Appends to ``path``, rotates at ``limit`` bytes, remembers the last ``tail`` bytes whatever the disk does."""

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
        self._tail += data
        if len(self._tail) > 2 * self._tail_limit:
            del self._tail[: -self._tail_limit]
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

    def tail(self, lines: int | None = None, *, showing: str = "") -> str:
        """The last ``lines`` lines (all that is remembered without a number) as text, without carriage returns.

        If the last line with ``showing`` in it is further up, the lines from there on instead.
        """
        text = self.remembered().decode("utf-8", "replace").replace("\r", "")
        if lines is None:
            return text
        everything = text.rstrip("\n").split("\n")
        shown = [number for number, line in enumerate(everything) if showing and showing in line]
        start = min([max(0, len(everything) - lines), *shown[-1:]])
        return "\n".join(everything[start : start + lines])

    def remembered(self) -> bytes:
        return bytes(self._tail[-self._tail_limit :])

    def __contains__(self, needle: bytes) -> bool:
        return needle in self._tail

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    def __repr__(self) -> str:
        return f"BoundedLog({str(self.path)!r}, written={self._written}, broken={self._broken})"


class LogReader(asyncio.Protocol):
    """Everything that arrives on a stream goes to a log. ``first_byte`` and ``closed`` are events to wait for."""

    def __init__(self, target: BoundedLog) -> None:
        self._target = target
        self._listener: Callable[[bytes], None] | None = None
        self.first_byte = asyncio.Event()
        self.closed = asyncio.Event()

    def also_tell(self, listener: Callable[[bytes], None]) -> None:
        """``listener`` gets what is remembered so far, if anything, and everything that comes."""
        if so_far := self._target.remembered():
            listener(so_far)
        self._listener = listener

    def data_received(self, data: bytes) -> None:
        self.first_byte.set()
        self._target.write(data)
        if self._listener is not None:
            self._listener(data)

    def connection_lost(self, exc: Exception | None) -> None:
        self.closed.set()
