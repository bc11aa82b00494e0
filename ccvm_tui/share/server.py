"""FUSE requests → operations on a tree → replies. One thread; what blocks for long is handed to others."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import logging
import os
import stat
import struct
from collections import OrderedDict
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final, Protocol

from ccvm_tui.share import fuse, syscalls
from ccvm_tui.share.fuse import Op
from ccvm_tui.share.host import Change, HostTree, Name
from ccvm_tui.share.locks import Locks, Wanted
from ccvm_tui.share.nodes import Handle, Node, same_content, state_of
from ccvm_tui.share.vhost import Request, VhostError
from ccvm_tui.share.walindex import WalIndex, database_files, is_index

log = logging.getLogger(__name__)

_VALID: Final = 3600
"""Seconds for which the guest keeps names and attributes that it is told of when they change."""

_VALID_UNREPORTED: Final = 1
"""The same where other machines make changes of which nobody is told."""

_LISTINGS_KEPT: Final = 128
_BODY_MAX: Final = 128 * 1024
_OFFSET_BITS: Final = 32
_COPY_MAX: Final = 1 << 30


class Deferred:
    """The sign that a request is answered later."""


DEFERRED: Final = Deferred()
NO_REPLY: Final = Deferred()
"""The sign that a request has no answer, by the protocol."""

Reply = bytes | Deferred


class Caches(Protocol):
    """The guest's caches: what they may keep, and the requests that come from the helper that keeps them right."""

    def lasting(self, node: Node) -> bool:
        """Whether the guest is told of each change of ``node``, a directory: names and attributes may be kept."""

    def own_change(self, parent: Node, name: bytes, mask: int) -> None:
        """Note that an event of ``mask`` for ``name`` is about to come that the guest itself has caused."""

    def refresh(self, node: Node, then: Callable[[], None]) -> None:
        """Make the guest drop what it has cached of ``node``, a file, then call ``then``."""

    def flush(self, node: Node, then: Callable[[], None]) -> None:
        """Make the guest write back what its programs have changed in mappings of ``node``, then call ``then``."""

    def answer(self, head: Head, body: bytes) -> Reply | None:
        """The reply to a request of the helper's that stands for a change on the host; None for any other."""


@dataclass(frozen=True, slots=True)
class Head:
    """The header of a request."""

    opcode: int
    unique: int
    node: int
    uid: int
    gid: int
    pid: int


