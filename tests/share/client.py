"""A FUSE client for a file server in the same process, which sends the requests of a guest's kernel."""

from __future__ import annotations

import errno
import itertools
import os
import stat
import struct
from collections.abc import Callable
from dataclasses import dataclass

from ccvm_tui.share import fuse
from ccvm_tui.share.edits import EditsTree
from ccvm_tui.share.fuse import Op
from ccvm_tui.share.host import HostTree
from ccvm_tui.share.locks import Locks
from ccvm_tui.share.nodes import Node
from ccvm_tui.share.refresh import Refresher
from ccvm_tui.share.request import Call, Reply
from ccvm_tui.share.server import Server
from ccvm_tui.share.vhost import Request
from ccvm_tui.share.view import View
from tests.waiting import wait_until

REPLY_MAX = 1 << 16
_MODE, _LINKS, _SIZE, _INODE = 9, 10, 1, 0


@dataclass(frozen=True)
class Attributes:
    """The attributes of a file in the guest."""

    node: int
    inode: int
    size: int
    mode: int
    links: int
    modified: int

    @classmethod
    def unpacked(cls, node: int, data: bytes) -> Attributes:
        fields = fuse.ATTR.unpack_from(data)
        seconds = fields[4] - (fields[4] >> 63 << 64)
        return cls(node, fields[0], fields[1], fields[9], fields[10], seconds * 1_000_000_000 + fields[7])


class NoCaches:
    """The caches of a guest without a helper, which caches nothing."""

    def __init__(self) -> None:
        self.refreshed: list[Node] = []
        self.dropped: list[Node] = []

    def cacheable(self, _: Node) -> bool:
        return False

    def expect_event(self, parent: Node, name: bytes, mask: int) -> None:
        pass

    def refresh(self, node: Node, then: Callable[[], None]) -> None:
        self.refreshed.append(node)
        then()

    def drop(self, node: Node, then: Callable[[], None]) -> None:
        self.dropped.append(node)
        then()

    def settled(self, _: Node, then: Callable[[], None]) -> None:
        then()

    def flush(self, _: Node, then: Callable[[], None]) -> None:
        then()

    def answer(self, _: Call, __: bytes) -> Reply | None:
        return None


class Ring:
    """A replacement for a virtqueue, which records the replies."""

    def __init__(self) -> None:
        self.written: dict[int, int] = {}

    def finish(self, head: int, written: int) -> None:
        self.written[head] = written


