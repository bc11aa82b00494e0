"""One program in the guest, from its start to the end of everything it started, should its caller go away."""

from __future__ import annotations

import errno
import fcntl
import os
import resource
import select
import termios
import time
from _signal import (  # type: ignore[import-not-found]  # the signal module takes long to import
    SIG_DFL,
    SIGCHLD,
    SIGCONT,
    SIGHUP,
    SIGINT,
    SIGKILL,
    SIGPIPE,
    SIGQUIT,
    SIGTERM,
    SIGXFSZ,
    signal,
)

from . import wire

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
_IUTF8 = 0o40000  # asm-generic/termbits-common.h; the termios module does not know it
_ENDING = (SIGHUP, SIGINT, SIGQUIT, SIGTERM)
_NOT_FOUND, _NOT_RUN = 127, 126
_FILES_HARD, _FILES_SOFT = 1 << 20, 1024
_FOREGROUND = b"/usr/lib/ccvm/foreground"
_AGENT = b"/opt/ccvm/agent"
_SESSIONS = "/run/ccvm/sessions"


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


def command(start: wire.Start) -> list[bytes]:
    """The whole command line. Raises wire.WireError for a kind that is none."""
    shell = [b"/usr/bin/zsh", b"-l"]
    if start.kind == b"shell":
        return [*shell, *start.argv]
    if start.kind == b"agent":
        return [_FOREGROUND, _AGENT, *start.argv]
    if start.kind == b"command":
        return [_FOREGROUND, *(start.argv or shell)]
    if start.kind == b"exec" and start.argv:
        return start.argv
    raise wire.WireError("not a kind of program")


class Program:
    """A process in a cgroup and a session (setsid(2)) of its own, and our ends of its streams, -1 where closed."""

    def __init__(self, start: wire.Start, argv: list[bytes], world: World, cgroup: str) -> None:
        self.terminal = start.size is not None
        self._cgroup = cgroup
        if start.size is not None:
            self.stdin, slave = _open_terminal(start.size, world)
            self.stdout, self.stderr = self.stdin, -1
            theirs = (slave, slave, slave)
        else:
            (in_, self.stdin), (self.stdout, out), (self.stderr, err) = os.pipe(), os.pipe(), os.pipe()
            theirs = (in_, out, err)
            for pipe in theirs:  # so that /dev/stdin and its like can be opened
                os.fchown(pipe, world.uid, world.gid)
        ready, started = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            try:
                _enter(cgroup)
                os.close(started)
                _become(start, argv, world, theirs, self.terminal)
            finally:
                os._exit(_NOT_RUN)
        for fd in {*theirs, started}:
            os.close(fd)
        os.read(ready, 1)  # from here on it can be signalled and killed
        os.close(ready)
        for fd in {self.stdin, self.stdout, self.stderr} - {-1}:
            os.set_blocking(fd, False)
        self.pidfd = os.pidfd_open(self.pid)
        self.status = -1

    def reap(self) -> None:
        """Take the status of the process, which has ended: its own, or 128 and the signal's number."""
        _, status = os.waitpid(self.pid, 0)
        self.status = 128 + os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)

    def signal(self, number: int) -> None:
        """Send a signal to the program's process group; SIGKILL to all that it started."""
        if number == SIGKILL:
            self.kill()
            return
        try:
            os.killpg(self.pid, number)
        except OSError:  # it has ended, or there is no such signal
            pass

    def kill(self) -> None:
        with open(f"{self._cgroup}/cgroup.kill", "w") as file:
            file.write("1")

    def populated(self) -> bool:
        """Whether anything of it still runs."""
        with open(f"{self._cgroup}/cgroup.events") as file:
            return "populated 1" in file.read()

    def watch_populated(self) -> int:
        """A descriptor that polls POLLPRI when ``populated`` may have changed (cgroups, v2)."""
        fd = os.open(f"{self._cgroup}/cgroup.events", os.O_RDONLY)
        os.read(fd, _CHUNK)
        return fd

    def resize(self, size: tuple[int, int, int, int]) -> None:
        if self.terminal and self.stdout >= 0:
            _set_size(self.stdout, size)

    def close(self, fd: int) -> None:
        """Close one of our ends; a terminal's is closed for both directions."""
        os.close(fd)
        self.stdin, self.stdout, self.stderr = (
            -1 if own == fd else own for own in (self.stdin, self.stdout, self.stderr)
        )

    def remove_cgroup(self) -> None:
        try:
            os.rmdir(self._cgroup)
        except OSError:  # it left something behind; the server removes it in time
            pass


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


