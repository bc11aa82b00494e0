"""The file server's event loop: the device, inotify events, the helper in the guest, worker threads, and locks."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import select
import socket
import time
from collections import deque
from collections.abc import Callable

from ccvm_tui.share.host import HostTree
from ccvm_tui.share.locks import Locks
from ccvm_tui.share.nodes import Node
from ccvm_tui.share.order import ACCEPT, LIST, REVIVE, TRUST
from ccvm_tui.share.refresh import Refresher
from ccvm_tui.share.server import Server
from ccvm_tui.share.vhost import Backend, Queue
from ccvm_tui.share.view import View
from ccvm_tui.share.watch import Watches

log = logging.getLogger(__name__)

_QUEUES = 2
_CHUNK = 1 << 16
_EDITS_MAX = 1000

MakeTree = Callable[[Callable[[Node, int], None], Callable[[Node], None]], HostTree]
"""Creates the tree. The arguments are the callbacks ``on_directory`` and ``on_forgotten`` of ``HostTree``."""


class Loop:
    """The event loop of one file server. It runs in one thread."""

    def __init__(
        self,
        make_tree: MakeTree,
        watches: Watches,
        device: socket.socket,
        helper: socket.socket,
        control: socket.socket,
    ) -> None:
        self._watches = watches
        self._helper = helper
        self._control = control
        self._helper_out = bytearray()
        self._poll = select.epoll()
        self._handlers: dict[int, Callable[[], None]] = {}
        self._running = True
        self._callbacks: deque[Callable[[], None]] = deque()
        self._wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._refresher = Refresher(self._send_to_helper, lambda task: self._locks.interrupt(task), time.monotonic)
        self._locks = Locks(time.monotonic, self._refresher.query_signals)
        self._tree = make_tree(watches.add, watches.remove)
        view = View(self._tree, self._refresher, reported=watches.complete)
        self._refresher.set_view(view)
        self._server = Server(self._tree, view, self._refresher, self._locks, self._call_soon_threadsafe)
        self._backend = Backend(device, _QUEUES, self._watch_queue, self._unwatch)
        helper.setblocking(False)
        self._watch(device.fileno(), self._receive)
        if watches.fileno() >= 0:
            self._watch(watches.fileno(), lambda: None)  # handled before anything else
        self._watch(helper.fileno(), self._receive_from_helper)
        self._watch(self._wake, self._run_callbacks)
        self._watch(control.fileno(), self._handle_control)

    def run(self) -> None:
        """Serve until the control connection or the device is closed."""
        events = (self._watches.fileno(), select.EPOLLIN)
        while self._running:
            dues = (self._locks.next_due(), self._refresher.next_due())
            due = min((due for due in dues if due is not None), default=None)
            ready = self._poll.poll(None if due is None else max(0.0, due - time.monotonic()))
            # Handle inotify events first: the guest's own changes must be recognized before it forgets the file.
            if events in ready:
                self._refresher.handle_events(self._watches)
            for fd, _ in ready:
                handler = self._handlers.get(fd)
                if handler is not None:
                    handler()
            if due is not None:
                self._locks.tick()
                self._refresher.tick()

    def _watch(self, fd: int, handler: Callable[[], None], how: int = select.EPOLLIN) -> None:
        self._handlers[fd] = handler
        self._poll.register(fd, how)

    def _unwatch(self, fd: int) -> None:
        if self._handlers.pop(fd, None) is not None:
            self._poll.unregister(fd)

    def _handle_control(self) -> None:
        """Answer a request on the control connection; ``process.ShareServer`` sends them."""
        request = self._control.recv(1)
        if not request:
            self._running = False
            return
        if request in (ACCEPT, REVIVE):
            report = self._tree.accept if request == ACCEPT else self._tree.revive
            for path in self._receive_strings():
                with contextlib.suppress(OSError):  # the file was moved or deleted meanwhile
                    report(os.fsencode(path))
            body = b""
        elif request == TRUST:
            path, *allowed = self._receive_strings()
            self._tree.trust(path, allowed)
            body = b""
        elif request == LIST:
            body = json.dumps(self._tree.list_edits()).encode()
        else:
            edits = list(self._tree.edits())
            body = b"\0".join([str(len(edits)).encode(), *edits[:_EDITS_MAX]])
        self._control.sendall(len(body).to_bytes(4, "little") + body)

    def _receive_strings(self) -> list[str]:
        """Return the strings that follow a request."""
        size = int.from_bytes(self._control.recv(4, socket.MSG_WAITALL), "little")
        strings: list[str] = json.loads(self._control.recv(size, socket.MSG_WAITALL))
        return strings

    # --- the device -------------------------------------------------------------------------------------------

    def _receive(self) -> None:
        if not self._backend.receive():
            self._running = False

    def _watch_queue(self, fd: int, queue: Queue) -> None:
        # Edge-triggered, so that the counter of the eventfd need not be read.
        self._watch(fd, lambda: self._handle_queue(queue), select.EPOLLIN | select.EPOLLET)

    def _handle_queue(self, queue: Queue) -> None:
        for request in queue.requests():
            self._server.handle(request)

    # --- worker threads -----------------------------------------------------------------------------------------

    def _call_soon_threadsafe(self, call: Callable[[], None]) -> None:
        self._callbacks.append(call)
        os.eventfd_write(self._wake, 1)

    def _run_callbacks(self) -> None:
        os.eventfd_read(self._wake)
        while self._callbacks:
            self._callbacks.popleft()()

    # --- the helper ---------------------------------------------------------------------------------------------

    def _receive_from_helper(self) -> None:
        try:
            data = self._helper.recv(_CHUNK)
        except BlockingIOError:
            return
        if data:
            self._refresher.receive(data)
        else:
            self._unwatch(self._helper.fileno())
            self._refresher.ended()
        self._flush_helper()

    def _send_to_helper(self, data: bytes) -> None:
        self._helper_out += data
        self._flush_helper()

    def _flush_helper(self) -> None:
        while self._helper_out:
            try:
                sent = self._helper.send(self._helper_out)
            except BlockingIOError:
                return  # the rest is sent after the helper's next reply
            except OSError:
                self._helper_out.clear()
                return
            del self._helper_out[:sent]
