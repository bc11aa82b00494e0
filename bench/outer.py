"""A terminal for benchmarks: a pty with a full-screen program, whose output is recorded and timed."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import termios
import time


class Outer:
    """A pty of ``cols`` × ``rows`` that runs ``argv``. ``received`` is the output since the last ``clear``."""

    def __init__(self, argv: list[str], cols: int, rows: int, env: dict[str, str] | None = None) -> None:
        master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", rows, cols, 0, 0))
        self.began = time.perf_counter()
        self.process = subprocess.Popen(
            ["setsid", "--ctty", *argv],
            stdin=slave, stdout=slave, stderr=slave, env={**os.environ, **(env or {})},
        )  # fmt: skip
        os.close(slave)
        self.master = master
        self.received = bytearray()
        self.written = 0

    def pump(self, seconds: float) -> bool:
        """Read output that arrives within ``seconds``. Return False if there is none."""
        ready, _, _ = select.select([self.master], [], [], max(0.0, seconds))
        if not ready:
            return False
        try:
            data = os.read(self.master, 1 << 18)
        except OSError:
            return False
        self.received += data
        self.written += len(data)
        return True

    def clear(self) -> None:
        """Forget the output received so far."""
        self.received.clear()

    def type(self, data: bytes) -> None:
        """Write ``data`` to the program's terminal."""
        os.write(self.master, data)

    def wait(self, needle: bytes, seconds: float = 20.0) -> float:
        """Wait for ``needle`` in the output and return the seconds until then. Raises TimeoutError."""
        began = time.perf_counter()
        searched = 0
        while True:
            if self.received.find(needle, max(0, searched - len(needle))) >= 0:
                return time.perf_counter() - began
            searched = len(self.received)
            left = seconds - (time.perf_counter() - began)
            if left <= 0:
                raise TimeoutError(f"{needle!r} was not received; the last output is {bytes(self.received[-300:])!r}")
            self.pump(left)

    def settle(self, quiet: float = 0.5, limit: float = 20.0) -> None:
        """Wait until there has been no output for ``quiet`` seconds."""
        end = time.perf_counter() + limit
        while time.perf_counter() < end and self.pump(quiet):
            pass

    def close(self) -> None:
        """Hang up, and reap the program."""
        with contextlib.suppress(ProcessLookupError):
            self.process.send_signal(signal.SIGHUP)
        os.close(self.master)
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
