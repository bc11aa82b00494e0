"""The clients of a session: raw terminals, and views that draw cells."""

from __future__ import annotations

import logging
from collections.abc import Callable
from enum import Enum, auto
from typing import Protocol

from ccvm_tui.bridging import ClipboardWanted, Notice
from ccvm_tui.guest import UNKNOWN_COLOURS, TermColours, TermSize
from ccvm_tui.protocol import Exited, FrameData, Output
from ccvm_tui.screen.link import ScreenError, ScreenLink
from ccvm_tui.session.outbox import Outbox
from ccvm_tui.terminal.reports import ReportSplitter

RAW_BACKLOG = 4 << 20
"""Bytes queued for a raw terminal above which its output is dropped. Later it is sent the newest screen instead."""

log = logging.getLogger(__name__)


class Client(Protocol):
    """A client that shows a session."""

    size: TermSize
    colours: TermColours
    """The colours of the client's terminal; unknown if the terminal answers queries of the program itself."""
    reports: ReportSplitter
    """The parser for the client's input."""

    def output(self, data: bytes) -> None:
        """Handle output of the program, which has been fed to the screen already."""

    async def fit(self, session_size: TermSize) -> None:
        """Adapt to the size of the session: show the whole screen if the client has the same size, else a window."""

    def acknowledged(self) -> None:
        """Handle an acknowledgement of a frame by the client."""

    def ended(self, exited: Exited) -> None:
        """Report the end of the program and close the connection."""

    def send(self, message: ClipboardWanted | Notice) -> None:
        """Send a message that is not about the session's screen."""

    def leave(self) -> None:
        """Release all resources after the client has left."""

    @property
    def answers_queries(self) -> bool:
        """True if the client's own terminal receives the program's queries and answers them."""


class _Mode(Enum):
    WAITING = auto()  # for the restore bytes; output is kept until they have been sent
    LIVE = auto()  # output is passed on
    LAGGING = auto()  # too much output is queued; output is dropped until the queue is empty
    WINDOW = auto()  # the sizes differ; the screen process draws the part that fits


class RawClient:
    """A terminal that gets the bytes that rebuild the screen, and then the program's output unchanged.

    ``on_caught_up`` is called after a lagging client has received everything that was queued; ``fit`` must follow.
    """

    def __init__(self, session: str, size: TermSize, outbox: Outbox, screen: ScreenLink, *, scrollback: bool) -> None:
        self.size = size
        self.colours = UNKNOWN_COLOURS
        self.reports = ReportSplitter()
        self._session = session
        self._outbox = outbox
        self._screen = screen
        self._scrollback = scrollback
        self._mode = _Mode.LAGGING
        self._pending: list[bytes] = []
        self._generation = 0
        self._view = screen.view_name("raw")
        self.on_caught_up: Callable[[RawClient], None] = lambda _: None
        outbox.on_empty = self._caught_up

    @property
    def answers_queries(self) -> bool:
        """True while the program's output is passed on unchanged."""
        return self._mode in (_Mode.LIVE, _Mode.WAITING)

    async def fit(self, session_size: TermSize) -> None:
        """Restore the screen if the terminal has the size of the session, else open a window."""
        if self.size != session_size:
            self._set_mode(_Mode.WINDOW)
        elif self._mode is not _Mode.LIVE:
            await self._restore()

    async def _restore(self) -> None:
        self._set_mode(_Mode.WAITING)
        self._generation += 1
        generation = self._generation
        try:
            data = await self._screen.restore(self._session, scrollback=self._scrollback)
        except ScreenError as error:
            log.warning("cannot restore session %s: %s", self._session, error)
            data = b""  # show the later output nevertheless
        if generation != self._generation or self._mode is not _Mode.WAITING:
            return  # the size has changed again in the meantime
        self._scrollback = False
        self._outbox.put(Output(data))
        for chunk in self._pending:
            self._outbox.put(Output(chunk))
        self._pending.clear()
        self._mode = _Mode.LIVE

    def _set_mode(self, mode: _Mode) -> None:
        if mode is _Mode.WINDOW:
            # reopen an open window, because its size may have changed
            self._screen.close_view(self._view)
            self._screen.open_window(self._session, self._view, self.size, self._draw)
        elif self._mode is _Mode.WINDOW:
            self._screen.close_view(self._view)
        self._pending.clear()
        self._mode = mode

    def _draw(self, data: bytes) -> None:
        self._outbox.put(Output(data))

    def _caught_up(self) -> None:
        if self._mode is _Mode.WINDOW:
            self._screen.ack_view(self._view)
        elif self._mode is _Mode.LAGGING:
            self.on_caught_up(self)

    def output(self, data: bytes) -> None:
        """Pass output on, keep it until the screen has been restored, or drop it."""
        if self._mode is _Mode.LIVE:
            if self._outbox.queued > RAW_BACKLOG:
                self._outbox.drop()
                self._mode = _Mode.LAGGING
            else:
                self._outbox.put(Output(data))
        elif self._mode is _Mode.WAITING:
            self._pending.append(data)

    def acknowledged(self) -> None:
        """Do nothing: raw terminals send no acknowledgements."""

    def ended(self, exited: Exited) -> None:
        """Send the end of the program and close the queue."""
        self._outbox.put(exited)
        self._outbox.close()

    def send(self, message: ClipboardWanted | Notice) -> None:
        """Send a message."""
        self._outbox.put(message)

    def leave(self) -> None:
        """Close the window, if there is one, and the queue."""
        if self._mode is _Mode.WINDOW:
            self._screen.close_view(self._view)
        self._mode = _Mode.LAGGING
        self._outbox.close()


class ViewClient:
    """A dashboard's widget: gets frames, each after it has acknowledged the one before."""

    answers_queries = False

    def __init__(self, session: str, size: TermSize, colours: TermColours, outbox: Outbox, screen: ScreenLink) -> None:
        self.size = size
        self.colours = colours
        self.reports = ReportSplitter()
        self._session = session
        self._outbox = outbox
        self._screen = screen
        self._view = screen.view_name("view")
        self._open = False

    async def fit(self, _: TermSize) -> None:
        """Open the view, if it is not open. A view always gets the whole screen."""
        if not self._open:
            self._open = True
            self._screen.open_view(self._session, self._view, self._draw)

    def _draw(self, frame: bytes) -> None:
        self._outbox.put(FrameData(frame))

    def output(self, data: bytes) -> None:
        """Do nothing: the screen process sends the frames."""

    def acknowledged(self) -> None:
        """Request the next frame."""
        self._screen.ack_view(self._view)

    def ended(self, exited: Exited) -> None:
        """Send the end of the program and close the queue."""
        self._outbox.put(exited)
        self._outbox.close()

    def send(self, message: ClipboardWanted | Notice) -> None:
        """Send a message, except notices, which a dashboard shows as events."""
        if isinstance(message, ClipboardWanted):
            self._outbox.put(message)

    def leave(self) -> None:
        """Close the view and the queue."""
        self._screen.close_view(self._view)
        self._outbox.close()
