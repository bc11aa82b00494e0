"""The terminal of this process, in raw mode and non-blocking, and its restoration."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import struct
import sys
import termios
import tty
from collections.abc import Iterator

from ccvm_tui.cli.output import NO_CURSOR
from ccvm_tui.errors import UserError
from ccvm_tui.guest import TermSize

_CHUNK = 65536


class Tty:
    """The terminal of standard input and output, on a separate descriptor.

    The inherited descriptor is shared with the shell, which cannot use a non-blocking one. Opening the terminal again
    creates an open file description that no other process uses. Raises UserError if standard input and output are not a
    terminal, or if it cannot be opened.
    """

    def __init__(self) -> None:
        require_terminal()
        self._fd = _open_again()
        self._saved = termios.tcgetattr(self._fd)

    def close(self) -> None:
        """Close the descriptor."""
        os.close(self._fd)

    def size(self) -> TermSize:
        """Return the terminal's size. Raises OSError if the terminal was closed."""
        return _size_of(self._fd)

    @contextlib.contextmanager
    def raw(self) -> Iterator[None]:
        """Set raw mode while the block runs, and restore the previous mode."""
        try:
            tty.setraw(self._fd, termios.TCSANOW)
            yield
        finally:
            # Discard input that was typed for the guest, so that the shell does not read it. Do not drain the output,
            # because the terminal may accept none.
            with contextlib.suppress(termios.error):
                termios.tcsetattr(self._fd, termios.TCSANOW, self._saved)
                termios.tcflush(self._fd, termios.TCIFLUSH)

    def raw_again(self) -> None:
        """Set raw mode again after this process was stopped, during which the shell has used the terminal."""
        with contextlib.suppress(termios.error):
            tty.setraw(self._fd, termios.TCSANOW)

    async def read(self) -> bytes:
        """Wait for input and return it; empty if the terminal was closed."""
        while True:
            try:
                return os.read(self._fd, _CHUNK)
            except BlockingIOError:
                await self._readable()
            except OSError:
                return b""

    async def write(self, data: bytes) -> None:
        """Write all of ``data``, however slow the terminal is. Raises OSError if the terminal was closed."""
        left = memoryview(data)
        while left:
            try:
                left = left[os.write(self._fd, left[:_CHUNK]) :]
            except BlockingIOError:
                await self._writable()

    def write_now(self, data: bytes) -> None:
        """Write as much of ``data`` as the terminal accepts without waiting."""
        with contextlib.suppress(OSError):
            os.write(self._fd, data)

    def discard_output(self) -> None:
        """Discard output that the terminal has not accepted yet, which may be a flood."""
        with contextlib.suppress(termios.error):
            termios.tcflush(self._fd, termios.TCOFLUSH)

    async def _readable(self) -> None:
        loop = asyncio.get_running_loop()
        ready = loop.create_future()
        loop.add_reader(self._fd, _resolve, ready)
        try:
            await ready
        finally:
            loop.remove_reader(self._fd)

    async def _writable(self) -> None:
        loop = asyncio.get_running_loop()
        ready = loop.create_future()
        loop.add_writer(self._fd, _resolve, ready)
        try:
            await ready
        finally:
            loop.remove_writer(self._fd)


def has_terminal() -> bool:
    """Return whether standard input and output are terminals."""
    return all(stream is not None and stream.isatty() for stream in (sys.stdin, sys.stdout))


def require_terminal() -> None:
    """Raise UserError unless standard input and output are terminals."""
    if not has_terminal():
        raise UserError(
            "standard input and output are not a terminal",
            "in scripts use `ccvm-tui exec GUEST -- COMMAND`, or `ccvm-tui run --detach`",
        )


def require_full_screen() -> None:
    """Raise UserError unless there is a terminal that can position its cursor, according to TERM."""
    require_terminal()
    if (term := os.environ.get("TERM", "")) in NO_CURSOR:
        raise UserError(
            f"the dashboard needs a terminal that can position its cursor; TERM is {term or 'not set'}",
            "set TERM to the type of your terminal, or see `ccvm-tui --help` for the verbs",
        )


def size() -> TermSize:
    """Return the terminal's size, or 80x24 if there is no terminal."""
    for stream in (sys.stdout, sys.stderr, sys.stdin):
        try:
            return _size_of(stream.fileno())
        except (OSError, ValueError, AttributeError):  # AttributeError: the stream is None
            continue
    return TermSize()


def _size_of(fd: int) -> TermSize:
    """Return the terminal's size. A terminal whose size was never set reports 0x0."""
    try:
        rows, cols, width, height = struct.unpack("HHHH", fcntl.ioctl(fd, termios.TIOCGWINSZ, bytes(8)))
    except termios.error as error:
        raise OSError(*error.args) from error
    largest = TermSize.MAX
    return TermSize(min(cols, largest) or 80, min(rows, largest) or 24, width, height)


def _open_again() -> int:
    """Open the terminal of standard input again.

    Its device node may belong to another user (after su), but ``/dev/tty`` can always be opened.
    """
    flags = os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK | os.O_CLOEXEC
    for name in (_name(), "/dev/tty"):
        if name:
            with contextlib.suppress(OSError):
                return os.open(name, flags)
    raise UserError("the terminal cannot be opened", "log in as this user, or run `script /dev/null` first")


def _name() -> str:
    try:
        return os.ttyname(sys.stdin.fileno())
    except OSError:
        return ""


def _resolve(ready: asyncio.Future[None]) -> None:
    if not ready.done():
        ready.set_result(None)
