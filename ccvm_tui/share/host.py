"""A host directory as a tree of nodes, writable.

Directories are kept open with path-only descriptors. Other files are addressed by directory and name, and verified by
device and inode number. If a name now belongs to another file, the request fails with ESTALE. Symbolic links are never
followed. The process runs as the user, so the guest has the user's permissions on the host.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from ccvm_tui import syscalls
from ccvm_tui.share.fuse import ROOT_ID
from ccvm_tui.share.hooks import Hooks
from ccvm_tui.share.nodes import Handle, Node, Nodes, failure, stale

_ACCMODE = 3
_ALWAYS = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY
_PATH = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC
_XATTRS = b"user."


@dataclass(frozen=True, slots=True)
class Change:
    """New attributes for a file; None leaves an attribute unchanged. Times are ns since 1970, or "now"."""

    mode: int | None = None
    uid: int | None = None
    gid: int | None = None
    size: int | None = None
    accessed: int | str | None = None
    modified: int | str | None = None


@dataclass(frozen=True, slots=True)
class Name:
    """One entry of a directory. ``kind`` is the file type as in st_mode, or 0 if unknown."""

    name: bytes
    inode: int
    kind: int


def safe_mode(mode: int) -> int:
    """Return the permission bits of ``mode`` without set-user-ID and set-group-ID, which a guest must not set."""
    return mode & 0o1777


def open_flags(flags: int) -> int:
    """Return the flags for open(2) on the host that correspond to the guest's."""
    return flags & (_ACCMODE | os.O_APPEND | os.O_SYNC | os.O_DSYNC) | _ALWAYS


