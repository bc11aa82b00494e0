"""Record and flock locks of the guest, held on the host's files, so that the programs of both sides see them.

A record lock of the guest is an open-file-description lock of the host on a descriptor that belongs to one file and one
owner (a process of the guest): owners exclude each other, and the host's ``fcntl`` locks as well. A flock lock is taken
on the handle's own descriptor, which stands for the guest's open file as flock(2) wants it.

POSIX gives up the record locks of a process when it closes any descriptor of the file. The guest reports that, but not
for quiet handles (see ``nodes``): a lock that was taken through one ends when its last descriptor is closed, which may
be one that a child process inherited.

The server never blocks on a lock. One that must be waited for is tried again by the clock. The guest's kernel cannot
withdraw a request, so the guest is asked now and then whether the process that waits has been sent a signal.
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
"""Seconds between two tries of a lock that is waited for: short at first, then longer."""

ASK_EVERY: Final = 0.1
"""Seconds between two questions whether a waiting process has been sent a signal."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """A lock as a request names it. ``end`` is inclusive; ``kind`` is F_RDLCK, F_WRLCK or F_UNLCK; ``whole`` flock."""

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
    wanted: Wanted
    task: int
    done: Callable[[int], None]
    delay: float = RETRY_FIRST
    due: float = 0.0
    ask_at: float = 0.0


@dataclass(slots=True)
class _Held:
    owners: dict[int, _Owner] = field(default_factory=dict)


class Locks:
    """All locks of one guest.

    ``clock`` is a monotonic clock in seconds. ``ask`` asks the guest whether the task of a number has been sent a
    signal; the answer comes by ``interrupt``.
    """

    def __init__(self, clock: Callable[[], float], ask: Callable[[int], None]) -> None:
        self._clock = clock
        self._ask = ask
        self._held: dict[Node, _Held] = {}
        self._waiting: list[_Waiting] = []

    # --- record locks -----------------------------------------------------------------------------------------

    def conflict(self, wanted: Wanted) -> tuple[int, int, int, int]:
        """The first lock that keeps ``wanted`` from being taken, or one of kind F_UNLCK: start, end, kind, pid."""
        owner = self._owner(wanted)
        found = fcntl.fcntl(owner.fd, _F_OFD_GETLK, _packed(wanted))
        kind, _, start, length, pid = _FLOCK.unpack(found)
        if kind == fcntl.F_UNLCK:
            return wanted.start, wanted.end, fcntl.F_UNLCK, 0
        if pid < 0:  # an open-file-description lock: most likely one of another process of the guest
            others = self._held[wanted.handle.node].owners
            pid = next((other.pid for number, other in others.items() if number != wanted.owner), 0)
        else:
            pid = 0  # a process of the host, whose number means nothing in the guest
        return start, _END if length == 0 else start + length - 1, kind, pid

    def take(self, wanted: Wanted) -> None:
        """Take, change or give up a lock, or raise OSError (EAGAIN) where another one is in the way."""
        try:
            if wanted.whole:
                fcntl.flock(wanted.handle.fd, _FLOCK_OPERATIONS[wanted.kind])
                return
            if wanted.kind == fcntl.F_UNLCK and not self._has_owner(wanted):
                return
            owner = self._owner(wanted)
            fcntl.fcntl(owner.fd, _F_OFD_SETLK, _packed(wanted))
            if wanted.handle.quiet:
                owner.quiet.add(wanted.handle)
            owner.exclusive -= _overlapping(owner.exclusive, wanted)
            if wanted.kind == fcntl.F_WRLCK:
                owner.exclusive.add((wanted.start, wanted.end))
        except BlockingIOError as error:
            raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN)) from error

    def gives_up_writing(self, wanted: Wanted) -> bool:
        """Whether ``wanted`` takes a write lock away from its owner, or makes a read lock of one."""
        if wanted.whole or wanted.kind == fcntl.F_WRLCK or not self._has_owner(wanted):
            return False
        return bool(_overlapping(self._owner(wanted).exclusive, wanted))

    def _has_owner(self, wanted: Wanted) -> bool:
        held = self._held.get(wanted.handle.node)
        return held is not None and wanted.owner in held.owners

    def _owner(self, wanted: Wanted) -> _Owner:
        held = self._held.setdefault(wanted.handle.node, _Held())
        owner = held.owners.get(wanted.owner)
        if owner is not None:
            return owner
        path = f"/proc/self/fd/{wanted.handle.fd}"
        try:
            fd = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NONBLOCK)
        except OSError:  # the file may be read only, and so may be locked for reading only
            fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        owner = held.owners[wanted.owner] = _Owner(fd, wanted.pid)
        return owner

    def release_owner(self, node: Node, owner: int) -> None:
        """Give up every record lock of ``owner`` on ``node``: it has closed a descriptor of the file."""
        held = self._held.get(node)
        if held is None or (gone := held.owners.pop(owner, None)) is None:
            return
        os.close(gone.fd)
        if not held.owners:
            del self._held[node]

    def any_on(self, node: Node) -> bool:
        """Whether any process of the guest has, or had, a record lock on ``node``."""
        return node in self._held

    def released(self, handle: Handle) -> None:
        """A handle is about to be closed; with the last one of a file all record locks go."""
        if self._waiting:
            self._waiting = [waiting for waiting in self._waiting if waiting.wanted.handle is not handle]
        if (held := self._held.get(handle.node)) is None:
            return
        last = len(handle.node.handles) == 1
        for number, owner in list(held.owners.items()):
            if last or handle in owner.quiet:
                self.release_owner(handle.node, number)
        if last:
            self._held.pop(handle.node, None)

    # --- waiting ------------------------------------------------------------------------------------------------

    def wait(self, wanted: Wanted, task: int, done: Callable[[int], None]) -> None:
        """Take a lock as soon as it can be had, then call ``done(0)``, or ``done(errno)`` when it never can.

        ``task`` is the number of the guest's thread that waits.
        """
        waiting = _Waiting(wanted, task, done)
        if not self._tried(waiting):
            now = self._clock()
            waiting.due, waiting.ask_at = now + waiting.delay, now + ASK_EVERY
            self._waiting.append(waiting)

    def _tried(self, waiting: _Waiting) -> bool:
        try:
            self.take(waiting.wanted)
        except OSError as error:
            if error.errno == errno.EAGAIN:
                return False
            waiting.done(error.errno or errno.EIO)
            return True
        waiting.done(0)
        return True

    def next_due(self) -> float | None:
        """When ``tick`` is to be called next, by the clock."""
        return min((waiting.due for waiting in self._waiting), default=None)

    def tick(self) -> None:
        """Try again what is due."""
        now = self._clock()
        for waiting in list(self._waiting):
            if waiting.due > now:
                continue
            if self._tried(waiting):
                self._waiting.remove(waiting)
                continue
            waiting.delay = min(waiting.delay * 1.5, RETRY_LAST)
            waiting.due = now + waiting.delay
            if now >= waiting.ask_at:
                waiting.ask_at = now + ASK_EVERY
                self._ask(waiting.task)

    def interrupt(self, task: int) -> None:
        """End the wait of ``task``: a signal came for it."""
        for waiting in list(self._waiting):
            if waiting.task == task:
                self._waiting.remove(waiting)
                waiting.done(errno.EINTR)


_FLOCK_OPERATIONS = {
    fcntl.F_RDLCK: fcntl.LOCK_SH | fcntl.LOCK_NB,
    fcntl.F_WRLCK: fcntl.LOCK_EX | fcntl.LOCK_NB,
    fcntl.F_UNLCK: fcntl.LOCK_UN,
}


def _overlapping(ranges: set[tuple[int, int]], wanted: Wanted) -> set[tuple[int, int]]:
    return {(start, end) for start, end in ranges if start <= wanted.end and wanted.start <= end}


def _packed(wanted: Wanted) -> bytes:
    length = 0 if wanted.end >= _END else wanted.end - wanted.start + 1
    return _FLOCK.pack(wanted.kind, os.SEEK_SET, wanted.start, length, 0)
