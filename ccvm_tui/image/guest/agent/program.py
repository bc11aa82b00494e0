"""Start of a program as a process with a cgroup, a terminal or pipes, and the user's credentials."""

from __future__ import annotations

import errno
import fcntl
import os
import resource
import termios
from _signal import (  # type: ignore[import-not-found]  # the signal module is slow to import
    SIG_DFL,
    SIGCHLD,
    SIGINT,
    SIGKILL,
    SIGPIPE,
    SIGXFSZ,
    signal,
)

from . import wire

TYPE_CHECKING = False  # typing is slow to import
if TYPE_CHECKING:
    from .programs import ProgramContext

_CHUNK = 1 << 16
_IUTF8 = 0o40000  # asm-generic/termbits-common.h; missing in the termios module
_NOT_FOUND, _NOT_RUN = 127, 126
_FILES_HARD, _FILES_SOFT = 1 << 20, 1024
_FOREGROUND = b"/usr/lib/ccvm/foreground"
_AGENT = b"/opt/ccvm/agent"
_SESSIONS = "/run/ccvm/sessions"
_DEFAULTS = {b"LANG": b"C.UTF-8", b"BROWSER": b"/usr/local/bin/xdg-open"}


def command(start: wire.Start) -> list[bytes]:
    """Return the complete command line. Raises wire.WireError if the kind of the program is unknown."""
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
    """A process in its own cgroup and session (setsid(2)).

    ``stdin``, ``stdout`` and ``stderr`` are this side's descriptors of its streams, -1 if closed. With a terminal,
    ``stdin`` and ``stdout`` are the same descriptor. ``pidfd`` becomes readable when the process exits.
    """

    def __init__(self, start: wire.Start, argv: list[bytes], context: ProgramContext, cgroup: str) -> None:
        self.terminal = start.size is not None
        self._cgroup = cgroup
        if start.size is not None:
            self.stdin, slave = _open_terminal(start.size, context)
            self.stdout, self.stderr = self.stdin, -1
            theirs = (slave, slave, slave)
        else:
            (in_, self.stdin), (self.stdout, out), (self.stderr, err) = os.pipe(), os.pipe(), os.pipe()
            theirs = (in_, out, err)
            for pipe in theirs:  # so that the user can open /dev/stdin, /dev/stdout and /dev/stderr
                os.fchown(pipe, context.uid, context.gid)
        ready, started = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            try:
                _enter(cgroup)
                os.close(started)
                _become(start, argv, context, theirs, self.terminal)
            finally:
                os._exit(_NOT_RUN)
        for fd in {*theirs, started}:
            os.close(fd)
        os.read(ready, 1)  # after this, the process is in its cgroup and can be signalled and killed
        os.close(ready)
        for fd in {self.stdin, self.stdout, self.stderr} - {-1}:
            os.set_blocking(fd, False)
        self.pidfd = os.pidfd_open(self.pid)
        self.status = -1

    def reap(self) -> None:
        """Reap the process, which must have exited, and set ``status``: 128 plus the number for a signal."""
        _, status = os.waitpid(self.pid, 0)
        self.status = 128 + os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)

    def signal(self, number: int) -> None:
        """Send a signal to the program's process group, or SIGKILL to all processes in its cgroup."""
        if number == SIGKILL:
            self.kill()
            return
        try:
            os.killpg(self.pid, number)
        except OSError:  # the group has exited, or there is no such signal
            pass

    def kill(self) -> None:
        """Kill all processes in the cgroup."""
        with open(f"{self._cgroup}/cgroup.kill", "w") as file:
            file.write("1")

    def populated(self) -> bool:
        """Return whether any process in the cgroup still runs."""
        with open(f"{self._cgroup}/cgroup.events") as file:
            return "populated 1" in file.read()

    def watch_populated(self) -> int:
        """Return a descriptor that polls POLLPRI when ``populated`` may have changed (cgroups, v2)."""
        fd = os.open(f"{self._cgroup}/cgroup.events", os.O_RDONLY)
        os.read(fd, _CHUNK)
        return fd

    def resize(self, size: tuple[int, int, int, int]) -> None:
        """Set the terminal's size: columns, rows, and pixels across and down. Ignored without a terminal."""
        if self.terminal and self.stdout >= 0:
            _set_size(self.stdout, size)

    def close(self, fd: int) -> None:
        """Close a descriptor of a stream. A terminal's descriptor closes both directions."""
        os.close(fd)
        self.stdin, self.stdout, self.stderr = (
            -1 if own == fd else own for own in (self.stdin, self.stdout, self.stderr)
        )

    def remove_cgroup(self) -> None:
        """Remove the cgroup if it is empty."""
        try:
            os.rmdir(self._cgroup)
        except OSError:  # it still has processes; the program server removes it later
            pass


def _open_terminal(size: tuple[int, int, int, int], context: ProgramContext) -> tuple[int, int]:
    master, slave = os.openpty()
    os.fchown(slave, context.uid, -1)  # the group stays tty, as set by devpts
    _set_size(slave, size)
    # erase whole characters (termios(3)); all other attributes are the kernel's defaults
    attributes = termios.tcgetattr(slave)
    attributes[0] |= _IUTF8
    termios.tcsetattr(slave, termios.TCSANOW, attributes)
    return master, slave


def _set_size(fd: int, size: tuple[int, int, int, int]) -> None:
    columns, rows, width, height = size
    packed = b"".join(value.to_bytes(2, "little") for value in (rows, columns, width, height))
    fcntl.ioctl(fd, termios.TIOCSWINSZ, packed)


# --- in the child ---------------------------------------------------------------------------------------------


def _enter(cgroup: str) -> None:
    """Move this process into its own session and into the cgroup, with default signal handling."""
    os.setsid()
    _write(f"{cgroup}/cgroup.procs", "0")
    _write("/proc/self/oom_score_adj", "0")  # inherited from the agent: -1000
    for number in (SIGINT, SIGPIPE, SIGXFSZ, SIGCHLD):  # Python handles SIGINT and ignores others
        signal(number, SIG_DFL)


def _become(
    start: wire.Start,
    argv: list[bytes],
    context: ProgramContext,
    streams: tuple[int, int, int],
    terminal: bool,
) -> None:
    """Execute the program as the user. Never returns; a failure is reported on standard error."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (_FILES_SOFT, _FILES_HARD))
    os.initgroups(context.name, context.gid)
    os.setgid(context.gid)
    os.setuid(context.uid)
    if terminal:
        os.login_tty(streams[0])
        _write(f"{_SESSIONS}/{start.session.decode()}", str(os.getpid()))
    else:
        for own, theirs in enumerate(streams):
            os.dup2(theirs, own)
    os.umask(0o022)
    for directory in context.directories:
        try:
            os.chdir(directory)
            break
        except OSError:
            continue
    env = {**_DEFAULTS, **dict(start.env), **context.env, b"CCVM_SESSION": start.session}
    error = _execute(argv, env)
    os.write(2, b"ccvm: " + argv[0][:_CHUNK] + b": " + os.strerror(error).encode() + b"\n")
    os._exit(_NOT_FOUND if error == errno.ENOENT else _NOT_RUN)


def _execute(argv: list[bytes], env: dict[bytes, bytes]) -> int:
    """Execute a program like execvpe(3), without the imports of ``os.execvpe``, and return the errno of a failure."""
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


def _write(path: str, text: str) -> None:
    with open(path, "w") as file:
        file.write(text)