class HostTree(Hooks):
    """The directory ``path``, read and written in place. Methods raise OSError like the system calls that they make.

    ``on_directory`` is called with each directory, and a descriptor of it, before its entries are read.
    ``on_forgotten`` is called when the guest no longer knows the directory. At most ``fds_max`` directories are kept
    open.
    """

    def __init__(
        self,
        path: str,
        fds_max: int,
        on_directory: Callable[[Node, int], None],
        on_forgotten: Callable[[Node], None],
    ) -> None:
        fd = os.open(path, _PATH | os.O_DIRECTORY)
        info = os.fstat(fd)
        root = Node(ROOT_ID, (info.st_dev, info.st_ino), stat.S_IFDIR, None, b"", lookups=1, fd=fd)
        self.nodes = Nodes(root)
        self._device = info.st_dev
        self._fds_max = fds_max
        self._open_directories: OrderedDict[int, Node] = OrderedDict()
        self._on_directory = on_directory
        self._on_forgotten = on_forgotten

    # --- places -----------------------------------------------------------------------------------------------

    def directory_fd(self, node: Node) -> int:
        """Return a path-only descriptor of a directory.

        The tree owns the descriptor. It survives one further call of this method, but later calls may close it.
        """
        if node.fd < 0:
            self._keep(node, self._open_directory(node))
        elif node is not self.nodes.root:
            self._open_directories.move_to_end(node.id)
        return node.fd

    def _open_directory(self, node: Node) -> int:
        """Open a directory, starting at its nearest open ancestor. The directories in between are closed again."""
        places: list[tuple[Node, bytes, Node]] = []
        passed = {node}
        below = node
        while below.fd < 0:
            parent, name = self._place(below)
            if parent in passed:  # moved on the host, and not all moves have been handled yet
                raise stale()
            passed.add(parent)
            places.append((parent, name, below))
            below = parent
        fd = below.fd
        for parent, name, below in reversed(places):
            try:
                following = os.open(name, _PATH | os.O_DIRECTORY, dir_fd=fd)
            finally:
                if fd != parent.fd:
                    os.close(fd)
            fd = following
            info = os.fstat(fd)
            if not below.is_of(info):
                os.close(fd)
                raise stale()
        return fd

    def _keep(self, node: Node, fd: int) -> None:
        node.fd = fd
        self._open_directories[node.id] = node
        if len(self._open_directories) > self._fds_max:
            _, oldest = self._open_directories.popitem(last=False)
            self.close_directory(oldest)

    def close_directory(self, node: Node) -> None:
        """Close the descriptor of a directory, if it is open."""
        self._open_directories.pop(node.id, None)
        if node.fd >= 0:
            os.close(node.fd)
            node.fd = -1

    def watch(self, node: Node) -> None:
        """Watch a directory for changes on the host."""
        self._on_directory(node, self.directory_fd(node))

    @staticmethod
    def _place(node: Node) -> tuple[Node, bytes]:
        """Return the last known directory and name of ``node`` on the host."""
        if node.origin is not None:
            return node.origin
        if node.parent is None:
            raise stale()
        return node.parent, node.name

    def _at(self, node: Node) -> tuple[int, bytes]:
        """Return the directory descriptor and the name of ``node``, which is not a directory, after verifying them."""
        places = [self._place(node), *node.aliases]
        for parent, name in places:
            try:
                fd = self.directory_fd(parent)
                info = os.stat(name, dir_fd=fd, follow_symlinks=False)
            except OSError:
                continue
            if node.is_of(info):
                return fd, name
        raise stale()

    # --- attributes -------------------------------------------------------------------------------------------

    def stat(self, node: Node) -> os.stat_result:
        """Return the attributes of the file. Symbolic links are not followed."""
        fd = node.any_fd()
        if fd >= 0:
            return os.fstat(fd)
        if node.is_directory:
            return os.fstat(self.directory_fd(node))
        parent, name = self._place(node)
        with contextlib.suppress(OSError):  # the directory may have been removed as well
            info = os.stat(name, dir_fd=self.directory_fd(parent), follow_symlinks=False)
            if node.is_of(info):
                return info
        fd, name = self._at(node)
        return os.stat(name, dir_fd=fd, follow_symlinks=False)

    def identity(self, _: Node, info: os.stat_result) -> tuple[int, int]:
        """Return the inode number and the link count to report to the guest.

        They are the host's, except that inode numbers of other file systems below the directory are made distinct.
        """
        if info.st_dev == self._device:
            return info.st_ino, info.st_nlink
        return info.st_ino ^ (info.st_dev & 0xFFFF) << 48, info.st_nlink

    def change(self, node: Node, change: Change, handle: Handle | None) -> None:
        """Set attributes. ``handle`` is the handle with which the guest truncates the file, if any."""
        if change.size is not None:
            self._truncate(node, change.size, handle)
        with self._pinned(node) as fd:
            if change.uid is not None or change.gid is not None:
                syscalls.change_owner(fd, change.uid, change.gid)
            if change.mode is not None:
                if node.kind == stat.S_IFLNK:
                    raise failure(errno.EOPNOTSUPP)
                mode = change.mode & 0o3777 if node.is_directory else safe_mode(change.mode)
                os.chmod(fd_path(fd), mode)
            if change.accessed is not None or change.modified is not None:
                syscalls.set_times(fd, change.accessed, change.modified)

    def _truncate(self, node: Node, size: int, handle: Handle | None) -> None:
        if handle is not None and handle.writable:
            os.ftruncate(handle.fd, size)
            return
        for other in node.handles.values():
            if other.writable:
                os.ftruncate(other.fd, size)
                return
        fd = self.open(node, os.O_WRONLY)
        try:
            os.ftruncate(fd, size)
        finally:
            os.close(fd)

    @contextlib.contextmanager
    def _pinned(self, node: Node) -> Iterator[int]:
        """Yield a verified descriptor of the file of ``node``, which may be path-only, for use within the context."""
        fd = node.any_fd()
        if fd >= 0 or node.is_directory:
            yield fd if fd >= 0 else self.directory_fd(node)
            return
        at, name = self._at(node)
        fd = os.open(name, _PATH, dir_fd=at)
        try:
            info = os.fstat(fd)
            if not node.is_of(info):
                raise stale()
            yield fd
        finally:
            os.close(fd)

    # --- names ------------------------------------------------------------------------------------------------

    def lookup(self, parent: Node, name: bytes) -> tuple[Node, os.stat_result] | None:
        """Return the node and the attributes of ``name`` in ``parent``, or None if it does not exist."""
        fd = self.directory_fd(parent)
        self._on_directory(parent, fd)
        try:
            info = os.stat(name, dir_fd=fd, follow_symlinks=False)
        except FileNotFoundError:
            self.nodes.unname(parent, name)
            parent.children[name] = None
            return None
        return self._intern(info, parent, name), info

    def stat_at(self, parent: Node, name: bytes) -> os.stat_result:
        """Return the attributes of ``name`` without creating a node for it."""
        return os.stat(name, dir_fd=self.directory_fd(parent), follow_symlinks=False)

    def _intern(self, info: os.stat_result, parent: Node, name: bytes) -> Node:
        known = self.nodes.by_key((info.st_dev, info.st_ino))
        if known is not None and _may_be_reused(known, info, parent, name):
            self.nodes.forget_key(known)
        node = self.nodes.intern((info.st_dev, info.st_ino), info.st_mode, parent, name)
        if node.is_directory and node.watch < 0:
            fd = self.directory_fd(node)
            self._on_directory(node, fd)
        return node

    def listing(self, node: Node) -> list[Name]:
        """Return all entries of a directory except "." and ".."."""
        fd = self.directory_fd(node)
        self._on_directory(node, fd)
        readable = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=fd)
        try:
            with os.scandir(readable) as entries:
                return [Name(os.fsencode(entry.name), entry.inode(), _kind(entry)) for entry in entries]
        finally:
            os.close(readable)

    def read_link(self, node: Node) -> bytes:
        """Return the target of a symbolic link."""
        at, name = self._at(node)
        return os.readlink(name, dir_fd=at)

    def make_directory(self, parent: Node, name: bytes, mode: int) -> None:
        """Create a directory."""
        os.mkdir(name, safe_mode(mode), dir_fd=self.directory_fd(parent))

    def make_node(self, parent: Node, name: bytes, mode: int) -> None:
        """Create a regular file, a FIFO or a socket. Raises OSError (EPERM) for a device node."""
        if stat.S_IFMT(mode) not in (0, stat.S_IFREG, stat.S_IFIFO, stat.S_IFSOCK):
            raise failure(errno.EPERM)
        os.mknod(name, stat.S_IFMT(mode) | safe_mode(mode), dir_fd=self.directory_fd(parent))

    def make_link(self, parent: Node, name: bytes, target: bytes) -> None:
        """Create a symbolic link."""
        os.symlink(target, name, dir_fd=self.directory_fd(parent))

    def create(self, parent: Node, name: bytes, flags: int, mode: int) -> int:
        """Create and open a regular file, and return its descriptor. Raises OSError (EEXIST) if the name exists."""
        flags = open_flags(flags) | os.O_CREAT | os.O_EXCL
        return os.open(name, flags, safe_mode(mode), dir_fd=self.directory_fd(parent))

    def temporary(self, parent: Node, flags: int, mode: int) -> int:
        """Create and open a file without a name, and return its descriptor."""
        fd = self.directory_fd(parent)
        return os.open(f"/proc/self/fd/{fd}", open_flags(flags) & ~os.O_NOFOLLOW | os.O_TMPFILE, safe_mode(mode))

    def remove(self, parent: Node, name: bytes, *, directory: bool) -> None:
        """Delete a file, or an empty directory if ``directory`` is true."""
        if directory:
            os.rmdir(name, dir_fd=self.directory_fd(parent))
        else:
            os.unlink(name, dir_fd=self.directory_fd(parent))

    def rename(self, parent: Node, name: bytes, new_parent: Node, new_name: bytes, flags: int) -> None:
        """Rename a file; ``flags`` as in renameat2(2)."""
        syscalls.rename(self.directory_fd(parent), name, self.directory_fd(new_parent), new_name, flags)

    def same_file(self, parent: Node, name: bytes, new_parent: Node, new_name: bytes) -> bool:
        """Return whether both names exist and are links to the same file."""
        try:
            source = os.stat(name, dir_fd=self.directory_fd(parent), follow_symlinks=False)
            target = os.stat(new_name, dir_fd=self.directory_fd(new_parent), follow_symlinks=False)
        except OSError:
            return False
        return os.path.samestat(source, target)

    def link(self, node: Node, parent: Node, name: bytes) -> None:
        """Create another name for ``node``."""
        fd = node.any_fd()
        if fd >= 0:
            os.link(f"/proc/self/fd/{fd}", name, dst_dir_fd=self.directory_fd(parent), follow_symlinks=True)
            return
        at, old = self._at(node)
        os.link(old, name, src_dir_fd=at, dst_dir_fd=self.directory_fd(parent), follow_symlinks=False)

    # --- contents ---------------------------------------------------------------------------------------------

    def open(self, node: Node, flags: int) -> int:
        """Open a regular file, and return its descriptor. With O_TRUNC, only the verified file is truncated."""
        if not node.is_regular:
            raise failure(errno.ENXIO)
        held = node.any_fd()
        if not node.unlinked and (
            self.nodes.by_key(node.key) is not node or (held >= 0 and not os.fstat(held).st_nlink)
        ):
            raise stale()  # replaced or deleted on the host, and the guest has not been notified yet
        if held >= 0:
            fd = os.open(f"/proc/self/fd/{held}", open_flags(flags) & ~os.O_NOFOLLOW)
        else:
            fd = self._open_by_name(node, open_flags(flags))
        if flags & os.O_TRUNC:
            try:
                os.ftruncate(fd, 0)
            except OSError:
                os.close(fd)
                raise
        return fd

    def _open_by_name(self, node: Node, flags: int) -> int:
        parent, name = self._place(node)
        for attempt in range(2):
            try:
                at, name = (self.directory_fd(parent), name) if attempt == 0 else self._at(node)
                fd = os.open(name, flags, dir_fd=at)
            except OSError as error:
                if error.errno not in (errno.ENOENT, errno.ENOTDIR, errno.ESTALE):
                    raise
                continue
            info = os.fstat(fd)
            if node.is_of(info):
                return fd
            os.close(fd)
        raise stale()

    def unnamed(self, fd: int) -> Node:
        """Return a new node for the file ``fd``, which ``temporary`` has created."""
        info = os.fstat(fd)
        return self.nodes.unnamed((info.st_dev, info.st_ino), info.st_mode)

    def forgotten(self, node: Node) -> None:
        """Release the resources of ``node``, which the guest no longer knows."""
        self.close_directory(node)
        if node.watch >= 0:
            self._on_forgotten(node)

    # --- file system and extended attributes ------------------------------------------------------------------

    def usage(self) -> os.statvfs_result:
        """Return the size and the free space of the file system."""
        return os.fstatvfs(self.directory_fd(self.nodes.root))

    def get_attribute(self, node: Node, name: bytes) -> bytes:
        """Return an extended attribute. Only ``user.*`` attributes are supported."""
        _require_user_attribute(name)
        with self._pinned(node) as fd:
            return os.getxattr(fd_path(fd), name)

    def list_attributes(self, node: Node) -> list[bytes]:
        """Return the names of the ``user.*`` attributes."""
        if node.kind == stat.S_IFLNK:
            return []
        with self._pinned(node) as fd:
            names = [os.fsencode(name) for name in os.listxattr(fd_path(fd))]
        return [name for name in names if name.startswith(_XATTRS)]

    def set_attribute(self, node: Node, name: bytes, value: bytes, flags: int) -> None:
        """Set an extended attribute; ``flags`` as in setxattr(2)."""
        _require_user_attribute(name)
        with self._pinned(node) as fd:
            os.setxattr(fd_path(fd), name, value, flags)

    def remove_attribute(self, node: Node, name: bytes) -> None:
        """Remove an extended attribute."""
        _require_user_attribute(name)
        with self._pinned(node) as fd:
            os.removexattr(fd_path(fd), name)


