"""The guest's view of the shared directory: nodes, names, open files."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ccvm_tui.share.fuse import ROOT_ID

if TYPE_CHECKING:
    from ccvm_tui.share.walindex import WalIndex

Key = tuple[int, int]
"""Device and inode number of a host file."""

State = tuple[int, int, int, int, int]
"""The attributes that tell two versions of a file apart; see ``state_of``."""


def state_of(info: os.stat_result) -> State:
    """Modification and change time in ns, size, mode and link count."""
    return (info.st_mtime_ns, info.st_ctime_ns, info.st_size, info.st_mode, info.st_nlink)


def same_content(one: State | None, other: State | None) -> bool:
    """Whether two states have the same modification time and size; None is like nothing."""
    return one is not None and other is not None and one[::2][:2] == other[::2][:2]


def failure(error: int) -> OSError:
    """The exception for the error number ``error``."""
    return OSError(error, os.strerror(error))


def stale() -> OSError:
    """The error for a node whose file is no longer where it was. The guest's kernel looks the path up again."""
    return failure(errno.ESTALE)


@dataclass(slots=True, eq=False)
class Handle:
    """An open file. ``fd`` belongs to the handle.

    Of a ``quiet`` one the guest does not report each descriptor that is closed, but the last one only. What is written
    through a ``direct`` one does not pass through the guest's page cache.
    """

    id: int
    node: Node
    fd: int
    writable: bool
    quiet: bool = False
    direct: bool = False


@dataclass(slots=True, eq=False)
class Node:
    """A file or directory that the guest knows.

    ``parent`` and ``name`` are the place where it was found last. ``children`` maps the names that the guest has asked
    for to their nodes, or to None for a name that did not exist. ``lookups`` is the guest's reference count. ``seen``
    is the state that the guest's caches reflect, None before the first reply with attributes; ``announced`` the last
    that the guest has made itself or has had an event for. ``index`` is for a file that both sides write by mappings.

    ``filled`` tells that the guest may have filled pages of its cache since they were last dropped for a direct write.
    ``unlinked`` tells that the guest itself has taken a name from it, or given it none.

    The last fields are for files of a read-only share that the guest has edited (see ``edits``): ``made`` by the guest,
    ``carried`` by a copy whose name is ``carrier`` as long as it has a name, ``detached`` from its last name;
    ``origin`` is where the host has a file that the guest has moved; a ``pinned`` node stays when the guest forgets it.
    """

    id: int
    key: Key
    kind: int
    parent: Node | None
    name: bytes
    lookups: int = 0
    seen: State | None = None
    announced: State | None = None
    filled: bool = False
    unlinked: bool = False
    fd: int = -1
    watch: int = -1
    index: WalIndex | None = None
    handles: dict[int, Handle] = field(default_factory=dict)
    children: dict[bytes, Node | None] = field(default_factory=dict)
    aliases: frozenset[tuple[Node, bytes]] = frozenset()  # of nearly all nodes one and the same, empty
    made: bool = False
    carried: bool = False
    carrier: bytes | None = None
    detached: bool = False
    links: int = 0
    origin: tuple[Node, bytes] | None = None
    pinned: bool = False

    @property
    def is_directory(self) -> bool:
        return self.kind == stat.S_IFDIR

    @property
    def is_regular(self) -> bool:
        return self.kind == stat.S_IFREG

    def is_of(self, info: os.stat_result) -> bool:
        """Whether ``info`` is of this file. An inode number may have been used again, for another type of file even."""
        return (info.st_dev, info.st_ino) == self.key and stat.S_IFMT(info.st_mode) == self.kind

    def is_within(self, node: Node) -> bool:
        """Whether this is ``node`` or, as far as is known, below it."""
        above: Node | None = self
        while above is not None and above is not node:
            above = above.parent
        return above is node

    @property
    def cached(self) -> bool:
        """Whether a program of the guest has it open so that the guest's page cache is used."""
        return not all(handle.direct for handle in self.handles.values())

    def any_fd(self) -> int:
        """The descriptor of any open handle, or -1."""
        for handle in self.handles.values():
            return handle.fd
        return -1


