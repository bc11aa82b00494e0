"""A host directory that the guest can change without changing the host. The changes are kept elsewhere.

The guest sees the host's tree overlaid with its own edits, name by name, so that changes on the host remain visible
wherever the guest has not edited. A file is copied when it is first written to. It keeps its inode number, and open
descriptors are switched to the copy. A directory can be renamed without copying its contents.

The content and attributes of an edited file are stored in its *backing file*, which has a numeric name in a private
directory. The backing file of a directory is an empty directory, which stores its attributes.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Callable, Iterator
from typing import Any

from ccvm_tui import syscalls
from ccvm_tui.share.edit_record import EditRecord
from ccvm_tui.share.host import Change, HostTree, Name, fd_path, open_flags, safe_mode, user_attributes
from ccvm_tui.share.nodes import Handle, Node, failure

_FIRST_INODE = 1 << 40
"""The first inode number of files that exist only in the guest, above the numbers that common file systems use."""

_NAME_MAX = 255
_CHUNK = 1 << 20
_RENAME_NOREPLACE, _RENAME_EXCHANGE = 1, 2


class EditsTree(HostTree):
    """The directory ``path``, with the guest's edits in the empty, private directory ``store``.

    ``capacity`` is the maximum size of all edits in bytes. Beyond it, requests fail with ENOSPC.
    """

    def __init__(
        self,
        path: str,
        fds_max: int,
        on_directory: Callable[[Node, int], None],
        on_forgotten: Callable[[Node], None],
        *,
        store: str,
        capacity: int,
    ) -> None:
        super().__init__(path, fds_max, on_directory, on_forgotten)
        self._store = os.open(store, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        self._capacity = capacity
        self._used = 0
        self._backing_count = 0
        self._edits = EditRecord(self, self._store, self._next_backing)
        self._inodes = _FIRST_INODE

    # --- edits --------------------------------------------------------------------------------------------------

    def edits(self) -> Iterator[bytes]:
        """Yield the relative paths of all files that the guest created, changed, moved or deleted.

        An edit that was applied to the host is not included until the guest edits the file again.
        """
        return self._edits.paths()

    def list_edits(self) -> list[dict[str, Any]]:
        """Return the edits for the host; see ``edit_list``.

        A moved file whose old name is in use again is copied first, because the host's file may be replaced.
        """
        for node in self._edits.displaced():
            with contextlib.suppress(OSError):
                self._copy_up(node)
        return self._edits.listed()

    def accept(self, path: bytes) -> None:
        """Take the host's file at ``path``, to which an edit was applied, as the one that the guest edits."""
        self._edits.accept(path)

    def revive(self, path: bytes) -> None:
        """Make an edit of what was applied at ``path``, because that is about to be undone."""
        self._edits.revive(path)

    def shadows(self, parent: Node, name: bytes) -> bool:
        """Return whether an edit hides the host's ``name`` from the guest."""
        return name in self._edits.of(parent) or parent.made

    def shadows_node(self, node: Node) -> bool:
        """Return whether ``node`` is independent of the host's files."""
        return node.made or node.copied

    def private(self, node: Node) -> bool:
        """Return whether only the guest can change the entries of ``node``, a directory."""
        return node.made

    def _touch(self, parent: Node) -> None:
        """Update the times of ``parent``, whose entries have changed."""
        self._copy_up(parent)
        assert parent.backing is not None
        os.utime(parent.backing, dir_fd=self._store)

    def _update_ctime(self, node: Node) -> None:
        """Update the change time of ``node``, whose names have changed."""
        if node.backing is not None:
            with self._pinned(node) as fd:
                syscalls.set_times(fd, None, os.fstat(fd).st_mtime_ns)

    def _new_node(self, kind: int, backing: bytes) -> Node:
        self._inodes += 1
        node = self.nodes.unnamed((-1, self._inodes), kind)
        node.made, node.backing, node.links = True, backing, 1
        return node

    def _next_backing(self) -> bytes:
        self._backing_count += 1
        return str(self._backing_count).encode()

    # --- capacity -----------------------------------------------------------------------------------------------

    def require_space(self, size: int) -> None:
        """Raise OSError (ENOSPC) if the edits cannot grow by ``size`` bytes."""
        if self._used + size > self._capacity:
            raise failure(errno.ENOSPC)

    def resized(self, before: int, after: int) -> None:
        """Update the total size of the edits after the size of a file has changed."""
        self._used += after - before

    def usage(self) -> os.statvfs_result:
        """Return the capacity and the free space of the edits."""
        real = os.fstatvfs(self._store)
        size, free = self._capacity // real.f_frsize, max(0, self._capacity - self._used) // real.f_frsize
        free = min(free, real.f_bavail)
        values = (real.f_bsize, real.f_frsize, size, free, free, real.f_files, real.f_ffree, real.f_favail, 0, 255)
        return os.statvfs_result(values)

    # --- copies -------------------------------------------------------------------------------------------------

    def _copy_up(self, node: Node) -> None:
        """Copy the host's file to a new backing file, unless ``node`` already has one."""
        if node.made or node.copied:
            return
        for parent, name in (node.origin or (node.parent, node.name), *node.aliases):
            if parent is not None:
                self._edits.note_base(parent, name, copy=node.is_regular)
        info = super().stat(node)
        backing = self._next_backing()
        if node.is_directory:
            os.mkdir(backing, 0o700, dir_fd=self._store)
        elif node.kind == stat.S_IFLNK:
            os.symlink(super().read_link(node), backing, dir_fd=self._store)
        elif node.is_regular:
            self._copy_content(node, info.st_size, backing)
        else:
            os.mknod(backing, node.kind | 0o600, dir_fd=self._store)
        with super()._pinned(node) as original:
            attributes = [] if node.kind == stat.S_IFLNK else user_attributes(original)
        node.backing, node.copied = backing, True
        node.links = node.links or info.st_nlink
        with self._pinned(node) as fd:
            for name, value in attributes:
                with contextlib.suppress(OSError):  # the store's file system may not support them
                    os.setxattr(fd_path(fd), name, value)
            if node.kind != stat.S_IFLNK:
                os.chmod(fd_path(fd), stat.S_IMODE(info.st_mode) & ~stat.S_ISUID)
            syscalls.set_times(fd, info.st_atime_ns, info.st_mtime_ns)
        self._switch_handles(node)
        if node.detached:
            self._detach(node)
            return
        for parent, name in ((node.parent, node.name), *node.aliases):
            if parent is not None:
                self._edits.put(parent, name, node)

    def _copy_content(self, node: Node, size: int, backing: bytes) -> None:
        self.require_space(size)
        source = super().open(node, os.O_RDONLY)
        try:
            target = os.open(backing, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600, dir_fd=self._store)
            try:
                while data := os.read(source, _CHUNK):
                    view = memoryview(data)
                    while view:
                        view = view[os.write(target, view) :]
                self.resized(0, os.fstat(target).st_size)
            except OSError:
                os.unlink(backing, dir_fd=self._store)
                raise
            finally:
                os.close(target)
        finally:
            os.close(source)

    def _switch_handles(self, node: Node) -> None:
        """Replace the open descriptors of the host's file with descriptors of the backing file."""
        assert node.backing is not None
        for handle in node.handles.values():
            fd = os.open(node.backing, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=self._store)
            os.dup2(fd, handle.fd, inheritable=False)
            os.close(fd)

    def _detach(self, node: Node) -> None:
        """Remove the backing file of ``node``, which has lost its last name.

        Its open descriptors remain valid. A directory keeps its backing file until it is forgotten.
        """
        if node.backing is not None and not node.is_directory:
            if not node.handles:
                self.resized(os.stat(node.backing, dir_fd=self._store, follow_symlinks=False).st_size, 0)
            os.unlink(node.backing, dir_fd=self._store)
            node.backing = None
        node.detached, node.pinned = True, False
        self._edits.forget(node)
        self.nodes.forget_key(node)

    def forgotten(self, node: Node) -> None:
        """Release the resources of ``node``, which the guest no longer knows."""
        super().forgotten(node)
        if node.detached and node.backing is not None:
            os.rmdir(node.backing, dir_fd=self._store)

    def closing(self, handle: Handle) -> None:
        """Account for the space that is freed if ``handle`` is the last of a deleted file."""
        node = handle.node
        if node.detached and len(node.handles) == 1:
            self.resized(os.fstat(handle.fd).st_size, 0)

    # --- attributes ---------------------------------------------------------------------------------------------

    def stat(self, node: Node) -> os.stat_result:
        """Return the attributes of the backing file, or of the host's file if there is none."""
        if node.backing is not None:
            return os.stat(node.backing, dir_fd=self._store, follow_symlinks=False)
        if node.detached and not node.handles and not node.is_directory:
            raise failure(errno.ENOENT)
        return super().stat(node)

    def identity(self, node: Node, info: os.stat_result) -> tuple[int, int]:
        """Return the inode number and the link count to report to the guest."""
        if node.is_directory and (node.made or node.backing is not None):
            return node.key[1], 0 if node.detached else 1  # as on btrfs: the number of subdirectories is not counted
        if node.detached:
            return node.key[1], 0
        inode, links = super().identity(node, info)
        return (node.key[1] if node.made or node.backing is not None else inode), node.links or links

    @contextlib.contextmanager
    def _pinned(self, node: Node) -> Iterator[int]:
        if node.backing is None:
            with super()._pinned(node) as fd:
                yield fd
            return
        fd = os.open(node.backing, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=self._store)
        try:
            yield fd
        finally:
            os.close(fd)

    def change(self, node: Node, change: Change, handle: Handle | None) -> None:
        """Set the attributes of the file's copy."""
        self._copy_up(node)
        before = self.stat(node).st_size
        if change.size is not None:
            self.require_space(max(0, change.size - before))
        super().change(node, change, handle)
        if change.size is not None:
            self.resized(before, change.size)

    # --- names --------------------------------------------------------------------------------------------------

    def lookup(self, parent: Node, name: bytes) -> tuple[Node, os.stat_result] | None:
        """Return the node and the attributes of ``name`` in ``parent``, or None if it does not exist."""
        if parent.detached:
            raise failure(errno.ENOENT)
        if len(name) > _NAME_MAX:
            raise failure(errno.ENAMETOOLONG)
        changes = self._edits.of(parent)
        if name in changes:
            node = changes[name]
            if node is None:
                self.nodes.unname(parent, name)
                self.nodes.note_missing(parent, name)
                return None
            self.nodes.place(node, parent, name)
            parent.children[name] = node
            return node, self.stat(node)
        if parent.made:
            self.nodes.note_missing(parent, name)
            return None
        found = super().lookup(parent, name)
        if found is None:
            return None
        node, info = found
        return node, info if node.backing is None else self.stat(node)

    def listing(self, node: Node) -> list[Name]:
        """Return all entries of a directory except "." and ".."."""
        if node.detached:
            return []
        changes = self._edits.of(node)
        below = [] if node.made else [name for name in super().listing(node) if name.name not in changes]
        above = [Name(name, child.key[1], child.kind) for name, child in changes.items() if child is not None]
        return below + above

    def read_link(self, node: Node) -> bytes:
        """Return the target of a symbolic link."""
        if node.backing is not None:
            return os.readlink(node.backing, dir_fd=self._store)
        return super().read_link(node)

    def _require_absent(self, parent: Node, name: bytes) -> None:
        if self.lookup(parent, name) is not None:
            raise failure(errno.EEXIST)

    def _appear(self, parent: Node, name: bytes, node: Node) -> None:
        self.nodes.place(node, parent, name)
        self._edits.put(parent, name, node)
        self._touch(parent)

    def make_directory(self, parent: Node, name: bytes, mode: int) -> None:
        """Create a directory."""
        self._require_absent(parent, name)
        backing = self._next_backing()
        os.mkdir(backing, safe_mode(mode), dir_fd=self._store)
        self._appear(parent, name, self._new_node(stat.S_IFDIR, backing))

    def make_node(self, parent: Node, name: bytes, mode: int) -> None:
        """Create a regular file, a FIFO or a socket. Raises OSError (EPERM) for a device node."""
        kind = stat.S_IFMT(mode) or stat.S_IFREG
        if kind not in (stat.S_IFREG, stat.S_IFIFO, stat.S_IFSOCK):
            raise failure(errno.EPERM)
        self._require_absent(parent, name)
        backing = self._next_backing()
        os.mknod(backing, kind | safe_mode(mode), dir_fd=self._store)
        self._appear(parent, name, self._new_node(kind, backing))

    def make_link(self, parent: Node, name: bytes, target: bytes) -> None:
        """Create a symbolic link."""
        self._require_absent(parent, name)
        backing = self._next_backing()
        os.symlink(target, backing, dir_fd=self._store)
        self._appear(parent, name, self._new_node(stat.S_IFLNK, backing))

    def create(self, parent: Node, name: bytes, flags: int, mode: int) -> int:
        """Create and open a regular file, and return its descriptor. Raises OSError (EEXIST) if the name exists."""
        self._require_absent(parent, name)
        backing = self._next_backing()
        fd = os.open(backing, open_flags(flags) | os.O_CREAT | os.O_EXCL, safe_mode(mode), dir_fd=self._store)
        self._appear(parent, name, self._new_node(stat.S_IFREG, backing))
        return fd

    def temporary(self, _: Node, flags: int, mode: int) -> int:
        """Create and open a file without a name, and return its descriptor."""
        flags = open_flags(flags) & ~os.O_NOFOLLOW | os.O_TMPFILE
        return os.open(fd_path(self._store), flags, safe_mode(mode))

    def unnamed(self, _: int) -> Node:
        """Return a new node for a file that ``temporary`` has created."""
        node = self._new_node(stat.S_IFREG, b"")
        node.backing, node.detached = None, True
        return node

    def remove(self, parent: Node, name: bytes, *, directory: bool) -> None:
        """Delete a file, or an empty directory if ``directory`` is true."""
        found = self.lookup(parent, name)
        if found is None:
            raise failure(errno.ENOENT)
        node = found[0]
        if directory != node.is_directory:
            raise failure(errno.ENOTDIR if directory else errno.EISDIR)
        if directory and self.listing(node):
            raise failure(errno.ENOTEMPTY)
        self._edits.remove(parent, name)
        self._unlinked(node)
        self._touch(parent)

    def _unlinked(self, node: Node) -> None:
        node.links = (node.links or self.stat(node).st_nlink) - 1
        if node.is_directory or node.links <= 0:
            self._detach(node)
        else:
            node.pinned = True
            self._update_ctime(node)

    def rename(self, parent: Node, name: bytes, new_parent: Node, new_name: bytes, flags: int) -> None:
        """Rename a file; ``flags`` as in renameat2(2)."""
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
            self._require_replaceable(node, target[0])
        self._remember_origin(node, parent, name)
        self._edits.remove(parent, name)
        if target is not None:
            self._remember_origin(target[0], new_parent, new_name)
            if flags & _RENAME_EXCHANGE:
                self._edits.put(parent, name, target[0])
            else:
                self._unlinked(target[0])
        self._edits.put(new_parent, new_name, node)
        self._update_ctime(node)
        self._touch(parent)
        self._touch(new_parent)

    def _require_replaceable(self, node: Node, target: Node) -> None:
        if node.is_directory and not target.is_directory:
            raise failure(errno.ENOTDIR)
        if target.is_directory and not node.is_directory:
            raise failure(errno.EISDIR)
        if target.is_directory and self.listing(target):
            raise failure(errno.ENOTEMPTY)

    @staticmethod
    def _remember_origin(node: Node, parent: Node, name: bytes) -> None:
        """Record the place of a host file that the guest moves, because the host's file stays there."""
        if not node.made and node.origin is None:
            node.origin = (parent, name)

    def same_file(self, parent: Node, name: bytes, new_parent: Node, new_name: bytes) -> bool:
        """Return whether both names exist and are links to the same file."""
        source, target = self.lookup(parent, name), self.lookup(new_parent, new_name)
        return source is not None and target is not None and source[0] is target[0]

    def link(self, node: Node, parent: Node, name: bytes) -> None:
        """Create another name for ``node``."""
        self._require_absent(parent, name)
        if node.is_directory:
            raise failure(errno.EPERM)
        if node.detached:
            self._relink(node)
        else:
            self._copy_up(node)
            node.links += 1
            if node.parent is not None:
                node.aliases |= {(node.parent, node.name)}
            self._update_ctime(node)
        node.parent, node.name = parent, name
        self._edits.put(parent, name, node)
        self._touch(parent)

    def _relink(self, node: Node) -> None:
        """Create a backing file for a file without a name, which O_TMPFILE has created."""
        fd = node.any_fd()
        if fd < 0 or not node.made:
            raise failure(errno.ENOENT)
        backing = self._next_backing()
        os.link(fd_path(fd), backing, dst_dir_fd=self._store, follow_symlinks=True)
        node.backing, node.detached, node.links = backing, False, 1

    # --- contents -----------------------------------------------------------------------------------------------

    def open(self, node: Node, flags: int) -> int:
        """Open a regular file, and return its descriptor. The file is copied first if it is opened for writing."""
        if not node.is_regular:
            raise failure(errno.ENXIO)
        if flags & 3 != os.O_RDONLY or flags & os.O_TRUNC:
            self._copy_up(node)
        if node.backing is None:
            return super().open(node, flags)
        fd = os.open(node.backing, open_flags(flags), dir_fd=self._store)
        if flags & os.O_TRUNC:
            self.resized(os.fstat(fd).st_size, 0)
            os.ftruncate(fd, 0)
        return fd

    # --- extended attributes ------------------------------------------------------------------------------------

    def set_attribute(self, node: Node, name: bytes, value: bytes, flags: int) -> None:
        """Set an extended attribute of the file's copy."""
        self._copy_up(node)
        super().set_attribute(node, name, value, flags)

    def remove_attribute(self, node: Node, name: bytes) -> None:
        """Remove an extended attribute of the file's copy."""
        self._copy_up(node)
        super().remove_attribute(node, name)
