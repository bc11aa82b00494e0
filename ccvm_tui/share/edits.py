"""A host directory that the guest may change without changing the host: what it makes is kept elsewhere.

The tree that the guest sees is the host's with the guest's edits laid over it, name by name, so that the host's own
changes show wherever the guest has not edited. A file is copied when it is first written to; its inode number stays,
and descriptors that are open follow to the copy. A directory that is renamed just moves, whatever is in it.

The *carrier* of an edited file is a file of a private directory, with a number for a name: it holds content and
attributes. That of a directory is an empty directory, for its attributes.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Callable, Iterator

from ccvm_tui.share import syscalls
from ccvm_tui.share.host import Change, HostTree, Name, magic, open_flags, safe_mode, user_attributes
from ccvm_tui.share.nodes import Handle, Node, failure

_FIRST_INODE = 1 << 40
"""Inode numbers of files that only the guest has begin here, above those of the usual file systems."""

_NAME_MAX = 255
_CHUNK = 1 << 20
_RENAME_NOREPLACE, _RENAME_EXCHANGE = 1, 2


class EditsTree(HostTree):
    """The directory ``path``, with the guest's edits in the directory ``store``, which is empty and private.

    ``room`` is how many bytes they may have (ENOSPC beyond).
    """

    def __init__(
        self,
        path: str,
        fds_max: int,
        on_directory: Callable[[Node, int], None],
        on_forgotten: Callable[[Node], None],
        *,
        store: str,
        room: int,
    ) -> None:
        super().__init__(path, fds_max, on_directory, on_forgotten)
        self._store = os.open(store, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        self._room = room
        self._used = 0
        self._changes: dict[Node, dict[bytes, Node | None]] = {}
        self._carriers = 0
        self._inodes = _FIRST_INODE

    # --- edits --------------------------------------------------------------------------------------------------

    def edits(self) -> Iterator[bytes]:
        """The paths of all files that were made, changed, moved or deleted, below the shared directory."""
        for directory, changes in self._changes.items():
            if directory is not self.nodes.root and not self._reachable(directory):
                continue
            prefix = self._path(directory)
            for name, node in changes.items():
                if node is None or not node.is_directory or node.origin is not None:
                    yield prefix + name

    def _reachable(self, node: Node) -> bool:
        while node.parent is not None:
            changes = self._changes.get(node.parent, {})
            if node.name in changes and changes[node.name] is not node:
                return False
            node = node.parent
        return node is self.nodes.root

    @staticmethod
    def _path(directory: Node) -> bytes:
        parts = []
        node = directory
        while node.parent is not None:
            parts.append(node.name + b"/")
            node = node.parent
        return b"".join(reversed(parts))

    def shadows(self, parent: Node, name: bytes) -> bool:
        return name in self._changes.get(parent, ()) or parent.made

    def shadows_node(self, node: Node) -> bool:
        return node.made or node.carried

    def private(self, node: Node) -> bool:
        return node.made

    def _record(self, parent: Node, name: bytes, node: Node | None) -> None:
        """Note that ``name`` is ``node`` from now on, or is gone."""
        self._changes.setdefault(parent, {})[name] = node
        above: Node | None = parent
        while above is not None and not above.pinned:
            above.pinned = True
            above = above.parent
        if node is not None:
            node.pinned = True

    def _touch(self, parent: Node) -> None:
        """Entries of ``parent`` have changed, and so have its times."""
        self._copy_up(parent)
        assert parent.carrier is not None
        os.utime(parent.carrier, dir_fd=self._store)

    def _renew(self, node: Node) -> None:
        """The names of ``node`` have changed, and so has the time of its last change."""
        if node.carrier is not None:
            with self._pinned(node) as fd:
                syscalls.set_times(fd, None, os.fstat(fd).st_mtime_ns)

    def _new_node(self, kind: int, carrier: bytes) -> Node:
        self._inodes += 1
        node = self.nodes.unnamed((-1, self._inodes), kind)
        node.made, node.carrier, node.links = True, carrier, 1
        return node

    def _next_carrier(self) -> bytes:
        self._carriers += 1
        return str(self._carriers).encode()

    # --- room ---------------------------------------------------------------------------------------------------

    def demand_room(self, size: int) -> None:
        if self._used + size > self._room:
            raise failure(errno.ENOSPC)

    def grew(self, before: int, after: int) -> None:
        self._used += after - before

    def usage(self) -> os.statvfs_result:
        real = os.fstatvfs(self._store)
        size, free = self._room // real.f_frsize, max(0, self._room - self._used) // real.f_frsize
        free = min(free, real.f_bavail)
        values = (real.f_bsize, real.f_frsize, size, free, free, real.f_files, real.f_ffree, real.f_favail, 0, 255)
        return os.statvfs_result(values)

    # --- copies -------------------------------------------------------------------------------------------------

    def _copy_up(self, node: Node) -> None:
        """Give ``node`` a carrier that is like the host's file; nothing happens when it has one."""
        if node.made or node.carried:
            return
        info = super().stat(node)
        carrier = self._next_carrier()
        if node.is_directory:
            os.mkdir(carrier, 0o700, dir_fd=self._store)
        elif node.kind == stat.S_IFLNK:
            os.symlink(super().read_link(node), carrier, dir_fd=self._store)
        elif node.is_regular:
            self._copy_content(node, info.st_size, carrier)
        else:
            os.mknod(carrier, node.kind | 0o600, dir_fd=self._store)
        with super()._pinned(node) as original:
            attributes = [] if node.kind == stat.S_IFLNK else user_attributes(original)
        node.carrier, node.carried = carrier, True
        node.links = node.links or info.st_nlink
        with self._pinned(node) as fd:
            for name, value in attributes:
                with contextlib.suppress(OSError):  # the store's file system may have none
                    os.setxattr(magic(fd), name, value)
            if node.kind != stat.S_IFLNK:
                os.chmod(magic(fd), stat.S_IMODE(info.st_mode) & ~stat.S_ISUID)
            syscalls.set_times(fd, info.st_atime_ns, info.st_mtime_ns)
        self._follow(node)
        if node.detached:
            self._detach(node)
            return
        for parent, name in ((node.parent, node.name), *node.aliases):
            if parent is not None:
                self._record(parent, name, node)

    def _copy_content(self, node: Node, size: int, carrier: bytes) -> None:
        self.demand_room(size)
        source = super().open(node, os.O_RDONLY)
        try:
            target = os.open(carrier, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600, dir_fd=self._store)
            try:
                while data := os.read(source, _CHUNK):
                    view = memoryview(data)
                    while view:
                        view = view[os.write(target, view) :]
                self.grew(0, os.fstat(target).st_size)
            except OSError:
                os.unlink(carrier, dir_fd=self._store)
                raise
            finally:
                os.close(target)
        finally:
            os.close(source)

    def _follow(self, node: Node) -> None:
        """Descriptors that are open on the host's file turn to its carrier."""
        assert node.carrier is not None
        for handle in node.handles.values():
            fd = os.open(node.carrier, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=self._store)
            os.dup2(fd, handle.fd, inheritable=False)
            os.close(fd)

    def _detach(self, node: Node) -> None:
        """``node`` has lost its last name: its carrier goes, what is open stays. A directory keeps its attributes."""
        if node.carrier is not None and not node.is_directory:
            if not node.handles:
                self.grew(os.stat(node.carrier, dir_fd=self._store, follow_symlinks=False).st_size, 0)
            os.unlink(node.carrier, dir_fd=self._store)
            node.carrier = None
        node.detached, node.pinned = True, False
        self._changes.pop(node, None)
        self.nodes.forget_key(node)

    def forgotten(self, node: Node) -> None:
        super().forgotten(node)
        if node.detached and node.carrier is not None:
            os.rmdir(node.carrier, dir_fd=self._store)

    def closing(self, handle: Handle) -> None:
        node = handle.node
        if node.detached and len(node.handles) == 1:
            self.grew(os.fstat(handle.fd).st_size, 0)

    # --- attributes ---------------------------------------------------------------------------------------------

    def stat(self, node: Node) -> os.stat_result:
        if node.carrier is not None:
            return os.stat(node.carrier, dir_fd=self._store, follow_symlinks=False)
        if node.detached and not node.handles and not node.is_directory:
            raise failure(errno.ENOENT)
        return super().stat(node)

    def identity(self, node: Node, info: os.stat_result) -> tuple[int, int]:
        if node.is_directory and (node.made or node.carrier is not None):
            return node.key[1], 0 if node.detached else 1  # as btrfs has it: there may be any number of directories
        if node.detached:
            return node.key[1], 0
        inode, links = super().identity(node, info)
        return (node.key[1] if node.made or node.carrier is not None else inode), node.links or links

    @contextlib.contextmanager
    def _pinned(self, node: Node) -> Iterator[int]:
        if node.carrier is None:
            with super()._pinned(node) as fd:
                yield fd
            return
        fd = os.open(node.carrier, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=self._store)
        try:
            yield fd
        finally:
            os.close(fd)

    def change(self, node: Node, change: Change, handle: Handle | None) -> None:
        self._copy_up(node)
        before = self.stat(node).st_size
        if change.size is not None:
            self.demand_room(max(0, change.size - before))
        super().change(node, change, handle)
        if change.size is not None:
            self.grew(before, change.size)

    # --- names --------------------------------------------------------------------------------------------------

    def lookup(self, parent: Node, name: bytes) -> tuple[Node, os.stat_result] | None:
        if parent.detached:
            raise failure(errno.ENOENT)
        if len(name) > _NAME_MAX:
            raise failure(errno.ENAMETOOLONG)
        changes = self._changes.get(parent, {})
        if name in changes:
            node = changes[name]
            if node is None:
                self.nodes.unname(parent, name)
                parent.children[name] = None
                return None
            self.nodes.place(node, parent, name)
            parent.children[name] = node
            return node, self.stat(node)
        if parent.made:
            parent.children[name] = None
            return None
        found = super().lookup(parent, name)
        if found is None:
            return None
        node, info = found
        return node, info if node.carrier is None else self.stat(node)

    def listing(self, node: Node) -> list[Name]:
        if node.detached:
            return []
        changes = self._changes.get(node, {})
        below = [] if node.made else [name for name in super().listing(node) if name.name not in changes]
        above = [Name(name, child.key[1], child.kind) for name, child in changes.items() if child is not None]
        return below + above

    def read_link(self, node: Node) -> bytes:
        if node.carrier is not None:
            return os.readlink(node.carrier, dir_fd=self._store)
        return super().read_link(node)

    def _demand_absent(self, parent: Node, name: bytes) -> None:
        if self.lookup(parent, name) is not None:
            raise failure(errno.EEXIST)

    def _appear(self, parent: Node, name: bytes, node: Node) -> None:
        self.nodes.place(node, parent, name)
        self._record(parent, name, node)
        self._touch(parent)

    def make_directory(self, parent: Node, name: bytes, mode: int) -> None:
        self._demand_absent(parent, name)
        carrier = self._next_carrier()
        os.mkdir(carrier, safe_mode(mode), dir_fd=self._store)
        self._appear(parent, name, self._new_node(stat.S_IFDIR, carrier))

    def make_node(self, parent: Node, name: bytes, mode: int) -> None:
        kind = stat.S_IFMT(mode) or stat.S_IFREG
        if kind not in (stat.S_IFREG, stat.S_IFIFO, stat.S_IFSOCK):
            raise failure(errno.EPERM)
        self._demand_absent(parent, name)
        carrier = self._next_carrier()
        os.mknod(carrier, kind | safe_mode(mode), dir_fd=self._store)
        self._appear(parent, name, self._new_node(kind, carrier))

    def make_link(self, parent: Node, name: bytes, target: bytes) -> None:
        self._demand_absent(parent, name)
        carrier = self._next_carrier()
        os.symlink(target, carrier, dir_fd=self._store)
        self._appear(parent, name, self._new_node(stat.S_IFLNK, carrier))

    def create(self, parent: Node, name: bytes, flags: int, mode: int) -> int:
        self._demand_absent(parent, name)
        carrier = self._next_carrier()
        fd = os.open(carrier, open_flags(flags) | os.O_CREAT | os.O_EXCL, safe_mode(mode), dir_fd=self._store)
        self._appear(parent, name, self._new_node(stat.S_IFREG, carrier))
        return fd

    def temporary(self, parent: Node, flags: int, mode: int) -> int:
        wanted = open_flags(flags) & ~os.O_NOFOLLOW | os.O_TMPFILE
        return os.open(magic(self._store), wanted, safe_mode(mode))

    def unnamed(self, fd: int) -> Node:
        node = self._new_node(stat.S_IFREG, b"")
        node.carrier, node.detached = None, True
        return node

    def remove(self, parent: Node, name: bytes, *, directory: bool) -> None:
        found = self.lookup(parent, name)
        if found is None:
            raise failure(errno.ENOENT)
        node = found[0]
        if directory != node.is_directory:
            raise failure(errno.ENOTDIR if directory else errno.EISDIR)
        if directory and self.listing(node):
            raise failure(errno.ENOTEMPTY)
        self._unrecord(parent, name)
        self._unlinked(node)
        self._touch(parent)

    def _unrecord(self, parent: Node, name: bytes) -> None:
        """``name`` is no more: hidden if the host has it, else forgotten."""
        if not parent.made and self._host_has(parent, name):
            self._record(parent, name, None)
        else:
            self._changes.get(parent, {}).pop(name, None)

    def _host_has(self, parent: Node, name: bytes) -> bool:
        try:
            self.look(parent, name)
        except OSError:
            return False
        return True

    def _unlinked(self, node: Node) -> None:
        node.links = (node.links or self.stat(node).st_nlink) - 1
        if node.is_directory or node.links <= 0:
            self._detach(node)
        else:
            node.pinned = True
            self._renew(node)

    def rename(self, parent: Node, name: bytes, new_parent: Node, new_name: bytes, flags: int) -> None:
        found, target = self.lookup(parent, name), self.lookup(new_parent, new_name)
        if found is None or (target is None and flags & _RENAME_EXCHANGE):
            raise failure(errno.ENOENT)
        if target is not None and flags & _RENAME_NOREPLACE:
            raise failure(errno.EEXIST)
        node = found[0]
        if target is not None and target[0] is node:
            return
        if new_parent.is_within(node) or (target is not None and parent.is_within(target[0])):
            raise failure(errno.EINVAL)
        if target is not None and not flags & _RENAME_EXCHANGE:
            self._demand_replaceable(node, target[0])
        self._remember_origin(node, parent, name)
        self._unrecord(parent, name)
        if target is not None:
            self._remember_origin(target[0], new_parent, new_name)
            if flags & _RENAME_EXCHANGE:
                self._record(parent, name, target[0])
            else:
                self._unlinked(target[0])
        self._record(new_parent, new_name, node)
        self._renew(node)
        self._touch(parent)
        self._touch(new_parent)

    def _demand_replaceable(self, node: Node, target: Node) -> None:
        if node.is_directory and not target.is_directory:
            raise failure(errno.ENOTDIR)
        if target.is_directory and not node.is_directory:
            raise failure(errno.EISDIR)
        if target.is_directory and self.listing(target):
            raise failure(errno.ENOTEMPTY)

    @staticmethod
    def _remember_origin(node: Node, parent: Node, name: bytes) -> None:
        """A file of the host is found where it was, wherever the guest moves it."""
        if not node.made and node.origin is None:
            node.origin = (parent, name)

    def same_file(self, parent: Node, name: bytes, new_parent: Node, new_name: bytes) -> bool:
        one, other = self.lookup(parent, name), self.lookup(new_parent, new_name)
        return one is not None and other is not None and one[0] is other[0]

    def link(self, node: Node, parent: Node, name: bytes) -> None:
        self._demand_absent(parent, name)
        if node.is_directory:
            raise failure(errno.EPERM)
        if node.detached:
            self._name_again(node)
        else:
            self._copy_up(node)
            node.links += 1
            if node.parent is not None:
                node.aliases |= {(node.parent, node.name)}
            self._renew(node)
        node.parent, node.name = parent, name
        self._record(parent, name, node)
        self._touch(parent)

    def _name_again(self, node: Node) -> None:
        """A file without a name, made by O_TMPFILE, gets one."""
        fd = node.any_fd()
        if fd < 0 or not node.made:
            raise failure(errno.ENOENT)
        carrier = self._next_carrier()
        os.link(magic(fd), carrier, dst_dir_fd=self._store, follow_symlinks=True)
        node.carrier, node.detached, node.links = carrier, False, 1

    # --- contents -----------------------------------------------------------------------------------------------

    def open(self, node: Node, flags: int) -> int:
        if not node.is_regular:
            raise failure(errno.ENXIO)
        if flags & 3 != os.O_RDONLY or flags & os.O_TRUNC:
            self._copy_up(node)
        if node.carrier is None:
            return super().open(node, flags)
        fd = os.open(node.carrier, open_flags(flags), dir_fd=self._store)
        if flags & os.O_TRUNC:
            self.grew(os.fstat(fd).st_size, 0)
            os.ftruncate(fd, 0)
        return fd

    # --- extended attributes ------------------------------------------------------------------------------------

    def set_attribute(self, node: Node, name: bytes, value: bytes, flags: int) -> None:
        self._copy_up(node)
        super().set_attribute(node, name, value, flags)

    def remove_attribute(self, node: Node, name: bytes) -> None:
        self._copy_up(node)
        super().remove_attribute(node, name)