def _may_be_reused(node: Node, info: os.stat_result, parent: Node, name: bytes) -> bool:
    """Return whether the inode number of ``node`` may have been reused for the file ``name`` in ``parent``.

    The number of an open file is not reused. A new file cannot be distinguished from a renamed one; treating a renamed
    file as new is safe.
    """
    elsewhere = node.parent is not parent or node.name != name
    return elsewhere and info.st_nlink == 1 and not node.handles and not node.is_directory


def user_attributes(fd: int) -> list[tuple[bytes, bytes]]:
    """Return the names and values of the ``user.*`` attributes of the open file ``fd``."""
    try:
        names = [os.fsencode(name) for name in os.listxattr(fd_path(fd))]
        return [(name, os.getxattr(fd_path(fd), name)) for name in names if name.startswith(_XATTRS)]
    except OSError:  # the file system does not support them
        return []


def fd_path(fd: int) -> str:
    """Return a path of the open file ``fd``, for calls that do not accept a path-only descriptor."""
    return f"/proc/self/fd/{fd}"


def _require_user_attribute(name: bytes) -> None:
    if not name.startswith(_XATTRS):
        raise failure(errno.EOPNOTSUPP)


def _kind(entry: os.DirEntry[str]) -> int:
    """Return the file type as in st_mode, or 0 if it is not a link, a directory or a regular file."""
    if entry.is_symlink():
        return stat.S_IFLNK
    if entry.is_dir(follow_symlinks=False):
        return stat.S_IFDIR
    return stat.S_IFREG if entry.is_file(follow_symlinks=False) else 0
