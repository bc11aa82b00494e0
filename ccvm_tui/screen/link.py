"""The keeper's side of the screen process: sessions and views by name, and a process that is restarted if it crashes.

The process sends checkpoints of its emulators. After a crash, a new process continues from the checkpoints. Output that
was fed after a checkpoint is *not* fed again, because it may have caused the crash; ``on_lost`` reports the sessions
that have lost output, and the keeper makes their programs redraw. If the output of a session crashes the process
repeatedly, it is first filtered strictly and then no longer fed, so that the other sessions keep their screens.
"""

import asyncio
import itertools
import logging
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from ccvm_tui.aio import Background
from ccvm_tui.errors import CcvmError
from ccvm_tui.guest import UNKNOWN_COLOURS, TermColours, TermSize
from ccvm_tui.screen import messages
from ccvm_tui.screen.child import Child
from ccvm_tui.screen.record import CRASH_WINDOW, CrashAction, SessionRecord
from ccvm_tui.terminal.cells import Lines, Match
from ccvm_tui.terminal.events import TermEvent

log = logging.getLogger(__name__)

BACKOFF_MAX: Final = 2.0
"""Seconds between a crash and the restart, at most."""


class ScreenError(CcvmError):
    """A request to the screen process has failed."""


@dataclass(frozen=True)
class _View:
    session: str
    deliver: Callable[[bytes], None]
    window: TermSize | None = None


@dataclass
class _Request:
    order: messages.Restore | messages.GetLines | messages.Search | messages.GetText | messages.Sync
    future: asyncio.Future[messages.Report]
    tries: int = 1


def _ignore(*_: object) -> None:
    pass


