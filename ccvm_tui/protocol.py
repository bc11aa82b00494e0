r"""The protocol between the keeper and its clients, over the guest's unix socket.

A frame is a 32-bit big-endian length followed by that many bytes. A connection starts with one JSON frame in each
direction, the *greeting*. Its format never changes, so that any version can list and stop the keepers of any other:

    client: {"protocol": 1, "op": "info" | "stop" | "open", …}
    keeper: {"protocol": 1, "version": "0.1.0", "guest": {…}}     and for "stop" a second frame when it is done

After ``open`` with the same protocol number, all further frames are msgpack, tagged with the message type. The
client's first message sets the purpose of the connection: Control, Attach, View or Exec. Each connection has one
purpose, so that a slow terminal never delays a request, and back pressure affects only the connection that causes it.

Any string may be surrogate-escaped, since arguments and file names need not be UTF-8. ``packing`` encodes such strings
in msgpack. In the JSON of the greeting they become the escapes \udc80 to \udcff, as ``json.dumps`` writes them.
"""

from __future__ import annotations

import msgspec

from ccvm_tui import bridging, edits, outbound, packing
from ccvm_tui.attempt.spec import AttemptSpec, CheckAttempt
from ccvm_tui.errors import ProtocolError
from ccvm_tui.framing import frame
from ccvm_tui.guest import UNKNOWN_COLOURS, GuestInfo, SessionInfo, SessionKind, TermColours, TermSize
from ccvm_tui.packing import Message

PROTOCOL = 2
"""The version of the protocol: incremented when a msgpack message changes in a way that an older peer would misread."""

INPUT_WINDOW = 1 << 20
"""The maximum number of bytes of an exec's input that are in transit to the program."""


# --- starting a guest -------------------------------------------------------------------------------------


class SessionSpec(msgspec.Struct, frozen=True, omit_defaults=True):
    """A program to run in the guest.

    ``terminfo`` is the compiled entry of ``term``, for guests that lack it. ``colours`` are those of the terminal, for
    programs that query them before a client has attached.

    If ``detached`` is false, the caller is about to attach. The keeper then retains the output of a program that has
    already ended until the caller has received it.

    ``env`` may contain secrets. It is sent to the guest over SSH and stored nowhere else. ``ssh_agent`` is the path of
    the socket of the user's SSH agent if the session may use it, or empty.
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
    ssh_agent: str = ""

    def __repr__(self) -> str:
        return f"SessionSpec({self.kind}, argv={self.argv!r})"


class Timezone(msgspec.Struct, frozen=True, omit_defaults=True):
    """The host's time zone: its name in the tz database, and its rules (TZif, RFC 9636) for guests without that name.

    The zone is UTC if both are empty.
    """

    name: str = ""
    data: bytes = b""


class Sharing(msgspec.Struct, frozen=True, omit_defaults=True):
    """The parts of the user's configuration that a guest receives. The keeper reads and sanitizes the files.

    ``agent`` is the name of an agent in ``ccvm_tui.agents``, or empty. ``directory`` is its configuration directory,
    and ``directory_chosen`` is true if a variable names it. ``items`` are the names of the settings in the group
    ``share`` that are on. ``history`` is the directory of the agent's conversations, which is shared and not copied, or
    empty. ``context`` is a text for the agent about the guest. ``key_endings`` are the ends of the API
    keys that sessions will have. ``git`` are the files of Git's global configuration in the order in which they apply,
    ``git_ignore`` and ``git_attributes`` the defaults of the files that it can name.
    """

    home: str = ""
    agent: str = ""
    directory: str = ""
    directory_chosen: bool = False
    items: tuple[str, ...] = ()
    history: str = ""
    context: str = ""
    key_endings: tuple[str, ...] = ()
    git: tuple[str, ...] = ()
    git_ignore: str = ""
    git_attributes: str = ""

    def __repr__(self) -> str:
        return f"Sharing({self.agent!r}, {self.directory!r})"


class LaunchSpec(msgspec.Struct, frozen=True, omit_defaults=True):
    """The parameters of a new keeper, which reads them from its standard input.

    ``image`` is the directory with the image's manifest, or empty for a keeper whose sessions run on local ptys.
    ``runtime`` is the directory of a QEMU runtime, or empty for the host's QEMU. ``scratch_on_tmpfs`` is true if the
    scratch disk may be in memory. If ``linger`` is true, the guest keeps
    running after its last session has ended. ``attempt`` is None if the guest works on the project itself.
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
    egress: outbound.Egress = outbound.Egress()
    logins: outbound.Logins = outbound.Logins()
    seccomp: bool = True
    confine: bool = True
    require_confinement: bool = False
    guard: str = "block"
    sudo: bool = True
    scratch_gib: int = 0
    scratch_on_tmpfs: bool = False
    lock_memory: bool = False
    clipboard_images: bool = True
    linger: bool = False
    scrollback: int = 10_000
    waiting_titles: tuple[str, ...] = ()
    hostname: str = ""
    timezone: Timezone = Timezone()
    sharing: Sharing = Sharing()
    session: SessionSpec | None = None
    attempt: AttemptSpec | None = None
    warnings: tuple[str, ...] = ()