class Client:
    """Calls like system calls on paths below the shared directory, which raise OSError with the guest's error number.

    Symbolic links are not followed. Checks that Linux makes before it calls a file system are made by the client.
    ``pid`` is the process in the guest that makes the calls.
    """

    def __init__(self, tree: HostTree, refresher: Refresher | None = None) -> None:
        self.tree = tree
        self.pid = 1
        self.ring = Ring()
        self._callbacks: list[Callable[[], None]] = []
        locks = Locks(lambda: 0.0, lambda _: None)
        self.caches = NoCaches()
        view = View(tree, refresher or self.caches, reported=True)
        if refresher is not None:
            refresher.set_view(view)
        self.server = Server(tree, view, refresher or self.caches, locks, self._callbacks.append)
        self._unique = itertools.count(1)

    # --- requests -----------------------------------------------------------------------------------------------

    def raw(self, data: bytes, reply_max: int = REPLY_MAX, pieces: int = 1, *, wait: bool = False) -> bytes | None:
        """Send the bytes of a request, and return those of the reply, or None if there is no reply (yet).

        With ``wait``, return the reply of a worker thread.
        """
        step = max(1, -(-len(data) // pieces))
        readable = [memoryview(data[at : at + step]) for at in range(0, len(data), step)]
        answer = bytearray(reply_max)
        number = next(self._unique)
        self.server.handle(Request(self.ring, number, readable, [memoryview(answer)]))  # type: ignore[arg-type]
        if wait and number not in self.ring.written:
            wait_until(lambda: bool(self._callbacks), lambda: "no worker has answered")
            self._callbacks.pop()()
        written = self.ring.written.pop(number, None)
        return None if written is None else bytes(answer[:written])

    def request(self, opcode: int, node: int, body: bytes = b"", pieces: int = 1) -> bytes:
        """Send a request, and return the reply without its header."""
        head = fuse.IN_HEADER.pack(fuse.IN_HEADER.size + len(body), opcode, 7, node, 0, 0, self.pid, 0, 0)
        reply = self.raw(head + body, pieces=pieces, wait=opcode == Op.COPY_FILE_RANGE)
        assert reply is not None
        size, error, unique = fuse.OUT_HEADER.unpack_from(reply)
        assert (size, unique) == (len(reply), 7)
        if error:
            raise OSError(-error, os.strerror(-error))
        return reply[fuse.OUT_HEADER.size :]

    def forget(self, node: int, lookups: int = 1) -> None:
        head = fuse.IN_HEADER.pack(fuse.IN_HEADER.size + 8, Op.FORGET, 0, node, 0, 0, 1, 0, 0)
        assert self.raw(head + fuse.FORGET_IN.pack(lookups)) == b""

    def close(self) -> None:
        """Close the descriptors that the tree keeps open."""
        for node in self.tree.nodes:
            for handle in list(node.handles.values()):
                self.request(Op.RELEASE, node.id, fuse.RELEASE_IN.pack(handle.id, 0, 0, 0))
        for node in self.tree.nodes:
            self.tree.close_directory(node)
        if isinstance(self.tree, EditsTree):
            os.close(self.tree._store)  # noqa: SLF001 - the file server keeps it until it exits

    # --- paths --------------------------------------------------------------------------------------------------

    def _entry(self, data: bytes) -> Attributes:
        return Attributes.unpacked(fuse.ENTRY.unpack_from(data)[0], data[fuse.ENTRY.size :])

    def lookup(self, parent: int, name: bytes) -> Attributes | None:
        try:
            found = self._entry(self.request(Op.LOOKUP, parent, name + b"\0"))
        except FileNotFoundError:
            return None
        return found if found.node else None

    def find(self, path: bytes) -> Attributes:
        node = self.attributes(fuse.ROOT_ID)
        for name in path.split(b"/") if path else []:
            if not stat.S_ISDIR(node.mode):
                raise _failure(errno.ENOTDIR)
            found = self.lookup(node.node, name)
            if found is None:
                raise _failure(errno.ENOENT)
            node = found
        return node

    def _parent(self, path: bytes) -> tuple[int, bytes]:
        directory, _, name = path.rpartition(b"/")
        parent = self.find(directory)
        if not stat.S_ISDIR(parent.mode):
            raise _failure(errno.ENOTDIR)
        return parent.node, name

    def _absent(self, path: bytes) -> tuple[int, bytes]:
        parent, name = self._parent(path)
        if self.lookup(parent, name) is not None:
            raise _failure(errno.EEXIST)
        return parent, name

    # --- calls --------------------------------------------------------------------------------------------------

    def attributes(self, node: int) -> Attributes:
        return Attributes.unpacked(node, self.request(Op.GETATTR, node, fuse.GETATTR_IN.pack(0, 0, 0))[16:])

    def mkdir(self, path: bytes, mode: int = 0o755) -> None:
        parent, name = self._absent(path)
        self.request(Op.MKDIR, parent, fuse.MKDIR_IN.pack(mode, 0) + name + b"\0")

    def mknod(self, path: bytes, mode: int) -> None:
        parent, name = self._absent(path)
        self.request(Op.MKNOD, parent, fuse.MKNOD_IN.pack(mode, 0, 0, 0) + name + b"\0")

    def symlink(self, target: bytes, path: bytes) -> None:
        parent, name = self._absent(path)
        self.request(Op.SYMLINK, parent, name + b"\0" + target + b"\0")

    def readlink(self, path: bytes) -> bytes:
        found = self.find(path)
        if not stat.S_ISLNK(found.mode):
            raise _failure(errno.EINVAL)
        return self.request(Op.READLINK, found.node)

    def link(self, old: bytes, new: bytes) -> None:
        found = self.find(old)
        parent, name = self._absent(new)
        if stat.S_ISDIR(found.mode):
            raise _failure(errno.EPERM)
        self.request(Op.LINK, parent, fuse.LINK_IN.pack(found.node) + name + b"\0")

    def unlink(self, path: bytes) -> None:
        parent, name = self._parent(path)
        if stat.S_ISDIR(self.find(path).mode):
            raise _failure(errno.EISDIR)
        self.request(Op.UNLINK, parent, name + b"\0")

    def rmdir(self, path: bytes) -> None:
        parent, name = self._parent(path)
        if not stat.S_ISDIR(self.find(path).mode):
            raise _failure(errno.ENOTDIR)
        self.request(Op.RMDIR, parent, name + b"\0")

    def rename(self, old: bytes, new: bytes, flags: int = 0) -> None:
        (parent, name), (new_parent, new_name) = self._parent(old), self._parent(new)
        source, target = self.find(old), self.lookup(new_parent, new_name)
        if target is None and flags & 2:
            raise _failure(errno.ENOENT)
        if target is not None and flags & 1:
            raise _failure(errno.EEXIST)
        if (new + b"/").startswith(old + b"/") and new != old:
            raise _failure(errno.EINVAL)
        if (old + b"/").startswith(new + b"/") and new != old:
            raise _failure(errno.EINVAL if flags & 2 else errno.ENOTEMPTY)
        if target is not None and target.node == source.node:
            return
        if target is not None and not flags & 2 and stat.S_ISDIR(source.mode) != stat.S_ISDIR(target.mode):
            raise _failure(errno.EISDIR if stat.S_ISDIR(target.mode) else errno.ENOTDIR)
        names = name + b"\0" + new_name + b"\0"
        self.request(Op.RENAME2, parent, fuse.RENAME2_IN.pack(new_parent, flags, 0) + names)

    def open(self, path: bytes, flags: int, mode: int = 0o644) -> tuple[int, int]:
        """Open a file like the system call with O_NOFOLLOW, and return its node and handle."""
        parent, name = self._parent(path)
        found = self.lookup(parent, name)
        if found is None:
            if not flags & os.O_CREAT:
                raise _failure(errno.ENOENT)
            body = fuse.CREATE_IN.pack(flags, mode | stat.S_IFREG, 0, 0) + name + b"\0"
            reply = self.request(Op.CREATE, parent, body)
            return self._entry(reply).node, fuse.OPEN_OUT.unpack_from(reply, fuse.ENTRY.size + fuse.ATTR.size)[0]
        if flags & os.O_EXCL:
            raise _failure(errno.EEXIST)
        if stat.S_ISLNK(found.mode):
            raise _failure(errno.ELOOP)
        if stat.S_ISDIR(found.mode):
            raise _failure(errno.EISDIR)
        flags &= ~(os.O_CREAT | os.O_EXCL)
        return found.node, fuse.OPEN_OUT.unpack(self.request(Op.OPEN, found.node, fuse.OPEN_IN.pack(flags, 0)))[0]

    def temporary(self, directory: bytes) -> tuple[int, int]:
        """Create a file without a name, and return its node and handle."""
        body = fuse.CREATE_IN.pack(os.O_RDWR, 0o600 | stat.S_IFREG, 0, 0) + b"\0"
        reply = self.request(Op.TMPFILE, self.find(directory).node, body)
        return self._entry(reply).node, fuse.OPEN_OUT.unpack_from(reply, fuse.ENTRY.size + fuse.ATTR.size)[0]

    def link_node(self, node: int, path: bytes) -> None:
        parent, name = self._absent(path)
        self.request(Op.LINK, parent, fuse.LINK_IN.pack(node) + name + b"\0")

    def read(self, node: int, handle: int, size: int, offset: int) -> bytes:
        return self.request(Op.READ, node, fuse.READ_IN.pack(handle, offset, size, 0, 0, 0, 0))

    def write(self, node: int, handle: int, data: bytes, offset: int, *, pieces: int = 1, flags: int = 0) -> int:
        body = fuse.READ_IN.pack(handle, offset, len(data), flags, 0, 0, 0) + data
        return int(fuse.WRITE_OUT.unpack(self.request(Op.WRITE, node, body, pieces))[0])

    def release(self, node: int, handle: int) -> None:
        try:
            self.request(Op.FLUSH, node, fuse.FLUSH_IN.pack(handle, 0, 0, 0))
        finally:
            self.request(Op.RELEASE, node, fuse.RELEASE_IN.pack(handle, 0, 0, 0))

    def set(
        self, node: int, *, mode: int | None = None, size: int | None = None, times: tuple[int, int] | None = None,
        handle: int | None = None,
    ) -> None:  # fmt: skip
        valid = fuse.FATTR_MODE * (mode is not None) | fuse.FATTR_SIZE * (size is not None)
        valid |= fuse.FATTR_FH * (handle is not None)
        accessed, modified = times or (0, 0)
        if times is not None:
            valid |= fuse.FATTR_ATIME | fuse.FATTR_MTIME
        seconds = [time // 1_000_000_000 & 0xFFFFFFFFFFFFFFFF for time in (accessed, modified)]
        parts = [time % 1_000_000_000 for time in (accessed, modified)]
        body = fuse.SETATTR_IN.pack(
            valid, 0, handle or 0, size or 0, 0, *seconds, 0, *parts, 0, mode or 0, 0, 0, 0, 0,
        )  # fmt: skip
        self.request(Op.SETATTR, node, body)

    def allocate(self, node: int, handle: int, mode: int, offset: int, length: int) -> None:
        self.request(Op.FALLOCATE, node, fuse.FALLOCATE_IN.pack(handle, offset, length, mode, 0))

    def listing(self, path: bytes) -> dict[bytes, tuple[int, int]]:
        """Return the inode number and file type of each name, read in small pieces."""
        node, offset = self.find(path).node, 0
        names: dict[bytes, tuple[int, int]] = {}
        while data := self.request(Op.READDIR, node, fuse.READ_IN.pack(0, offset, 300, 0, 0, 0, 0)):
            at = 0
            while at < len(data):
                inode, offset, length, kind = fuse.DIRENT.unpack_from(data, at)
                name = data[at + fuse.DIRENT.size : at + fuse.DIRENT.size + length]
                assert name not in names
                names[name] = (inode, kind << 12)
                at += (fuse.DIRENT.size + length + 7) // 8 * 8
        del names[b"."], names[b".."]
        return names

    def setxattr(self, path: bytes, name: bytes, value: bytes) -> None:
        body = fuse.SETXATTR_IN.pack(len(value), 0) + name + b"\0" + value
        self.request(Op.SETXATTR, self.find(path).node, body)

    def removexattr(self, path: bytes, name: bytes) -> None:
        self.request(Op.REMOVEXATTR, self.find(path).node, name + b"\0")

    def xattrs(self, path: bytes) -> dict[bytes, bytes]:
        node = self.find(path).node
        names = self.request(Op.LISTXATTR, node, fuse.GETXATTR_IN.pack(4096, 0)).split(b"\0")[:-1]
        return {name: self.request(Op.GETXATTR, node, fuse.GETXATTR_IN.pack(4096, 0) + name + b"\0") for name in names}

    def tree_of(self, path: bytes = b"") -> dict[bytes, tuple[object, ...]]:
        """Return all files below ``path``; see ``snapshot``."""
        found: dict[bytes, tuple[object, ...]] = {}
        for name, (inode, kind) in self.listing(path).items():
            below = path + b"/" * bool(path) + name
            info = self.find(below)
            assert (info.inode, stat.S_IFMT(info.mode)) == (inode, kind or stat.S_IFMT(info.mode))
            found[below] = self._described(below, info)
            if stat.S_ISDIR(info.mode):
                found |= self.tree_of(below)
        return found

    def _described(self, path: bytes, info: Attributes) -> tuple[object, ...]:
        if stat.S_ISDIR(info.mode):
            return (info.mode, tuple(sorted(self.xattrs(path).items())))
        if stat.S_ISLNK(info.mode):
            return (info.mode, info.links, self.readlink(path))
        content = b""
        if stat.S_ISREG(info.mode):
            node, handle = self.open(path, os.O_RDONLY)
            content = self.read(node, handle, info.size + 1, 0)
            self.release(node, handle)
        return (info.mode, info.links, info.size, content, tuple(sorted(self.xattrs(path).items())))


def snapshot(root: bytes, path: bytes = b"", *, times: bool = False) -> dict[bytes, tuple[object, ...]]:
    """Return all files below ``root``/``path`` by path: mode, links, size, content, target, extended attributes.

    With ``times`` the modification and change time and the inode number are included.
    """
    found: dict[bytes, tuple[object, ...]] = {}
    for entry in os.scandir(os.path.join(root, path)):
        below = path + b"/" * bool(path) + entry.name
        info = entry.stat(follow_symlinks=False)
        attributes: tuple[object, ...] = ()
        if not entry.is_symlink():
            names = os.listxattr(entry.path, follow_symlinks=False)
            attributes = tuple(
                sorted((os.fsencode(name), os.getxattr(entry.path, name)) for name in names if name.startswith("user."))
            )
        if entry.is_dir(follow_symlinks=False):
            found[below] = (info.st_mode, attributes)
            found |= snapshot(root, below, times=times)
        elif entry.is_symlink():
            found[below] = (info.st_mode, info.st_nlink, os.readlink(entry.path))
        else:
            content = b""
            if entry.is_file():
                with open(entry.path, "rb") as file:
                    content = file.read()
            found[below] = (info.st_mode, info.st_nlink, info.st_size, content, attributes)
        if times:
            found[below] += (info.st_mtime_ns, info.st_ctime_ns, info.st_ino)
    return found


def _failure(error: int) -> OSError:
    return OSError(error, os.strerror(error))


def header(opcode: int, node: int, length: int = 40) -> bytes:
    """Return the header of a request."""
    return fuse.IN_HEADER.pack(length, opcode, 7, node, 0, 0, 1, 0, 0)


__all__ = ["Attributes", "Client", "NoCaches", "Ring", "header", "snapshot", "struct"]
