"""What keeper and clients say to each other over the guest's unix socket.

Every frame is a 32-bit big-endian length and that many bytes. A connection starts with one JSON frame each
way, the *greeting*. Its form never changes, so that any version can list and stop the keepers of any other:

    client: {"protocol": 1, "op": "info" | "stop" | "open", …}
    keeper: {"protocol": 1, "version": "0.1.0", "guest": {…}}     and for "stop" a second one when it is done

After ``open`` with the same protocol number all further frames are msgpack, tagged by message type. The
client's first message says what the connection is for: Control, Attach, View or Exec. One connection serves
one purpose, so that a slow terminal never delays a request and back pressure stays where it arises.

Every string may be surrogate-escaped, since arguments and file names need not be UTF-8: see ``packing``, and for the
greeting's JSON the escapes \\udc80 to \\udcff that json.dumps makes of them.
"""

from __future__ import annotations

import asyncio
import json
import struct
from typing import Any

import msgspec

from ccvm_tui import packing
from ccvm_tui.errors import ProtocolError
from ccvm_tui.guest import UNKNOWN_COLOURS, GuestInfo, SessionInfo, SessionKind, TermColours, TermSize

PROTOCOL = 2
"""Raised by one whenever a msgpack message changes in a way that an older peer would misread."""

FRAME_MAX = 64 << 20

INPUT_WINDOW = 1 << 20
"""Bytes of an exec's input that may be on their way before the program has taken them."""

_LENGTH = struct.Struct(">I")


class _Message(msgspec.Struct, frozen=True, tag=True, omit_defaults=True):
    pass


# --- what a guest is started with -------------------------------------------------------------------------


class SessionSpec(msgspec.Struct, frozen=True, omit_defaults=True):
    """A program to run in the guest. ``terminfo`` is the compiled entry of ``term``, for guests that lack it;
    ``colours`` are those of the terminal, for programs that ask before anybody has attached.

    Unless it is ``detached`` somebody is about to attach, and the keeper holds what even the shortest program
    has printed until he has seen it.

    ``env`` may hold secrets: it crosses to the guest in the SSH channel's environment and nowhere else.
    """

    kind: SessionKind = SessionKind.SHELL
    argv: tuple[str, ...] = ()
    env: dict[str, str] = {}
    term: str = "xterm-256color"
    terminfo: bytes = b""
    size: TermSize = TermSize()
    colours: TermColours = UNKNOWN_COLOURS
    name: str = ""
    detached: bool = False

    def __repr__(self) -> str:
        return f"SessionSpec({self.kind}, argv={self.argv!r})"


class Timezone(msgspec.Struct, frozen=True, omit_defaults=True):
    """The host's time zone: its name in the tz database, and its rules (TZif, RFC 9636) for guests that do not know
    the name. Both empty: UTC."""

    name: str = ""
    data: bytes = b""


class LaunchSpec(msgspec.Struct, frozen=True, omit_defaults=True):
    """All that a new keeper needs to know; it reads this from its standard input, once.

    ``image`` is the directory with the image's manifest, empty for a keeper whose sessions run on local
    ptys; ``runtime`` that of QEMU's runtime, empty for the host's QEMU. ``linger`` keeps the guest when its last
    session has ended.
    """

    name: str
    project: str
    image: str = ""
    runtime: str = ""
    layer: str = "none"
    machine: str = "microvm"
    accel: str = "auto"
    memory_mib: int = 4096
    cores: int = 4
    read_only: bool = False
    local_dirs: tuple[str, ...] = ()
    network: str = "user"
    seccomp: bool = True
    confine: bool = True
    sudo: bool = True
    linger: bool = False
    scrollback: int = 10_000
    waiting_titles: tuple[str, ...] = ()
    hostname: str = ""
    timezone: Timezone = Timezone()
    session: SessionSpec | None = None
    warnings: tuple[str, ...] = ()


# --- the client's first message after the greeting ---------------------------------------------------------


