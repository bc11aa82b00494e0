"""The interface to a running program, in a guest or on the host."""

from __future__ import annotations

import signal
from collections.abc import Awaitable, Callable
from typing import Protocol

from ccvm_tui.aio import ByteReader, ByteWriter
from ccvm_tui.guest import TermSize
from ccvm_tui.protocol import SessionSpec

INPUT_BACKLOG = 1 << 20
"""Bytes of unsent input above which ``Channel.drain`` waits."""


GRACE = 5.0
"""Seconds between a signal that asks a program to end and SIGKILL."""

OUTPUT_GRACE = 0.5
"""Seconds to wait for the end of the output after a program has exited, if other processes hold the output open."""

END_SIGNALS = (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM)
"""The signals that ask a program to end."""


class ChannelOwner(Protocol):
    """The receiver of a program's output. Its methods are called from the event loop and must not block."""

    def output(self, data: bytes, stream: int) -> None:
        """Handle output. ``stream`` is 1, or 2 for standard error of a program without a pty."""

    def ended(self, status: int, reason: str) -> None:
        """Handle the end of the program; called once, after the last output.

        ``reason`` is empty if the program has exited.
        """


class Channel(Protocol):
    """A running program."""

    def write(self, data: bytes) -> None:
        """Queue input for the program."""

    def write_eof(self) -> None:
        """Close the program's input after the queued input; on a pty, send the end-of-file character."""

    def resize(self, size: TermSize) -> None:
        """Set the size of the pty. The kernel sends SIGWINCH if it changes."""

    def pause_reading(self) -> None:
        """Stop reading the program's output. The program blocks when all buffers are full."""

    def resume_reading(self) -> None:
        """Continue reading the program's output."""

    def signal(self, number: int) -> None:
        """Send a signal to the program's process group.

        After one of ``END_SIGNALS``, all processes of the program are killed ``GRACE`` seconds later.
        """

    def hang_up(self) -> None:
        """Send SIGHUP, as when a terminal is closed, and kill all processes of the program ``GRACE`` seconds later."""

    def kill(self) -> None:
        """Kill the program."""

    async def drain(self) -> None:
        """Wait until the program has read most of its input or has ended, so that a paste cannot fill the memory."""


Serve = Callable[[ByteReader, ByteWriter], Awaitable[None]]
"""A function that is called with each connection to a listener, which it closes at its end."""


class Listener(Protocol):
    """A unix socket to which programs can connect."""

    @property
    def path(self) -> str:
        """The path of the socket, as programs see it."""

    def close(self) -> None:
        """Accept no further connections."""


class Transport(Protocol):
    """A place where programs can be started: a guest, or the host for a keeper without a guest."""

    async def start(self, id: str, spec: SessionSpec, owner: ChannelOwner, *, pty: bool) -> Channel:
        """Start a program. ``id`` is the session's id. Raises UserError if the program cannot be started."""

    async def listen(self, name: str, serve: Serve) -> Listener:
        """Listen on a unix socket with the file name ``name``. Raises OSError if that is not possible."""

    async def close(self) -> None:
        """End the programs that depend on this transport."""
