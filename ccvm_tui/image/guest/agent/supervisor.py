"""Supervision of one program: its streams, and the termination of everything it started when its caller leaves."""

from __future__ import annotations

import fcntl
import os
import select
import termios
import time
from _signal import SIGCONT, SIGHUP, SIGINT, SIGQUIT, SIGTERM  # type: ignore[import-not-found]  # signal is slow to import

from . import wire
from .program import Program, command
from .sessions import cgroup_name

TYPE_CHECKING = False  # typing is slow to import
if TYPE_CHECKING:
    from collections.abc import Callable

    from .programs import ProgramContext

    Handlers = dict[int, tuple[int, Callable[[], object]]]

GRACE = 5.0
"""Seconds between a signal that asks a program to end and SIGKILL for all its processes."""

LEFT_BEHIND = 0.5
"""Seconds after a program's exit during which output of processes that it left behind is still read."""

_BACKLOG = 1 << 18
"""Bytes of output queued for a slow caller, beyond which the program's output is not read (back pressure)."""

_FINAL_BACKLOG = 1 << 21
"""Additional bytes that may be queued after the program's exit: twice the maximum capacity of a pipe (pipe(7))."""

_CHUNK = 1 << 16
_ENDING = (SIGHUP, SIGINT, SIGQUIT, SIGTERM)


def run(connection: int, context: ProgramContext, cgroup: str) -> None:
    """Serve one caller: start the requested program, and supervise it until it and the caller are finished."""
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
        cgroup = cgroup_name(cgroup, start.session)
        os.mkdir(cgroup)
        program = Program(start, argv, context, cgroup)
    except (wire.WireError, OSError) as error:
        os.write(connection, wire.frame(wire.REFUSED, str(error).encode()))
        return
    try:
        Supervisor(connection, program, frames).run(received)
    except BaseException:  # on any error, no process may be left running without a supervisor
        program.kill()
        raise
    finally:
        program.remove_cgroup()