class Nodes:
    """All nodes by number and by host file, and all handles."""

    def __init__(self, root: Node) -> None:
        self.root = root
        self._nodes: dict[int, Node] = {ROOT_ID: root}
        self._by_key: dict[Key, Node] = {root.key: root}
        self._handles: dict[int, Handle] = {}
        self._next_node = ROOT_ID
        self._next_handle = 0

    def __getitem__(self, number: int) -> Node:
        node = self._nodes.get(number)
        if node is None:
            raise stale()
        return node

    def __iter__(self) -> Iterator[Node]:
        return iter(list(self._nodes.values()))

    @property
    def count(self) -> int:
        """How many nodes there have been."""
        return self._next_node

    def handle(self, number: int) -> Handle:
        """The open file ``number``. Raises OSError (EBADF)."""
        handle = self._handles.get(number)
        if handle is None:
            raise failure(errno.EBADF)
        return handle

    def by_key(self, key: Key) -> Node | None:
        return self._by_key.get(key)

    def intern(self, key: Key, mode: int, parent: Node, name: bytes) -> Node:
        """The node of the host file ``key``, found as ``name`` in ``parent``; a new one where it is not known."""
        kind = stat.S_IFMT(mode)
        node = self._by_key.get(key)
        if node is not None and node.kind != kind:  # the inode number was used again
            self.forget_key(node)
            node = None
        if node is None:
            self._next_node += 1
            node = Node(self._next_node, key, kind, parent, name)
            self._nodes[node.id] = self._by_key[key] = node
        else:
            self.place(node, parent, name)
        parent.children[name] = node
        return node

    def unnamed(self, key: Key, mode: int) -> Node:
        """A new node for a file that has no name (yet)."""
        self._next_node += 1
        node = Node(self._next_node, key, stat.S_IFMT(mode), None, b"")
        self._nodes[node.id] = self._by_key[key] = node
        node.unlinked = True
        return node

    def place(self, node: Node, parent: Node, name: bytes) -> None:
        """Note that ``node`` was found as ``name`` in ``parent``.

        Raises OSError (ESTALE) for a directory that would be within itself: what is known is of different times.
        """
        old = node.parent
        if node.is_directory and old is not parent and parent.is_within(node):
            raise stale()
        if old is not None and (old is not parent or node.name != name):
            if not node.is_directory and old.children.get(node.name) is node:
                node.aliases |= {(old, node.name)}
            elif node.is_directory and old.children.get(node.name) is node:
                del old.children[node.name]  # a directory has one name
        if node.aliases:
            node.aliases -= {(parent, name)}
        node.parent, node.name = parent, name

    def unname(self, parent: Node, name: bytes) -> Node | None:
        """Note that ``parent`` no longer has ``name``; returns the node that it was."""
        node = parent.children.pop(name, None)
        if node is None:
            return None
        node.aliases -= {(parent, name)}
        if node.parent is parent and node.name == name and node.aliases:
            place = next(iter(node.aliases))
            node.aliases -= {place}
            node.parent, node.name = place
        return node

    def forget_key(self, node: Node) -> None:
        """Take the inode number from ``node``: its file has lost its last name, the number may be used again."""
        if self._by_key.get(node.key) is node:
            del self._by_key[node.key]

    def forget(self, number: int, lookups: int) -> Node | None:
        """Drop ``lookups`` references; returns the node if these were the last ones and it is gone."""
        node = self._nodes.get(number)
        if node is None or number == ROOT_ID:
            return None
        node.lookups -= lookups
        if node.lookups > 0 or node.handles or node.pinned:
            return None
        del self._nodes[number]
        self.forget_key(node)
        for parent, name in ((node.parent, node.name), *node.aliases):
            if parent is not None and parent.children.get(name) is node:
                del parent.children[name]
        return node

    def opened(self, node: Node, fd: int, *, writable: bool, quiet: bool = False, direct: bool = False) -> Handle:
        """Make a handle of ``fd``, which then belongs to it."""
        self._next_handle += 1
        handle = Handle(self._next_handle, node, fd, writable, quiet, direct)
        self._handles[handle.id] = node.handles[handle.id] = handle
        return handle

    def released(self, handle: Handle) -> None:
        """Drop ``handle`` and close its descriptor."""
        del self._handles[handle.id]
        del handle.node.handles[handle.id]
        os.close(handle.fd)
