"""The protocol between the keeper and its screen process.

Messages are msgpack arrays, each preceded by its length (u32, big endian). The screen process handles orders in the
order in which they were sent, so the answer to a request includes all output that was fed before. The keeper chooses
the names of sessions and views and the numbers of requests.
"""

import struct
from collections.abc import Iterator
from typing import Final

import msgspec

from ccvm_tui.errors import ProtocolError
from ccvm_tui.guest import TermColours, TermSize
from ccvm_tui.terminal.cells import Lines, Match
from ccvm_tui.terminal.events import TermEvent

MESSAGE_MAX: Final = 256 << 20
"""Bytes of the longest message."""

_LENGTH: Final = struct.Struct(">I")


class _Message(msgspec.Struct, frozen=True, array_like=True, gc=False):
    pass


# --- to the screen process ---------------------------------------------------------------------------------------


class Open(_Message, frozen=True, tag=1):
    """Open a session, or continue one from ``state``, a deflated checkpoint.

    With ``strict``, the filter drops all strings that the emulator can do without. Without ``filtered``, there is no
    filter. ``graphemes`` is for programs that lay out text by grapheme clusters instead of code points.
    """

    session: str
    size: TermSize
    scrollback: int
    colours: TermColours
    strict: bool = False
    state: bytes = b""
    filtered: bool = True
    graphemes: bool = False


class Feed(_Message, frozen=True, tag=2):
    """Feed output of the session's program."""

    session: str
    data: bytes


class Resize(_Message, frozen=True, tag=3):
    """Change the size of a session."""

    session: str
    size: TermSize


class Close(_Message, frozen=True, tag=4):
    """Close a session and its views."""

    session: str


class OpenView(_Message, frozen=True, tag=5):
    """Open a view, which gets frames. With a size, it gets VT bytes that draw a window of that size instead."""

    session: str
    view: str
    cols: int = 0
    rows: int = 0


class AckView(_Message, frozen=True, tag=6):
    """Acknowledge the last frame of a view, which makes it ready for the next one."""

    view: str


class CloseView(_Message, frozen=True, tag=7):
    """Close a view."""

    view: str


class SetColours(_Message, frozen=True, tag=8):
    """Set the colours of the host terminal, which queries of the program are answered with."""

    session: str
    colours: TermColours


class Restore(_Message, frozen=True, tag=9):
    """Request VT bytes that rebuild the session in a terminal of its size, or draw a window of the given size."""

    request: int
    session: str
    scrollback: int
    cols: int = 0
    rows: int = 0


class GetLines(_Message, frozen=True, tag=10):
    """Request ``count`` lines by absolute number."""

    request: int
    session: str
    first: int
    count: int


class Search(_Message, frozen=True, tag=11):
    """Request at most ``limit`` matches of a text, newest first."""

    request: int
    session: str
    needle: str
    limit: int


class GetText(_Message, frozen=True, tag=12):
    """Request the text of lines ``first`` to ``last`` inclusive, with soft-wrapped lines joined."""

    request: int
    session: str
    first: int
    last: int


class Sync(_Message, frozen=True, tag=13):
    """Request an answer after all earlier orders have been handled.

    If ``show`` names a session, its views first get their newest state, whether they are ready or not. With
    ``checkpoint``, a checkpoint of every session is sent before the answer.
    """

    request: int
    checkpoint: bool = False
    show: str = ""


Order = (
    Open
    | Feed
    | Resize
    | Close
    | OpenView
    | AckView
    | CloseView
    | SetColours
    | Restore
    | GetLines
    | Search
    | GetText
    | Sync
)
"""Any message to the screen process."""

# --- from the screen process -------------------------------------------------------------------------------------


class Reply(_Message, frozen=True, tag=1):
    """The emulator's reply to queries of the program."""

    session: str
    data: bytes


class Events(_Message, frozen=True, tag=2):
    """Events of a session."""

    session: str
    events: list[TermEvent]


class ViewData(_Message, frozen=True, tag=3):
    """An encoded frame, or VT bytes for a window."""

    view: str
    data: bytes


class Checkpoint(_Message, frozen=True, tag=4):
    """The deflated state of a session, after ``fed`` bytes since it was opened in this process."""

    session: str
    state: bytes
    fed: int


class Answer(_Message, frozen=True, tag=5):
    """The answer to ``Restore``, ``GetText`` (as UTF-8) or ``Sync`` (empty)."""

    request: int
    data: bytes


class LinesAnswer(_Message, frozen=True, tag=6):
    """The answer to ``GetLines``."""

    request: int
    lines: Lines


class MatchesAnswer(_Message, frozen=True, tag=7):
    """The answer to ``Search``: matches, newest first, and the number of all matches."""

    request: int
    matches: list[Match]
    total: int


class Failed(_Message, frozen=True, tag=8):
    """A request has failed."""

    request: int
    message: str


class Ready(_Message, frozen=True, tag=9):
    """The process is ready.

    ``confined`` lists what confines it, separated by commas: what Landlock restricts (``LandlockSupport``),
    ``seccomp``, and ``network`` if its network is isolated. It is empty if the host supports none of that.
    """

    confined: str


Report = Reply | Events | ViewData | Checkpoint | Answer | LinesAnswer | MatchesAnswer | Failed | Ready
"""Any message from the screen process."""

_encoder = msgspec.msgpack.Encoder()
_orders: msgspec.msgpack.Decoder[Order] = msgspec.msgpack.Decoder(Order)
_reports: msgspec.msgpack.Decoder[Report] = msgspec.msgpack.Decoder(Report)


def encode(message: Order | Report) -> bytes:
    """Encode a message, preceded by its length."""
    buffer = bytearray(4)
    _encoder.encode_into(message, buffer, 4)
    _LENGTH.pack_into(buffer, 0, len(buffer) - 4)
    return bytes(buffer)


class Splitter:
    """A parser that splits a stream of bytes into message bodies."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def split(self, data: bytes) -> Iterator[bytes]:
        """Add data, and yield the complete bodies. Raises ProtocolError if a length exceeds ``MESSAGE_MAX``."""
        buffer = self._buffer
        buffer += data
        at = 0
        while len(buffer) - at >= 4:
            (length,) = _LENGTH.unpack_from(buffer, at)
            if length > MESSAGE_MAX:
                raise ProtocolError(f"a message of {length} bytes is too long")
            if len(buffer) - at - 4 < length:
                break
            yield bytes(memoryview(buffer)[at + 4 : at + 4 + length])
            at += 4 + length
        del buffer[:at]


def decode_order(body: bytes) -> Order:
    """Decode an order to the screen process. Raises ProtocolError if the body is not an order."""
    try:
        return _orders.decode(body)
    except msgspec.DecodeError as error:
        raise ProtocolError(f"not an order: {error}") from error


def decode_report(body: bytes) -> Report:
    """Decode a report from the screen process, which parses hostile input and is not trusted.

    Raises ProtocolError if the body is not a report.
    """
    try:
        return _reports.decode(body)
    except msgspec.DecodeError as error:
        raise ProtocolError(f"not a report: {error}") from error