# --- the client's first message after the greeting ---------------------------------------------------------


class Control(Message, frozen=True):
    """A connection for requests and replies.

    With ``events`` the keeper also sends Info and Happened as they occur, with ``console`` Console. ``asks`` is true if
    the client shows the user the guest's questions: those of its egress, and those about signatures.
    """

    events: bool = False
    console: bool = False
    asks: bool = False


class Attach(Message, frozen=True):
    """A terminal that receives the session's output unchanged: Output and Exited. It sends Input and Resize."""

    session: str
    size: TermSize
    scrollback: bool = True
    watch_only: bool = False


class View(Message, frozen=True):
    """A client that draws the session. It receives FrameData and Exited, and acknowledges each frame with Ack.

    It also sends Input, Resize and Recolour. ``colours`` are those of the terminal on which it draws; programs that
    query the terminal's colours get them as the reply.
    """

    session: str
    size: TermSize
    colours: TermColours = UNKNOWN_COLOURS


class Exec(Message, frozen=True):
    """A program that runs without a pty.

    Data is sent in both directions (stream 0 is standard input, 1 standard output, 2 standard error). Empty data is the
    end of the file. The client sends at most INPUT_WINDOW bytes that Taken has not acknowledged, so that a Signal is
    never delayed by unread input. The program ends when the connection is closed.
    """

    argv: tuple[str, ...]
    env: dict[str, str] = msgspec.field(default_factory=dict)


Opening = Control | Attach | View | Exec
"""A client's first message."""


# --- streams ----------------------------------------------------------------------------------------------


class Input(Message, frozen=True):
    """Bytes that the user typed."""

    data: bytes


class Resize(Message, frozen=True):
    """The new size of the client's terminal."""

    size: TermSize


class Recolour(Message, frozen=True):
    """The new colours of the terminal on which a view is drawn."""

    colours: TermColours


class Ack(Message, frozen=True):
    """The client has drawn the last frame."""


class Data(Message, frozen=True):
    """Bytes of an exec's standard input (0), standard output (1) or standard error (2)."""

    stream: int
    data: bytes


class Signal(Message, frozen=True):
    """A signal for an exec's program.

    After SIGHUP, SIGINT, SIGQUIT and SIGTERM, processes of the program that are still running 5 seconds later are
    killed.
    """

    number: int


class Taken(Message, frozen=True):
    """The number of bytes of an exec's input that the keeper has forwarded since the last such message."""

    count: int


class Output(Message, frozen=True):
    """Bytes that the session's program printed."""

    data: bytes


class FrameData(Message, frozen=True):
    """An encoded ``ccvm_tui.terminal.cells.Frame``, which the keeper forwards without decoding it."""

    frame: bytes


LOST = -1
"""The exit status of a program whose connection was lost before the program ended."""


class Exited(Message, frozen=True):
    """The end of a session or exec. ``status`` can be LOST. ``reason`` is empty if the program exited normally."""

    status: int
    reason: str = ""
    console_tail: str = ""


# --- requests and replies ----------------------------------------------------------------------------------


class GetInfo(Message, frozen=True):
    """Return the state of the guest as Info."""


class StartSession(Message, frozen=True):
    """Start a session and return it as Started."""

    spec: SessionSpec


class EndSession(Message, frozen=True):
    """End a session, with ``force`` immediately."""

    session: str
    force: bool = False


class StopGuest(Message, frozen=True):
    """Stop the guest, with ``force`` immediately."""

    force: bool = False


class PauseGuest(Message, frozen=True):
    """Pause the guest."""


class ResumeGuest(Message, frozen=True):
    """Resume the paused guest."""


class GetRows(Message, frozen=True):
    """Return rows of the scrollback and screen, by absolute number, as Blob (encoded ``cells.Rows``)."""

    session: str
    first: int
    count: int


