"""One program in the guest, from its start to the end of everything it started, should its caller go away."""

from __future__ import annotations

import fcntl
import os
import select
import termios
import time
from _signal import SIGCONT, SIGHUP, SIGINT, SIGQUIT, SIGTERM  # type: ignore[import-not-found]  # signal is slow to import

from . import wire
from .program import Program, command

TYPE_CHECKING = False  # importing typing costs more than it says
if TYPE_CHECKING:
    from collections.abc import Callable

    from .programs import World

    Handlers = dict[int, tuple[int, Callable[[], object]]]

GRACE = 5.0
"""Seconds between the signal that ends a program and the end of whatever is left of it."""

LEFT_BEHIND = 0.5
"""Seconds for which a program that has ended is waited for on behalf of those that still hold its output."""

_BACKLOG = 1 << 18
"""Bytes that may wait for a slow caller before the program has to."""

_LAST_WORDS = 1 << 21
"""Bytes that may wait beyond that once the program has ended: twice what a pipe holds at most (pipe(7))."""

_CHUNK = 1 << 16
_ENDING = (SIGHUP, SIGINT, SIGQUIT, SIGTERM)


def run(connection: int, world: World, cgroup: str) -> None:
    """Serve one caller, from its START on."""
    frames = wire.Frames()
    received: list[tuple[bytes, bytes]] = []
    try:
        while not received:
            data = os.read(connection, _CHUNK)
            if not data:
                return
            received = frames.feed(data)
        kind, body = received.pop(0)
        if kind != wire.START:
            raise wire.WireError("not a program to start")
        start = wire.Start.parse(body)
        argv = command(start)
        os.mkdir(cgroup)
        program = Program(start, argv, world, cgroup)
    except (wire.WireError, OSError) as error:
        os.write(connection, wire.frame(wire.REFUSED, str(error).encode()))
        return
    try:
        Supervisor(connection, program, frames).run(received)
    except BaseException:  # whatever it is, nothing may be left that nobody ends
        program.kill()
        raise
    finally:
        program.remove_cgroup()