class Supervisor:
    """The supervisor of a program: it passes bytes to and from the caller, and ends the program if that disconnects."""

    def __init__(self, connection: int, program: Program, frames: wire.Frames) -> None:
        self._connection = connection
        self._program = program
        self._frames = frames
        self._out = bytearray(wire.frame(wire.STARTED))
        self._input = bytearray()
        self._input_ended = False
        self._consumed = 0
        self._running = True
        self._kill_at = 0.0  # the time at which remaining processes are killed; 0 if not scheduled
        self._drain_until = 0.0  # the time until which output is read after the program's exit; 0 before it
        self._end_reported = False
        os.set_blocking(connection, False)

    def run(self, received: list[tuple[bytes, bytes]]) -> None:
        """Run until the program has exited and the caller has its status or has disconnected.

        ``received`` contains the frames that were received after START.
        """
        try:
            self._dispatch(received)
        except wire.WireError:
            self._disconnect()
        while not self._finished():
            poll, handlers = select.poll(), self._handlers()
            for fd, (events, _) in handlers.items():
                poll.register(fd, events)
            for fd, _ in poll.poll(self._poll_timeout()):
                handlers[fd][1]()
            self._kill_if_due()
            self._finish_output()
        self._end_remaining()

    def _handlers(self) -> Handlers:
        """Return the descriptors to poll, each with its events and its handler."""
        program = self._program
        handlers: Handlers = {}
        if self._running:
            handlers[program.pidfd] = (select.POLLIN, self._program_exited)
        if program.stderr >= 0 and self._wants_output():
            handlers[program.stderr] = (select.POLLIN, self._read_errors)
        if program.stdin >= 0 and self._input:
            handlers[program.stdin] = (select.POLLOUT, self._write_input)
        if program.stdout >= 0 and self._wants_output():
            if program.stdout in handlers:  # a terminal has one descriptor for both directions
                handlers[program.stdout] = (select.POLLIN | select.POLLOUT, self._use_terminal)
            else:
                handlers[program.stdout] = (select.POLLIN, self._read_output)
        if self._connection >= 0:
            events = select.POLLIN | (select.POLLOUT if self._out else 0)
            handlers[self._connection] = (events, self._use_connection)
        return handlers

    def _wants_output(self) -> bool:
        limit = _BACKLOG if self._running else _BACKLOG + _FINAL_BACKLOG
        return not self._end_reported and len(self._out) < limit

    def _poll_timeout(self) -> float | None:
        """Return the milliseconds until the next deadline, or None if there is none."""
        deadlines = [
            deadline for deadline in (self._kill_at, 0.0 if self._end_reported else self._drain_until) if deadline
        ]
        return max(0.0, min(deadlines) - time.monotonic()) * 1000 + 1 if deadlines else None

    def _kill_if_due(self) -> None:
        if self._kill_at and time.monotonic() >= self._kill_at:
            self._program.kill()
            self._kill_at = 0.0

    def _finished(self) -> bool:
        """Return whether the program has exited, and the caller has its status or has disconnected."""
        return not self._running and (self._connection < 0 or (self._end_reported and not self._out))

    # --- the program --------------------------------------------------------------------------------------

    def _program_exited(self) -> None:
        self._program.reap()
        self._running = False
        self._drain_until = time.monotonic() + LEFT_BEHIND
        # output from before the exit is queued completely, even if the caller reads slowly
        for fd, kind in ((self._program.stdout, wire.OUTPUT), (self._program.stderr, wire.ERRORS)):
            left = _FINAL_BACKLOG if self._program.terminal else _readable(fd) if fd >= 0 else 0
            while left > 0 and (count := self._read(fd, kind)):
                left -= count

    def _finish_output(self) -> None:
        """Report the exit status once all output is read, or the time for reading it is over."""
        if self._running or self._end_reported:
            return
        program = self._program
        if (program.stdout < 0 and program.stderr < 0) or time.monotonic() >= self._drain_until:
            self._end_reported = True
            if self._connection >= 0:
                self._out += wire.frame(wire.ENDED, wire.number(program.status))

    def _read_output(self) -> None:
        self._read(self._program.stdout, wire.OUTPUT)

    def _read_errors(self) -> None:
        self._read(self._program.stderr, wire.ERRORS)

    def _read(self, fd: int, kind: bytes) -> int:
        """Read once, queue the data for the caller, and return its length."""
        if fd < 0:
            return 0
        try:
            data = os.read(fd, wire.PIECE)
        except BlockingIOError:
            return 0
        except OSError:  # EIO: the last process closed the terminal
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
        except OSError:  # the last reader closed the pipe
            if not self._program.terminal:
                self._program.close(self._program.stdin)
        del self._input[:count]
        self._report_consumed(count)
        self._close_input()

    def _report_consumed(self, count: int) -> None:
        """Report the consumed input to the caller in larger steps."""
        self._consumed += count
        if self._consumed and (self._consumed >= wire.PIECE or not self._input):
            self._out += wire.frame(wire.TAKEN, wire.number(self._consumed))
            self._consumed = 0

    def _close_input(self) -> None:
        program = self._program
        if self._input_ended and not self._input and program.stdin >= 0 and not program.terminal:
            program.close(program.stdin)

    # --- the caller ---------------------------------------------------------------------------------------

    def _use_connection(self) -> None:
        try:
            if self._out:
                del self._out[: os.write(self._connection, self._out[:_CHUNK])]
        except BlockingIOError:
            pass
        except OSError:
            self._disconnect()
            return
        if self._finished():  # the caller has the status: if it disconnects now, nothing is killed
            return
        try:
            data = os.read(self._connection, _CHUNK)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._disconnect()
            return
        try:
            self._dispatch(self._frames.feed(data))
        except wire.WireError:
            self._disconnect()

    def _dispatch(self, received: list[tuple[bytes, bytes]]) -> None:
        """Handle frames of the caller. Raises wire.WireError if one violates the protocol."""
        for kind, body in received:
            if kind == wire.INPUT:
                self._queue_input(body)
            elif kind == wire.END_OF_INPUT:
                self._input_ended = True
                self._close_input()
            elif kind == wire.SIGNAL:
                self._send_signal(wire.parse_number(body))
            elif kind == wire.SIZE:
                self._program.resize(wire.parse_size(body))
            else:
                raise wire.WireError("an unexpected frame")

    def _queue_input(self, data: bytes) -> None:
        if len(self._input) + len(data) > wire.INPUT_WINDOW:
            raise wire.WireError("the input exceeds the window")
        if self._program.stdin < 0:
            self._report_consumed(len(data))
        else:
            self._input += data

    def _send_signal(self, number: int) -> None:
        if not self._running:
            return
        self._program.signal(number)
        if number in _ENDING:
            self._schedule_kill()

    def _schedule_kill(self) -> None:
        self._kill_at = self._kill_at or time.monotonic() + GRACE

    def _disconnect(self) -> None:
        """Drop the caller and hang up on the program. The kernel does so for a terminal that is closed.

        The output of a program without a terminal is still read, and discarded.
        """
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
        self._schedule_kill()

    def _end_remaining(self) -> None:
        """Wait for the remaining processes of a program that was asked to end, and kill them after the grace period."""
        if self._connection >= 0:
            os.close(self._connection)
        program = self._program
        for fd in {program.stdin, program.stdout, program.stderr} - {-1}:
            program.close(fd)
        if not self._kill_at:
            return
        events = program.watch_populated()
        poll = select.poll()
        poll.register(events, select.POLLPRI)
        while program.populated():
            left = self._kill_at - time.monotonic()
            if left <= 0:
                program.kill()
                left = GRACE  # killed processes exit at once, unless they are in uninterruptible sleep
                self._kill_at += 2 * GRACE
            poll.poll(left * 1000)
            os.pread(events, _CHUNK, 0)


def _readable(fd: int) -> int:
    """Return the number of bytes that can be read without blocking."""
    return int.from_bytes(fcntl.ioctl(fd, termios.FIONREAD, b"\0\0\0\0"), "little")
