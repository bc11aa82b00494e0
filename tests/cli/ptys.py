"""A program on a real terminal, to which tests type and which they read, resize and inspect after its end."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import termios
import time
from collections.abc import Callable

WITHIN = 20.0
"""Seconds to wait for output and for the end."""


class Pty:
    """A terminal and its program. ``shown`` is all output; ``until`` finds each part of it only once."""

    def __init__(self, argv: list[str], cols: int, rows: int, width: int = 0, height: int = 0) -> None:
        self.master, self._slave = pty.openpty()
        self.resize(cols, rows, width, height)
        self.before = self.attributes
        self.shown = b""
        self._read_to = 0
        self._process = subprocess.Popen(
            ["setsid", "--ctty", *argv], stdin=self._slave, stdout=self._slave, stderr=self._slave
        )

    @property
    def attributes(self) -> list[object]:
        """The terminal's attributes, as tcgetattr(3) returns them."""
        return termios.tcgetattr(self._slave)

    def type(self, text: str | bytes) -> None:
        data = text.encode() if isinstance(text, str) else text
        while data:
            data = data[os.write(self.master, data) :]

    def resize(self, cols: int, rows: int, width: int = 0, height: int = 0) -> None:
        """Set the size of the terminal. ``width`` and ``height`` are in pixels."""
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, cols, width, height))

    def until(self, text: str | bytes, within: float = WITHIN) -> bytes:
        """Wait for ``text``, and return all output since the last call up to it."""
        wanted = text.encode() if isinstance(text, str) else text
        self._until(lambda: wanted in self.shown[self._read_to :], wanted, within)
        end = self.shown.index(wanted, self._read_to) + len(wanted)
        seen, self._read_to = self.shown[self._read_to : end], end
        return seen

    def signal(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def ended(self, within: float = WITHIN) -> int:
        """Wait for the program's end and return its exit status. ``shown`` then contains all output."""
        self._until(lambda: self._process.poll() is not None, "the end", within)
        while self._read(0):
            pass
        return self._process.wait()

    def wait(self, within: float = WITHIN) -> int:
        """Wait for the program's end without reading its output, and return its exit status."""
        return self._process.wait(within)

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
        os.close(self.master)
        os.close(self._slave)

    def _until(self, holds: Callable[[], bool], wanted: object, within: float) -> None:
        deadline = time.monotonic() + within
        while not holds():
            if time.monotonic() > deadline or (self._process.poll() is not None and not self._read(0)):
                if holds():
                    return
                raise AssertionError(f"{wanted!r} was not shown, but {self.shown[-2000:]!r}")
            self._read(0.02)

    def _read(self, within: float) -> bool:
        if not select.select([self.master], [], [], within)[0]:
            return False
        self.shown += os.read(self.master, 1 << 16)
        return True
