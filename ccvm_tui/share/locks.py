"""Record and flock locks of the guest, held on the host's files, so that programs on both sides respect them.

A record lock of the guest is an open-file-description lock on the host. Each owner (a process of the guest) has one
descriptor per file, so owners exclude each other as well as the host's ``fcntl`` locks. A flock lock is taken on the
descriptor of the handle, which corresponds to the guest's open file description, as flock(2) requires.

By POSIX, a process loses its record locks on a file when it closes any descriptor of the file. The guest reports these
closes, but not for quiet handles (see ``nodes``). A lock taken through a quiet handle is therefore released when the
last descriptor of the handle is closed, which may be a descriptor that a child process inherited.

The server never blocks on a lock. It retries at intervals until the lock is free. The guest's kernel cannot cancel a
request, so the server regularly queries whether the waiting process has received a signal.
"""

from __future__ import annotations

import errno
import fcntl
import os
import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from ccvm_tui.share.nodes import Handle, Node

_FLOCK = struct.Struct("hhqqi4x")
_F_OFD_GETLK, _F_OFD_SETLK = 36, 37
_END: Final = (1 << 63) - 1

RETRY_FIRST: Final = 0.002
RETRY_LAST: Final = 0.05
"""The first and the longest interval between two attempts to take a lock, in seconds."""

QUERY_INTERVAL: Final = 0.1
"""The interval between two queries whether a waiting process has received a signal, in seconds."""


@dataclass(frozen=True, slots=True)
class LockRequest:
    """A lock that the guest requests.

    ``end`` is inclusive. ``kind`` is F_RDLCK, F_WRLCK or F_UNLCK. ``whole`` is true for flock(2).
    """

    handle: Handle
    owner: int
    start: int
    end: int
    kind: int
    pid: int
    whole: bool


@dataclass(slots=True, eq=False)
class _Owner:
    fd: int
    pid: int
    exclusive: set[tuple[int, int]] = field(default_factory=set)
    quiet: set[Handle] = field(default_factory=set)


@dataclass(slots=True, eq=False)
class _Waiting:
    lock: LockRequest
    task: int
    done: Callable[[int], None]
    delay: float = RETRY_FIRST
    due: float = 0.0
    query_at: float = 0.0


@dataclass(slots=True)
class _Held:
    owners: dict[int, _Owner] = field(default_factory=dict)


