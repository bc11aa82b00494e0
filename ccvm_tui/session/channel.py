"""What carries one program's input and output, wherever it runs."""

from __future__ import annotations

import signal
from typing import Protocol

from ccvm_tui.guest import TermSize
from ccvm_tui.protocol import SessionSpec

LOST = -1
"""The status of a program whose channel broke before it could tell its own."""

INPUT_BACKLOG = 1 << 20
"""Bytes of input that may wait for a program before whoever writes has to wait."""


GRACE = 5.0
"""Seconds that a program has to end by itself once it was told to."""

LEFT_BEHIND = 0.5
"""Seconds for which the output of a program that has ended is waited for, when others still hold it open."""

ENDING = (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM)
"""The signals that ask a program to end."""


class ChannelOwner(Protocol):
    """Who hears the program. Called from the event loop; must not block."""

    def output(self, data: bytes, stream: int) -> None:
        """``stream`` is 1, or 2 for standard error of a program without a pty."""

    def ended(self, status: int, reason: str) -> None:
        """Called once, after the last output. ``reason`` is empty when the program simply ended."""


class Channel(Protocol):
    """A running program."""

    def write(self, data: bytes) -> None: ...

    def write_eof(self) -> None: ...

    def resize(self, size: TermSize) -> None:
        """Set the pty's size; the kernel sends SIGWINCH when it differs."""

    def hold(self) -> None:
        """Stop reading the program's output: it will block once the buffers on the way are full."""

    def release(self) -> None: ...

    def signal(self, number: int) -> None:
        """Pass a signal on to the program's process group. One that asks it to end is meant: whatever the program
        has started is killed GRACE seconds later."""

    def hang_up(self) -> None:
        """End the program as a closed terminal does (SIGHUP), and all that it has started GRACE seconds later."""

    def kill(self) -> None:
        """End it for certain, as far as that can be done from here."""

    async def room(self) -> None:
        """Returns once the program has taken most of its input, or is gone: a paste must not pile up here."""


class Transport(Protocol):
    """Where programs are started: a guest's SSH connection, or this machine for a keeper without a guest."""

    async def start(self, id: str, spec: SessionSpec, owner: ChannelOwner, *, pty: bool) -> Channel:
        """Raises UserError when the program cannot be started."""

    async def close(self) -> None: ...