class Server:
    """Serves ``tree``.

    ``finished`` runs what worker threads have to say in the server's own thread. ``reported`` says whether every change
    of the directory is reported, as it is on local file systems.
    """

    def __init__(
        self,
        tree: HostTree,
        caches: Caches,
        locks: Locks,
        finished: Callable[[Callable[[], None]], None],
        *,
        reported: bool = True,
    ) -> None:
        self._valid = _VALID if reported else _VALID_UNREPORTED
        self._tree = tree
        self._nodes = tree.nodes
        self._caches = caches
        self._locks = locks
        self._finished = finished
        self._workers = ThreadPoolExecutor(4, thread_name_prefix="share")
        self._listings: OrderedDict[int, list[Name]] = OrderedDict()
        self._next_listing = 0

    # --- requests -----------------------------------------------------------------------------------------------

    def handle(self, request: Request) -> None:
        """Carry out one request and answer it. Raises VhostError."""
        first = bytes(request.readable[0]) if request.readable else b""
        if len(first) < fuse.IN_HEADER.size:
            first = b"".join(bytes(part) for part in request.readable[:2])[: fuse.IN_HEADER.size + fuse.READ_IN.size]
            if len(first) < fuse.IN_HEADER.size:
                raise VhostError("a FUSE request without a header")
        _, opcode, unique, node, uid, gid, pid, _, _ = fuse.IN_HEADER.unpack_from(first)
        head = Head(opcode, unique, node, uid, gid, pid)
        try:
            if opcode == Op.READ:
                reply = self._read(request, head, first)
            elif opcode == Op.WRITE:
                reply = self._write(request, head)
            else:
                reply = self._dispatch(request, head, first)
        except OSError as error:
            self._fail(request, head, error.errno or errno.EIO)
            return
        except VhostError:
            raise
        except (ValueError, OverflowError, struct.error) as error:
            log.debug("request %d: %s", opcode, error)
            self._fail(request, head, errno.EINVAL)
            return
        except Exception:  # a fault of ours in one request must not end the guest
            log.exception("request %d failed", opcode)
            self._fail(request, head, errno.EIO)
            return
        if reply is NO_REPLY:
            request.finish(0)
        elif isinstance(reply, bytes):
            self._answer(request, head, reply)

    def _dispatch(self, request: Request, head: Head, first: bytes) -> Reply:
        if len(request.readable) > 1:
            size = sum(len(part) for part in request.readable)
            if size > _BODY_MAX:
                raise OSError(errno.E2BIG, os.strerror(errno.E2BIG))
            first = b"".join(request.readable)
        body = first[fuse.IN_HEADER.size :]
        pretended = self._caches.answer(head, body)
        if pretended is not None:
            return pretended
        if (operation := _OPERATIONS.get(head.opcode)) is not None:
            return operation(self, head, body)
        if (deferred := _DEFERRED_OPERATIONS.get(head.opcode)) is not None:
            return deferred(self, request, head, body)
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))

    def _answer(self, request: Request, head: Head, data: bytes) -> Reply:
        request.reply(fuse.OUT_HEADER.pack(fuse.OUT_HEADER.size + len(data), 0, head.unique) + data)
        return DEFERRED

    def _fail(self, request: Request, head: Head, error: int) -> None:
        if head.opcode in (Op.FORGET, Op.BATCH_FORGET):
            request.finish(0)
            return
        request.reply(fuse.OUT_HEADER.pack(fuse.OUT_HEADER.size, -error, head.unique))

    def _in_thread(
        self, request: Request, head: Head, work: Callable[[], bytes], then: Callable[[], None] = lambda: None
    ) -> Reply:
        """Answer with what ``work``, done in another thread, returns or raises; call ``then`` in this one before."""

        def run() -> None:
            error, data = 0, b""
            try:
                data = work()
            except OSError as failure:
                error = failure.errno or errno.EIO
            except OverflowError:  # an offset that no file can have
                error = errno.EINVAL

            def answer() -> None:
                then()
                if error:
                    self._fail(request, head, error)
                else:
                    self._answer(request, head, data)

            self._finished(answer)

        self._workers.submit(run)
        return DEFERRED

    # --- replies ------------------------------------------------------------------------------------------------

    def _attributes(self, node: Node, info: os.stat_result) -> tuple[bytes, int]:
        """The attributes of ``node`` and for how many seconds they hold."""
        node.seen = state_of(info)
        if node.announced is None:
            node.announced = node.seen
        inode, links = self._tree.identity(node, info)
        lasting = node is self._nodes.root or (node.parent is not None and self._lasting(node.parent))
        if node.is_directory:
            lasting = lasting and self._lasting(node)
        elif node.is_regular and links != 1:
            lasting = False  # a change by another name, in a directory that is not watched, goes unnoticed
        return fuse.attributes(info, inode, links), self._valid if lasting else 0

    def _own(self, node: Node) -> None:
        """Note that the guest itself has just changed ``node``."""
        node.announced = state_of(self._tree.stat(node))

    def _lasting(self, node: Node) -> bool:
        """Whether the guest may keep names and attributes of what is in ``node``."""
        return self._caches.lasting(node) or self._tree.private(node)

    def entry(self, parent: Node, node: Node, info: os.stat_result) -> bytes:
        """The reply that makes ``node`` known to the guest as an entry of ``parent``, one reference more."""
        attributes, valid = self._attributes(node, info)
        node.lookups += 1
        return fuse.entry(node.id, attributes, self._valid if self._lasting(parent) else 0, valid)

    def _entry_of(self, parent: Node, name: bytes) -> bytes:
        """The same for ``name``, which was just made."""
        found = self._tree.lookup(parent, name)
        if found is None:
            raise OSError(errno.ENOENT, os.strerror(errno.ENOENT))
        return self.entry(parent, *found)

    # --- for the keeper of the guest's caches --------------------------------------------------------------------

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

    def current(self, parent: Node, name: bytes) -> bool:
        """Whether ``name`` is on the host what the guest takes it for."""
        node, info = parent.children.get(name), self.look(parent, name)
        return node is not None and info is not None and node.key == (info.st_dev, info.st_ino)

    def removed(self, parent: Node, name: bytes) -> None:
        """Note that ``name`` was removed on the host."""
        self._lost(self._nodes.unname(parent, name))
        parent.children[name] = None

    def renewed(self, number: int) -> bytes:
        """The reply to a SETATTR that is not carried out: the attributes as they are."""
        return self._attributes_reply(self._nodes[number])

    # --- session ------------------------------------------------------------------------------------------------

    def _init(self, _: Head, body: bytes) -> bytes:
        major, _minor, read_ahead, flags = fuse.INIT_IN.unpack_from(body)
        if major != fuse.MAJOR:
            raise OSError(errno.EPROTO, os.strerror(errno.EPROTO))
        flags &= fuse.WANTED
        return fuse.INIT_OUT.pack(
            fuse.MAJOR, fuse.MINOR, max(read_ahead, fuse.MAX_WRITE), flags, 64, 48, fuse.MAX_WRITE, 1,
            fuse.MAX_WRITE // fuse.PAGE, 0, 0, 0,
        )  # fmt: skip

    def _destroy(self, _: Head, __: bytes) -> bytes:
        return b""

    # --- names and attributes -----------------------------------------------------------------------------------

    def _lookup(self, head: Head, body: bytes) -> bytes:
        parent, name = self._nodes[head.node], fuse.name_at(body)
        found = self._tree.lookup(parent, name)
        if found is None:
            return fuse.no_entry(self._valid if self._lasting(parent) else 0)
        return self.entry(parent, *found)

    def _forget(self, head: Head, body: bytes) -> Reply:
        self._drop(head.node, *fuse.FORGET_IN.unpack_from(body))
        return NO_REPLY

    def _batch_forget(self, _: Head, body: bytes) -> Reply:
        count, _padding = fuse.BATCH_FORGET_IN.unpack_from(body)
        for number in range(count):
            self._drop(*fuse.FORGET_ONE.unpack_from(body, fuse.BATCH_FORGET_IN.size + number * fuse.FORGET_ONE.size))
        return NO_REPLY

    def _drop(self, number: int, lookups: int) -> None:
        node = self._nodes.forget(number, lookups)
        if node is not None:
            self._tree.forgotten(node)

    def _getattr(self, head: Head, body: bytes) -> bytes:
        node = self._nodes[head.node]
        return self._attributes_reply(node)

    def _attributes_reply(self, node: Node) -> bytes:
        attributes, valid = self._attributes(node, self._tree.stat(node))
        return fuse.ATTR_OUT.pack(valid, 0, 0) + attributes

    def _setattr(self, head: Head, body: bytes) -> bytes:
        (
            valid, _, number, size, _, accessed, modified, _, accessed_ns, modified_ns, _, mode, _, uid, gid, _,
        ) = fuse.SETATTR_IN.unpack_from(body)  # fmt: skip
        node = self._nodes[head.node]
        change = Change(
            mode=mode if valid & fuse.FATTR_MODE else None,
            uid=uid if valid & fuse.FATTR_UID else None,
            gid=gid if valid & fuse.FATTR_GID else None,
            size=size if valid & fuse.FATTR_SIZE else None,
            accessed=_time(valid, fuse.FATTR_ATIME, fuse.FATTR_ATIME_NOW, accessed, accessed_ns),
            modified=_time(valid, fuse.FATTR_MTIME, fuse.FATTR_MTIME_NOW, modified, modified_ns),
        )
        self._tree.change(node, change, self._nodes.handle(number) if valid & fuse.FATTR_FH else None)
        self._own(node)
        return self._attributes_reply(node)

    def _readlink(self, head: Head, _: bytes) -> bytes:
        return self._tree.read_link(self._nodes[head.node])

    def _symlink(self, head: Head, body: bytes) -> bytes:
        parent, name = self._nodes[head.node], fuse.name_at(body)
        target = body[len(name) + 1 : body.index(b"\0", len(name) + 1)]
        self._tree.make_link(parent, name, target)
        return self._made(parent, name)

    def _mknod(self, head: Head, body: bytes) -> bytes:
        parent, name = self._nodes[head.node], fuse.name_at(body, fuse.MKNOD_IN.size)
        mode, _device, _umask, _ = fuse.MKNOD_IN.unpack_from(body)
        self._tree.make_node(parent, name, mode)
        return self._made(parent, name)

    def _mkdir(self, head: Head, body: bytes) -> bytes:
        parent, name = self._nodes[head.node], fuse.name_at(body, fuse.MKDIR_IN.size)
        self._tree.make_directory(parent, name, fuse.MKDIR_IN.unpack_from(body)[0])
        return self._made(parent, name)

    def _made(self, parent: Node, name: bytes) -> bytes:
        self._caches.own_change(parent, name, CREATED)
        return self._entry_of(parent, name)

    def _unlink(self, head: Head, body: bytes) -> bytes:
        return self._remove(head, body, directory=False)

    def _rmdir(self, head: Head, body: bytes) -> bytes:
        return self._remove(head, body, directory=True)

    def _remove(self, head: Head, body: bytes, *, directory: bool) -> bytes:
        parent, name = self._nodes[head.node], fuse.name_at(body)
        self._tree.remove(parent, name, directory=directory)
        self._caches.own_change(parent, name, DELETED)
        self._lost(self._nodes.unname(parent, name))
        return b""

    def _lost(self, node: Node | None) -> None:
        """``node`` lost a name. With the last one its inode number is free to be used again."""
        if node is None:
            return
        if node.is_directory or (node.seen is not None and node.seen[4] <= 1):
            self._nodes.forget_key(node)
        else:
            node.seen = None

    def _rename(self, head: Head, body: bytes) -> bytes:
        (new_parent,) = fuse.RENAME_IN.unpack_from(body)
        return self._move(head.node, new_parent, body, fuse.RENAME_IN.size, 0)

    def _rename2(self, head: Head, body: bytes) -> bytes:
        new_parent, flags, _ = fuse.RENAME2_IN.unpack_from(body)
        return self._move(head.node, new_parent, body, fuse.RENAME2_IN.size, flags)

    def _move(self, old_number: int, new_number: int, body: bytes, offset: int, flags: int) -> bytes:
        parent, new_parent = self._nodes[old_number], self._nodes[new_number]
        name = fuse.name_at(body, offset)
        new_name = fuse.name_at(body, offset + len(name) + 1)
        if flags & ~(RENAME_NOREPLACE | RENAME_EXCHANGE):
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        same = self._tree.same_file(parent, name, new_parent, new_name)
        self._tree.rename(parent, name, new_parent, new_name, flags)
        if same:
            return b""  # two names of one file: rename(2) leaves both
        self._caches.own_change(parent, name, MOVED_FROM)
        self._caches.own_change(new_parent, new_name, MOVED_TO)
        if flags & RENAME_EXCHANGE:
            self._caches.own_change(new_parent, new_name, MOVED_FROM)
            self._caches.own_change(parent, name, MOVED_TO)
        self.moved(parent, name, new_parent, new_name, exchanged=bool(flags & RENAME_EXCHANGE))
        return b""

    def moved(self, parent: Node, name: bytes, new_parent: Node, new_name: bytes, *, exchanged: bool = False) -> None:
        """Note a rename that has happened, by the guest or on the host."""
        target = self._nodes.unname(new_parent, new_name)
        node = self._nodes.unname(parent, name)
        if node is not None and new_parent.is_within(node):  # the guest has moved ``new_parent`` into it
            self._lost(node)
        elif node is not None:
            new_parent.children[new_name] = node
            self._nodes.place(node, new_parent, new_name)
        if exchanged and target is not None:
            parent.children[name] = target
            self._nodes.place(target, parent, name)
        else:
            self._lost(target)

    def _link(self, head: Head, body: bytes) -> bytes:
        (number,) = fuse.LINK_IN.unpack_from(body)
        parent, name = self._nodes[head.node], fuse.name_at(body, fuse.LINK_IN.size)
        self._tree.link(self._nodes[number], parent, name)
        self._own(self._nodes[number])
        return self._made(parent, name)

    # --- directories --------------------------------------------------------------------------------------------

    def _listing(self, head: Head, offset: int) -> tuple[int, list[Name], int]:
        """The listing that ``offset`` is of, its number, and the index in it.

        An offset stays good while others list the same directory: it names a listing that is kept. One that is kept no
        longer is made again; the guest then sees a name twice or misses one that was made meanwhile, as with any
        directory that changes.
        """
        number, index = offset >> _OFFSET_BITS, offset & (1 << _OFFSET_BITS) - 1
        listing = self._listings.get(number) if offset else None
        if listing is None:
            node = self._nodes[head.node]
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

    def _readdir(self, head: Head, body: bytes) -> bytes:
        _, offset, size, *_ = fuse.READ_IN.unpack_from(body)
        number, listing, index = self._listing(head, offset)
        reply = bytearray()
        for following, name in enumerate(listing[index:], number << _OFFSET_BITS | index + 1):
            part = fuse.directory_entry(name.inode, following, name.name, name.kind)
            if len(reply) + len(part) > size:
                break
            reply += part
        return bytes(reply)

    def _readdirplus(self, head: Head, body: bytes) -> bytes:
        _, offset, size, *_ = fuse.READ_IN.unpack_from(body)
        number, listing, index = self._listing(head, offset)
        parent = self._nodes[head.node]
        reply = bytearray()
        for following, name in enumerate(listing[index:], number << _OFFSET_BITS | index + 1):
            part = fuse.directory_entry(name.inode, following, name.name, name.kind)
            if len(reply) + len(part) + fuse.ENTRY.size + fuse.ATTR.size > size:
                break
            reply += self._entry_plus(parent, name.name) + part
        return bytes(reply)

    def _entry_plus(self, parent: Node, name: bytes) -> bytes:
        """The entry before a name; one that is all zero makes the guest ask for it when it needs it."""
        if name in (b".", b".."):
            return bytes(fuse.ENTRY.size + fuse.ATTR.size)
        try:
            found = self._tree.lookup(parent, name)
        except OSError:
            found = None
        if found is None:
            return bytes(fuse.ENTRY.size + fuse.ATTR.size)
        return self.entry(parent, *found)

    # --- open files ---------------------------------------------------------------------------------------------

    def _open(self, request: Request, head: Head, body: bytes) -> Reply:
        flags, _ = fuse.OPEN_IN.unpack_from(body)
        node = self._nodes[head.node]
        seen = node.seen
        fd = self._tree.open(node, flags)
        info = os.fstat(fd)
        if flags & os.O_TRUNC:
            node.announced = state_of(info)
        keep = seen is not None and not flags & os.O_TRUNC and state_of(info)[:3] == seen[:3]
        if node.index is None and is_index(node.name) and not flags & os.O_TRUNC:
            node.index, keep = WalIndex(), False

        def answer() -> None:
            self._answer(request, head, self._opened(node, fd, flags, keep=keep))

        if keep or seen is None or flags & os.O_TRUNC or self._tree.shadows_node(node):
            answer()
        else:  # the guest's idea of the file's size is old, and an answer to this request cannot correct it
            self._caches.refresh(node, answer)
        return DEFERRED

    def _opened(self, node: Node, fd: int, flags: int, *, keep: bool) -> bytes:
        writable = flags & 3 != os.O_RDONLY
        # Only what is open for reading and writing can have a mapping that must be written when it is closed. The rest
        # has nothing to be done then, but for a lock now and then.
        quiet = flags & os.O_ACCMODE != os.O_RDWR and node.index is None and not self._locks.any_on(node)
        handle = self._nodes.opened(node, fd, writable=writable, quiet=quiet)
        answer = (fuse.FOPEN_KEEP_CACHE if keep else 0) | (fuse.FOPEN_NOFLUSH if quiet else 0)
        return fuse.OPEN_OUT.pack(handle.id, answer, 0)

    def _create(self, head: Head, body: bytes) -> bytes:
        flags, mode, _umask, _ = fuse.CREATE_IN.unpack_from(body)
        parent, name = self._nodes[head.node], fuse.name_at(body, fuse.CREATE_IN.size)
        try:
            fd = self._tree.create(parent, name, flags, mode)
        except FileExistsError:
            if flags & os.O_EXCL:
                raise
            return self._create_existing(parent, name, flags)
        self._caches.own_change(parent, name, CREATED)
        entry = self._entry_of(parent, name)
        node = parent.children[name]
        assert node is not None
        if is_index(name):
            node.index = WalIndex()
        return entry + self._opened(node, fd, flags, keep=False)

    def _create_existing(self, parent: Node, name: bytes, flags: int) -> bytes:
        """The file came to be between the guest's look and its request."""
        found = self._tree.lookup(parent, name)
        if found is None:
            raise OSError(errno.ESTALE, os.strerror(errno.ESTALE))
        node = found[0]
        fd = self._tree.open(node, flags)
        return self.entry(parent, node, os.fstat(fd)) + self._opened(node, fd, flags, keep=False)

    def _tmpfile(self, head: Head, body: bytes) -> bytes:
        flags, mode, _umask, _ = fuse.CREATE_IN.unpack_from(body)
        parent = self._nodes[head.node]
        fd = self._tree.temporary(parent, flags, mode)
        node = self._tree.unnamed(fd)
        opened = self._opened(node, fd, flags, keep=False)
        return self.entry(parent, node, self._tree.stat(node)) + opened

    def _read(self, request: Request, head: Head, first: bytes) -> Reply:
        body = first[fuse.IN_HEADER.size :]
        if len(body) < fuse.READ_IN.size:
            body = b"".join(request.readable)[fuse.IN_HEADER.size :]
        number, offset, size, *_ = fuse.READ_IN.unpack_from(body)
        handle = self._nodes.handle(number) if number else self._any_handle(head.node, writable=False)
        if handle.node.index is not None:
            return self._answer(request, head, handle.node.index.read(handle.fd, size, offset))
        segments = _after(request.writable, fuse.OUT_HEADER.size)
        done = os.preadv(handle.fd, _bounded(segments, size), offset) if segments else 0
        _write_header(request, fuse.OUT_HEADER.pack(fuse.OUT_HEADER.size + done, 0, head.unique))
        request.finish(fuse.OUT_HEADER.size + done)
        return DEFERRED

    def _write(self, request: Request, head: Head) -> Reply:
        start = fuse.IN_HEADER.size + fuse.READ_IN.size
        beginning = b""
        for part in request.readable:
            beginning += bytes(part[: start - len(beginning)])
            if len(beginning) == start:
                break
        number, offset, size, flags, *_ = fuse.READ_IN.unpack_from(beginning, fuse.IN_HEADER.size)
        handle = self._nodes.handle(number) if number else self._any_handle(head.node, writable=True)
        node = handle.node
        segments = _bounded(_after(request.readable, start), size)
        if node.index is not None:
            return self._write_index(request, head, node.index, handle, b"".join(segments), offset, flags)
        before = os.fstat(handle.fd)
        self._tree.demand_room(max(0, offset + size - before.st_size))
        known = state_of(before)
        seen, announced = same_content(node.seen, known), same_content(node.announced, known)
        with _not_appending(handle.fd, flags):
            done = os.pwritev(handle.fd, segments, offset) if segments else 0
        after = os.fstat(handle.fd)
        self._tree.grew(before.st_size, after.st_size)
        if seen:
            node.seen = state_of(after)
        if announced:
            node.announced = state_of(after)
        self._answer(request, head, fuse.WRITE_OUT.pack(done, 0))
        return DEFERRED

    def _write_index(
        self, request: Request, head: Head, index: WalIndex, handle: Handle, data: bytes, offset: int, flags: int
    ) -> Reply:
        if flags & fuse.WRITE_CACHE:
            index.keep(offset, data)
        else:
            os.pwrite(handle.fd, data, offset)
            index.written(offset, data)
        self._answer(request, head, fuse.WRITE_OUT.pack(len(data), 0))
        return DEFERRED

    def _any_handle(self, number: int, *, writable: bool) -> Handle:
        """Any handle of a node, for a request that the kernel sends through the helper's."""
        for handle in self._nodes[number].handles.values():
            if handle.writable or not writable:
                return handle
        raise OSError(errno.EBADF, os.strerror(errno.EBADF))

    def _flush(self, head: Head, body: bytes) -> bytes:
        number, _, _, owner = fuse.FLUSH_IN.unpack_from(body)
        node = self._nodes.handle(number).node
        self._publish(node)
        self._locks.release_owner(node, owner)
        return b""

    def _release(self, head: Head, body: bytes) -> bytes:
        number, *_ = fuse.RELEASE_IN.unpack_from(body)
        handle = self._nodes.handle(number)
        self._publish(handle.node)
        self._locks.released(handle)
        self._tree.closing(handle)
        self._nodes.released(handle)
        if handle.node.lookups <= 0:
            self._drop(handle.node.id, 0)
        return b""

    def _fsync(self, request: Request, head: Head, body: bytes) -> Reply:
        number, flags, _ = fuse.FSYNC_IN.unpack_from(body)
        # the worker gets a descriptor of its own: the guest may release the handle meanwhile
        fd = os.dup(self._nodes.handle(number).fd)

        def work() -> bytes:
            try:
                (os.fdatasync if flags & fuse.FSYNC_DATASYNC else os.fsync)(fd)
            finally:
                os.close(fd)
            return b""

        return self._in_thread(request, head, work)

    def _fsyncdir(self, request: Request, head: Head, _: bytes) -> Reply:
        fd = os.open(".", os.O_RDONLY | os.O_CLOEXEC, dir_fd=self._tree.directory_fd(self._nodes[head.node]))

        def work() -> bytes:
            try:
                os.fsync(fd)
            finally:
                os.close(fd)
            return b""

        return self._in_thread(request, head, work)

    def _syncfs(self, request: Request, head: Head, _: bytes) -> Reply:
        fd = os.open(".", os.O_RDONLY | os.O_CLOEXEC, dir_fd=self._tree.directory_fd(self._nodes.root))

        def work() -> bytes:
            try:
                syscalls.sync_file_system(fd)
            finally:
                os.close(fd)
            return b""

        return self._in_thread(request, head, work)

    def _fallocate(self, head: Head, body: bytes) -> bytes:
        number, offset, length, mode, _ = fuse.FALLOCATE_IN.unpack_from(body)
        fd = self._nodes.handle(number).fd
        before = os.fstat(fd).st_size
        self._tree.demand_room(max(0, offset + length - before))
        syscalls.allocate(fd, mode, offset, length)
        self._tree.grew(before, os.fstat(fd).st_size)
        self._own(self._nodes.handle(number).node)
        return b""

    def _lseek(self, head: Head, body: bytes) -> bytes:
        number, offset, whence, _ = fuse.LSEEK_IN.unpack_from(body)
        if whence not in (os.SEEK_DATA, os.SEEK_HOLE):
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        return fuse.LSEEK_OUT.pack(os.lseek(self._nodes.handle(number).fd, offset, whence))

    def _copy_file_range(self, request: Request, head: Head, body: bytes) -> Reply:
        source, source_offset, _, target, target_offset, length, _ = fuse.COPY_IN.unpack_from(body)
        ours = [self._nodes.handle(source).fd, self._nodes.handle(target).fd]
        node = self._nodes.handle(target).node
        before, available = os.fstat(ours[1]).st_size, os.fstat(ours[0]).st_size - source_offset
        self._tree.demand_room(max(0, target_offset + min(length, available) - before))
        fds = [os.dup(fd) for fd in ours]

        def work() -> bytes:
            done = os.copy_file_range(fds[0], fds[1], min(length, _COPY_MAX), source_offset, target_offset)
            return fuse.WRITE_OUT.pack(done, 0)

        def then() -> None:
            after = os.fstat(fds[1])
            self._tree.grew(before, after.st_size)
            node.announced = state_of(after)
            for fd in fds:
                os.close(fd)

        return self._in_thread(request, head, work, then)

    # --- locks --------------------------------------------------------------------------------------------------

    def _getlk(self, head: Head, body: bytes) -> bytes:
        wanted = self._wanted(body)
        start, end, kind, pid = self._locks.conflict(wanted)
        return fuse.LOCK.pack(start, end, kind, pid)

    def _setlk(self, request: Request, head: Head, body: bytes) -> Reply:
        wanted = self._wanted(body)
        if wanted.kind == fcntl.F_UNLCK or self._locks.gives_up_writing(wanted):
            return self._give_up(request, head, wanted)
        self._locks.take(wanted)
        self._after_lock(request, head, wanted.handle)
        return DEFERRED

    def _setlkw(self, request: Request, head: Head, body: bytes) -> Reply:
        wanted = self._wanted(body)
        if wanted.kind == fcntl.F_UNLCK or self._locks.gives_up_writing(wanted):
            return self._give_up(request, head, wanted)

        def done(error: int) -> None:
            if error:
                self._fail(request, head, error)
            else:
                self._after_lock(request, head, wanted.handle)

        self._locks.wait(wanted, head.pid, done)
        return DEFERRED

    def _after_lock(self, request: Request, head: Head, handle: Handle) -> None:
        """Answer once the guest's caches show what the host's programs wrote before they gave up the lock."""
        node = handle.node
        files = [node] if node.index is None else [node, *database_files(node)]
        stale = [file for file in files if self._outdated(file)]
        if not stale:
            self._answer(request, head, b"")
            return
        waiting = len(stale)

        def refreshed() -> None:
            nonlocal waiting
            waiting -= 1
            if not waiting:
                self._answer(request, head, b"")

        for file in stale:
            self._caches.refresh(file, refreshed)

    def _outdated(self, node: Node) -> bool:
        """Whether the guest's caches may hold what is no longer in the file."""
        if (fd := node.any_fd()) < 0 or self._tree.shadows_node(node):
            return False
        if node.index is not None and node.index.outdated(fd):
            return True
        return node.seen is not None and state_of(os.fstat(fd))[::2] != node.seen[::2]

    def _give_up(self, request: Request, head: Head, wanted: Wanted) -> Reply:
        """Give up a lock; what the guest wrote under it, by a mapping even, reaches the host's file before that."""
        index = wanted.handle.node.index
        if index is None or not self._locks.gives_up_writing(wanted):
            self._locks.take(wanted)
            return b""

        def flushed() -> None:
            try:
                self._publish(wanted.handle.node)
                self._locks.take(wanted)
            except OSError as error:
                self._fail(request, head, error.errno or errno.EIO)
            else:
                self._answer(request, head, b"")

        self._caches.flush(wanted.handle.node, flushed)
        return DEFERRED

    @staticmethod
    def _publish(node: Node) -> None:
        if node.index is None:
            return
        for handle in node.handles.values():
            if handle.writable:
                node.index.publish(handle.fd)
                return

    def _wanted(self, body: bytes) -> Wanted:
        number, owner, start, end, kind, pid, flags, _ = fuse.LK_IN.unpack_from(body)
        return Wanted(self._nodes.handle(number), owner, start, end, kind, pid, whole=bool(flags & fuse.LK_FLOCK))

    # --- extended attributes, file system -----------------------------------------------------------------------

    def _statfs(self, head: Head, _: bytes) -> bytes:
        usage = self._tree.usage()
        return fuse.STATFS_OUT.pack(
            usage.f_blocks, usage.f_bfree, usage.f_bavail, usage.f_files, usage.f_ffree,
            usage.f_bsize, usage.f_namemax, usage.f_frsize, 0,
        )  # fmt: skip

    def _getxattr(self, head: Head, body: bytes) -> bytes:
        size, _ = fuse.GETXATTR_IN.unpack_from(body)
        name = body[fuse.GETXATTR_IN.size : body.index(b"\0", fuse.GETXATTR_IN.size)]
        return _sized(self._tree.get_attribute(self._nodes[head.node], name), size)

    def _listxattr(self, head: Head, body: bytes) -> bytes:
        size, _ = fuse.GETXATTR_IN.unpack_from(body)
        names = self._tree.list_attributes(self._nodes[head.node])
        return _sized(b"".join(name + b"\0" for name in names), size)

    def _setxattr(self, head: Head, body: bytes) -> bytes:
        size, flags = fuse.SETXATTR_IN.unpack_from(body)
        end = body.index(b"\0", fuse.SETXATTR_IN.size)
        name, value = body[fuse.SETXATTR_IN.size : end], body[end + 1 : end + 1 + size]
        node = self._nodes[head.node]
        self._tree.set_attribute(node, name, value, flags)
        self._own(node)
        return b""

    def _removexattr(self, head: Head, body: bytes) -> bytes:
        node = self._nodes[head.node]
        self._tree.remove_attribute(node, body[: body.index(b"\0")])
        self._own(node)
        return b""


