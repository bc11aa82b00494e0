"""The handlers of requests for directory entries."""

from __future__ import annotations

import stat
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from ccvm_tui.share import fuse
from ccvm_tui.share.fuse import Op
from ccvm_tui.share.host import HostTree, Name
from ccvm_tui.share.nodes import Node
from ccvm_tui.share.request import Call, Reply
from ccvm_tui.share.view import View

_LISTINGS_KEPT: Final = 128
_OFFSET_BITS: Final = 32


class Listings:
    """The handlers, by operation in ``operations``, and the listings of directories that are being read."""

    def __init__(self, tree: HostTree, view: View) -> None:
        self._tree = tree
        self._nodes = tree.nodes
        self._view = view
        self._listings: OrderedDict[int, list[Name]] = OrderedDict()
        self._next_listing = 0
        self.operations: dict[int, Callable[[Call, bytes], Reply]] = {
            Op.READDIR: self._readdir,
            Op.READDIRPLUS: self._readdirplus,
        }

    def _listing(self, call: Call, offset: int) -> tuple[int, list[Name], int]:
        """Return the number and the entries of the listing to which ``offset`` belongs, and the index in it.

        An offset contains the number of a listing that is kept, so that it remains valid while other programs list the
        same directory. A listing that is no longer kept is created again. The guest may then see a name twice or miss a
        new one, as in any directory that changes.
        """
        number, index = offset >> _OFFSET_BITS, offset & (1 << _OFFSET_BITS) - 1
        listing = self._listings.get(number) if offset else None
        if listing is None:
            node = self._nodes[call.node]
            listing = [Name(b".", node.key[1], stat.S_IFDIR), Name(b"..", node.key[1], stat.S_IFDIR)]
            listing += self._tree.listing(node)
            self._next_listing += 1
            number = self._next_listing
            self._listings[number] = listing
            if len(self._listings) > _LISTINGS_KEPT:
                self._listings.popitem(last=False)
        else:
            self._listings.move_to_end(number)
        return number, listing, index

    def _readdir(self, call: Call, body: bytes) -> bytes:
        _, offset, size, *_ = fuse.READ_IN.unpack_from(body)
        number, listing, index = self._listing(call, offset)
        reply = bytearray()
        for following, name in enumerate(listing[index:], number << _OFFSET_BITS | index + 1):
            part = fuse.directory_entry(name.inode, following, name.name, name.kind)
            if len(reply) + len(part) > size:
                break
            reply += part
        return bytes(reply)

    def _readdirplus(self, call: Call, body: bytes) -> bytes:
        _, offset, size, *_ = fuse.READ_IN.unpack_from(body)
        number, listing, index = self._listing(call, offset)
        parent = self._nodes[call.node]
        reply = bytearray()
        for following, name in enumerate(listing[index:], number << _OFFSET_BITS | index + 1):
            part = fuse.directory_entry(name.inode, following, name.name, name.kind)
            if len(reply) + len(part) + fuse.ENTRY.size + fuse.ATTR.size > size:
                break
            reply += self._entry_plus(parent, name.name) + part
        return bytes(reply)

    def _entry_plus(self, parent: Node, name: bytes) -> bytes:
        """Encode the attributes that precede a name. If they are all zero, the guest requests them when needed."""
        if name in (b".", b".."):
            return bytes(fuse.ENTRY.size + fuse.ATTR.size)
        try:
            found = self._tree.lookup(parent, name)
        except OSError:
            found = None
        if found is None:
            return bytes(fuse.ENTRY.size + fuse.ATTR.size)
        return self._view.entry(parent, *found)