class ScreenLink:
    """The connection to the screen process.

    All methods except coroutines return at once. The callbacks are called from the event loop:

    - ``on_reply(session, data)`` with the emulator's replies to queries of the program;
    - ``on_event(session, event)`` with every other event;
    - ``on_lost(sessions)`` with the sessions whose screens miss output because the process has crashed;
    - ``on_failed(session)`` with a session that is no longer fed.

    ``confined`` lists what the process cannot access; see ``messages.Ready``. ``restarts`` counts the restarts.
    ``stderr`` is the standard error of the process, as for ``asyncio.create_subprocess_exec``.
    """

    def __init__(
        self,
        on_reply: Callable[[str, bytes], None] = _ignore,
        on_event: Callable[[str, TermEvent], None] = _ignore,
        on_lost: Callable[[list[str]], None] = _ignore,
        on_failed: Callable[[str], None] = _ignore,
        *,
        stderr: int | None = None,
    ) -> None:
        self.on_reply = on_reply
        self.on_event = on_event
        self.on_lost = on_lost
        self.on_failed = on_failed
        self.confined = ""
        self.restarts = 0
        self.filtered = True
        """True if output is filtered in front of the emulator. Only tests that provoke a crash clear it."""
        self._stderr = stderr
        self._child: Child | None = None
        self._up = asyncio.Event()
        self._closing = False
        self._tasks = Background("screen")
        self._sessions: dict[str, SessionRecord] = {}
        self._views: dict[str, _View] = {}
        self._requests: dict[int, _Request] = {}
        self._numbers = itertools.count(1)
        self._view_numbers = itertools.count(1)
        self._crashes: deque[float] = deque(maxlen=16)

    def __repr__(self) -> str:
        state = "up" if self._up.is_set() else "closed" if self._closing else "down"
        counts = f"{len(self._sessions)} sessions, {len(self._views)} views, {self.restarts} restarts"
        return f"<ScreenLink {state}, {counts}>"

    async def start(self) -> None:
        """Start the process. Raises OSError if it cannot be started."""
        await self._launch()

    async def close(self) -> None:
        """End the process. Outstanding requests raise ScreenError."""
        self._closing = True
        self._up.clear()
        child, self._child = self._child, None
        if child is not None:
            await child.reap(1.0)
        await self._tasks.close()
        for request in self._requests.values():
            if not request.future.done():
                request.future.set_exception(ScreenError("the screen process was closed"))
        self._requests.clear()

    @property
    def pid(self) -> int:
        """The id of the process, or 0 while no process runs."""
        return self._child.pid if self._child is not None else 0

    # --- sessions ----------------------------------------------------------------------------------------------

    def open(
        self,
        session: str,
        size: TermSize,
        scrollback: int = 10_000,
        colours: TermColours = UNKNOWN_COLOURS,
        *,
        graphemes: bool = False,
    ) -> None:
        """Open a session with an empty screen and ``scrollback`` lines of scrollback.

        With ``graphemes``, text is laid out by grapheme clusters; see ``Emulator``.
        """
        record = self._sessions[session] = SessionRecord(size, scrollback, graphemes, colours=colours)
        self._send(self._open_order(session, record))

    def feed(self, session: str, data: bytes) -> None:
        """Feed output of the session's program. Check ``want_pause`` afterwards."""
        record = self._sessions.get(session)
        if record is None or record.failed or not data:
            return
        if self._up.is_set():
            record.fed += len(data)
            self._send(messages.Feed(session, data))
        else:
            record.keep(data)

    def resize(self, session: str, size: TermSize) -> None:
        """Change the size of the session's screen."""
        record = self._sessions.get(session)
        if record is not None:
            record.size = size
            self._send(messages.Resize(session, size))

    def close_session(self, session: str) -> None:
        """Close a session and its views."""
        if self._sessions.pop(session, None) is not None:
            self._send(messages.Close(session))
            self._views = {name: view for name, view in self._views.items() if view.session != session}

    def set_colours(self, session: str, colours: TermColours) -> None:
        """Set the colours that are reported to the session's program, on request and when they change."""
        record = self._sessions.get(session)
        if record is not None and record.colours != colours:
            record.colours = colours
            self._send(messages.SetColours(session, colours))

    @property
    def want_pause(self) -> bool:
        """True if the caller of ``feed`` should pause until ``drain`` returns."""
        return not self._up.is_set() or (self._child is not None and not self._child.writable.is_set())

    async def drain(self) -> None:
        """Wait until more output can be fed, or until the link is closed."""
        while self.want_pause and not self._closing:
            if self._up.is_set() and self._child is not None:
                await self._child.writable.wait()
            else:
                await self._up.wait()

    # --- views -------------------------------------------------------------------------------------------------

    def view_name(self, prefix: str) -> str:
        """Return a name for a view that no other call has returned."""
        return f"{prefix}{next(self._view_numbers)}"

    def open_view(self, session: str, view: str, on_frame: Callable[[bytes], None]) -> None:
        """Open a view, which gets encoded frames.

        The first frame is sent at once and is a full frame. Each later frame is sent after ``ack_view``.
        """
        self._show(view, _View(session, on_frame))

    def open_window(self, session: str, view: str, window: TermSize, on_bytes: Callable[[bytes], None]) -> None:
        """Open a view for a terminal of size ``window``.

        It gets VT bytes that draw the part of the screen that fits, and acknowledges them like frames.
        """
        self._show(view, _View(session, on_bytes, window))

    def _show(self, name: str, view: _View) -> None:
        self._views[name] = view
        self._send(self._view_order(name, view))

    def ack_view(self, view: str) -> None:
        """Acknowledge the last frame, which makes the view ready for the next one."""
        if view in self._views:
            self._send(messages.AckView(view))

    def close_view(self, view: str) -> None:
        """Close a view."""
        if self._views.pop(view, None) is not None:
            self._send(messages.CloseView(view))

    # --- requests ----------------------------------------------------------------------------------------------

    async def restore(self, session: str, scrollback: bool | int = True, window: TermSize | None = None) -> bytes:
        """Return VT bytes that rebuild the session in a terminal of its size, including all output fed before.

        ``scrollback`` is the maximum number of lines of scrollback, or True for all. With ``window``, return bytes that
        draw the part of the screen that fits a terminal of that size.

        Raises ScreenError if the session does not exist or the request fails.
        """
        record = self._sessions.get(session)
        lines = (record.scrollback if record is not None else 0) if scrollback is True else int(scrollback)
        cols, rows = (window.cols, window.rows) if window is not None else (0, 0)
        return await self._ask_bytes(messages.Restore(next(self._numbers), session, lines, cols, rows))

    async def lines(self, session: str, first: int, count: int) -> Lines:
        """Return ``count`` lines by absolute number, without those that do not exist.

        Raises ScreenError if the session does not exist or the request fails.
        """
        report = await self._ask(messages.GetLines(next(self._numbers), session, first, count))
        assert isinstance(report, messages.LinesAnswer)
        return report.lines

    async def search(self, session: str, needle: str, limit: int = 1000) -> tuple[list[Match], int]:
        """Search scrollback and screen for a text, ignoring case.

        Returns at most ``limit`` matches, newest first, and the number of all matches.

        Raises ScreenError if the session does not exist or the request fails.
        """
        report = await self._ask(messages.Search(next(self._numbers), session, needle, limit))
        assert isinstance(report, messages.MatchesAnswer)
        return report.matches, report.total

    async def text(self, session: str, first: int, last: int) -> str:
        """Return the text of lines ``first`` to ``last`` (absolute, inclusive), with soft-wrapped lines joined.

        Raises ScreenError if the session does not exist or the request fails.
        """
        return (await self._ask_bytes(messages.GetText(next(self._numbers), session, first, last))).decode()

    async def sync(self, *, checkpoint: bool = False) -> None:
        """Wait until all output fed before has been interpreted and, with ``checkpoint``, saved.

        Raises ScreenError if the link is closed.
        """
        await self._ask(messages.Sync(next(self._numbers), checkpoint))

    async def show_last(self, session: str) -> None:
        """Send every view of the session its newest state, whether it is ready or not, and wait until that is done.

        Raises ScreenError if the link is closed.
        """
        await self._ask(messages.Sync(next(self._numbers), show=session))

    async def _ask_bytes(self, order: messages.Restore | messages.GetText) -> bytes:
        report = await self._ask(order)
        assert isinstance(report, messages.Answer)
        return report.data

    async def _ask(
        self, order: messages.Restore | messages.GetLines | messages.Search | messages.GetText | messages.Sync
    ) -> messages.Report:
        if self._closing:
            raise ScreenError("the screen process was closed")
        request = _Request(order, asyncio.get_running_loop().create_future())
        self._requests[order.request] = request
        self._send(order)
        try:
            return await request.future
        finally:
            self._requests.pop(order.request, None)

    # --- the process -------------------------------------------------------------------------------------------

    def _send(self, order: messages.Order) -> None:
        # While no process runs, nothing is sent: the next process gets sessions, views and requests from the tables.
        if self._up.is_set() and self._child is not None:
            self._child.send(order)

    def _open_order(self, name: str, session: SessionRecord) -> messages.Open:
        return messages.Open(
            name,
            session.size,
            session.scrollback,
            session.colours,
            session.strict,
            session.state,
            self.filtered or session.strict,
            session.graphemes,
        )

    def _view_order(self, name: str, view: _View) -> messages.OpenView:
        size = view.window
        return messages.OpenView(view.session, name, size.cols if size else 0, size.rows if size else 0)

    async def _launch(self) -> None:
        child = Child(self._report, self._ended)
        await child.start(self._stderr)
        self._child = child
        self._up.set()
        lost = [name for name, session in self._sessions.items() if session.lost]
        for name, session in self._sessions.items():
            self._send(self._open_order(name, session))
            for data in session.begin():
                self.feed(name, data)
        for name, view in self._views.items():
            self._send(self._view_order(name, view))
        for request in self._requests.values():
            self._send(request.order)
        if lost:
            self.on_lost(lost)

    def _report(self, report: messages.Report) -> None:
        match report:
            case messages.ViewData(view=view, data=data):
                if view in self._views:
                    self._views[view].deliver(data)
            case messages.Reply(session=session, data=data):
                if session in self._sessions:
                    self.on_reply(session, data)
            case messages.Events(session=session, events=events):
                if session in self._sessions:
                    for event in events:
                        self.on_event(session, event)
            case messages.Checkpoint(session=session, state=state, fed=fed):
                record = self._sessions.get(session)
                if record is not None:
                    record.state, record.saved = state, fed
            case messages.Ready(confined=confined):
                self.confined = confined
            case messages.Failed(request=number, message=message):
                request = self._requests.get(number)
                if request is not None and not request.future.done():
                    request.future.set_exception(ScreenError(message))
            case messages.Answer() | messages.LinesAnswer() | messages.MatchesAnswer():
                request = self._requests.get(report.request)
                if request is not None and not request.future.done():
                    request.future.set_result(report)

    def _ended(self, child: Child) -> None:
        if child is self._child and not self._closing:
            self._child = None
            self._up.clear()
            self._tasks.start(self._recover(child), "restart")

    async def _recover(self, child: Child) -> None:
        status, culprit = await child.reap()
        now = time.monotonic()
        log.warning(
            "the screen process exited with status %d while handling %s%s",
            status,
            f"session {culprit}" if culprit else "no session",
            f": {child.problem}" if child.problem else "",
        )
        for session in self._sessions.values():
            session.process_died()
        if culprit in self._sessions:
            self._restrict(culprit, self._sessions[culprit].record_crash(now))
        for number, request in list(self._requests.items()):
            request.tries += 1
            if request.tries > 2 and not request.future.done():
                request.future.set_exception(ScreenError("the screen process crashed twice while handling the request"))
                self._requests.pop(number, None)
        recent = sum(1 for crash in self._crashes if now - crash < CRASH_WINDOW)
        self._crashes.append(now)
        if recent:
            await asyncio.sleep(min(BACKOFF_MAX, 0.05 * 2**recent))
        self.restarts += 1
        while not self._closing:
            try:
                await self._launch()
                return
            except OSError as error:
                log.error("cannot start the screen process: %s", error)
                await asyncio.sleep(BACKOFF_MAX)

    def _restrict(self, session: str, action: CrashAction) -> None:
        if action is CrashAction.RESTRICT:
            log.warning("the output of session %s is filtered strictly from now on", session)
        elif action is CrashAction.DISABLE:
            log.error("the output of session %s is discarded from now on", session)
            self.on_failed(session)
