"""The keeper's side of the screen process: sessions and views by name, and a process behind them that may die.

What the emulators know is checkpointed here. When the process dies, another takes its place, the sessions go on
from their checkpoints, and the bytes printed since are *not* fed again, for they may be what killed it: `on_lost`
names the sessions that lost some, and the keeper makes their programs redraw. A session whose output kills the
process again and again is first fed a stricter diet and then nothing at all, so that the others keep their screens.
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
from ccvm_tui.screen.record import CRASH_WINDOW, Sentence, SessionRecord
from ccvm_tui.terminal.cells import Lines, Match
from ccvm_tui.terminal.events import TermEvent

log = logging.getLogger(__name__)

BACKOFF_MAX: Final = 2.0


class ScreenError(CcvmError):
    """The screen process could not carry out a request."""


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
    """Every method but the awaited ones returns at once; the callbacks come from the event loop.

    `on_reply(session, data)` has the emulator's answers to the program's queries, `on_event(session, event)` what
    else it tells, `on_lost(sessions)` those whose screens are behind because the process died, `on_failed(session)`
    one that is fed no more.
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
        """Whether output is filtered before the emulator; only a test that wants it to die says no."""
        self._stderr = stderr
        self._child: Child | None = None
        self._up = asyncio.Event()
        self._closing = False
        self._tasks = Background("screen")
        self._sessions: dict[str, SessionRecord] = {}
        self._views: dict[str, _View] = {}
        self._requests: dict[int, _Request] = {}
        self._numbers = itertools.count(1)
        self._crashes: deque[float] = deque(maxlen=16)

    def __repr__(self) -> str:
        state = "up" if self._up.is_set() else "closed" if self._closing else "down"
        counts = f"{len(self._sessions)} sessions, {len(self._views)} views, {self.restarts} restarts"
        return f"<ScreenLink {state}, {counts}>"

    async def start(self) -> None:
        """Start the process.

        Raises:
            OSError: it cannot be started.
        """
        await self._launch()

    async def close(self) -> None:
        """End the process; requests that still wait fail."""
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
        """The process id, or 0 while there is no process."""
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
        """A new session with an empty screen. `scrollback` is in lines; `graphemes` as `Emulator` takes them."""
        known = self._sessions[session] = SessionRecord(size, scrollback, graphemes, colours=colours)
        self._send(self._open_order(session, known))

    def feed(self, session: str, data: bytes) -> None:
        """Output of the session's program. Look at `want_pause` afterwards."""
        known = self._sessions.get(session)
        if known is None or known.failed or not data:
            return
        if self._up.is_set():
            known.fed += len(data)
            self._send(messages.Feed(session, data))
        else:
            known.keep(data)

    def resize(self, session: str, size: TermSize) -> None:
        """The session's terminal has this size from here on."""
        known = self._sessions.get(session)
        if known is not None:
            known.size = size
            self._send(messages.Resize(session, size))

    def close_session(self, session: str) -> None:
        """Forget the session and its views."""
        if self._sessions.pop(session, None) is not None:
            self._send(messages.Close(session))
            self._views = {name: view for name, view in self._views.items() if view.session != session}

    def set_colours(self, session: str, colours: TermColours) -> None:
        """The colours that are reported to the session's programs when they ask, and when they change."""
        known = self._sessions.get(session)
        if known is not None and known.colours != colours:
            known.colours = colours
            self._send(messages.SetColours(session, colours))

    @property
    def want_pause(self) -> bool:
        """Whether whoever feeds should stop until `drain` returns."""
        return not self._up.is_set() or (self._child is not None and not self._child.writable.is_set())

    async def drain(self) -> None:
        """Returns when more output is welcome, or when the link is closed."""
        while self.want_pause and not self._closing:
            if self._up.is_set() and self._child is not None:
                await self._child.writable.wait()
            else:
                await self._up.wait()

    # --- views -------------------------------------------------------------------------------------------------

    def open_view(self, session: str, view: str, on_frame: Callable[[bytes], None]) -> None:
        """Encoded frames from now on, the first at once and full; each further one after `ack_view`."""
        self._show(view, _View(session, on_frame))

    def open_window(self, session: str, view: str, window: TermSize, on_bytes: Callable[[bytes], None]) -> None:
        """Like `open_view`, for a terminal of another size: VT bytes that draw what it can show."""
        self._show(view, _View(session, on_bytes, window))

    def _show(self, name: str, view: _View) -> None:
        self._views[name] = view
        self._send(self._view_order(name, view))

    def ack_view(self, session: str, view: str) -> None:
        """The view is ready for its next frame."""
        if view in self._views:
            self._send(messages.AckView(view))

    def close_view(self, session: str, view: str) -> None:
        """No more frames."""
        if self._views.pop(view, None) is not None:
            self._send(messages.CloseView(view))

    # --- requests ----------------------------------------------------------------------------------------------

    async def restore(self, session: str, scrollback: bool | int = True, window: TermSize | None = None) -> bytes:
        """VT bytes that rebuild the session in a terminal of its size; all that was fed before is in them.

        `scrollback` is how many lines of it at most, True for all. With a `window`: bytes that draw what a terminal
        of that size can show.

        Raises:
            ScreenError: there is no such session, or the process could not do it.
        """
        known = self._sessions.get(session)
        lines = (known.scrollback if known is not None else 0) if scrollback is True else int(scrollback)
        cols, rows = (window.cols, window.rows) if window is not None else (0, 0)
        return await self._ask_bytes(messages.Restore(next(self._numbers), session, lines, cols, rows))

    async def lines(self, session: str, first: int, count: int) -> Lines:
        """Lines by absolute number, as far as they exist.

        Raises:
            ScreenError: as for `restore`.
        """
        report = await self._ask(messages.GetLines(next(self._numbers), session, first, count))
        assert isinstance(report, messages.LinesAnswer)
        return report.lines

    async def search(self, session: str, needle: str, limit: int = 1000) -> tuple[list[Match], int]:
        """Places of a text in scrollback and screen, newest first, at most `limit`; and how many there are in all.

        Raises:
            ScreenError: as for `restore`.
        """
        report = await self._ask(messages.Search(next(self._numbers), session, needle, limit))
        assert isinstance(report, messages.MatchesAnswer)
        return report.matches, report.total

    async def text(self, session: str, first: int, last: int) -> str:
        """The text of lines `first` to `last` inclusive by absolute number, soft-wrapped lines joined.

        Raises:
            ScreenError: as for `restore`.
        """
        return (await self._ask_bytes(messages.GetText(next(self._numbers), session, first, last))).decode()

    async def sync(self, *, checkpoint: bool = False) -> None:
        """Returns when everything fed so far has been interpreted, and with `checkpoint` also saved.

        Raises:
            ScreenError: the link was closed.
        """
        await self._ask(messages.Sync(next(self._numbers), checkpoint))

    async def show_last(self, session: str) -> None:
        """Returns when every view of the session was given its newest state, ready for it or not.

        Raises:
            ScreenError: the link was closed.
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
        # While no process runs, what is asked for waits in our tables and is told to the next one.
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
                known = self._sessions.get(session)
                if known is not None:
                    known.state, known.saved = state, fed
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
        log.warning("screen process ended with status %d over %s %s", status, culprit or "nothing", child.problem)
        for session in self._sessions.values():
            session.process_died()
        if culprit in self._sessions:
            self._judge(culprit, self._sessions[culprit].convict(now))
        for number, request in list(self._requests.items()):
            request.tries += 1
            if request.tries > 2 and not request.future.done():
                request.future.set_exception(ScreenError("the screen process died over this"))
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
                log.error("the screen process does not start: %s", error)
                await asyncio.sleep(BACKOFF_MAX)

    def _judge(self, culprit: str, sentence: Sentence) -> None:
        if sentence is Sentence.DIET:
            log.warning("session %s is fed strictly from now on", culprit)
        elif sentence is Sentence.NOTHING:
            log.error("session %s is not fed any more", culprit)
            self.on_failed(culprit)
