"""The handlers of requests for open files."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
from collections.abc import Callable, Iterator
from typing import Final

from ccvm_tui import syscalls
from ccvm_tui.share import fuse
from ccvm_tui.share.fuse import Op
from ccvm_tui.share.host import HostTree
from ccvm_tui.share.locks import Locks
from ccvm_tui.share.nodes import Handle, Node, failure, same_content, state_of
from ccvm_tui.share.request import DEFERRED, Call, Reply, after, bounded, write_header
from ccvm_tui.share.view import CREATED, Caches, View
from ccvm_tui.share.walindex import INDEX_MAX, WalIndex, is_index, publish
from ccvm_tui.share.workers import Workers

_COPY_MAX: Final = 1 << 30


class Files:
    """The handlers, by operation in ``operations``. ``read`` and ``write`` also access the request's memory."""

    def __init__(self, tree: HostTree, view: View, caches: Caches, locks: Locks, workers: Workers) -> None:
        self._tree = tree
        self._nodes = tree.nodes
        self._view = view
        self._caches = caches
        self._locks = locks
        self._workers = workers
        self.operations: dict[int, Callable[[Call, bytes], Reply]] = {
            Op.OPEN: self._open,
            Op.CREATE: self._create,
            Op.TMPFILE: self._tmpfile,
            Op.FLUSH: self._flush,
            Op.RELEASE: self._release,
            Op.FSYNC: self._fsync,
            Op.FSYNCDIR: self._fsyncdir,
            Op.SYNCFS: self._syncfs,
            Op.FALLOCATE: self._fallocate,
            Op.LSEEK: self._lseek,
            Op.COPY_FILE_RANGE: self._copy_file_range,
        }

    def _open(self, call: Call, body: bytes) -> Reply:
        flags, _ = fuse.OPEN_IN.unpack_from(body)
        node = self._nodes[call.node]
        seen = node.seen
        fd = self._tree.open(node, flags)
        info = os.fstat(fd)
        if flags & os.O_TRUNC:
            node.seen = node.announced = state_of(info)
        keep = seen is not None and not flags & os.O_TRUNC and state_of(info)[:3] == seen[:3]
        if node.index is not None:
            keep = True  # its pages are compared when a lock is taken
        elif is_index(node.name) and not flags & os.O_TRUNC:
            node.index, keep = WalIndex(), False

        def answer() -> None:
            call.answer(self._opened(node, fd, flags, keep=keep))

        current = keep and (not node.uncertain or node.index is not None)
        if current or seen is None or flags & os.O_TRUNC or self._tree.shadows_node(node):
            self._caches.settled(node, answer)
        else:  # the size that the guest has cached may be outdated, and the reply to this request cannot correct it
            self._caches.refresh(node, answer)
        return DEFERRED

    def _opened(self, node: Node, fd: int, flags: int, *, keep: bool) -> bytes:
        writable = flags & 3 != os.O_RDONLY
        # A read-only handle has no data to write back when it is closed, and rarely a lock to release. A write-only
        # handle often has a lock: open("lock", "w").
        quiet = not writable and node.index is None and not self._locks.has_locks(node)
        # Direct writes come from the program's memory, which is several times as fast under emulation. They are only
        # used if no program can have mapped the file.
        direct = flags & 3 == os.O_WRONLY and node.index is None and not node.cached
        handle = self._nodes.add_handle(node, fd, writable=writable, quiet=quiet, direct=direct)
        answer = (
            (fuse.FOPEN_KEEP_CACHE if keep else 0)
            | (fuse.FOPEN_NOFLUSH if quiet else 0)
            | (fuse.FOPEN_DIRECT_IO if direct else 0)
        )
        return fuse.OPEN_OUT.pack(handle.id, answer, 0)

    def _create(self, call: Call, body: bytes) -> bytes:
        flags, mode, _umask, _ = fuse.CREATE_IN.unpack_from(body)
        parent, name = self._nodes[call.node], fuse.name_at(body, fuse.CREATE_IN.size)
        if (fd := self._tree.capture(parent, name, flags, mode)) >= 0:
            return self._captured(fd, flags)
        try:
            fd = self._tree.create(parent, name, flags, mode)
        except FileExistsError:
            if flags & os.O_EXCL:
                raise
            return self._create_existing(parent, name, flags)
        self._caches.expect_event(parent, name, CREATED)
        entry = self._view.entry_of(parent, name)
        node = parent.children[name]
        assert node is not None
        if is_index(name):
            node.index = WalIndex()
        return entry + self._opened(node, fd, flags, keep=False)

    def _captured(self, fd: int, flags: int) -> bytes:
        """Return the reply for a file without a name, which the guest must not cache under the name that it wanted."""
        node = self._tree.unnamed(fd)
        opened = self._opened(node, fd, flags, keep=False)
        return self._view.uncached_entry(node, self._tree.stat(node)) + opened

    def _create_existing(self, parent: Node, name: bytes, flags: int) -> bytes:
        """Open a file that was created on the host after the guest looked the name up."""
        found = self._tree.lookup(parent, name)
        if found is None:
            raise failure(errno.ESTALE)
        node = found[0]
        fd = self._tree.open(node, flags)
        return self._view.entry(parent, node, os.fstat(fd)) + self._opened(node, fd, flags, keep=False)

    def _tmpfile(self, call: Call, body: bytes) -> bytes:
        flags, mode, _umask, _ = fuse.CREATE_IN.unpack_from(body)
        parent = self._nodes[call.node]
        fd = self._tree.temporary(parent, flags, mode)
        node = self._tree.unnamed(fd)
        opened = self._opened(node, fd, flags, keep=False)
        return self._view.entry(parent, node, self._tree.stat(node)) + opened

    def read(self, call: Call, body: bytes) -> Reply:
        """Handle READ: copy from the file to the guest's memory."""
        number, offset, size, *_ = fuse.READ_IN.unpack_from(body)
        handle = self._nodes.handle(number) if number else self._any_handle(call.node, writable=False)
        if handle.node.index is not None and offset + size <= INDEX_MAX:
            return call.answer(handle.node.index.read(handle.fd, size, offset))
        handle.node.filled = True
        segments = after(call.request.writable, fuse.OUT_HEADER.size)
        done = os.preadv(handle.fd, bounded(segments, size), offset) if segments else 0
        write_header(call.request, fuse.OUT_HEADER.pack(fuse.OUT_HEADER.size + done, 0, call.unique))
        call.request.finish(fuse.OUT_HEADER.size + done)
        return DEFERRED

    def write(self, call: Call) -> Reply:
        """Handle WRITE: copy from the guest's memory to the file."""
        start = fuse.IN_HEADER.size + fuse.READ_IN.size
        beginning = b""
        for part in call.request.readable:
            beginning += bytes(part[: start - len(beginning)])
            if len(beginning) == start:
                break
        number, offset, size, flags, *_ = fuse.READ_IN.unpack_from(beginning, fuse.IN_HEADER.size)
        handle = self._nodes.handle(number) if number else self._any_handle(call.node, writable=True)
        node = handle.node
        segments = bounded(after(call.request.readable, start), size)
        self._tree.check_write(handle, segments, offset, cached=bool(flags & fuse.WRITE_CACHE))
        if node.index is not None and offset + size <= INDEX_MAX:
            return self._write_index(call, node.index, handle, b"".join(segments), offset, flags)
        before = os.fstat(handle.fd)
        self._tree.require_space(max(0, offset + size - before.st_size))
        known = state_of(before)
        seen, announced = same_content(node.seen, known), same_content(node.announced, known)
        with _not_appending(handle.fd, flags):
            done = os.pwritev(handle.fd, segments, offset) if segments else 0
        written = os.fstat(handle.fd)
        self._tree.resized(before.st_size, written.st_size)
        if seen:
            node.seen = state_of(written)
        if announced:
            node.announced = state_of(written)

        def answer() -> None:
            call.answer(fuse.WRITE_OUT.pack(done, 0))

        if handle.direct and node.filled and node.cached:
            # The guest dropped the pages before it sent the request, but a mapping may have read them again since.
            node.filled = False
            self._caches.drop(node, answer)
        else:
            node.filled = node.filled or not handle.direct
            answer()
        return DEFERRED

    def _write_index(self, call: Call, index: WalIndex, handle: Handle, data: bytes, offset: int, flags: int) -> Reply:
        if flags & fuse.WRITE_CACHE:
            index.keep(offset, data)
        else:
            os.pwrite(handle.fd, data, offset)
            index.written(offset, data)
            handle.node.seen = state_of(os.fstat(handle.fd))
        call.answer(fuse.WRITE_OUT.pack(len(data), 0))
        return DEFERRED

    def _any_handle(self, number: int, *, writable: bool) -> Handle:
        """Return any suitable handle of a node, for a request that the kernel sends with the helper's handle."""
        for handle in self._nodes[number].handles.values():
            if handle.writable or not writable:
                return handle
        raise failure(errno.EBADF)

    def _flush(self, _: Call, body: bytes) -> bytes:
        number, _unused, _padding, owner = fuse.FLUSH_IN.unpack_from(body)
        handle = self._nodes.handle(number)
        publish(handle.node)
        self._locks.release_owner(handle.node, owner)
        self._tree.flushed(handle)
        return b""

    def _release(self, _: Call, body: bytes) -> bytes:
        number = fuse.RELEASE_IN.unpack_from(body)[0]
        handle = self._nodes.handle(number)
        publish(handle.node)
        self._locks.release_handle(handle)
        self._tree.closing(handle)
        self._nodes.remove_handle(handle)
        if not handle.node.handles:
            handle.node.index = None
        if handle.node.lookups <= 0:
            self._view.drop(handle.node.id, 0)
        return b""

    def _fsync(self, call: Call, body: bytes) -> Reply:
        number, flags, _ = fuse.FSYNC_IN.unpack_from(body)
        # the worker needs its own descriptor, because the guest may release the handle meanwhile
        fd = os.dup(self._nodes.handle(number).fd)
        return self._synced(call, fd, os.fdatasync if flags & fuse.FSYNC_DATASYNC else os.fsync)

    def _fsyncdir(self, call: Call, _: bytes) -> Reply:
        return self._synced(call, self._readable(self._nodes[call.node]), os.fsync)

    def _syncfs(self, call: Call, _: bytes) -> Reply:
        return self._synced(call, self._readable(self._nodes.root), syscalls.sync_file_system)

    def _readable(self, directory: Node) -> int:
        """Return a new descriptor of a directory that is not path-only."""
        return os.open(".", os.O_RDONLY | os.O_CLOEXEC, dir_fd=self._tree.directory_fd(directory))

    def _synced(self, call: Call, fd: int, sync: Callable[[int], None]) -> Reply:
        """Answer after ``sync`` has returned, and close ``fd``."""

        def work() -> bytes:
            try:
                sync(fd)
            finally:
                os.close(fd)
            return b""

        return self._workers.run(call, work)

    def _fallocate(self, _: Call, body: bytes) -> bytes:
        number, offset, length, mode, _ = fuse.FALLOCATE_IN.unpack_from(body)
        handle = self._nodes.handle(number)
        self._tree.check_resize(handle.node)
        before = os.fstat(handle.fd)
        self._tree.require_space(max(0, offset + length - before.st_size))
        syscalls.allocate(handle.fd, mode, offset, length)
        self._tree.resized(before.st_size, os.fstat(handle.fd).st_size)
        self._view.record_change(handle.node, state_of(before))
        return b""

    def _lseek(self, _: Call, body: bytes) -> bytes:
        number, offset, whence, _ = fuse.LSEEK_IN.unpack_from(body)
        if whence not in (os.SEEK_DATA, os.SEEK_HOLE):
            raise failure(errno.EINVAL)
        return fuse.LSEEK_OUT.pack(os.lseek(self._nodes.handle(number).fd, offset, whence))

    def _copy_file_range(self, call: Call, body: bytes) -> Reply:
        source, source_offset, _, target, target_offset, length, _ = fuse.COPY_IN.unpack_from(body)
        open_fds = [self._nodes.handle(source).fd, self._nodes.handle(target).fd]
        node = self._nodes.handle(target).node
        before, available = os.fstat(open_fds[1]), os.fstat(open_fds[0]).st_size - source_offset
        self._tree.require_space(max(0, target_offset + min(length, available) - before.st_size))
        self._tree.copying(node, 1)
        fds = [os.dup(fd) for fd in open_fds]

        def work() -> bytes:
            done = os.copy_file_range(fds[0], fds[1], min(length, _COPY_MAX), source_offset, target_offset)
            return fuse.WRITE_OUT.pack(done, 0)

        def then() -> None:
            self._tree.copying(node, -1)
            self._tree.resized(before.st_size, os.fstat(fds[1]).st_size)
            self._view.record_change(node, state_of(before))
            for fd in fds:
                os.close(fd)

        return self._workers.run(call, work, then)


@contextlib.contextmanager
def _not_appending(fd: int, flags: int) -> Iterator[None]:
    """Clear O_APPEND of ``fd`` within the context for a write-back of pages, which must not be appended."""
    status = fcntl.fcntl(fd, fcntl.F_GETFL) if flags & fuse.WRITE_CACHE else 0
    if not status & os.O_APPEND:
        yield
        return
    fcntl.fcntl(fd, fcntl.F_SETFL, status & ~os.O_APPEND)
    try:
        yield
    finally:
        fcntl.fcntl(fd, fcntl.F_SETFL, status)
