"""The main loop of the screen process: a single thread that reads orders and writes reports.

The loop polls one socket. Orders are handled as they are read; frames and checkpoints are sent when they are due. While
the keeper does not read the reports fast enough, the loop stops reading orders.
"""

import select
import socket
import time
import zlib
from typing import Final

from ccvm_tui.guest import TermSize
from ccvm_tui.screen import messages
from ccvm_tui.screen.current_session import CurrentSession
from ccvm_tui.screen.session import ScreenSession
from ccvm_tui.screen.views import FrameView, WindowView
from ccvm_tui.terminal.emulator import Emulator
from ccvm_tui.terminal.engine import EngineError
from ccvm_tui.terminal.restore import restore_bytes, window_bytes

READ_SIZE: Final = 128 * 1024
"""Bytes that are read at once."""

BACKLOG_MAX: Final = 4 << 20
"""Bytes of unsent reports above which no orders are read."""


class ScreenProcess:
    """The sessions and views of one screen process, and its connection to the keeper."""

    def __init__(self, connection: socket.socket, current: CurrentSession) -> None:
        self._socket = connection
        self._current = current
        self._splitter = messages.Splitter()
        self._out = bytearray()
        self._sessions: dict[str, ScreenSession] = {}
        self._view_owner: dict[str, ScreenSession] = {}
        self._clock = time.monotonic

    def run(self, confined: str) -> None:
        """Handle orders until the keeper closes the socket. ``confined`` is reported; see ``messages.Ready``.

        Raises ProtocolError if the keeper violates the protocol.
        """
        self._socket.setblocking(False)
        self._send(messages.Ready(confined))
        poll = select.poll()
        while True:
            events = (select.POLLIN if len(self._out) < BACKLOG_MAX else 0) | (select.POLLOUT if self._out else 0)
            poll.register(self._socket, events)
            ready = poll.poll(self._timeout())
            for _, event in ready:
                if event & select.POLLIN and not self._read():
                    return
                closed = event & select.POLLHUP and not event & select.POLLIN
                if closed or event & (select.POLLERR | select.POLLNVAL):
                    return
            self._work()
            if self._out and not self._write():
                return

    def _timeout(self) -> float | None:
        """Return the milliseconds until a frame or a checkpoint is due, or None to wait for the keeper."""
        if len(self._out) >= BACKLOG_MAX:
            return None
        times = []
        for session in self._sessions.values():
            times += [at for at in (session.due(), session.checkpoint_due()) if at is not None]
        if not times:
            return None
        # poll takes whole milliseconds: round up, to avoid a busy loop during the last one
        return max(0.0, (min(times) - self._clock()) * 1000 + 0.5)

    def _read(self) -> bool:
        try:
            data = self._socket.recv(READ_SIZE)
        except BlockingIOError:
            return True
        except ConnectionError:
            return False
        if not data:
            return False
        for body in self._splitter.split(data):
            self._dispatch(messages.decode_order(body))
        return True

    def _write(self) -> bool:
        try:
            sent = self._socket.send(self._out)
        except BlockingIOError:
            return True
        except ConnectionError:
            return False
        del self._out[:sent]
        return True

    def _send(self, report: messages.Report) -> None:
        self._out += messages.encode(report)

    def _work(self) -> None:
        """Send the frames and checkpoints that are due."""
        now = self._clock()
        for session in self._sessions.values():
            self._show(session)
            due = session.checkpoint_due()
            if due is not None and due <= now:
                self._checkpoint(session)

    def _show(self, session: ScreenSession) -> None:
        self._current.set(session.name)
        for view, data in session.frames(self._clock()):
            self._send(messages.ViewData(view, data))
        self._current.set("")

    def _checkpoint(self, session: ScreenSession) -> None:
        self._current.set(session.name)
        state = session.checkpoint(self._clock)
        self._current.set("")
        if state is not None:
            self._send(messages.Checkpoint(session.name, state, session.fed))

    def _dispatch(self, order: messages.Order) -> None:
        match order:
            case messages.Feed(session=name, data=data):
                session = self._sessions.get(name)
                if session is not None:
                    self._feed(session, data)
            case messages.AckView(view=view):
                owner = self._view_owner.get(view)
                if owner is not None:
                    owner.views[view].acknowledged()
            case messages.Open():
                self._open(order)
            case messages.Close(session=name):
                self._close(name)
            case messages.Resize(session=name, size=size):
                if name in self._sessions:
                    self._current.set(name)
                    self._sessions[name].resize(size)
                    self._current.set("")
                    self._report(self._sessions[name])
            case messages.OpenView():
                self._open_view(order)
            case messages.CloseView(view=view):
                self._close_view(view)
            case messages.SetColours(session=name, colours=colours):
                if name in self._sessions:
                    self._sessions[name].emulator.recolour(colours)
                    self._report(self._sessions[name])
            case messages.Sync(request=request, checkpoint=checkpoint, show=name):
                if name in self._sessions:
                    self._current.set(name)
                    for view, data in self._sessions[name].last_frames(self._clock()):
                        self._send(messages.ViewData(view, data))
                    self._current.set("")
                if checkpoint:
                    for session in self._sessions.values():
                        self._checkpoint(session)
                self._send(messages.Answer(request, b""))
            case _:
                self._request(order)

    def _feed(self, session: ScreenSession, data: bytes) -> None:
        self._current.set(session.name)
        session.feed(data, self._clock(), self._show)
        self._current.set("")
        self._report(session)

    def _report(self, session: ScreenSession) -> None:
        outbox = session.emulator.outbox
        answers = outbox.take_answers()
        if answers:
            self._send(messages.Reply(session.name, answers))
        events = outbox.take_events()
        if events:
            self._send(messages.Events(session.name, events))

    def _open(self, order: messages.Open) -> None:
        self._close(order.session)
        self._current.set(order.session)
        emulator = None
        if order.state:
            try:
                emulator = Emulator.restore(zlib.decompress(order.state), order.scrollback)
                emulator.resize(order.size)
                emulator.outbox.take_answers()  # the program did not cause these replies
            except (EngineError, zlib.error):
                emulator = None
        if emulator is None:
            emulator = Emulator(order.size, order.scrollback, graphemes=order.graphemes)
        emulator.set_colours(order.colours)
        self._sessions[order.session] = ScreenSession(
            order.session, emulator, strict=order.strict, filtered=order.filtered
        )
        self._current.set("")

    def _close(self, name: str) -> None:
        session = self._sessions.pop(name, None)
        if session is not None:
            for view in session.views:
                del self._view_owner[view]
            session.emulator.close()

    def _open_view(self, order: messages.OpenView) -> None:
        self._close_view(order.view)
        session = self._sessions.get(order.session)
        if session is None:
            return
        if order.cols:
            session.views[order.view] = WindowView(order.view, TermSize(order.cols, order.rows))
        else:
            session.views[order.view] = FrameView(order.view, order.session)
        self._view_owner[order.view] = session

    def _close_view(self, view: str) -> None:
        owner = self._view_owner.pop(view, None)
        if owner is not None:
            del owner.views[view]

    def _request(self, order: messages.Restore | messages.GetLines | messages.Search | messages.GetText) -> None:
        session = self._sessions.get(order.session)
        if session is None:
            self._send(messages.Failed(order.request, f"no session {order.session}"))
            return
        self._current.set(session.name)
        try:
            self._send(self._answer(order, session))
        except EngineError as error:
            self._send(messages.Failed(order.request, str(error)))
        self._current.set("")

    def _answer(
        self,
        order: messages.Restore | messages.GetLines | messages.Search | messages.GetText,
        session: ScreenSession,
    ) -> messages.Report:
        emulator = session.emulator
        match order:
            case messages.Restore(request=request, scrollback=scrollback, cols=cols, rows=rows):
                if cols:
                    return messages.Answer(request, window_bytes(emulator, TermSize(cols, rows)))
                return messages.Answer(request, restore_bytes(emulator, scrollback, session.pending))
            case messages.GetLines(request=request, first=first, count=count):
                return messages.LinesAnswer(request, emulator.lines(first, count))
            case messages.Search(request=request, needle=needle, limit=limit):
                matches, total = emulator.search(needle, limit)
                return messages.MatchesAnswer(request, matches, total)
            case messages.GetText(request=request, first=first, last=last):
                return messages.Answer(request, emulator.text(first, last).encode())