RENAME_NOREPLACE, RENAME_EXCHANGE = 1, 2
MOVED_FROM, MOVED_TO, CREATED, DELETED = 0x40, 0x80, 0x100, 0x200
"""inotify(7): IN_MOVED_FROM and so on."""


def _time(valid: int, given: int, now: int, seconds: int, nanoseconds: int) -> int | str | None:
    if valid & now:
        return "now"
    if not valid & given:
        return None
    if seconds >= 1 << 63:
        seconds -= 1 << 64
    return seconds * 1_000_000_000 + nanoseconds


def _sized(data: bytes, size: int) -> bytes:
    """``data``, or its size where ``size`` is 0; ERANGE where it does not fit."""
    if not size:
        return fuse.XATTR_OUT.pack(len(data), 0)
    if len(data) > size:
        raise OSError(errno.ERANGE, os.strerror(errno.ERANGE))
    return data


@contextlib.contextmanager
def _not_appending(fd: int, flags: int) -> Iterator[None]:
    """Write where the request says: pages of a mapping have their place, even in a file that is open for appending."""
    status = fcntl.fcntl(fd, fcntl.F_GETFL) if flags & fuse.WRITE_CACHE else 0
    if not status & os.O_APPEND:
        yield
        return
    fcntl.fcntl(fd, fcntl.F_SETFL, status & ~os.O_APPEND)
    try:
        yield
    finally:
        fcntl.fcntl(fd, fcntl.F_SETFL, status)


