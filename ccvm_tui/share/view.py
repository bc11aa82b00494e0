"""The guest's view of a tree: replies that make files known to the guest, and the record of what it knows."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Iterator
from typing import Final, Protocol

from ccvm_tui.share import fuse
from ccvm_tui.share.host import HostTree
from ccvm_tui.share.nodes import Node, State, failure, same_content, state_of
from ccvm_tui.share.request import Call, Reply

_VALID: Final = 3600
"""Seconds for which the guest caches names and attributes if changes are reported to it."""

_VALID_UNREPORTED: Final = 1
"""Seconds for which the guest caches names and attributes if other machines can change them without a report."""

MOVED_FROM, MOVED_TO, CREATED, DELETED = 0x40, 0x80, 0x100, 0x200
"""The flags IN_MOVED_FROM, IN_MOVED_TO, IN_CREATE and IN_DELETE of inotify(7)."""


class Caches(Protocol):
    """The guest's caches, and the helper in the guest that updates them."""

    def cacheable(self, node: Node) -> bool:
        """Return whether the guest may cache the names and attributes in ``node``, a directory.

        It may if the guest is notified of each change.
        """

    def expect_event(self, parent: Node, name: bytes, mask: int) -> None:
        """Record that the guest has caused the next event of ``mask`` for ``name``."""

    def refresh(self, node: Node, then: Callable[[], None]) -> None:
        """Make the guest drop the cached content and attributes of ``node``, a file, then call ``then``."""

    def drop(self, node: Node, then: Callable[[], None]) -> None:
        """Make the guest drop the pages of ``node``, a file, without an inotify event, then call ``then``."""

    def settled(self, node: Node, then: Callable[[], None]) -> None:
        """Call ``then`` when the outstanding instructions for ``node``, a file, have taken effect in the guest."""

    def flush(self, node: Node, then: Callable[[], None]) -> None:
        """Make the guest write back the pages of ``node`` that were changed in mappings, then call ``then``."""

    def answer(self, call: Call, body: bytes) -> Reply | None:
        """Return the reply to a request that the helper made for an instruction, or None for any other request."""


