"""The guest's view of a tree: the replies that make files known, and the notes of what is known."""

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
"""Seconds for which the guest keeps names and attributes that it is told of when they change."""

_VALID_UNREPORTED: Final = 1
"""The same where other machines make changes of which nobody is told."""

MOVED_FROM, MOVED_TO, CREATED, DELETED = 0x40, 0x80, 0x100, 0x200
"""inotify(7): IN_MOVED_FROM and so on."""


class Caches(Protocol):
    """The guest's caches: what they may keep, and the requests that come from the helper that keeps them right."""

    def lasting(self, node: Node) -> bool:
        """Whether the guest is told of each change of ``node``, a directory: names and attributes may be kept."""

    def own_change(self, parent: Node, name: bytes, mask: int) -> None:
        """Note that an event of ``mask`` for ``name`` is about to come that the guest itself has caused."""

    def refresh(self, node: Node, then: Callable[[], None]) -> None:
        """Make the guest drop what it has cached of ``node``, a file, then call ``then``."""

    def drop(self, node: Node, then: Callable[[], None]) -> None:
        """Make the guest drop the pages of ``node``, a file, without an event for inotify, then call ``then``."""

    def settled(self, node: Node, then: Callable[[], None]) -> None:
        """Call ``then`` when the guest has the effect of what the helper was told to do about ``node``, a file."""

    def flush(self, node: Node, then: Callable[[], None]) -> None:
        """Make the guest write back what its programs have changed in mappings of ``node``, then call ``then``."""

    def answer(self, call: Call, body: bytes) -> Reply | None:
        """The reply to a request of the helper's that stands for a change on the host; None for any other."""


