"""The user's terminal: raw, non-blocking, and always put back as it was."""

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

from ccvm_tui.errors import UserError
from ccvm_tui.guest import TermSize

_CHUNK = 65536


class Tty:
    """The terminal behind standard input and output, on a descriptor of its own.

    The descriptor that the shell gave us is shared with the shell: making that one non-blocking would break
    it. Opening the terminal again gives an open file description that nobody else has.
    """

    def __init__(self) -> None:
        require_terminal()
        self._fd = _open_again()
        self._saved = termios.tcgetattr(self._fd)

    def close(self) -> None:
        os.close(self._fd)

    def size(self) -> TermSize:
        return _size_of(self._fd)

    @contextlib.contextmanager
    def raw(self) -> Iterator[None]:
        """Raw mode for the duration of the block, whatever ends it."""
        try:
            tty.setraw(self._fd, termios.TCSANOW)
            yield
        finally:
            # What was typed ahead for the guest must not reach the shell: hence FLUSH. Not DRAIN: a terminal
            # that takes no output must not keep us.
            with contextlib.suppress(termios.error):
                termios.tcsetattr(self._fd, termios.TCSANOW, self._saved)
                termios.tcflush(self._fd, termios.TCIFLUSH)

    def raw_again(self) -> None:
        """Raw mode once more, after a stop that gave the terminal back to the shell."""
        with contextlib.suppress(termios.error):
            tty.setraw(self._fd, termios.TCSANOW)

    async def read(self) -> bytes:
        """The next bytes typed; empty when the terminal is gone."""
        while True:
            try:
                return os.read(self._fd, _CHUNK)
            except BlockingIOError:
                await self._readable()
            except OSError:
                return b""

    async def write(self, data: bytes) -> None:
        """Write all of ``data``, waiting for a slow terminal as long as it takes. Raises OSError when it is gone."""
        left = memoryview(data)
        while left:
            try:
                left = left[os.write(self._fd, left[:_CHUNK]) :]
            except BlockingIOError:
                await self._writable()

    def write_now(self, data: bytes) -> None:
        """Write what the terminal takes at once: for the last words, which nobody should wait for."""
        with contextlib.suppress(OSError):
            os.write(self._fd, data)

    def discard_output(self) -> None:
        """Drop what the terminal has not shown yet: whoever leaves a flood does not want to watch the rest."""
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
    """Whether somebody can see and type."""
    return all(stream is not None and stream.isatty() for stream in (sys.stdin, sys.stdout))


def require_terminal() -> None:
    """Raises UserError unless ``has_terminal``."""
    if not has_terminal():
        raise UserError(
            "standard input and output are not a terminal",
            "in scripts use `ccvm-tui exec GUEST -- COMMAND`, or `ccvm-tui run --detach`",
        )


def require_full_screen() -> None:
    """Raises UserError unless there is a terminal that can place its cursor, as far as TERM tells."""
    require_terminal()
    if (term := os.environ.get("TERM", "")) in ("", "dumb", "unknown"):
        raise UserError(
            f"the dashboard needs a terminal that can place its cursor; TERM is {term or 'not set'}",
            "set TERM to what your terminal is, or see `ccvm-tui --help` for what works without the dashboard",
        )


def size() -> TermSize:
    """The terminal's size; 80x24 where there is no terminal."""
    for stream in (sys.stdout, sys.stderr, sys.stdin):
        try:
            return _size_of(stream.fileno())
        except (OSError, ValueError, AttributeError):  # AttributeError: the stream is None, its descriptor closed
            continue
    return TermSize()


def _size_of(fd: int) -> TermSize:
    """A terminal that was never told its size says 0x0."""
    try:
        rows, cols, width, height = struct.unpack("HHHH", fcntl.ioctl(fd, termios.TIOCGWINSZ, bytes(8)))
    except termios.error as error:
        raise OSError(*error.args) from error
    largest = TermSize.MAX
    return TermSize(min(cols, largest) or 80, min(rows, largest) or 24, width, height)


def _open_again() -> int:
    """A second way into the terminal of standard input.

    Its device node may belong to another user (after su), but /dev/tty always opens.
    """
    flags = os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK | os.O_CLOEXEC
    for name in (_name(), "/dev/tty"):
        if name:
            with contextlib.suppress(OSError):
                return os.open(name, flags)
    raise UserError("the terminal cannot be opened", "log in on a terminal of your own, or use `script /dev/null`")


def _name() -> str:
    try:
        return os.ttyname(sys.stdin.fileno())
    except OSError:
        return ""


def _resolve(ready: asyncio.Future[None]) -> None:
    if not ready.done():
        ready.set_result(None)
