"""The program server: starts what the keeper asks for, each program under a supervisor of its own.

It listens on a socket that only the user may connect to, and the keeper does so through the SSH connection. It is a
process of its own, forked from the agent, that has everything imported already: a program costs two forks.
"""

from __future__ import annotations

import os
import time
from _signal import SIG_DFL, SIG_IGN, SIGCHLD, signal  # type: ignore[import-not-found]  # signal is slow to import
from _socket import socket  # and so does socket

from . import wire
from .account import HOME, SHELL, User
from .files import write
from .jsontext import dumps, loads

_SETTINGS = "/run/ccvm/programs.json"
RECORD = "/run/ccvm/programs.pid"
_CGROUPS = "/sys/fs/cgroup/ccvm"
_DESCRIPTORS = 64  # far more than an agent has open
_BACKLOG = 128

_AF_UNIX, _SOCK_STREAM = 1, 1


class World:
    """The settings of every program's start. ``env`` is the environment, before the caller's own."""

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
    """Settle what programs are started with, for this server and those that may have to follow it."""
    write(_SETTINGS, dumps([user.name, user.uid, user.gid, guest, workspace]), 0o600)


def start() -> int:
    """Start the server; returns its process number."""
    world = _world()
    listener = _listen(world)  # before anybody is told that programs can be started
    pid = os.fork()
    if pid == 0:
        try:
            # the agent's control port above all: it can be opened once only, and the agent may have to start again
            os.closerange(3, listener.fileno())
            os.closerange(listener.fileno() + 1, _DESCRIPTORS)
            os.setsid()
            _serve(listener, world)
        finally:
            os._exit(1)
    listener.close()
    return pid


def _world() -> World:
    with open(_SETTINGS) as file:
        return World(*loads(file.read()))  # type: ignore[misc]  # as `configure` wrote it


def _serve(listener: socket, world: World) -> None:
    from . import supervisor

    os.makedirs(_CGROUPS, exist_ok=True)
    signal(SIGCHLD, SIG_IGN)  # supervisors are reaped by the kernel
    while True:
        connection, _ = listener._accept()  # type: ignore[attr-defined]  # what socket.accept calls
        if os.fork():
            os.close(connection)
            _sweep()
            continue
        try:
            listener.close()
            signal(SIGCHLD, SIG_DFL)
            supervisor.run(connection, world, f"{_CGROUPS}/{os.getpid()}.{time.monotonic_ns()}")
        finally:
            os._exit(1)


def _listen(world: World) -> socket:
    listener = socket(_AF_UNIX, _SOCK_STREAM)
    fresh = wire.SOCKET + ".new"
    try:
        os.unlink(fresh)
    except FileNotFoundError:
        pass
    listener.bind(fresh)
    os.chown(fresh, world.uid, world.gid)
    os.chmod(fresh, 0o600)
    listener.listen(_BACKLOG)
    os.rename(fresh, wire.SOCKET)
    return listener


def _sweep() -> None:
    """Remove the cgroups of programs that left something behind which has ended since."""
    for name in os.listdir(_CGROUPS):
        supervisor, dot, _ = name.partition(".")
        if dot and not os.path.exists(f"/proc/{supervisor}"):
            try:
                os.rmdir(f"{_CGROUPS}/{name}")
            except OSError:  # something of it still runs
                pass