class Locks:
    """All locks of one guest.

    ``clock`` is a monotonic clock in seconds. ``query`` asks the guest whether a task, given by its number, has
    received a signal. If it has, ``interrupt`` is called later.
    """

    def __init__(self, clock: Callable[[], float], query: Callable[[int], None]) -> None:
        self._clock = clock
        self._query = query
        self._held: dict[Node, _Held] = {}
        self._waiting: list[_Waiting] = []

    # --- record locks -----------------------------------------------------------------------------------------

    def conflict(self, lock: LockRequest) -> tuple[int, int, int, int]:
        """Return start, end, kind and pid of the first lock that conflicts with ``lock``, or F_UNLCK as the kind."""
        owner = self._owner(lock)
        found = fcntl.fcntl(owner.fd, _F_OFD_GETLK, _packed(lock))
        kind, _, start, length, pid = _FLOCK.unpack(found)
        if kind == fcntl.F_UNLCK:
            return lock.start, lock.end, fcntl.F_UNLCK, 0
        if pid < 0:  # an open-file-description lock, most likely that of another process in the guest
            others = self._held[lock.handle.node].owners
            pid = next((other.pid for number, other in others.items() if number != lock.owner), 0)
        else:
            pid = 0  # a process of the host, which has no number in the guest
        return start, _END if length == 0 else start + length - 1, kind, pid

    def take(self, lock: LockRequest) -> None:
        """Take, change or release a lock. Raises OSError (EAGAIN) if it conflicts with another lock."""
        try:
            if lock.whole:
                fcntl.flock(lock.handle.fd, _FLOCK_OPERATIONS[lock.kind])
                return
            if lock.kind == fcntl.F_UNLCK and not self._has_owner(lock):
                return
            owner = self._owner(lock)
            fcntl.fcntl(owner.fd, _F_OFD_SETLK, _packed(lock))
            if lock.handle.quiet:
                owner.quiet.add(lock.handle)
            owner.exclusive -= _overlapping(owner.exclusive, lock)
            if lock.kind == fcntl.F_WRLCK:
                owner.exclusive.add((lock.start, lock.end))
        except BlockingIOError as error:
            raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN)) from error

    def releases_write_lock(self, lock: LockRequest) -> bool:
        """Return whether ``lock`` releases a write lock of its owner or converts it to a read lock."""
        if lock.whole or lock.kind == fcntl.F_WRLCK or not self._has_owner(lock):
            return False
        return bool(_overlapping(self._owner(lock).exclusive, lock))

    def _has_owner(self, lock: LockRequest) -> bool:
        held = self._held.get(lock.handle.node)
        return held is not None and lock.owner in held.owners

    def _owner(self, lock: LockRequest) -> _Owner:
        held = self._held.setdefault(lock.handle.node, _Held())
        owner = held.owners.get(lock.owner)
        if owner is not None:
            return owner
        path = f"/proc/self/fd/{lock.handle.fd}"
        try:
            fd = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NONBLOCK)
        except OSError:  # without write permission, only read locks are possible
            fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        owner = held.owners[lock.owner] = _Owner(fd, lock.pid)
        return owner

    def release_owner(self, node: Node, owner: int) -> None:
        """Release all record locks of ``owner`` on ``node``, because it has closed a descriptor of the file."""
        held = self._held.get(node)
        if held is None or (removed := held.owners.pop(owner, None)) is None:
            return
        os.close(removed.fd)
        if not held.owners:
            del self._held[node]

    def has_locks(self, node: Node) -> bool:
        """Return whether a process of the guest has, or had, a record lock on ``node``."""
        return node in self._held

    def release_handle(self, handle: Handle) -> None:
        """Release the locks of ``handle`` before it is closed. The last handle of a file releases all record locks."""
        if self._waiting:
            self._waiting = [waiting for waiting in self._waiting if waiting.lock.handle is not handle]
        if (held := self._held.get(handle.node)) is None:
            return
        last = len(handle.node.handles) == 1
        for number, owner in list(held.owners.items()):
            if last or handle in owner.quiet:
                self.release_owner(handle.node, number)
        if last:
            self._held.pop(handle.node, None)

    # --- waiting ------------------------------------------------------------------------------------------------

    def wait(self, lock: LockRequest, task: int, done: Callable[[int], None]) -> None:
        """Take a lock as soon as it is free, then call ``done(0)``, or call ``done(errno)`` if that fails.

        ``task`` is the number of the waiting thread in the guest.
        """
        waiting = _Waiting(lock, task, done)
        if not self._try_take(waiting):
            now = self._clock()
            waiting.due, waiting.query_at = now + waiting.delay, now + QUERY_INTERVAL
            self._waiting.append(waiting)

    def _try_take(self, waiting: _Waiting) -> bool:
        try:
            self.take(waiting.lock)
        except OSError as error:
            if error.errno == errno.EAGAIN:
                return False
            waiting.done(error.errno or errno.EIO)
            return True
        waiting.done(0)
        return True

    def next_due(self) -> float | None:
        """Return the time of the clock at which to call ``tick`` next, or None if no lock is waited for."""
        return min((waiting.due for waiting in self._waiting), default=None)

    def tick(self) -> None:
        """Retry the locks that are due."""
        now = self._clock()
        for waiting in list(self._waiting):
            if waiting.due > now:
                continue
            if self._try_take(waiting):
                self._waiting.remove(waiting)
                continue
            waiting.delay = min(waiting.delay * 1.5, RETRY_LAST)
            waiting.due = now + waiting.delay
            if now >= waiting.query_at:
                waiting.query_at = now + QUERY_INTERVAL
                self._query(waiting.task)

    def interrupt(self, task: int) -> None:
        """Cancel the wait of ``task``, which has received a signal."""
        for waiting in list(self._waiting):
            if waiting.task == task:
                self._waiting.remove(waiting)
                waiting.done(errno.EINTR)


_FLOCK_OPERATIONS = {
    fcntl.F_RDLCK: fcntl.LOCK_SH | fcntl.LOCK_NB,
    fcntl.F_WRLCK: fcntl.LOCK_EX | fcntl.LOCK_NB,
    fcntl.F_UNLCK: fcntl.LOCK_UN,
}


def _overlapping(ranges: set[tuple[int, int]], lock: LockRequest) -> set[tuple[int, int]]:
    return {(start, end) for start, end in ranges if start <= lock.end and lock.start <= end}


def _packed(lock: LockRequest) -> bytes:
    length = 0 if lock.end >= _END else lock.end - lock.start + 1
    return _FLOCK.pack(lock.kind, os.SEEK_SET, lock.start, length, 0)