def _after(segments: list[memoryview], skipped: int) -> list[memoryview]:
    """``segments`` without their first ``skipped`` bytes."""
    rest = []
    for segment in segments:
        if skipped >= len(segment):
            skipped -= len(segment)
            continue
        rest.append(segment[skipped:] if skipped else segment)
        skipped = 0
    return rest


def _bounded(segments: list[memoryview], size: int) -> list[memoryview]:
    """The first ``size`` bytes of ``segments``."""
    kept = []
    for segment in segments:
        if size <= 0:
            break
        kept.append(segment[:size])
        size -= len(segment)
    return kept


def _write_header(request: Request, header: bytes) -> None:
    for segment in request.writable:
        part = header[: len(segment)]
        segment[: len(part)] = part
        header = header[len(part) :]
        if not header:
            return


_OPERATIONS: dict[int, Callable[[Server, Head, bytes], Reply]] = {
    Op.INIT: Server._init,
    Op.DESTROY: Server._destroy,
    Op.LOOKUP: Server._lookup,
    Op.FORGET: Server._forget,
    Op.BATCH_FORGET: Server._batch_forget,
    Op.GETATTR: Server._getattr,
    Op.SETATTR: Server._setattr,
    Op.READLINK: Server._readlink,
    Op.SYMLINK: Server._symlink,
    Op.MKNOD: Server._mknod,
    Op.MKDIR: Server._mkdir,
    Op.UNLINK: Server._unlink,
    Op.RMDIR: Server._rmdir,
    Op.RENAME: Server._rename,
    Op.RENAME2: Server._rename2,
    Op.LINK: Server._link,
    Op.READDIR: Server._readdir,
    Op.READDIRPLUS: Server._readdirplus,
    Op.CREATE: Server._create,
    Op.TMPFILE: Server._tmpfile,
    Op.FLUSH: Server._flush,
    Op.RELEASE: Server._release,
    Op.FALLOCATE: Server._fallocate,
    Op.LSEEK: Server._lseek,
    Op.GETLK: Server._getlk,
    Op.STATFS: Server._statfs,
    Op.GETXATTR: Server._getxattr,
    Op.LISTXATTR: Server._listxattr,
    Op.SETXATTR: Server._setxattr,
    Op.REMOVEXATTR: Server._removexattr,
}

_DEFERRED_OPERATIONS: dict[int, Callable[[Server, Request, Head, bytes], Reply]] = {
    Op.OPEN: Server._open,
    Op.FSYNC: Server._fsync,
    Op.FSYNCDIR: Server._fsyncdir,
    Op.SYNCFS: Server._syncfs,
    Op.COPY_FILE_RANGE: Server._copy_file_range,
    Op.SETLK: Server._setlk,
    Op.SETLKW: Server._setlkw,
}