class GetText(Message, frozen=True):
    """Return the rows from ``first`` to ``last`` as Text, with soft-wrapped rows joined."""

    session: str
    first: int
    last: int


class FindText(Message, frozen=True):
    """Return the newest ``limit`` matches of ``needle`` as Matches."""

    session: str
    needle: str
    limit: int = 10_000


class CheckBusy(Message, frozen=True):
    """Return the sessions whose programs would be lost if the guest stopped, as Busy."""


class AllowGuarded(Message, frozen=True):
    """Allow a change that the guard has blocked or noticed, by its number in the quarantine. Returns Text."""

    item: str


class Seen(Message, frozen=True):
    """Clear the session's attention mark, because the user has looked at the session."""

    session: str


class Mute(Message, frozen=True):
    """Mute or unmute the session."""

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
    | AllowGuarded
    | Seen
    | Mute
    | CheckAttempt
    | bridging.Request
    | edits.Request
    | outbound.Request
)
"""A request of a Control connection."""


class Ask(Message, frozen=True):
    """A request. The keeper replies with an Answer or a Failure of the same id."""

    id: int
    request: Request


class Done(Message, frozen=True):
    """The request was carried out and has no result."""


class Info(Message, frozen=True):
    """The state of the guest: the reply to GetInfo, and an event of a Control connection."""

    guest: GuestInfo


class Started(Message, frozen=True):
    """The session that was started."""

    session: SessionInfo


class Blob(Message, frozen=True):
    """Encoded data."""

    data: bytes


class Text(Message, frozen=True):
    """Text of the scrollback and screen."""

    text: str


class Matches(Message, frozen=True):
    """Matches of a search, oldest first, each as (line, column, end line, end column).

    Lines are absolute numbers and ends are inclusive. ``found`` contains the newest matches, up to the request's limit.
    ``total`` is the number of all matches.
    """

    found: tuple[tuple[int, int, int, int], ...]
    total: int


class Busy(Message, frozen=True):
    """The sessions with a program in the foreground, each as (session, command)."""

    sessions: tuple[tuple[str, str], ...]


Result = Done | Info | Started | Blob | Text | Matches | Busy | bridging.Result | edits.Edits | outbound.EgressReport
"""The result of a request."""


class Answer(Message, frozen=True):
    """The successful reply to the request with the same id."""

    id: int
    result: Result


class Failure(Message, frozen=True):
    """The error that a request caused, or the client's first message if the id is 0.

    ``kind`` is the name of a class in ``ccvm_tui.errors``.
    """

    id: int
    kind: str
    message: str
    hint: str = ""


# --- events -----------------------------------------------------------------------------------------------


class Happened(Message, frozen=True):
    """One entry of the guest's event log. ``kind`` is boot, session, bell, notify, clipboard, guard, warning, ….

    ``data`` is the content of a clipboard write.
    """

    time: float
    kind: str
    text: str
    session: str = ""
    data: bytes = b""


class Console(Message, frozen=True):
    """Output of the guest's console during the boot."""

    text: str


ToKeeper = Control | Attach | View | Exec | Ask | Input | Resize | Recolour | Ack | Data | Signal | bridging.FromClient
"""A message from a client to the keeper."""

_Screens = Output | FrameData | Exited | Started | Data | Taken
ToClient = Answer | Failure | Info | Happened | Console | _Screens | bridging.ToClient
"""A message from the keeper to a client."""

_from_client: packing.Unpacker[ToKeeper] = packing.Unpacker(ToKeeper)  # type: ignore[arg-type]  # a union is accepted
_from_keeper: packing.Unpacker[ToClient] = packing.Unpacker(ToClient)  # type: ignore[arg-type]


def pack(message: ToKeeper | ToClient) -> bytes:
    """Encode a message as a frame, including its length."""
    return frame(packing.pack(message))


def unpack_from_client(body: bytes) -> ToKeeper:
    """Decode the body of a frame from a client. Raises ProtocolError if it is not a message."""
    try:
        return _from_client(body)
    except ValueError as error:
        raise ProtocolError(f"bad message from the client: {error}") from error


def unpack_from_keeper(body: bytes) -> ToClient:
    """Decode the body of a frame from the keeper. Raises ProtocolError if it is not a message."""
    try:
        return _from_keeper(body)
    except ValueError as error:
        raise ProtocolError(f"bad message from the keeper: {error}") from error
