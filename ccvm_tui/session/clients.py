"""The clients of a session: raw terminals, and drawings of the screen."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Callable
from enum import Enum, auto
from typing import Protocol

from ccvm_tui.guest import UNKNOWN_COLOURS, TermColours, TermSize
from ccvm_tui.protocol import Exited, FrameData, Output
from ccvm_tui.screen.link import ScreenError, ScreenLink
from ccvm_tui.session.outbox import Outbox
from ccvm_tui.terminal.reports import ReportSplitter

RAW_BACKLOG = 4 << 20
"""Bytes that may wait for a raw terminal. Beyond, it is sent the newest screen instead of all that led there."""

log = logging.getLogger(__name__)

_numbers = itertools.count(1)


class Client(Protocol):
    """Somebody who looks at a session."""

    size: TermSize
    colours: TermColours
    """The colours of the client's terminal; unknown where the terminal answers the program itself."""
    reports: ReportSplitter

    def output(self, data: bytes) -> None:
        """The program printed ``data``; the screen has been fed with it already."""

    async def fit(self, session_size: TermSize) -> None:
        """The session has (now) this size: show it whole if it is ours too, else a window onto it."""

    def acknowledged(self) -> None: ...

    def ended(self, exited: Exited) -> None: ...

    def leave(self) -> None: ...

    @property
    def answers(self) -> bool:
        """Whether this client's own terminal sees the program's queries and answers them."""


class _Mode(Enum):
    WAITING = auto()  # for the restore bytes; what the program prints meanwhile is kept behind them
    LIVE = auto()  # bytes pass as they come
    LAGGING = auto()  # too much waited; nothing passes until the client has caught up
    WINDOW = auto()  # sizes differ: the screen process draws what fits


class RawClient:
    """A terminal that gets the program's own bytes, after those that rebuild the screen it comes to."""

    def __init__(self, session: str, size: TermSize, outbox: Outbox, screen: ScreenLink, *, scrollback: bool) -> None:
        self.size = size
        self.colours = UNKNOWN_COLOURS
        self.reports = ReportSplitter()
        self._session = session
        self._outbox = outbox
        self._screen = screen
        self._scrollback = scrollback
        self._mode = _Mode.LAGGING
        self._behind: list[bytes] = []
        self._generation = 0
        self._view = f"raw{next(_numbers)}"
        self.on_caught_up: Callable[[RawClient], None] = lambda _: None
        outbox.on_empty = self._caught_up

    @property
    def answers(self) -> bool:
        return self._mode in (_Mode.LIVE, _Mode.WAITING)

    async def fit(self, session_size: TermSize) -> None:
        if self.size != session_size:
            self._set_mode(_Mode.WINDOW)
        elif self._mode is not _Mode.LIVE:
            await self._restore()

    async def _restore(self) -> None:
        self._set_mode(_Mode.WAITING)
        self._generation += 1
        mine = self._generation
        try:
            data = await self._screen.restore(self._session, scrollback=self._scrollback)
        except ScreenError as error:
            log.warning("cannot restore %s: %s", self._session, error)
            data = b""  # what comes from now on is still worth seeing
        if mine != self._generation or self._mode is not _Mode.WAITING:
            return  # another resize overtook this one
        self._scrollback = False
        self._outbox.put(Output(data))
        for chunk in self._behind:
            self._outbox.put(Output(chunk))
        self._behind.clear()
        self._mode = _Mode.LIVE

    def _set_mode(self, mode: _Mode) -> None:
        if mode is _Mode.WINDOW:
            # the window is drawn anew even if there was one: its size may have changed
            self._screen.close_view(self._session, self._view)
            self._screen.open_window(self._session, self._view, self.size, self._draw)
        elif self._mode is _Mode.WINDOW:
            self._screen.close_view(self._session, self._view)
        self._behind.clear()
        self._mode = mode

    def _draw(self, data: bytes) -> None:
        self._outbox.put(Output(data))

    def _caught_up(self) -> None:
        if self._mode is _Mode.WINDOW:
            self._screen.ack_view(self._session, self._view)
        elif self._mode is _Mode.LAGGING:
            self.on_caught_up(self)

    def output(self, data: bytes) -> None:
        if self._mode is _Mode.LIVE:
            if self._outbox.queued > RAW_BACKLOG:
                self._outbox.drop()
                self._mode = _Mode.LAGGING
            else:
                self._outbox.put(Output(data))
        elif self._mode is _Mode.WAITING:
            self._behind.append(data)

    def acknowledged(self) -> None:
        """Raw terminals say nothing: an empty queue is their acknowledgement."""

    def ended(self, exited: Exited) -> None:
        self._outbox.put(exited)
        self._outbox.close()

    def leave(self) -> None:
        if self._mode is _Mode.WINDOW:
            self._screen.close_view(self._session, self._view)
        self._mode = _Mode.LAGGING
        self._outbox.close()


class ViewClient:
    """A dashboard's widget: gets frames, each after it has acknowledged the one before."""

    answers = False

    def __init__(self, session: str, size: TermSize, colours: TermColours, outbox: Outbox, screen: ScreenLink) -> None:
        self.size = size
        self.colours = colours
        self.reports = ReportSplitter()
        self._session = session
        self._outbox = outbox
        self._screen = screen
        self._view = f"view{next(_numbers)}"
        self._open = False

    async def fit(self, session_size: TermSize) -> None:
        if not self._open:
            self._open = True
            self._screen.open_view(self._session, self._view, self._draw)

    def _draw(self, frame: bytes) -> None:
        self._outbox.put(FrameData(frame))

    def output(self, data: bytes) -> None:
        """Frames come from the screen process, not from here."""

    def acknowledged(self) -> None:
        self._screen.ack_view(self._session, self._view)

    def ended(self, exited: Exited) -> None:
        self._outbox.put(exited)
        self._outbox.close()

    def leave(self) -> None:
        self._screen.close_view(self._session, self._view)
        self._outbox.close()