class Control(_Message, frozen=True):
    """Requests and replies; with ``events`` also Info and Happened as they come."""

    events: bool = False
    console: bool = False


class Attach(_Message, frozen=True):
    """A terminal that wants the session's bytes. Answered by Output, Exited; takes Input and Resize."""

    session: str
    size: TermSize
    scrollback: bool = True
    watch_only: bool = False


class View(_Message, frozen=True):
    """A drawing client that wants FrameData, each acknowledged by Ack; takes Input, Resize, Recolour too.

    ``colours`` are those of the terminal on which it draws: what programs are told that ask.
    """

    session: str
    size: TermSize
    colours: TermColours = UNKNOWN_COLOURS


class Exec(_Message, frozen=True):
    """Run argv without a pty; Data both ways (stream 0 in, 1 out, 2 err), empty data is end of file.

    Input beyond INPUT_WINDOW waits at the client until the program has Taken some, so that a Signal never waits
    behind what is not read. The end of the connection is the end of the program.
    """

    argv: tuple[str, ...]
    env: dict[str, str] = {}


Opening = Control | Attach | View | Exec


# --- streams ----------------------------------------------------------------------------------------------


class Input(_Message, frozen=True):
    data: bytes


class Resize(_Message, frozen=True):
    size: TermSize


class Recolour(_Message, frozen=True):
    """The terminal on which a view is drawn has these colours now."""

    colours: TermColours


class Ack(_Message, frozen=True):
    pass


class Data(_Message, frozen=True):
    stream: int
    data: bytes


class Signal(_Message, frozen=True):
    """Pass a signal on to an exec's program. SIGHUP, SIGINT, SIGQUIT and SIGTERM are meant to end it: what is left
    of it after 5 seconds is killed."""

    number: int


class Taken(_Message, frozen=True):
    """The keeper has passed on so many bytes of an exec's input."""

    count: int


class Output(_Message, frozen=True):
    data: bytes


class FrameData(_Message, frozen=True):
    """``frame`` is an encoded ccvm_tui.terminal.cells.Frame; the keeper passes it on unread."""

    frame: bytes


class Exited(_Message, frozen=True):
    """The end of a session or exec. ``reason`` is empty when the program simply ended."""

    status: int
    reason: str = ""
    console_tail: str = ""


# --- requests and their answers ----------------------------------------------------------------------------


class GetInfo(_Message, frozen=True):
    pass


class StartSession(_Message, frozen=True):
    spec: SessionSpec


class EndSession(_Message, frozen=True):
    session: str
    force: bool = False


class StopGuest(_Message, frozen=True):
    force: bool = False


class PauseGuest(_Message, frozen=True):
    pass


class ResumeGuest(_Message, frozen=True):
    pass


class GetRows(_Message, frozen=True):
    """Rows of the scrollback and screen, by absolute number; answered by Blob (encoded cells.Rows)."""

    session: str
    first: int
    count: int


class GetText(_Message, frozen=True):
    """Rows first..last as text, soft-wrapped ones joined; answered by Text."""

    session: str
    first: int
    last: int


class FindText(_Message, frozen=True):
    """The newest matches of ``needle``, at most ``limit``; answered by Matches."""

    session: str
    needle: str
    limit: int = 10_000


class CheckBusy(_Message, frozen=True):
    """Which sessions run something that stopping would lose; answered by Busy."""


class CheckEdits(_Message, frozen=True):
    """What a read-only guest holds in RAM; answered by Edits."""


class Seen(_Message, frozen=True):
    """The user looked at the session: its attention mark goes."""

    session: str


class Mute(_Message, frozen=True):
    session: str
    muted: bool


Request = (
    GetInfo
    | StartSession
    | EndSession
    | StopGuest
    | PauseGuest
    | ResumeGuest
    | GetRows
    | GetText
    | FindText
    | CheckBusy
    | CheckEdits
    | Seen
    | Mute
)


