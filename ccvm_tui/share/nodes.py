"""The files that the guest knows: nodes, their names, and open handles."""

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

MISSING_MAX = 1 << 17
"""Names that the guest has looked up in vain, and that it may cache; see ``Nodes.note_missing``."""

_COUNTED_AFTER = 10_000
"""Refusals after which missing names are counted again."""

State = tuple[int, int, int, int, int]
"""The attributes that distinguish two versions of a file; see ``state_of``."""


def state_of(info: os.stat_result) -> State:
    """Return modification and change time in ns, size, mode and link count."""
    return (info.st_mtime_ns, info.st_ctime_ns, info.st_size, info.st_mode, info.st_nlink)


def same_content(first: State | None, second: State | None) -> bool:
    """Return whether two states have the same modification time and size. None differs from every state."""
    return first is not None and second is not None and first[::2][:2] == second[::2][:2]


def failure(error: int) -> OSError:
    """Return the exception for the error number ``error``."""
    return OSError(error, os.strerror(error))


def stale() -> OSError:
    """Return the exception for a node whose file has been moved or deleted. The guest's kernel repeats the lookup."""
    return failure(errno.ESTALE)


@dataclass(slots=True, eq=False)
class Handle:
    """An open file. The handle owns the descriptor ``fd``.

    If the handle is ``quiet``, the guest reports only the close of its last descriptor, not of each. Writes through a
    ``direct`` handle bypass the guest's page cache.
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

    ``parent`` and ``name`` are its last known place, ``aliases`` the known places of its other hard links. ``children``
    maps the names that the guest has looked up to their nodes, or to None for a name that did not exist. ``lookups`` is
    the guest's reference count. ``fd`` is the descriptor of an open directory, ``watch`` its inotify watch, each -1 for
    none. ``seen`` is the state that the guest's caches reflect, or None before the first reply with attributes.
    ``announced`` is the last state that the guest has produced itself or has received an event for. ``index`` is set
    for a file that both sides write through mappings. ``uncertain`` is true if the guest's caches may reflect an older
    state than ``seen``: of two replies that it receives at the same time, its kernel may ignore the newer one.

    ``filled`` is true if the guest may have filled pages of its cache since they were last dropped for a direct write.
    ``unlinked`` is true if the guest has removed a name of the file, or created the file without a name.

    The last fields are for files of a read-only project that the guest has edited (see ``edits``). ``made`` is true for
    a file that the guest has created, ``copied`` for a host file that was copied. ``backing`` is the name of the
    backing file, if there is one. A ``detached`` node has lost its last name. ``links`` is the number of names, or 0 if
    it is the host's. ``origin`` is the place on the host of a file that the guest has moved. A ``pinned`` node is kept
    when the guest forgets it.
    """

    id: int
    key: Key
    kind: int
    parent: Node | None
    name: bytes
    lookups: int = 0
    seen: State | None = None
    announced: State | None = None
    uncertain: bool = False
    filled: bool = False
    unlinked: bool = False
    fd: int = -1
    watch: int = -1
    index: WalIndex | None = None
    handles: dict[int, Handle] = field(default_factory=dict)
    children: dict[bytes, Node | None] = field(default_factory=dict)
    aliases: frozenset[tuple[Node, bytes]] = frozenset()  # a shared empty set for nearly all nodes
    made: bool = False
    copied: bool = False
    backing: bytes | None = None
    detached: bool = False
    links: int = 0
    origin: tuple[Node, bytes] | None = None
    pinned: bool = False

    @property
    def is_directory(self) -> bool:
        """True for a directory."""
        return self.kind == stat.S_IFDIR

    @property
    def is_regular(self) -> bool:
        """True for a regular file."""
        return self.kind == stat.S_IFREG

    def is_of(self, info: os.stat_result) -> bool:
        """Return whether ``info`` describes this file.

        The file type is compared as well, because an inode number may be reused for a file of another type.
        """
        return (info.st_dev, info.st_ino) == self.key and stat.S_IFMT(info.st_mode) == self.kind

    def is_within(self, node: Node) -> bool:
        """Return whether this is ``node`` or, according to the known places, below it."""
        above: Node | None = self
        while above is not None and above is not node:
            above = above.parent
        return above is node

    @property
    def cached(self) -> bool:
        """True if the file is open through a handle that uses the guest's page cache."""
        return not all(handle.direct for handle in self.handles.values())

    def any_fd(self) -> int:
        """Return the descriptor of any open handle, or -1."""
        for handle in self.handles.values():
            return handle.fd
        return -1


