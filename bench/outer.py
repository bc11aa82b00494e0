"""A terminal for benchmarks: a pty on which a full-screen program runs, with what it writes and when."""

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
    """Runs ``argv`` on a pty of ``cols`` × ``rows``. ``seen`` is what it wrote since the last ``clear``."""

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
        self.seen = bytearray()
        self.written = 0

    def pump(self, seconds: float) -> bool:
        """Read what comes within ``seconds``; False when nothing did."""
        ready, _, _ = select.select([self.master], [], [], max(0.0, seconds))
        if not ready:
            return False
        try:
            data = os.read(self.master, 1 << 18)
        except OSError:
            return False
        self.seen += data
        self.written += len(data)
        return True

    def clear(self) -> None:
        self.seen.clear()

    def type(self, data: bytes) -> None:
        os.write(self.master, data)

    def wait(self, needle: bytes, seconds: float = 20.0) -> float:
        """Seconds until ``needle`` was written; raises TimeoutError."""
        began = time.perf_counter()
        looked = 0
        while True:
            if self.seen.find(needle, max(0, looked - len(needle))) >= 0:
                return time.perf_counter() - began
            looked = len(self.seen)
            left = seconds - (time.perf_counter() - began)
            if left <= 0:
                raise TimeoutError(f"{needle!r} did not come; the last was {bytes(self.seen[-300:])!r}")
            self.pump(left)

    def settle(self, quiet: float = 0.5, limit: float = 20.0) -> None:
        """Until nothing was written for ``quiet`` seconds."""
        end = time.perf_counter() + limit
        while time.perf_counter() < end and self.pump(quiet):
            pass

    def close(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            self.process.send_signal(signal.SIGHUP)
        os.close(self.master)
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
