"""Requests for locks, and what must happen to the guest's caches where one changes hands."""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Callable

from ccvm_tui.share import fuse
from ccvm_tui.share.fuse import Op
from ccvm_tui.share.host import HostTree
from ccvm_tui.share.locks import Locks, Wanted
from ccvm_tui.share.nodes import Handle, Node, state_of
from ccvm_tui.share.request import DEFERRED, Call, Reply
from ccvm_tui.share.view import Caches
from ccvm_tui.share.walindex import database_files, publish


class Locking:
    """Takes locks and gives them up."""

    def __init__(self, tree: HostTree, caches: Caches, locks: Locks) -> None:
        self._tree = tree
        self._nodes = tree.nodes
        self._caches = caches
        self._locks = locks
        self.operations: dict[int, Callable[[Call, bytes], Reply]] = {
            Op.GETLK: self._getlk,
            Op.SETLK: self._setlk,
            Op.SETLKW: self._setlkw,
        }

    def _getlk(self, call: Call, body: bytes) -> bytes:
        wanted = self._wanted(body)
        start, end, kind, pid = self._locks.conflict(wanted)
        return fuse.LOCK.pack(start, end, kind, pid)

    def _setlk(self, call: Call, body: bytes) -> Reply:
        wanted = self._wanted(body)
        if wanted.kind == fcntl.F_UNLCK or self._locks.gives_up_writing(wanted):
            return self._give_up(call, wanted)
        self._locks.take(wanted)
        self._after_lock(call, wanted.handle)
        return DEFERRED

    def _setlkw(self, call: Call, body: bytes) -> Reply:
        wanted = self._wanted(body)
        if wanted.kind == fcntl.F_UNLCK or self._locks.gives_up_writing(wanted):
            return self._give_up(call, wanted)

        def done(error: int) -> None:
            if error:
                call.fail(error)
            else:
                self._after_lock(call, wanted.handle)

        self._locks.wait(wanted, call.pid, done)
        return DEFERRED

    def _after_lock(self, call: Call, handle: Handle) -> None:
        """Answer once the guest's caches show what the host's programs wrote before they gave up the lock."""
        node = handle.node
        files = [node] if node.index is None else [node, *database_files(node)]
        stale = [file for file in files if self._outdated(file)]
        waiting = len(stale)

        def answer() -> None:
            call.answer(b"")

        def refreshed() -> None:
            nonlocal waiting
            waiting -= 1
            if not waiting:
                answer()

        if not stale:
            self._caches.settled(node, answer)
        for file in stale:
            self._caches.refresh(file, refreshed)

    def _outdated(self, node: Node) -> bool:
        """Whether the guest's caches may hold what is no longer in the file."""
        if (fd := node.any_fd()) < 0 or self._tree.shadows_node(node):
            return False
        state = state_of(os.fstat(fd))
        if node.index is not None:
            return node.index.outdated(fd) or (node.seen is not None and state[2] != node.seen[2])
        return node.seen is not None and state[::2] != node.seen[::2]

    def _give_up(self, call: Call, wanted: Wanted) -> Reply:
        """Give up a lock; what the guest wrote under it, by a mapping even, reaches the host's file before that."""
        index = wanted.handle.node.index
        if index is None or not self._locks.gives_up_writing(wanted):
            self._locks.take(wanted)
            return b""

        def flushed() -> None:
            try:
                publish(wanted.handle.node)
                self._locks.take(wanted)
            except OSError as error:
                call.fail(error.errno or errno.EIO)
            else:
                call.answer(b"")

        self._caches.flush(wanted.handle.node, flushed)
        return DEFERRED

    def _wanted(self, body: bytes) -> Wanted:
        number, owner, start, end, kind, pid, flags, _ = fuse.LK_IN.unpack_from(body)
        return Wanted(self._nodes.handle(number), owner, start, end, kind, pid, whole=bool(flags & fuse.LK_FLOCK))
