"""A program as a process: its cgroup, its terminal or pipes, its user, and what it is started as."""

from __future__ import annotations

import errno
import fcntl
import os
import resource
import termios
from _signal import (  # type: ignore[import-not-found]  # the signal module takes long to import
    SIG_DFL,
    SIGCHLD,
    SIGINT,
    SIGKILL,
    SIGPIPE,
    SIGXFSZ,
    signal,
)

from . import wire

TYPE_CHECKING = False  # importing typing costs more than it says
if TYPE_CHECKING:
    from .programs import World

_CHUNK = 1 << 16
_IUTF8 = 0o40000  # asm-generic/termbits-common.h; the termios module does not know it
_NOT_FOUND, _NOT_RUN = 127, 126
_FILES_HARD, _FILES_SOFT = 1 << 20, 1024
_FOREGROUND = b"/usr/lib/ccvm/foreground"
_AGENT = b"/opt/ccvm/agent"
_SESSIONS = "/run/ccvm/sessions"


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
