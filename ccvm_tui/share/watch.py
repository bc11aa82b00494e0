"""Changes on the host, reported by inotify: one watch for each directory that the guest knows."""

from __future__ import annotations

import contextlib
import errno
import logging
import os
from collections.abc import Iterator
from dataclasses import dataclass

from inotify_simple import INotify, flags

from ccvm_tui.share.nodes import Node

log = logging.getLogger(__name__)

MODIFY, ATTRIB, CLOSE_WRITE = int(flags.MODIFY), int(flags.ATTRIB), int(flags.CLOSE_WRITE)
MOVED_FROM, MOVED_TO = int(flags.MOVED_FROM), int(flags.MOVED_TO)
CREATE, DELETE = int(flags.CREATE), int(flags.DELETE)
ISDIR = int(flags.ISDIR)

_MASK = MODIFY | ATTRIB | CLOSE_WRITE | MOVED_FROM | MOVED_TO | CREATE | DELETE | int(flags.ONLYDIR)


@dataclass(frozen=True, slots=True)
class Event:
    """An event for ``name`` in ``directory``, or for the directory itself if ``name`` is empty.

    ``mask`` and ``cookie`` are those of inotify(7).
    """

    directory: Node
    mask: int
    cookie: int
    name: bytes


class Overflow(Exception):
    """The kernel has dropped events."""


class Watches:
    """The watches of all directories. Create it before the process is confined.

    ``complete`` is false on a network file system, where not every change is reported. If the user's limit of inotify
    instances is reached, nothing is watched.
    """

    def __init__(self, *, complete: bool = True) -> None:
        self.complete = complete
        self._inotify: INotify | None = None
        try:
            self._inotify = INotify(nonblocking=True)  # type: ignore[no-untyped-call]
        except OSError as error:
            log.warning("no inotify instance (fs.inotify.max_user_instances), so nothing is cached: %s", error)
        self._nodes: dict[int, Node] = {}
        self._full = False

    def fileno(self) -> int:
        """Return the descriptor that becomes readable when there are events, or -1 if nothing is watched."""
        return int(self._inotify.fileno()) if self._inotify is not None else -1

    def add(self, node: Node, fd: int) -> None:
        """Watch ``node``, a directory that is open as ``fd``. If no watches are left, it remains unwatched."""
        if node.watch >= 0 or self._full or self._inotify is None:
            return
        try:
            watch = self._inotify.add_watch(f"/proc/self/fd/{fd}", _MASK)  # type: ignore[no-untyped-call]
        except OSError as error:
            if error.errno == errno.ENOSPC:
                self._full = True
                log.warning(
                    "no inotify watches are left (fs.inotify.max_user_watches), so other directories are not cached"
                )
            return
        other = self._nodes.get(watch)
        if other is not None:  # the same directory with another node: only one node can have the watch
            other.watch = -1
        self._nodes[watch] = node
        node.watch = watch

    def remove(self, node: Node) -> None:
        """Stop watching ``node``."""
        if node.watch < 0 or self._inotify is None:
            return
        self._nodes.pop(node.watch, None)
        with contextlib.suppress(OSError):  # the kernel has removed the watch with the directory
            self._inotify.rm_watch(node.watch)  # type: ignore[no-untyped-call]
        node.watch = -1
        self._full = False

    def read(self) -> Iterator[Event]:
        """Yield all available events. Raises Overflow after the last one if the kernel has dropped events."""
        if self._inotify is None:
            return
        overflow = False
        for watch, mask, cookie, name in self._inotify.read(timeout=0):  # type: ignore[no-untyped-call]
            if mask & flags.Q_OVERFLOW:
                overflow = True
                continue
            node = self._nodes.get(watch)
            if node is None:
                continue
            if mask & flags.IGNORED:
                del self._nodes[watch]
                node.watch = -1
                continue
            yield Event(node, mask, cookie, os.fsencode(name))
        if overflow:
            raise Overflow