class View:
    """The guest's knowledge of ``tree``.

    ``caches`` says what the guest may keep. ``reported`` says whether every change of the directory is reported, as it
    is on local file systems.
    """

    def __init__(self, tree: HostTree, caches: Caches, *, reported: bool) -> None:
        self._tree = tree
        self._nodes = tree.nodes
        self._caches = caches
        self._valid = _VALID if reported else _VALID_UNREPORTED

    # --- replies ------------------------------------------------------------------------------------------------

    def attributes(self, node: Node, info: os.stat_result) -> tuple[bytes, int]:
        """The attributes of ``node`` and for how many seconds they hold."""
        node.seen = state_of(info)
        if node.announced is None:
            node.announced = node.seen
        inode, links = self._tree.identity(node, info)
        lasting = node is self._nodes.root or (node.parent is not None and self.lasting(node.parent))
        if node.is_directory:
            lasting = lasting and self.lasting(node)
        elif node.is_regular and links != 1:
            lasting = False  # a change by another name, in a directory that is not watched, goes unnoticed
        return fuse.attributes(info, inode, links), self._valid if lasting else 0

    def lasting(self, node: Node) -> bool:
        """Whether the guest may keep names and attributes of what is in ``node``."""
        return self._caches.lasting(node) or self._tree.private(node)

    def state(self, node: Node) -> State:
        """The state of the file as it is now."""
        return state_of(self._tree.stat(node))

    def own(self, node: Node, before: State | None = None) -> None:
        """Note that the guest itself has just changed ``node``.

        ``before`` is the state before that; None where the call leaves times and size alone. What the host's programs
        have changed meanwhile is not taken for the guest's.
        """
        after = self.state(node)
        known = after if before is None else before
        if same_content(node.seen, known):
            node.seen = after
        if same_content(node.announced, known):
            node.announced = after

    def entry(self, parent: Node, node: Node, info: os.stat_result) -> bytes:
        """The reply that makes ``node`` known to the guest as an entry of ``parent``, one reference more."""
        attributes, valid = self.attributes(node, info)
        node.lookups += 1
        return fuse.entry(node.id, attributes, self.validity(parent), valid)

    def entry_of(self, parent: Node, name: bytes) -> bytes:
        """The same for ``name``, which was just made."""
        found = self._tree.lookup(parent, name)
        if found is None:
            raise failure(errno.ENOENT)
        return self.entry(parent, *found)

    def entry_or_none(self, parent: Node, name: bytes) -> bytes | None:
        """A reply that makes ``name`` known to the guest; None if it does not exist."""
        found = self._tree.lookup(parent, name)
        return None if found is None else self.entry(parent, *found)

    def former_entry(self, parent: Node, name: bytes, *, directory: bool) -> bytes:
        """An entry for a name that is no longer there, for the guest to remove."""
        node = parent.children.get(name)
        kind = stat.S_IFDIR if directory else stat.S_IFREG
        if node is None or node.kind != kind:
            node = self._nodes.unnamed((0, self._nodes.count), kind)
        node.lookups += 1
        return fuse.entry(node.id, fuse.placeholder(node.key[1], kind | 0o700, 2 if directory else 1), 0, 0)

    def attributes_reply(self, node: Node) -> bytes:
        attributes, valid = self.attributes(node, self._tree.stat(node))
        return fuse.ATTR_OUT.pack(valid, 0, 0) + attributes

    def renewed(self, number: int) -> bytes:
        """The reply to a SETATTR that is not carried out: the attributes as they are."""
        return self.attributes_reply(self._nodes[number])

    def validity(self, parent: Node) -> int:
        """For how many seconds the guest may keep the names in ``parent``."""
        return self._valid if self.lasting(parent) else 0

    # --- what is known ------------------------------------------------------------------------------------------

    def look(self, parent: Node, name: bytes) -> os.stat_result | None:
        """The attributes of ``name`` as they are now; None if it is not there."""
        try:
            return self._tree.look(parent, name)
        except OSError:
            return None

    def node(self, number: int) -> Node:
        """The node of this number. Raises OSError (ESTALE)."""
        return self._nodes[number]

    def shadows(self, parent: Node, name: bytes) -> bool:
        """Whether the guest does not see the host's ``name``, so that its changes do not matter."""
        return self._tree.shadows(parent, name)

    def all_nodes(self) -> Iterator[Node]:
        return iter(self._nodes)

    def current(self, parent: Node, name: bytes) -> bool:
        """Whether ``name`` is on the host what the guest takes it for."""
        node, info = parent.children.get(name), self.look(parent, name)
        return node is not None and info is not None and node.is_of(info)

    def is_gone(self, directory: Node) -> bool:
        """Whether ``directory`` is no longer where the guest takes it to be."""
        return directory.parent is not None and not self.current(directory.parent, directory.name)

    def drop(self, number: int, lookups: int) -> None:
        node = self._nodes.forget(number, lookups)
        if node is not None:
            self._tree.forgotten(node)

    def lost(self, node: Node | None) -> None:
        """``node`` lost a name. With the last one its inode number is free to be used again."""
        if node is None:
            return
        if node.is_directory or (node.seen is not None and node.seen[4] <= 1):
            self._nodes.forget_key(node)
        else:
            node.seen = None

    def removed(self, parent: Node, name: bytes) -> None:
        """Note that ``name`` was removed on the host."""
        self.lost(self._nodes.unname(parent, name))
        parent.children[name] = None

    def moved_on_host(self, parent: Node, name: bytes, new_parent: Node, new_name: bytes) -> None:
        """Note a rename on the host, unless the guest has looked the new name up since."""
        known = new_parent.children.get(new_name)
        if known is not None and known is not parent.children.get(name) and self.current(new_parent, new_name):
            self._nodes.unname(parent, name)
        else:
            self.moved(parent, name, new_parent, new_name)

    def moved(self, parent: Node, name: bytes, new_parent: Node, new_name: bytes, *, exchanged: bool = False) -> None:
        """Note a rename that has happened."""
        target = self._nodes.unname(new_parent, new_name)
        node = self._nodes.unname(parent, name)
        if node is not None and new_parent.is_within(node):  # the guest has moved ``new_parent`` into it
            self.lost(node)
        elif node is not None:
            new_parent.children[new_name] = node
            self._nodes.place(node, new_parent, new_name)
        if exchanged and target is not None:
            parent.children[name] = target
            self._nodes.place(target, parent, name)
        else:
            self.lost(target)
