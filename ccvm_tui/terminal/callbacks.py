"""Callbacks of the emulator: replies to the program's queries, and events.

The library invokes the callbacks in the middle of a feed. They only collect; the caller of the feed takes the results
afterwards. Both collections are bounded, because the program decides how many queries it sends.
"""

from typing import Any, Final

from ccvm_tui.guest import DEFAULT_CELL, TermSize
from ccvm_tui.terminal.engine import (
    Handle,
    ffi,
    get_string,
    lib,
    set_option,
    string_bytes,
)
from ccvm_tui.terminal.events import (
    Bell,
    ClipboardRead,
    ClipboardWrite,
    Cwd,
    Notification,
    Progress,
    TermEvent,
    Title,
)

ANSWERS_MAX: Final = 256 * 1024
"""Bytes of replies that are kept."""

EVENTS_MAX: Final = 256
"""Events that are kept, bells not counted."""

CLIPBOARD_MAX: Final = 1024 * 1024
"""Bytes that a program can copy at once."""

TEXT_MAX: Final = 1024
"""Characters of a title or a notification."""

_PROGRESS: Final = ("none", "normal", "error", "busy", "paused")


class Outbox:
    """Replies and events collected since they were last taken."""

    def __init__(self) -> None:
        self._answers = bytearray()
        self._events: list[TermEvent] = []
        self._bells = 0

    def answer(self, data: bytes) -> None:
        """Queue a reply to the program.

        Replies beyond ``ANSWERS_MAX`` are dropped. A program that reads its replies never reaches that limit.
        """
        if len(self._answers) + len(data) <= ANSWERS_MAX:
            self._answers += data

    def add(self, event: TermEvent) -> None:
        """Queue an event.

        Bells are counted. Of titles, working directories, progress reports and clipboard writes, only the last is
        kept. Events beyond ``EVENTS_MAX`` are dropped.
        """
        if isinstance(event, Bell):
            self._bells += event.count
            return
        if isinstance(event, Title | Cwd | Progress):
            self._events = [known for known in self._events if type(known) is not type(event)]
        elif isinstance(event, ClipboardWrite):  # up to a megabyte each
            self._events = [
                known
                for known in self._events
                if not (isinstance(known, ClipboardWrite) and known.selection == event.selection)
            ]
        if len(self._events) < EVENTS_MAX:
            self._events.append(event)

    def take_answers(self) -> bytes:
        """Return the queued replies and clear the queue."""
        if not self._answers:
            return b""
        data = bytes(self._answers)
        self._answers.clear()
        return data

    def take_events(self) -> list[TermEvent]:
        """Return the queued events and clear the queue."""
        if not self._events and not self._bells:
            return []
        events, self._events = self._events, []
        if self._bells:
            events.append(Bell(self._bells))
            self._bells = 0
        return events


def _text(data: bytes, limit: int = TEXT_MAX) -> str:
    return data[: limit * 4].decode("utf-8", "replace")[:limit]