def _open_terminal(size: tuple[int, int, int, int], world: World) -> tuple[int, int]:
    master, slave = os.openpty()
    os.fchown(slave, world.uid, -1)  # the group is tty, as devpts has it
    _set_size(slave, size)
    # let erasing take whole characters away (termios(3)); all else is as the kernel makes it
    attributes = termios.tcgetattr(slave)
    attributes[0] |= _IUTF8
    termios.tcsetattr(slave, termios.TCSANOW, attributes)
    return master, slave


def _set_size(fd: int, size: tuple[int, int, int, int]) -> None:
    columns, rows, width, height = size
    packed = b"".join(value.to_bytes(2, "little") for value in (rows, columns, width, height))
    fcntl.ioctl(fd, termios.TIOCSWINSZ, packed)


def _waiting(fd: int) -> int:
    """Bytes that can be read at once."""
    return int.from_bytes(fcntl.ioctl(fd, termios.FIONREAD, b"\0\0\0\0"), "little")


# --- in the child ---------------------------------------------------------------------------------------------


def _enter(cgroup: str) -> None:
    """Be a process group of one's own, in the cgroup, that every signal ends."""
    os.setsid()
    _put(f"{cgroup}/cgroup.procs", "0")
    _put("/proc/self/oom_score_adj", "0")  # the agent's own is -1000
    for number in (SIGINT, SIGPIPE, SIGXFSZ, SIGCHLD):  # Python handles the first, and ignores some
        signal(number, SIG_DFL)


def _become(
    start: wire.Start,
    argv: list[bytes],
    world: World,
    streams: tuple[int, int, int],
    terminal: bool,
) -> None:
    """Turn into the program, as the user. Never returns; why it could not be done is said on standard error."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (_FILES_SOFT, _FILES_HARD))
    os.initgroups(world.name, world.gid)
    os.setgid(world.gid)
    os.setuid(world.uid)
    if terminal:
        os.login_tty(streams[0])
        _put(f"{_SESSIONS}/{start.session.decode()}", str(os.getpid()))
    else:
        for own, theirs in enumerate(streams):
            os.dup2(theirs, own)
    os.umask(0o022)
    for directory in world.directories:
        try:
            os.chdir(directory)
            break
        except OSError:
            continue
    env = {b"LANG": b"C.UTF-8", **dict(start.env), **world.env, b"CCVM_SESSION": start.session}
    error = _execute(argv, env)
    os.write(2, b"ccvm: " + argv[0][:_CHUNK] + b": " + os.strerror(error).encode() + b"\n")
    os._exit(_NOT_FOUND if error == errno.ENOENT else _NOT_RUN)


def _execute(argv: list[bytes], env: dict[bytes, bytes]) -> int:
    """execvpe(3), without what os.execvpe imports. Returns the error's number."""
    name = argv[0]
    folders = [b""] if b"/" in name else [folder + b"/" for folder in env[b"PATH"].split(b":")]
    worst = errno.ENOENT
    for folder in folders if name else ():
        try:
            os.execve(folder + name, argv, env)
        except OSError as error:
            if error.errno == errno.ENOEXEC:
                return _execute([b"/bin/sh", folder + name, *argv[1:]], env)
            if error.errno not in (errno.ENOENT, errno.ENOTDIR, errno.EACCES):
                return error.errno or errno.ENOENT
            if error.errno == errno.EACCES or b"/" in name:
                worst = error.errno
        except ValueError:
            return errno.EINVAL
    return worst


def _put(path: str, text: str) -> None:
    with open(path, "w") as file:
        file.write(text)