class Supervisor:
    """Passes bytes between a program and its caller, and ends what the caller leaves behind by going away."""

    def __init__(self, connection: int, program: Program, frames: wire.Frames) -> None:
        self._connection = connection
        self._program = program
        self._frames = frames
        self._out = bytearray(wire.frame(wire.STARTED))
        self._input = bytearray()
        self._input_ends = False
        self._taken = 0
        self._running = True
        self._ends_at = 0.0  # when what is left is killed; 0 while the program goes on
        self._drained_at = 0.0  # when output is no longer waited for; 0 while the program goes on
        self._told = False
        os.set_blocking(connection, False)

    def run(self, received: list[tuple[bytes, bytes]]) -> None:
        try:
            self._take(received)
        except wire.WireError:
            self._caller_is_gone()
        while not self._finished():
            poll, handlers = select.poll(), self._handlers()
            for fd, (events, _) in handlers.items():
                poll.register(fd, events)
            for fd, _ in poll.poll(self._patience()):
                handlers[fd][1]()
            self._look_at_clock()
            self._finish_output()
        self._end_the_rest()

    def _handlers(self) -> Handlers:
        """The descriptors to wait for, each with its events and what to do then."""
        program = self._program
        handlers: Handlers = {}
        if self._running:
            handlers[program.pidfd] = (select.POLLIN, self._program_ended)
        if program.stderr >= 0 and self._wants_output():
            handlers[program.stderr] = (select.POLLIN, self._read_errors)
        if program.stdin >= 0 and self._input:
            handlers[program.stdin] = (select.POLLOUT, self._write_input)
        if program.stdout >= 0 and self._wants_output():
            if program.stdout in handlers:  # a terminal: one descriptor for both directions
                handlers[program.stdout] = (select.POLLIN | select.POLLOUT, self._use_terminal)
            else:
                handlers[program.stdout] = (select.POLLIN, self._read_output)
        if self._connection >= 0:
            events = select.POLLIN | (select.POLLOUT if self._out else 0)
            handlers[self._connection] = (events, self._use_connection)
        return handlers

    def _wants_output(self) -> bool:
        return not self._told and len(self._out) < (_BACKLOG if self._running else _BACKLOG + _LAST_WORDS)

    def _patience(self) -> float | None:
        """Milliseconds until the clock has to be looked at."""
        moments = [moment for moment in (self._ends_at, 0.0 if self._told else self._drained_at) if moment]
        return max(0.0, min(moments) - time.monotonic()) * 1000 + 1 if moments else None

    def _look_at_clock(self) -> None:
        if self._ends_at and time.monotonic() >= self._ends_at:
            self._program.kill()
            self._ends_at = 0.0

    def _finished(self) -> bool:
        """Whether the program has ended, and the caller has been told or is gone."""
        return not self._running and (self._connection < 0 or (self._told and not self._out))

    # --- the program --------------------------------------------------------------------------------------

    def _program_ended(self) -> None:
        self._program.reap()
        self._running = False
        self._drained_at = time.monotonic() + LEFT_BEHIND
        # what it had printed when it ended is kept in any case, however slowly the caller reads
        for fd, kind in ((self._program.stdout, wire.OUTPUT), (self._program.stderr, wire.ERRORS)):
            left = _LAST_WORDS if self._program.terminal else _waiting(fd) if fd >= 0 else 0
            while left > 0 and (count := self._read(fd, kind)):
                left -= count

    def _finish_output(self) -> None:
        """Once all is read, or was waited for long enough, tell the program's end."""
        if self._running or self._told:
            return
        program = self._program
        if (program.stdout < 0 and program.stderr < 0) or time.monotonic() >= self._drained_at:
            self._told = True
            if self._connection >= 0:
                self._out += wire.frame(wire.ENDED, wire.number(program.status))

    def _read_output(self) -> None:
        self._read(self._program.stdout, wire.OUTPUT)

    def _read_errors(self) -> None:
        self._read(self._program.stderr, wire.ERRORS)

    def _read(self, fd: int, kind: bytes) -> int:
        """Read once and pass it on; returns how much there was."""
        if fd < 0:
            return 0
        try:
            data = os.read(fd, wire.PIECE)
        except BlockingIOError:
            return 0
        except OSError:  # EIO: the last process has closed the terminal
            data = b""
        if not data:
            self._program.close(fd)
        elif self._connection >= 0:
            self._out += wire.frame(kind, data)
        return len(data)

    def _use_terminal(self) -> None:
        self._write_input()
        self._read_output()

    def _write_input(self) -> None:
        if self._program.stdin < 0:
            return
        count = len(self._input)
        try:
            count = os.write(self._program.stdin, self._input[:_CHUNK])
        except BlockingIOError:
            return
        except OSError:  # nobody reads it any more
            if not self._program.terminal:
                self._program.close(self._program.stdin)
        del self._input[:count]
        self._took(count)
        self._end_input()

    def _took(self, count: int) -> None:
        """Tell now and then how much of the input is taken."""
        self._taken += count
        if self._taken and (self._taken >= wire.PIECE or not self._input):
            self._out += wire.frame(wire.TAKEN, wire.number(self._taken))
            self._taken = 0

    def _end_input(self) -> None:
        program = self._program
        if self._input_ends and not self._input and program.stdin >= 0 and not program.terminal:
            program.close(program.stdin)

    # --- the caller ---------------------------------------------------------------------------------------

    def _use_connection(self) -> None:
        try:
            if self._out:
                del self._out[: os.write(self._connection, self._out[:_CHUNK])]
        except BlockingIOError:
            pass
        except OSError:
            self._caller_is_gone()
            return
        try:
            data = os.read(self._connection, _CHUNK)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._caller_is_gone()
            return
        try:
            self._take(self._frames.feed(data))
        except wire.WireError:
            self._caller_is_gone()

    def _take(self, received: list[tuple[bytes, bytes]]) -> None:
        """Raises wire.WireError for what a caller that is in its right mind does not send."""
        for kind, body in received:
            if kind == wire.INPUT:
                self._take_input(body)
            elif kind == wire.END_OF_INPUT:
                self._input_ends = True
                self._end_input()
            elif kind == wire.SIGNAL:
                self._take_signal(wire.parse_number(body))
            elif kind == wire.SIZE:
                self._program.resize(wire.parse_size(body))
            else:
                raise wire.WireError("a frame that does not belong here")

    def _take_input(self, data: bytes) -> None:
        if len(self._input) + len(data) > wire.INPUT_WINDOW:
            raise wire.WireError("more input than there is room for")
        if self._program.stdin < 0:
            self._took(len(data))
        else:
            self._input += data

    def _take_signal(self, number: int) -> None:
        if not self._running:
            return
        self._program.signal(number)
        if number in _ENDING:
            self._end_later()

    def _end_later(self) -> None:
        self._ends_at = self._ends_at or time.monotonic() + GRACE

    def _caller_is_gone(self) -> None:
        """Hang up: the kernel does it for a terminal; what a program without one prints is read to its end."""
        os.close(self._connection)
        self._connection = -1
        self._out.clear()
        self._input.clear()
        program = self._program
        if program.stdin >= 0:
            program.close(program.stdin)
        if self._running and not program.terminal:
            program.signal(SIGHUP)
            program.signal(SIGCONT)
        self._end_later()

    def _end_the_rest(self) -> None:
        """The program has ended. If that was asked for, so is the end of all that it started."""
        if self._connection >= 0:
            os.close(self._connection)
        program = self._program
        for fd in {program.stdin, program.stdout, program.stderr} - {-1}:
            program.close(fd)
        if not self._ends_at:
            return
        events = program.watch_populated()
        poll = select.poll()
        poll.register(events, select.POLLPRI)
        while program.populated():
            left = self._ends_at - time.monotonic()
            if left <= 0:
                program.kill()
                left = GRACE  # as the kernel does it, but for processes in uninterruptible sleep
                self._ends_at += 2 * GRACE
            poll.poll(left * 1000)
            os.pread(events, _CHUNK, 0)


def _waiting(fd: int) -> int:
    """Bytes that can be read at once."""
    return int.from_bytes(fcntl.ioctl(fd, termios.FIONREAD, b"\0\0\0\0"), "little")
