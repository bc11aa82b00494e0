"""The handlers of requests for names and attributes."""

from __future__ import annotations

import errno
from collections.abc import Callable
from typing import Final

from ccvm_tui.share import fuse
from ccvm_tui.share.fuse import Op
from ccvm_tui.share.host import Change, HostTree
from ccvm_tui.share.nodes import Node, failure, same_content
from ccvm_tui.share.request import NO_REPLY, Call, Reply
from ccvm_tui.share.view import CREATED, DELETED, MOVED_FROM, MOVED_TO, Caches, View

RENAME_NOREPLACE: Final = 1
RENAME_EXCHANGE: Final = 2


class Names:
    """The handlers, by operation in ``operations``."""

    def __init__(self, tree: HostTree, view: View, caches: Caches) -> None:
        self._tree = tree
        self._nodes = tree.nodes
        self._view = view
        self._caches = caches
        self.operations: dict[int, Callable[[Call, bytes], Reply]] = {
            Op.LOOKUP: self._lookup,
            Op.FORGET: self._forget,
            Op.BATCH_FORGET: self._batch_forget,
            Op.GETATTR: self._getattr,
            Op.SETATTR: self._setattr,
            Op.READLINK: self._readlink,
            Op.SYMLINK: self._symlink,
            Op.MKNOD: self._mknod,
            Op.MKDIR: self._mkdir,
            Op.UNLINK: self._unlink,
            Op.RMDIR: self._rmdir,
            Op.RENAME: self._rename,
            Op.RENAME2: self._rename2,
            Op.LINK: self._link,
            Op.GETXATTR: self._getxattr,
            Op.LISTXATTR: self._listxattr,
            Op.SETXATTR: self._setxattr,
            Op.REMOVEXATTR: self._removexattr,
        }

    def _lookup(self, call: Call, body: bytes) -> bytes:
        parent, name = self._nodes[call.node], fuse.name_at(body)
        found = self._tree.lookup(parent, name)
        if found is None:
            # the guest may cache only what is known here, because it is notified when that changes
            return fuse.no_entry(self._view.validity(parent) if name in parent.children else 0)
        return self._view.entry(parent, *found)

    def _forget(self, call: Call, body: bytes) -> Reply:
        self._view.drop(call.node, *fuse.FORGET_IN.unpack_from(body))
        return NO_REPLY

    def _batch_forget(self, _: Call, body: bytes) -> Reply:
        count, _padding = fuse.BATCH_FORGET_IN.unpack_from(body)
        for number in range(count):
            self._view.drop(
                *fuse.FORGET_ONE.unpack_from(body, fuse.BATCH_FORGET_IN.size + number * fuse.FORGET_ONE.size)
            )
        return NO_REPLY

    def _getattr(self, call: Call, _: bytes) -> bytes:
        node = self._nodes[call.node]
        return self._view.attributes_reply(node)

    def _setattr(self, call: Call, body: bytes) -> bytes:
        (
            valid, _, number, size, _, accessed, modified, _, accessed_ns, modified_ns, _, mode, _, uid, gid, _,
        ) = fuse.SETATTR_IN.unpack_from(body)  # fmt: skip
        node = self._nodes[call.node]
        change = Change(
            mode=mode if valid & fuse.FATTR_MODE else None,
            uid=uid if valid & fuse.FATTR_UID else None,
            gid=gid if valid & fuse.FATTR_GID else None,
            size=size if valid & fuse.FATTR_SIZE else None,
            accessed=_time(valid, fuse.FATTR_ATIME, fuse.FATTR_ATIME_NOW, accessed, accessed_ns),
            modified=_time(valid, fuse.FATTR_MTIME, fuse.FATTR_MTIME_NOW, modified, modified_ns),
        )
        before, seen = self._view.state(node), node.seen
        self._tree.change(node, change, self._nodes.handle(number) if valid & fuse.FATTR_FH else None)
        self._view.record_change(node, before)
        reply = self._view.attributes_reply(node)
        if seen is not None and not same_content(before, seen):
            node.seen = seen  # the guest's kernel does not drop pages for this reply
        return reply

    def _readlink(self, call: Call, _: bytes) -> bytes:
        return self._tree.read_link(self._nodes[call.node])

    def _symlink(self, call: Call, body: bytes) -> bytes:
        parent, name = self._nodes[call.node], fuse.name_at(body)
        target = body[len(name) + 1 : body.index(b"\0", len(name) + 1)]
        self._tree.make_link(parent, name, target)
        return self._created(parent, name)

    def _mknod(self, call: Call, body: bytes) -> bytes:
        parent, name = self._nodes[call.node], fuse.name_at(body, fuse.MKNOD_IN.size)
        mode, _device, _umask, _ = fuse.MKNOD_IN.unpack_from(body)
        self._tree.make_node(parent, name, mode)
        return self._created(parent, name)

    def _mkdir(self, call: Call, body: bytes) -> bytes:
        parent, name = self._nodes[call.node], fuse.name_at(body, fuse.MKDIR_IN.size)
        self._tree.make_directory(parent, name, fuse.MKDIR_IN.unpack_from(body)[0])
        return self._created(parent, name)

    def _created(self, parent: Node, name: bytes) -> bytes:
        self._caches.expect_event(parent, name, CREATED)
        return self._view.entry_of(parent, name)

    def _unlink(self, call: Call, body: bytes) -> bytes:
        return self._remove(call, body, directory=False)

    def _rmdir(self, call: Call, body: bytes) -> bytes:
        return self._remove(call, body, directory=True)

    def _remove(self, call: Call, body: bytes, *, directory: bool) -> bytes:
        parent, name = self._nodes[call.node], fuse.name_at(body)
        self._tree.remove(parent, name, directory=directory)
        self._caches.expect_event(parent, name, DELETED)
        node = self._nodes.unname(parent, name)
        if node is not None:
            node.unlinked = True
        self._view.lost_name(node)
        return b""

    def _rename(self, call: Call, body: bytes) -> bytes:
        (new_parent,) = fuse.RENAME_IN.unpack_from(body)
        return self._move(call.node, new_parent, body, fuse.RENAME_IN.size, 0)

    def _rename2(self, call: Call, body: bytes) -> bytes:
        new_parent, flags, _ = fuse.RENAME2_IN.unpack_from(body)
        return self._move(call.node, new_parent, body, fuse.RENAME2_IN.size, flags)

    def _move(self, old_number: int, new_number: int, body: bytes, offset: int, flags: int) -> bytes:
        parent, new_parent = self._nodes[old_number], self._nodes[new_number]
        name = fuse.name_at(body, offset)
        new_name = fuse.name_at(body, offset + len(name) + 1)
        if flags & ~(RENAME_NOREPLACE | RENAME_EXCHANGE):
            raise failure(errno.EINVAL)
        same = self._tree.same_file(parent, name, new_parent, new_name)
        self._tree.rename(parent, name, new_parent, new_name, flags)
        if same:
            return b""  # rename(2) does nothing if both names are links to the same file
        self._caches.expect_event(parent, name, MOVED_FROM)
        self._caches.expect_event(new_parent, new_name, MOVED_TO)
        if flags & RENAME_EXCHANGE:
            self._caches.expect_event(new_parent, new_name, MOVED_FROM)
            self._caches.expect_event(parent, name, MOVED_TO)
        target = new_parent.children.get(new_name)
        if target is not None and not flags & RENAME_EXCHANGE:
            target.unlinked = True
        self._view.moved(parent, name, new_parent, new_name, exchanged=bool(flags & RENAME_EXCHANGE))
        for place, moved in ((new_parent, new_name), (parent, name)):
            if (node := place.children.get(moved)) is not None:
                self._view.record_change(node)  # renaming updates the change time
        return b""

    def _link(self, call: Call, body: bytes) -> bytes:
        (number,) = fuse.LINK_IN.unpack_from(body)
        parent, name = self._nodes[call.node], fuse.name_at(body, fuse.LINK_IN.size)
        self._tree.link(self._nodes[number], parent, name)
        self._view.record_change(self._nodes[number])
        return self._created(parent, name)

    def _getxattr(self, call: Call, body: bytes) -> bytes:
        size, _ = fuse.GETXATTR_IN.unpack_from(body)
        name = body[fuse.GETXATTR_IN.size : body.index(b"\0", fuse.GETXATTR_IN.size)]
        return _sized(self._tree.get_attribute(self._nodes[call.node], name), size)

    def _listxattr(self, call: Call, body: bytes) -> bytes:
        size, _ = fuse.GETXATTR_IN.unpack_from(body)
        names = self._tree.list_attributes(self._nodes[call.node])
        return _sized(b"".join(name + b"\0" for name in names), size)

    def _setxattr(self, call: Call, body: bytes) -> bytes:
        size, flags = fuse.SETXATTR_IN.unpack_from(body)
        end = body.index(b"\0", fuse.SETXATTR_IN.size)
        name, value = body[fuse.SETXATTR_IN.size : end], body[end + 1 : end + 1 + size]
        node = self._nodes[call.node]
        self._tree.set_attribute(node, name, value, flags)
        self._view.record_change(node)
        return b""

    def _removexattr(self, call: Call, body: bytes) -> bytes:
        node = self._nodes[call.node]
        self._tree.remove_attribute(node, body[: body.index(b"\0")])
        self._view.record_change(node)
        return b""


def _time(valid: int, given: int, now: int, seconds: int, nanoseconds: int) -> int | str | None:
    if valid & now:
        return "now"
    if not valid & given:
        return None
    if seconds >= 1 << 63:
        seconds -= 1 << 64
    return seconds * 1_000_000_000 + nanoseconds


def _sized(data: bytes, size: int) -> bytes:
    """Return ``data``, or its encoded length if ``size`` is 0. Raises OSError (ERANGE) if ``size`` is too small."""
    if not size:
        return fuse.XATTR_OUT.pack(len(data), 0)
    if len(data) > size:
        raise failure(errno.ERANGE)
    return data