class Ask(_Message, frozen=True):
    """A request; the Answer or Failure carries the same id."""

    id: int
    request: Request


class Done(_Message, frozen=True):
    pass


class Info(_Message, frozen=True):
    guest: GuestInfo


class Started(_Message, frozen=True):
    session: SessionInfo


class Blob(_Message, frozen=True):
    data: bytes


class Text(_Message, frozen=True):
    text: str


class Matches(_Message, frozen=True):
    """(line, column, end line, end column) each, lines by absolute number, ends inclusive, oldest first.

    ``total`` counts all there are; ``found`` holds the newest of them up to the limit asked for.
    """

    found: tuple[tuple[int, int, int, int], ...]
    total: int


class Busy(_Message, frozen=True):
    """(session, the command in its foreground) for each session that runs one."""

    sessions: tuple[tuple[str, str], ...]


class Edits(_Message, frozen=True):
    """``files`` counts the changed files that live in guest RAM only; ``names`` shows the first of them."""

    files: int
    names: tuple[str, ...] = ()


Result = Done | Info | Started | Blob | Text | Matches | Busy | Edits


class Answer(_Message, frozen=True):
    id: int
    result: Result


class Failure(_Message, frozen=True):
    """``kind`` names a class of ccvm_tui.errors. With id 0 the connection's opening was refused."""

    id: int
    kind: str
    message: str
    hint: str = ""


# --- events -----------------------------------------------------------------------------------------------


class Happened(_Message, frozen=True):
    """One entry of the guest's log of events. ``kind``: boot, session, bell, notify, clipboard, warning, …

    ``data`` carries what a clipboard write wants to copy.
    """

    time: float
    kind: str
    text: str
    session: str = ""
    data: bytes = b""


class Console(_Message, frozen=True):
    """What the guest's console printed, while it boots."""

    text: str


ToKeeper = Control | Attach | View | Exec | Ask | Input | Resize | Recolour | Ack | Data | Signal
ToClient = Answer | Failure | Info | Happened | Console | Output | FrameData | Exited | Started | Data | Taken

_from_client: packing.Unpacker[ToKeeper] = packing.Unpacker(ToKeeper)  # type: ignore[arg-type]  # a union is one too
_from_keeper: packing.Unpacker[ToClient] = packing.Unpacker(ToClient)  # type: ignore[arg-type]


def pack(message: ToKeeper | ToClient) -> bytes:
    """One frame, length included."""
    body = packing.pack(message)
    return _LENGTH.pack(len(body)) + body


def unpack_from_client(body: bytes) -> ToKeeper:
    try:
        return _from_client(body)
    except ValueError as error:
        raise ProtocolError(f"bad message from the client: {error}") from error


def unpack_from_keeper(body: bytes) -> ToClient:
    try:
        return _from_keeper(body)
    except ValueError as error:
        raise ProtocolError(f"bad message from the keeper: {error}") from error


def pack_json(value: dict[str, Any]) -> bytes:
    """One greeting frame, length included."""
    body = json.dumps(value).encode()
    return _LENGTH.pack(len(body)) + body


def unpack_json(body: bytes) -> dict[str, Any]:
    try:
        value = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise ProtocolError(f"bad greeting: {error}") from error
    if not isinstance(value, dict):
        raise ProtocolError("bad greeting: not an object")
    return value


async def read_frame(reader: asyncio.StreamReader, limit: int = FRAME_MAX) -> bytes | None:
    """The next frame's body; None at end of stream between frames. Raises ProtocolError in all other cases."""
    try:
        head = await reader.readexactly(_LENGTH.size)
        (length,) = _LENGTH.unpack(head)
        if length > limit:
            raise ProtocolError(f"frame of {length} bytes, {limit} are allowed")
        return await reader.readexactly(length)
    except asyncio.IncompleteReadError as error:
        if error.partial or error.expected != _LENGTH.size:
            raise ProtocolError("the connection ended in the middle of a frame") from error
        return None
    except ConnectionError:
        return None
