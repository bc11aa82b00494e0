"""The program server, which starts programs for the keeper, each with its own supervisor.

It listens on a socket that only the user may connect to; the keeper connects through SSH. The server is a process
forked from the agent with all modules imported, so that the start of a program costs two forks.
"""

from __future__ import annotations

import os
import time
from _signal import SIG_DFL, SIG_IGN, SIGCHLD, signal  # type: ignore[import-not-found]  # signal is slow to import
from _socket import socket  # the socket module is slow to import

from . import wire
from .account import HOME, SHELL, User
from .files import write
from .jsontext import dumps, loads
from .sessions import CGROUPS

_SETTINGS = "/run/ccvm/programs.json"
RECORD = "/run/ccvm/programs.pid"
"""The file with the pid of the program server."""

_DESCRIPTORS = 64  # more than an agent ever has open
_BACKLOG = 128

_AF_UNIX, _SOCK_STREAM = 1, 1


class ProgramContext:
    """User, working directories and environment that are common to all programs.

    A program starts in the first of the ``directories`` that it can enter. ``env`` takes precedence over the caller's
    environment.
    """

    __slots__ = ("directories", "env", "gid", "name", "uid")

    def __init__(self, name: str, uid: int, gid: int, guest: str, workspace: str) -> None:
        self.name, self.uid, self.gid = name, uid, gid
        self.directories = (os.fsencode(workspace), HOME.encode())
        self.env = {
            b"HOME": HOME.encode(),
            b"USER": name.encode(),
            b"LOGNAME": name.encode(),
            b"SHELL": SHELL.encode(),
            b"PATH": f"{HOME}/.local/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin".encode(),
            b"CCVM_GUEST": os.fsencode(guest),
            b"CCVM_WORKSPACE": os.fsencode(workspace),
        }


def configure(user: User, guest: str, workspace: str) -> None:
    """Write the settings of the program context, which restarted program servers read too."""
    write(_SETTINGS, dumps([user.name, user.uid, user.gid, guest, workspace]), 0o600)


def start() -> int:
    """Start the program server and return its pid."""
    context = load_context()
    listener = _listen(context)  # before the agent reports that the guest is ready
    pid = os.fork()
    if pid == 0:
        try:
            # In particular the control port: it can be opened only once, and a restarted agent must be able to open it.
            os.closerange(3, listener.fileno())
            os.closerange(listener.fileno() + 1, _DESCRIPTORS)
            os.setsid()
            _serve(listener, context)
        finally:
            os._exit(1)
    listener.close()
    return pid


def load_context() -> ProgramContext:
    """Return the program context of a configured guest."""
    with open(_SETTINGS) as file:
        return ProgramContext(*loads(file.read()))  # type: ignore[misc]  # written by ``configure``


def _serve(listener: socket, context: ProgramContext) -> None:
    from . import supervisor

    os.makedirs(CGROUPS, exist_ok=True)
    signal(SIGCHLD, SIG_IGN)  # supervisors are reaped by the kernel
    while True:
        connection, _ = listener._accept()  # type: ignore[attr-defined]  # the method that socket.accept calls
        if os.fork():
            os.close(connection)
            _sweep()
            continue
        try:
            listener.close()
            signal(SIGCHLD, SIG_DFL)
            supervisor.run(connection, context, f"{CGROUPS}/{os.getpid()}.{time.monotonic_ns()}")
        finally:
            os._exit(1)


def _listen(context: ProgramContext) -> socket:
    listener = socket(_AF_UNIX, _SOCK_STREAM)
    fresh = wire.SOCKET + ".new"
    try:
        os.unlink(fresh)
    except FileNotFoundError:
        pass
    listener.bind(fresh)
    os.chown(fresh, context.uid, context.gid)
    os.chmod(fresh, 0o600)
    listener.listen(_BACKLOG)
    os.rename(fresh, wire.SOCKET)
    return listener


def _sweep() -> None:
    """Remove empty cgroups of programs whose supervisor has exited."""
    for name in os.listdir(CGROUPS):
        supervisor, dot, _ = name.partition(".")
        if dot and not os.path.exists(f"/proc/{supervisor}"):
            try:
                os.rmdir(f"{CGROUPS}/{name}")
            except OSError:  # it still has processes
                pass