class Callbacks:
    """Callbacks registered with a terminal, which fill an ``Outbox``.

    The object must live as long as the terminal. ``size``, ``cell`` (pixels) and ``dark`` are what queries for the size
    and the colour scheme are answered with; ``identity`` is the reply to XTVERSION.
    """

    def __init__(self, terminal: Handle, outbox: Outbox, identity: str) -> None:
        self._outbox = outbox
        self._terminal = terminal
        self._identity = ffi.new("char[]", identity.encode())
        self._keep: list[Any] = []
        self.size = TermSize()
        self.cell = DEFAULT_CELL
        self.dark = True
        self._register("WRITE_PTY", "GhosttyTerminalWritePtyFn", self._write_pty)
        self._register("BELL", "GhosttyTerminalBellFn", self._bell)
        self._register("TITLE_CHANGED", "GhosttyTerminalTitleChangedFn", self._title)
        self._register("PWD_CHANGED", "GhosttyTerminalPwdChangedFn", self._cwd)
        self._register("CLIPBOARD_WRITE", "GhosttyTerminalClipboardWriteFn", self._clipboard_write)
        self._register("CLIPBOARD_READ", "GhosttyTerminalClipboardReadFn", self._clipboard_read)
        self._register("DESKTOP_NOTIFICATION", "GhosttyTerminalDesktopNotificationFn", self._notification)
        self._register("PROGRESS_REPORT", "GhosttyTerminalProgressReportFn", self._progress)
        self._register("SIZE", "GhosttyTerminalSizeFn", self._size)
        self._register("COLOR_SCHEME", "GhosttyTerminalColorSchemeFn", self._colour_scheme)
        self._register("XTVERSION", "GhosttyTerminalXtversionFn", self._xtversion)
        set_option(terminal, "CLIPBOARD_WRITE_MAX_BYTES", ffi.new("size_t*", CLIPBOARD_MAX))

    def _register(self, option: str, signature: str, function: Any) -> None:
        callback = ffi.callback(signature, function)
        self._keep.append(callback)
        set_option(self._terminal, option, callback)

    def _write_pty(self, _terminal: Any, _data: Any, pointer: Any, length: int) -> None:
        data = bytes(ffi.buffer(pointer, length))
        # The library answers an unhandled clipboard request with an empty clipboard. Even that would let the program
        # trigger input at a moment of its choice.
        if not data.startswith((b"\x1b]52;", b"\x1b]5522;")):
            self._outbox.answer(data)

    def _bell(self, _terminal: Any, _data: Any) -> None:
        self._outbox.add(Bell())

    def _title(self, _terminal: Any, _data: Any) -> None:
        self._outbox.add(Title(get_string(self._terminal, "TITLE")[:TEXT_MAX]))

    def _cwd(self, _terminal: Any, _data: Any) -> None:
        self._outbox.add(Cwd(get_string(self._terminal, "PWD")[: 4 * TEXT_MAX]))

    def _clipboard_write(self, _terminal: Any, _data: Any, request: Any) -> None:
        selection = _selection(request.location)
        for index in range(min(request.contents_len, 8)):
            content = request.contents[index]
            mime = string_bytes(content.mime)
            if not mime or mime.startswith(b"text/plain"):
                self._outbox.add(ClipboardWrite(selection, string_bytes(content.data)[:CLIPBOARD_MAX]))
                break
        reply = ffi.new("GhosttyClipboardWriteReply*")
        reply.size = ffi.sizeof("GhosttyClipboardWriteReply")
        reply.result = lib.GHOSTTY_CLIPBOARD_WRITE_RESULT_SUCCESS
        request.reply(request, reply)

    def _clipboard_read(self, _terminal: Any, _data: Any, request: Any) -> None:
        self._outbox.add(ClipboardRead(_selection(request.location)))

    def _notification(self, _terminal: Any, _data: Any, notification: Any) -> None:
        title = _text(string_bytes(notification.title))
        self._outbox.add(Notification(title, _text(string_bytes(notification.body)), 777 if title else 9))

    def _progress(self, _terminal: Any, _data: Any, report: Any) -> None:
        state = _PROGRESS[report.state] if 0 <= report.state < len(_PROGRESS) else "none"
        self._outbox.add(Progress(state, report.progress))

    def _size(self, _terminal: Any, _data: Any, out: Any) -> bool:
        out.rows, out.columns = self.size.rows, self.size.cols
        out.cell_width, out.cell_height = self.cell
        return True

    def _colour_scheme(self, _terminal: Any, _data: Any, out: Any) -> bool:
        out[0] = lib.GHOSTTY_COLOR_SCHEME_DARK if self.dark else lib.GHOSTTY_COLOR_SCHEME_LIGHT
        return True

    def _xtversion(self, _terminal: Any, _data: Any) -> Any:
        out = ffi.new("GhosttyString*")
        out.ptr, out.len = ffi.cast("uint8_t*", self._identity), len(self._identity) - 1
        return out[0]


def _selection(location: int) -> str:
    return "clipboard" if location == lib.GHOSTTY_CLIPBOARD_LOCATION_STANDARD else "primary"