class View:
    """The guest's view of ``tree``.

    ``caches`` decides what the guest may cache. ``reported`` is true if every change of the directory is reported, as
    on local file systems.
    """

    def __init__(self, tree: HostTree, caches: Caches, *, reported: bool) -> None:
        self._tree = tree
        self._nodes = tree.nodes
        self._caches = caches
        self._valid = _VALID if reported else _VALID_UNREPORTED

    # --- replies ------------------------------------------------------------------------------------------------

    def attributes(self, node: Node, info: os.stat_result) -> tuple[bytes, int]:
        """Return the encoded attributes of ``node`` and their validity in seconds."""
        state = state_of(info)
        if node.seen is not None and not same_content(node.seen, state):
            node.uncertain = True  # an earlier reply, with the previous state, may not have been processed yet
        node.seen = state
        if node.announced is None:
            node.announced = node.seen
        inode, links = self._tree.identity(node, info)
        cacheable = node is self._nodes.root or (node.parent is not None and self.cacheable(node.parent))
        if node.is_directory:
            cacheable = cacheable and self.cacheable(node)
        elif node.is_regular and links != 1:
            cacheable = False  # a change through another name, in an unwatched directory, is not reported
        return fuse.attributes(info, inode, links), self._valid if cacheable else 0

    def cacheable(self, node: Node) -> bool:
        """Return whether the guest may cache the names and attributes in ``node``, a directory."""
        return self._caches.cacheable(node) or self._tree.private(node)

    def state(self, node: Node) -> State:
        """Return the current state of the file."""
        return state_of(self._tree.stat(node))

    def record_change(self, node: Node, before: State | None = None) -> None:
        """Record that the guest itself has just changed ``node``.

        ``before`` is the state before the change, or None if the call changes neither times nor size. It distinguishes
        the guest's change from concurrent changes by the host's programs.
        """
        after = self.state(node)
        known = after if before is None else before
        if same_content(node.seen, known):
            node.seen = after
        if same_content(node.announced, known):
            node.announced = after

    def entry(self, parent: Node, node: Node, info: os.stat_result) -> bytes:
        """Return the reply that makes ``node`` known to the guest as an entry of ``parent``. Counts a reference."""
        attributes, valid = self.attributes(node, info)
        node.lookups += 1
        return fuse.entry(node.id, attributes, self.validity(parent), valid)

    def uncached_entry(self, node: Node, info: os.stat_result) -> bytes:
        """Return the same as ``entry`` for a file that does not have the name that the guest has used."""
        attributes, _ = self.attributes(node, info)
        node.lookups += 1
        return fuse.entry(node.id, attributes, 0, 0)

    def entry_of(self, parent: Node, name: bytes) -> bytes:
        """Return the same as ``entry`` for ``name``, which was just created. Raises OSError if it does not exist."""
        found = self._tree.lookup(parent, name)
        if found is None:
            raise failure(errno.ENOENT)
        return self.entry(parent, *found)

    def entry_or_none(self, parent: Node, name: bytes) -> bytes | None:
        """Return the same as ``entry`` for ``name``, or None if it does not exist."""
        found = self._tree.lookup(parent, name)
        return None if found is None else self.entry(parent, *found)

    def former_entry(self, parent: Node, name: bytes, *, directory: bool) -> bytes:
        """Return an entry for a name that no longer exists, so that the guest can remove it from its cache."""
        node = parent.children.get(name)
        kind = stat.S_IFDIR if directory else stat.S_IFREG
        if node is None or node.kind != kind:
            node = self._nodes.unnamed((0, self._nodes.count), kind)
        node.lookups += 1
        return fuse.entry(node.id, fuse.placeholder(node.key[1], kind | 0o700, 2 if directory else 1), 0, 0)

    def attributes_reply(self, node: Node) -> bytes:
        """Return the reply to GETATTR and SETATTR."""
        attributes, valid = self.attributes(node, self._tree.stat(node))
        return fuse.ATTR_OUT.pack(valid, 0, 0) + attributes

    def renewed(self, number: int) -> bytes:
        """Return the current attributes, as the reply to a SETATTR that is not carried out."""
        return self.attributes_reply(self._nodes[number])

    def validity(self, parent: Node) -> int:
        """Return the number of seconds for which the guest may cache the names in ``parent``."""
        return self._valid if self.cacheable(parent) else 0

    # --- known files --------------------------------------------------------------------------------------------

    def stat_at(self, parent: Node, name: bytes) -> os.stat_result | None:
        """Return the current attributes of ``name`` on the host, or None if it does not exist."""
        try:
            return self._tree.stat_at(parent, name)
        except OSError:
            return None

    def node(self, number: int) -> Node:
        """Return the node with this number. Raises OSError (ESTALE) if it does not exist."""
        return self._nodes[number]

    def shadows(self, parent: Node, name: bytes) -> bool:
        """Return whether an edit hides the host's ``name`` from the guest, so that changes of it can be ignored."""
        return self._tree.shadows(parent, name)

    def all_nodes(self) -> Iterator[Node]:
        """Iterate over all nodes. Nodes may be added and removed meanwhile."""
        return iter(self._nodes)

    def is_current(self, parent: Node, name: bytes) -> bool:
        """Return whether ``name`` is the same file on the host as in the guest."""
        node, info = parent.children.get(name), self.stat_at(parent, name)
        return node is not None and info is not None and node.is_of(info)

    def is_removed(self, directory: Node) -> bool:
        """Return whether ``directory`` is no longer where the guest takes it to be."""
        return directory.parent is not None and not self.is_current(directory.parent, directory.name)

    def drop(self, number: int, lookups: int) -> None:
        """Drop ``lookups`` references of the guest to a node, and the node itself if these were the last ones."""
        node = self._nodes.forget(number, lookups)
        if node is not None:
            self._tree.forgotten(node)

    def lost_name(self, node: Node | None) -> None:
        """Record that ``node`` lost a name. With its last name it loses its inode number, which may then be reused."""
        if node is None:
            return
        if node.is_directory or (node.seen is not None and node.seen[4] <= 1):
            self._nodes.forget_key(node)
        else:
            node.seen = None

    def removed(self, parent: Node, name: bytes) -> None:
        """Record that ``name`` was deleted on the host."""
        self.lost_name(self._nodes.unname(parent, name))
        parent.children[name] = None

    def moved_on_host(self, parent: Node, name: bytes, new_parent: Node, new_name: bytes) -> None:
        """Record a rename on the host, unless the guest has already looked up the new name."""
        known = new_parent.children.get(new_name)
        if known is not None and known is not parent.children.get(name) and self.is_current(new_parent, new_name):
            self._nodes.unname(parent, name)
        else:
            self.moved(parent, name, new_parent, new_name)

    def moved(self, parent: Node, name: bytes, new_parent: Node, new_name: bytes, *, exchanged: bool = False) -> None:
        """Record a rename."""
        target = self._nodes.unname(new_parent, new_name)
        node = self._nodes.unname(parent, name)
        if node is not None and new_parent.is_within(node):  # the guest has moved ``new_parent`` into ``node``
            self.lost_name(node)
        elif node is not None:
            new_parent.children[new_name] = node
            self._nodes.place(node, new_parent, new_name)
        if exchanged and target is not None:
            parent.children[name] = target
            self._nodes.place(target, parent, name)
        else:
            self.lost_name(target)