class Nodes:
    """All nodes, by number and by host file, and all handles, by number."""

    def __init__(self, root: Node) -> None:
        self.root = root
        self._nodes: dict[int, Node] = {ROOT_ID: root}
        self._by_key: dict[Key, Node] = {root.key: root}
        self._handles: dict[int, Handle] = {}
        self._next_node = ROOT_ID
        self._next_handle = 0
        self._allowance = self._refusals = 0

    def __getitem__(self, number: int) -> Node:
        node = self._nodes.get(number)
        if node is None:
            raise stale()
        return node

    def __iter__(self) -> Iterator[Node]:
        return iter(list(self._nodes.values()))

    @property
    def count(self) -> int:
        """The number of nodes that have been created."""
        return self._next_node

    def handle(self, number: int) -> Handle:
        """Return the handle ``number``. Raises OSError (EBADF) if it does not exist."""
        handle = self._handles.get(number)
        if handle is None:
            raise failure(errno.EBADF)
        return handle

    def by_key(self, key: Key) -> Node | None:
        """Return the node of the host file ``key``, or None."""
        return self._by_key.get(key)

    def intern(self, key: Key, mode: int, parent: Node, name: bytes) -> Node:
        """Return the node of the host file ``key``, found as ``name`` in ``parent``. Create it if necessary."""
        kind = stat.S_IFMT(mode)
        node = self._by_key.get(key)
        if node is not None and node.kind != kind:  # the inode number was reused
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
        """Return a new node for a file without a name."""
        self._next_node += 1
        node = Node(self._next_node, key, stat.S_IFMT(mode), None, b"")
        self._nodes[node.id] = self._by_key[key] = node
        node.unlinked = True
        return node

    def note_missing(self, parent: Node, name: bytes) -> None:
        """Record in ``parent.children`` that the guest has seen that ``name`` does not exist.

        A guest can look up any number of such names. Beyond ``MISSING_MAX`` they are not recorded.
        """
        if name not in parent.children and not self._may_note():
            return
        parent.children[name] = None

    def _may_note(self) -> bool:
        """Return whether one more missing name may be recorded. They are counted only now and then."""
        if self._refusals:
            self._refusals -= 1
            return False
        if not self._allowance:
            missing = sum(list(node.children.values()).count(None) for node in self._nodes.values())
            self._allowance = max(0, MISSING_MAX - missing)
            if not self._allowance:
                self._refusals = _COUNTED_AFTER
                return False
        self._allowance -= 1
        return True

    def place(self, node: Node, parent: Node, name: bytes) -> None:
        """Record that ``node`` was found as ``name`` in ``parent``.

        Raises OSError (ESTALE) if a directory would be below itself, which means that the known places are outdated.
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
        """Record that ``name`` was removed from ``parent``, and return its node, or None."""
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
        """Dissociate ``node`` from its inode number, which may be reused after the file has lost its last name."""
        if self._by_key.get(node.key) is node:
            del self._by_key[node.key]

    def rekey(self, node: Node, key: Key) -> None:
        """Associate ``node`` with the host file ``key``."""
        self.forget_key(node)
        node.key = key
        self._by_key[key] = node

    def forget(self, number: int, lookups: int) -> Node | None:
        """Drop ``lookups`` references. Return the node if these were the last ones and it was removed, else None."""
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

    def add_handle(self, node: Node, fd: int, *, writable: bool, quiet: bool = False, direct: bool = False) -> Handle:
        """Create a handle, which takes ownership of ``fd``."""
        self._next_handle += 1
        handle = Handle(self._next_handle, node, fd, writable, quiet, direct)
        self._handles[handle.id] = node.handles[handle.id] = handle
        return handle

    def mapped(self) -> list[Node]:
        """Return the open files that both sides write through mappings."""
        return [handle.node for handle in self._handles.values() if handle.node.index is not None]

    def remove_handle(self, handle: Handle) -> None:
        """Remove ``handle`` and close its descriptor."""
        del self._handles[handle.id]
        del handle.node.handles[handle.id]
        os.close(handle.fd)


def path_of(directory: Node, name: bytes) -> bytes:
    """Return the path of ``name`` in ``directory``, relative to the shared directory."""
    parts = [name]
    node: Node | None = directory
    while node is not None and node.parent is not None:
        parts.append(node.name)
        node = node.parent
    return b"/".join(reversed(parts))
