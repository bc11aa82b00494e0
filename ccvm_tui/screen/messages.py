"""What the keeper and its screen process say to each other: msgpack arrays, each behind its length (u32, big endian).

Orders are carried out in the order they were sent; so an answer knows of everything that was fed before it was
asked for. Sessions, views and requests are named by whoever is the keeper's side.
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
_LENGTH: Final = struct.Struct(">I")


class _Message(msgspec.Struct, frozen=True, array_like=True, gc=False):
    pass


# --- to the screen process ---------------------------------------------------------------------------------------


class Open(_Message, frozen=True, tag=1):
    """A new session, or with `state` (a checkpoint, deflated) one to go on with.

    `strict` takes every sequence out of the stream that the emulator could do without.
    `graphemes` is for programs that lay out their text by clusters instead of characters.
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
    """Output of the session's program."""

    session: str
    data: bytes


class Resize(_Message, frozen=True, tag=3):
    session: str
    size: TermSize


class Close(_Message, frozen=True, tag=4):
    session: str


class OpenView(_Message, frozen=True, tag=5):
    """Frames from now on. With a size: VT bytes that draw a window of that size instead."""

    session: str
    view: str
    cols: int = 0
    rows: int = 0


class AckView(_Message, frozen=True, tag=6):
    """The view is ready for its next frame."""

    view: str


class CloseView(_Message, frozen=True, tag=7):
    view: str


class SetColours(_Message, frozen=True, tag=8):
    """The colours of the terminal that shows the session, for programs that ask."""

    session: str
    colours: TermColours


class Restore(_Message, frozen=True, tag=9):
    """Asks for VT bytes that rebuild the session in a terminal of its size, or draw a window onto it."""

    request: int
    session: str
    scrollback: int
    cols: int = 0
    rows: int = 0


class GetLines(_Message, frozen=True, tag=10):
    request: int
    session: str
    first: int
    count: int


class Search(_Message, frozen=True, tag=11):
    """Asks for the places of a text, newest first, at most `limit`."""

    request: int
    session: str
    needle: str
    limit: int


class GetText(_Message, frozen=True, tag=12):
    """Asks for the text of lines `first` to `last` inclusive, with soft wraps joined."""

    request: int
    session: str
    first: int
    last: int


class Sync(_Message, frozen=True, tag=13):
    """Asks for an answer when all that was sent before is done; with `checkpoint` after checkpointing all.

    With a session to `show`, all its views are given what they have not seen first, ready or not.
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

# --- from the screen process -------------------------------------------------------------------------------------


class Reply(_Message, frozen=True, tag=1):
    """What the emulator answers to the program's queries."""

    session: str
    data: bytes


class Events(_Message, frozen=True, tag=2):
    session: str
    events: list[TermEvent]


class ViewData(_Message, frozen=True, tag=3):
    """An encoded frame, or VT bytes for a window."""

    view: str
    data: bytes


class Checkpoint(_Message, frozen=True, tag=4):
    """The session's state (deflated) after `fed` bytes in all since it was opened in this process."""

    session: str
    state: bytes
    fed: int


class Answer(_Message, frozen=True, tag=5):
    request: int
    data: bytes


class LinesAnswer(_Message, frozen=True, tag=6):
    request: int
    lines: Lines


class MatchesAnswer(_Message, frozen=True, tag=7):
    """Matches newest first, and how many there are in all."""

    request: int
    matches: list[Match]
    total: int


class Failed(_Message, frozen=True, tag=8):
    """The request could not be carried out."""

    request: int
    message: str


class Ready(_Message, frozen=True, tag=9):
    """The process is up. `confined` says what it cannot reach; empty means that this kernel confines nothing."""

    confined: str


Report = Reply | Events | ViewData | Checkpoint | Answer | LinesAnswer | MatchesAnswer | Failed | Ready

_encoder = msgspec.msgpack.Encoder()
_orders: msgspec.msgpack.Decoder[Order] = msgspec.msgpack.Decoder(Order)
_reports: msgspec.msgpack.Decoder[Report] = msgspec.msgpack.Decoder(Report)


def encode(message: Order | Report) -> bytes:
    """The message with its length in front."""
    buffer = bytearray(4)
    _encoder.encode_into(message, buffer, 4)
    _LENGTH.pack_into(buffer, 0, len(buffer) - 4)
    return bytes(buffer)


class Splitter:
    """Cuts a stream of bytes into message bodies.

    Raises:
        ProtocolError: a length is beyond `MESSAGE_MAX`.
    """

    def __init__(self) -> None:
        self._buffer = bytearray()

    def split(self, data: bytes) -> Iterator[bytes]:
        """The bodies that are complete with `data`."""
        buffer = self._buffer
        buffer += data
        at = 0
        while len(buffer) - at >= 4:
            (length,) = _LENGTH.unpack_from(buffer, at)
            if length > MESSAGE_MAX:
                raise ProtocolError(f"a message of {length} bytes")
            if len(buffer) - at - 4 < length:
                break
            yield bytes(memoryview(buffer)[at + 4 : at + 4 + length])
            at += 4 + length
        del buffer[:at]


def decode_order(body: bytes) -> Order:
    """An order to the screen process.

    Raises:
        ProtocolError: it is none.
    """
    try:
        return _orders.decode(body)
    except msgspec.DecodeError as error:
        raise ProtocolError(f"not an order: {error}") from error


def decode_report(body: bytes) -> Report:
    """A report from the screen process.

    Raises:
        ProtocolError: it is none. The process parses hostile input: what it says is not to be trusted blindly.
    """
    try:
        return _reports.decode(body)
    except msgspec.DecodeError as error:
        raise ProtocolError(f"not a report: {error}") from error
