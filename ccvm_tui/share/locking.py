"""The handlers of requests for locks, and the cache updates that go with them."""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Callable

from ccvm_tui.share import fuse
from ccvm_tui.share.fuse import Op
from ccvm_tui.share.host import HostTree
from ccvm_tui.share.locks import LockRequest, Locks
from ccvm_tui.share.nodes import Handle, Node, state_of
from ccvm_tui.share.request import DEFERRED, Call, Reply
from ccvm_tui.share.view import Caches
from ccvm_tui.share.walindex import database_files, publish


class Locking:
    """The handlers, by operation in ``operations``."""

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

    def _getlk(self, _: Call, body: bytes) -> bytes:
        lock = self._parse(body)
        start, end, kind, pid = self._locks.conflict(lock)
        return fuse.LOCK.pack(start, end, kind, pid)

    def _setlk(self, call: Call, body: bytes) -> Reply:
        lock = self._parse(body)
        if lock.kind == fcntl.F_UNLCK or self._locks.releases_write_lock(lock):
            return self._release(call, lock)
        self._locks.take(lock)
        self._after_lock(call, lock.handle)
        return DEFERRED

    def _setlkw(self, call: Call, body: bytes) -> Reply:
        lock = self._parse(body)
        if lock.kind == fcntl.F_UNLCK or self._locks.releases_write_lock(lock):
            return self._release(call, lock)

        def done(error: int) -> None:
            if error:
                call.fail(error)
            else:
                self._after_lock(call, lock.handle)

        self._locks.wait(lock, call.pid, done)
        return DEFERRED

    def _after_lock(self, call: Call, handle: Handle) -> None:
        """Answer after the guest's caches reflect the changes that programs of the host made under the lock."""
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
        """Return whether the guest may have cached outdated content of the file."""
        if (fd := node.any_fd()) < 0 or self._tree.shadows_node(node):
            return False
        state = state_of(os.fstat(fd))
        if node.index is not None:
            return node.index.outdated(fd) or (node.seen is not None and state[2] != node.seen[2])
        return node.seen is not None and (node.uncertain or state[::2] != node.seen[::2])

    def _release(self, call: Call, lock: LockRequest) -> Reply:
        """Release a lock, after writing back the guest's changes of the file, including those made through mappings."""
        index = lock.handle.node.index
        if index is None or not self._locks.releases_write_lock(lock):
            self._locks.take(lock)
            return b""

        def flushed() -> None:
            try:
                publish(lock.handle.node)
                self._locks.take(lock)
            except OSError as error:
                call.fail(error.errno or errno.EIO)
            else:
                call.answer(b"")

        self._caches.flush(lock.handle.node, flushed)
        return DEFERRED

    def _parse(self, body: bytes) -> LockRequest:
        number, owner, start, end, kind, pid, flags, _ = fuse.LK_IN.unpack_from(body)
        return LockRequest(self._nodes.handle(number), owner, start, end, kind, pid, whole=bool(flags & fuse.LK_FLOCK))
