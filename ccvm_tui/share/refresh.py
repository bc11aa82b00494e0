"""Updates of the guest's caches, made by a helper process in the guest.

The virtiofs driver of the guest's kernel accepts no notifications. Instead a process in the guest, the helper, makes a
system call that has the intended effect on the kernel's caches. The server answers the resulting requests as if they
had been carried out, without accessing the host:

=======  =====================================  ============================================================
create   mknod, mkdir, symlink                  the name appears; inotify reports IN_CREATE
delete   unlink, rmdir                          the name disappears; IN_DELETE
rename   rename                                 IN_MOVED_FROM and IN_MOVED_TO; open files remain the same
modify   open, set the modification time        cached pages are dropped, attributes updated; IN_MODIFY, IN_CLOSE_WRITE
attrib   chmod                                  attributes are updated; IN_ATTRIB
drop     open                                   cached pages are dropped
flush    open, sync_file_range                  pages that were changed in mappings are written to the server
=======  =====================================  ============================================================

While the helper is running and a directory is watched, the guest may cache its names and attributes. Loops are not
possible: the helper's calls change nothing on the host, and changes by the guest's own programs are recognized.
"""

from __future__ import annotations

import logging
import stat
import struct
from collections import Counter, deque
from collections.abc import Callable
from typing import Final

from ccvm_tui.share import fuse, watch
from ccvm_tui.share.instructions import Instruction, Outstanding
from ccvm_tui.share.nodes import Node, path_of, same_content, state_of
from ccvm_tui.share.replies import HelperReplies
from ccvm_tui.share.request import Call, Reply
from ccvm_tui.share.view import View

log = logging.getLogger(__name__)

OUTSTANDING_MAX: Final = 16
"""The maximum number of instructions that the helper has received and not yet completed."""

QUEUE_MAX: Final = 4096
"""The maximum number of queued instructions. Changes beyond it are found by comparing the whole cache afterwards."""

HELPER_TIMEOUT: Final = 20.0
"""Seconds without a reply after which the helper is no longer used. Long, since emulated guests may be slow."""

_FRAME: Final = struct.Struct("<I")
_LINE_MAX: Final = 4096
_TRIES: Final = 3


class Refresher:
    """Converts events of the host to instructions for the helper, and sends them.

    ``send`` sends bytes to the helper. ``signalled`` is called with the number of a task that has received a signal.
    ``clock`` is a monotonic clock in seconds.
    """

    def __init__(
        self, send: Callable[[bytes], None], signalled: Callable[[int], None], clock: Callable[[], float]
    ) -> None:
        self._clock = clock
        self._send = send
        self._signalled = signalled
        self._view: View
        self._replies: HelperReplies
        self._helper = 0
        self._alive = False
        self._received_at = 0.0
        self._line = b""
        self._own_events: Counter[tuple[int, bytes, int]] = Counter()
        self._queue: deque[Instruction] = deque()
        self._queued: set[Node | tuple[Node, bytes]] = set()
        self._overflowed = False
        self._outstanding = Outstanding()

    def set_view(self, view: View) -> None:
        """Set the guest's view of the tree. Call this before any other method."""
        self._view = view
        self._replies = HelperReplies(self._outstanding, view)

    # --- the guest's own changes ------------------------------------------------------------------------------

    def cacheable(self, node: Node) -> bool:
        """Return whether the guest may cache the names and attributes in ``node``, a directory."""
        return self._alive and node.watch >= 0

    def expect_event(self, parent: Node, name: bytes, mask: int) -> None:
        """Record that the guest has caused the next event of ``mask`` for ``name``."""
        if parent.watch >= 0:
            self._own_events[parent.watch, name, mask] += 1

    def _is_own(self, event: watch.Event, mask: int) -> bool:
        key = (event.directory.watch, event.name, mask)
        if self._own_events[key] > 0:
            self._own_events[key] -= 1
            if not self._own_events[key]:
                del self._own_events[key]
            return True
        del self._own_events[key]
        return False

    # --- events of the host -----------------------------------------------------------------------------------

    def handle_events(self, watches: watch.Watches) -> None:
        """Handle the changes by the host's programs since the last call."""
        moved: dict[int, watch.Event] = {}
        try:
            for event in watches.read():
                self._handle_event(event, moved)
        except watch.Overflow:
            self._own_events.clear()
            self.compare_all()
        for event in moved.values():
            self._disappeared(event)
        self._advance()

    def _handle_event(self, event: watch.Event, moved: dict[int, watch.Event]) -> None:
        mask = event.mask
        if self._view.shadows(event.directory, event.name):
            return
        if mask & watch.MOVED_FROM:
            if not self._is_own(event, watch.MOVED_FROM):
                moved[event.cookie] = event
        elif mask & watch.MOVED_TO:
            if not self._is_own(event, watch.MOVED_TO):
                source = moved.pop(event.cookie, None)
                if source is None:
                    self._appeared(event)
                else:
                    self._moved(source, event)
        elif mask & watch.CREATE:
            if not self._is_own(event, watch.CREATE):
                self._appeared(event)
        elif mask & watch.DELETE:
            if not self._is_own(event, watch.DELETE):
                self._disappeared(event)
        elif mask & (watch.MODIFY | watch.CLOSE_WRITE | watch.ATTRIB):
            self._changed(event.directory, event.name, mask)

    def _appeared(self, event: watch.Event) -> None:
        self._put(Instruction("create", event.directory, event.name))

    def _disappeared(self, event: watch.Event) -> None:
        self._put(Instruction("delete", event.directory, event.name, is_directory=bool(event.mask & watch.ISDIR)))

    def _moved(self, source: watch.Event, target: watch.Event) -> None:
        self._view.moved_on_host(source.directory, source.name, target.directory, target.name)
        self._put(
            Instruction("rename", source.directory, source.name, target.directory, target.name,
                        is_directory=bool(source.mask & watch.ISDIR))
        )  # fmt: skip

    def _changed(self, directory: Node, name: bytes, mask: int) -> None:
        if not name:
            self._directory_changed(directory)
            return
        node = directory.children.get(name)
        info = self._view.stat_at(directory, name)
        if info is None or stat.S_ISLNK(info.st_mode):
            return
        if node is not None and node.index is not None and node.seen is not None and node.seen[2] == info.st_size:
            return  # both sides write to it all the time; its pages are compared when a lock is taken
        state = state_of(info)
        if node is not None and node.announced is not None:
            if mask & watch.ATTRIB and state[:4] == node.announced[:4]:
                return
            if not mask & watch.ATTRIB and same_content(state, node.announced):
                return
        written = mask & (watch.MODIFY | watch.CLOSE_WRITE) or node is None or not same_content(state, node.seen)
        kind = "modify" if written and stat.S_ISREG(info.st_mode) else "attrib"
        self._put(Instruction(kind, directory, name, node=node))

    def _directory_changed(self, directory: Node) -> None:
        if (place := self._place(directory)) is None:
            return
        info = self._view.stat_at(*place)
        if info is None or directory.seen is None:
            return
        # For any other directory, an event of its parent reports the times as well.
        touched = directory.id == fuse.ROOT_ID and info.st_mtime_ns != directory.seen[0]
        if touched or info.st_mode != directory.seen[3]:
            self._put(Instruction("attrib", *place))

    def _place(self, directory: Node) -> tuple[Node, bytes] | None:
        """Return the place of ``directory``, or None if it is unknown. The shared directory is "." in itself."""
        if directory.id == fuse.ROOT_ID:
            return directory, b"."
        return None if directory.parent is None else (directory.parent, directory.name)

    def refresh(self, node: Node, then: Callable[[], None]) -> None:
        """Make the guest drop the cached content and attributes of ``node``, a file, then call ``then``."""
        self._put_first("modify", node, then)

    def settled(self, node: Node, then: Callable[[], None]) -> None:
        """Call ``then`` when the outstanding instructions for ``node``, a file, have taken effect in the guest."""
        for instruction in self._outstanding:
            if instruction.kind in ("modify", "attrib") and instruction.is_about(node):
                self.refresh(node, then)
                return
        then()

    def drop(self, node: Node, then: Callable[[], None]) -> None:
        """Make the guest drop the pages of ``node``, a file, without an inotify event, then call ``then``."""
        if any(instruction.is_about(node) for instruction in self._outstanding):
            # Do not wait: in the guest, that instruction may be waiting for the write that is waiting here.
            then()
            self._put_first("drop", node, lambda: None)
        else:
            self._put_first("drop", node, then)

    def flush(self, node: Node, then: Callable[[], None]) -> None:
        """Make the guest write back the pages of ``node`` that were changed in mappings, then call ``then``."""
        self._put_first("flush", node, then)

    def _put_first(self, kind: str, node: Node, then: Callable[[], None]) -> None:
        """Queue an instruction before all others. Without a helper or a name, only call ``then``."""
        if not self._alive or node.parent is None:
            then()
            return
        self._queue.appendleft(Instruction(kind, node.parent, node.name, node=node, then=then))
        self._advance()

    def compare_all(self) -> None:
        """Compare all nodes with the host, and queue instructions for the differences."""
        kept = [instruction for instruction in self._queue if instruction.then is not None]
        self._queue.clear()
        self._queued.clear()
        self._queue.extend(kept)
        for node in self._view.all_nodes():
            if node.id == fuse.ROOT_ID:
                self._directory_changed(node)
            for name, child in list(node.children.items()):
                self._compare(node, name, child)

    def _compare(self, directory: Node, name: bytes, child: Node | None, tries: int = 0) -> None:
        if self._view.shadows(directory, name):
            return
        info = self._view.stat_at(directory, name)
        needed = []
        if child is not None and (info is None or not child.is_of(info)):
            needed.append(Instruction("delete", directory, name, is_directory=child.is_directory))
        if info is not None and (child is None or needed):
            needed.append(Instruction("create", directory, name))
        if not needed and child is not None and info is not None and child.seen not in (None, state_of(info)):
            if child.is_regular:
                needed.append(Instruction("modify", directory, name, node=child))
            elif child.kind != stat.S_IFLNK:
                needed.append(Instruction("attrib", directory, name, node=child))
        for instruction in needed:
            instruction.tries = tries
            self._put(instruction, unbounded=True)

    # --- instructions -----------------------------------------------------------------------------------------

    def _put(self, instruction: Instruction, *, unbounded: bool = False) -> None:
        if not self._alive:
            return
        if len(self._queue) >= QUEUE_MAX and not unbounded:
            self._overflowed = True
            return
        if instruction.kind in ("modify", "attrib"):
            subject = instruction.subject
            if subject in self._queued:
                return
            self._queued.add(subject)
        self._queue.append(instruction)

    def _advance(self) -> None:
        """Send queued instructions, and look for changes that did not fit into the queue once it is empty."""
        self._send_queued()
        if self._overflowed and not self._queue and not self._outstanding:
            self._overflowed = False
            self.compare_all()
            self._send_queued()

    def _send_queued(self) -> None:
        """Send queued instructions to the helper, up to the limit. Instructions for the same name are sent in turn."""
        while self._queue and len(self._outstanding) < OUTSTANDING_MAX:
            instruction = self._queue[0]
            self._update_place(instruction)
            if self._outstanding.affects(instruction):
                return
            self._queue.popleft()
            self._queued.discard(instruction.subject)
            if (fields := self._fields(instruction)) is None:
                instruction.finish()
                continue
            if not self._outstanding:
                self._received_at = self._clock()
            number = self._outstanding.add(instruction)
            self._send_fields([str(number).encode(), *fields])

    @staticmethod
    def _update_place(instruction: Instruction) -> None:
        """Set the place in the instruction to the current place of its node."""
        node = instruction.node
        if node is not None and node.parent is not None:
            instruction.directory, instruction.name = node.parent, node.name

    def _fields(self, instruction: Instruction) -> list[bytes] | None:
        path = instruction.path
        if instruction.kind == "rename":
            assert instruction.new_directory is not None
            return [b"rename", path, path_of(instruction.new_directory, instruction.new_name)]
        if instruction.kind == "delete":
            if self._view.is_current(instruction.directory, instruction.name):
                return None  # a program in the guest has created it again
            known = instruction.directory.children.get(instruction.name)
            if self._view.is_removed(instruction.directory) and not (known is not None and known.aliases):
                return None  # the guest drops the content of a directory with the directory, but keeps hard links
            return [b"rmdir" if instruction.is_directory else b"unlink", path]
        info = self._view.stat_at(instruction.directory, instruction.name)
        if info is None:
            return None
        if instruction.kind == "flush":
            assert instruction.node is not None
            return [b"flush", path, str(instruction.node.id).encode()]
        if instruction.kind == "drop":
            return [b"drop", path]
        if instruction.kind == "create":
            known = instruction.directory.children.get(instruction.name)
            if stat.S_ISDIR(info.st_mode):
                if known is not None and known.is_of(info):
                    return None  # a program in the guest has already looked it up, and may be using it
                return [b"mkdir", path]
            if stat.S_ISLNK(info.st_mode):
                return [b"symlink", path]
            return [b"mknod", path, str(stat.S_IFMT(info.st_mode)).encode()]
        node, state = instruction.node, state_of(info)
        if node is not None:
            if instruction.then is None and node.announced == node.seen == state and not node.uncertain:
                return None  # the guest has been updated meanwhile, for example when it took a lock
            node.announced = state
        if instruction.kind == "attrib":
            return [b"chmod", path, str(stat.S_IMODE(info.st_mode)).encode()]
        return [b"modify", path]

    def _send_fields(self, fields: list[bytes]) -> None:
        body = b"\0".join(fields)
        self._send(_FRAME.pack(len(body)) + body)

    def query_signals(self, task: int) -> None:
        """Query whether a task of the guest has received a signal. If it has, ``signalled`` is called later."""
        if self._alive:
            self._send_fields([b"0", b"signals", str(task).encode()])

    # --- the helper's messages --------------------------------------------------------------------------------

    def receive(self, data: bytes) -> None:
        """Handle bytes from the helper's port: lines of space-separated fields."""
        self._received_at = self._clock()
        *lines, self._line = (self._line + data).split(b"\n")
        self._line = self._line[-_LINE_MAX:]
        for line in lines:
            match line.split():
                case [b"hello", pid] if pid.isdigit():
                    self._start(int(pid))
                case [b"done", number, error] if number.isdigit():
                    self._done(int(number), error)
                case [b"signalled", task] if task.isdigit():
                    self._signalled(int(task))
                case _:
                    log.warning("the helper in the guest sent an unknown message: %r", line[:80])
        self._advance()

    def _start(self, pid: int) -> None:
        self._helper = pid
        self._drop_all()
        self._alive = True
        self.compare_all()

    def ended(self) -> None:
        """Stop using the helper, which has exited or does not answer. The guest may no longer cache anything.

        Callers that wait for an instruction continue. The helper's requests are still not carried out, in case it
        resumes.
        """
        self._alive = False
        self._drop_all()

    def next_due(self) -> float | None:
        """Return the time of the clock at which to call ``tick`` next, or None if no instruction is outstanding."""
        return self._received_at + HELPER_TIMEOUT if self._outstanding else None

    def tick(self) -> None:
        """Stop using the helper if it has not answered for HELPER_TIMEOUT seconds."""
        due = self.next_due()
        if due is not None and due <= self._clock():
            log.warning("the helper in the guest does not answer")
            self.ended()

    def _drop_all(self) -> None:
        instructions = [*self._outstanding, *self._queue]
        self._outstanding.clear()
        self._queue.clear()
        self._queued.clear()
        self._overflowed = False
        for instruction in instructions:
            instruction.finish()

    def _done(self, number: int, error: bytes) -> None:
        if not self._alive:
            self._start(self._helper)  # it was only slow
        instruction = self._outstanding.complete(number)
        if instruction is None:
            return
        if self._missed(instruction) and instruction.tries < _TRIES:
            instruction.tries += 1
            instruction.delivered = None
            self._queue.appendleft(instruction)
            return
        if instruction.node is not None and same_content(instruction.delivered, instruction.node.seen):
            instruction.node.uncertain = False
        instruction.finish()
        if error != b"0":
            self._retry(instruction)
            log.debug("%s of %r: error %s in the guest", instruction.kind, instruction.name, error.decode())

    @staticmethod
    def _missed(instruction: Instruction) -> bool:
        """Return whether a caller waits for a ``modify`` that may not have given the guest the current attributes.

        The path may have led to another file. Or newer attributes were sent at the same time as those of the
        instruction: of two concurrent replies, the guest's kernel uses only one.
        """
        node = instruction.node
        waits = instruction.then is not None and instruction.kind == "modify"
        return waits and node is not None and instruction.delivered != node.seen

    def _retry(self, instruction: Instruction) -> None:
        """Compare the names of an instruction that failed because of concurrent changes in the guest."""
        for directory, name in instruction.names():
            if instruction.tries < _TRIES:
                self._compare(directory, name, directory.children.get(name), instruction.tries + 1)

    def answer(self, call: Call, body: bytes) -> Reply | None:
        """Return the reply to a request that the helper made for an instruction, or None for any other request."""
        return self._replies.answer(call, body) if self._helper and call.pid == self._helper else None
