"""The types that describe a guest: its state, its sessions, and a terminal's size and colours."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum


class GuestState(StrEnum):
    """The state of a guest; ``TRANSITIONS`` lists the changes that are allowed."""

    BOOTING = "booting"
    RUNNING = "running"
    PAUSED = "paused"
    STOPPING = "stopping"
    STOPPED = "stopped"
    FAILED = "failed"


TRANSITIONS: dict[GuestState, frozenset[GuestState]] = {
    GuestState.BOOTING: frozenset({GuestState.RUNNING, GuestState.STOPPING, GuestState.FAILED}),
    GuestState.RUNNING: frozenset({GuestState.PAUSED, GuestState.STOPPING, GuestState.FAILED}),
    GuestState.PAUSED: frozenset({GuestState.RUNNING, GuestState.STOPPING, GuestState.FAILED}),
    GuestState.STOPPING: frozenset({GuestState.STOPPED, GuestState.FAILED}),
    GuestState.STOPPED: frozenset(),
    GuestState.FAILED: frozenset({GuestState.STOPPED}),
}
"""The states that may follow each state."""


class SessionKind(StrEnum):
    """The kind of program that a session runs: the image's agent, a login shell, or a command."""

    AGENT = "agent"
    SHELL = "shell"
    COMMAND = "command"


class Activity(StrEnum):
    """The activity of a session, as derived from its hooks, prompt marks and output."""

    WORKING = "working"
    WAITING = "waiting"
    DONE = "done"
    IDLE = "idle"
    FAILED = "failed"


DEFAULT_CELL = (8, 16)
"""Width and height in pixels of a cell if the terminal does not report them, or if there is no terminal."""


@dataclass(frozen=True, slots=True)
class TermSize:
    """The size of a terminal in cells, and in pixels as in TIOCGWINSZ (ioctl_tty(2)), 0 if unknown.

    Two sizes are equal if their cells are equal. Compare ``exact`` to include the pixels. Raises ValueError if a
    value is out of range.
    """

    cols: int = 80
    rows: int = 24
    width: int = field(default=0, compare=False)
    height: int = field(default=0, compare=False)

    MAX = 4096
    MAX_PIXELS = 65535

    def __post_init__(self) -> None:
        if not (1 <= self.cols <= self.MAX and 1 <= self.rows <= self.MAX):
            raise ValueError(f"not a terminal size: {self.cols}x{self.rows}")
        if not (0 <= self.width <= self.MAX_PIXELS and 0 <= self.height <= self.MAX_PIXELS):
            raise ValueError(f"not a terminal size in pixels: {self.width}x{self.height}")

    @property
    def exact(self) -> tuple[int, int, int, int]:
        """Columns, rows, width and height."""
        return (self.cols, self.rows, self.width, self.height)

    @property
    def cell(self) -> tuple[int, int]:
        """Width and height of a cell in pixels, both 0 if unknown."""
        cell = (self.width // self.cols, self.height // self.rows)
        return cell if all(cell) else (0, 0)

    def with_cell(self, cell: tuple[int, int]) -> TermSize:
        """Return the same number of cells, each of the size ``cell`` in pixels."""
        width, height = self.cols * cell[0], self.rows * cell[1]
        return TermSize(self.cols, self.rows, min(width, self.MAX_PIXELS), min(height, self.MAX_PIXELS))


@dataclass(frozen=True, slots=True)
class TermColours:
    """The default colours of a terminal as 0xrrggbb, -1 if unknown.

    ``dark`` is the colour scheme that the terminal reports, None if it reports none.
    """

    foreground: int = -1
    background: int = -1
    cursor: int = -1
    dark: bool | None = None

    @property
    def is_dark(self) -> bool:
        """True for a dark scheme, as reported or else as computed from the background's luminance (ITU-R BT.601)."""
        if self.dark is not None:
            return self.dark
        red, green, blue = self.background >> 16 & 255, self.background >> 8 & 255, self.background & 255
        return self.background < 0 or 299 * red + 587 * green + 114 * blue < 128_000


UNKNOWN_COLOURS = TermColours()
"""The colours of a terminal that reports none."""


@dataclass(frozen=True, slots=True)
class SessionInfo:
    """The state of one session.

    ``id`` (s1, s2, …) is unique during the guest's lifetime. ``name`` is the user's label. ``attention`` is the reason
    why the session needs the user, or empty. ``exit_status`` is None while the program runs. ``created`` and
    ``last_output`` are seconds since 1970.
    """

    id: str
    kind: SessionKind
    title: str
    argv: tuple[str, ...]
    size: TermSize
    created: float
    activity: Activity = Activity.WORKING
    attention: str = ""
    clients: int = 0
    exit_status: int | None = None
    last_output: float = 0.0
    cwd: str = ""
    name: str = ""
    muted: bool = False


@dataclass(frozen=True, slots=True)
class Phase:
    """One phase of a boot. ``started`` and ``ended`` are seconds since the keeper's start; -1 means not yet."""

    name: str
    started: float
    ended: float = -1.0


@dataclass(frozen=True, slots=True)
class Usage:
    """The resources that a guest uses on the host, and its own memory and load.

    Sizes are bytes, ``cpu`` is a percentage of one core, ``uptime`` is seconds. Values that are not known yet are 0.
    ``ports`` are the TCP ports on which programs of the guest listen.
    """

    cpu: float = 0.0
    rss: int = 0
    guest_total: int = 0
    guest_available: int = 0
    guest_load: float = 0.0
    uptime: float = 0.0
    ports: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Forward:
    """A port of the guest, and the port of the host's loopback interface from which connections are forwarded to it."""

    guest: int
    host: int


@dataclass(frozen=True, slots=True)
class Link:
    """The address of a web page that a program in a guest wants to open.

    ``port`` is the port on which the program waits for the end of a login, or 0.
    """

    id: int
    session: str
    address: str
    port: int = 0


@dataclass(frozen=True, slots=True)
class SignatureQuestion:
    """The question whether a session may use a key of the user's SSH agent for a signature.

    ``key`` is the key's fingerprint and ``comment`` its comment. ``purpose`` is what the signature is for, in words.
    ``repeatable`` is true if the user can allow this purpose for the rest of the session.
    """

    number: int
    session: str
    key: str
    comment: str
    purpose: str
    repeatable: bool


@dataclass(frozen=True, slots=True)
class EgressInfo:
    """The state of a guest's egress.

    ``mode`` is the value of the setting ``egress``. ``connected`` is false if the guest has no way out at the moment,
    although it should. ``refused`` is the number of refused connections. ``questions`` are the hosts, with ports, whose
    connections are held until the user decides.
    """

    mode: str = "open"
    connected: bool = True
    refused: int = 0
    questions: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class AttemptInfo:
    """The state of an attempt, as its guest has reported it.

    ``base`` is the commit from which it started. ``shared`` and ``clone`` are the directories in the guest of the
    host's checkout and of the clone. ``branch`` is the current branch, empty if HEAD is detached. ``ahead`` and
    ``behind`` are the numbers of commits that only the attempt or only the host's current branch has, ``changed`` that
    of files that differ from the base, ``uncommitted`` that of files that differ from the last commit, ``unfetched``
    that of commits which the host lacks.
    """

    name: str
    base: str = ""
    shared: str = ""
    clone: str = ""
    branch: str = ""
    ahead: int = 0
    behind: int = 0
    changed: int = 0
    uncommitted: int = 0
    unfetched: int = 0


@dataclass(frozen=True, slots=True)
class GuestInfo:
    """The state of one guest and its sessions.

    ``project`` is the shared directory. ``attempt`` is None if the guest works on it, and not on a clone.
    ``accel_reason`` is why that accelerator was chosen. ``agent`` is the image's agent layer, ``version`` that of the
    keeper's program. ``reason`` is why the guest ended or failed, or empty. ``signatures`` are questions that the user
    has not answered yet.
    """

    name: str
    project: str
    state: GuestState
    keeper_pid: int
    qemu_pid: int
    started: float
    accel: str
    accel_reason: str
    machine: str
    memory_mib: int
    cores: int
    read_only: bool
    network: str
    image: str
    agent: str
    version: str
    sessions: tuple[SessionInfo, ...] = ()
    phases: tuple[Phase, ...] = ()
    usage: Usage = field(default_factory=Usage)
    warnings: tuple[str, ...] = ()
    reason: str = ""
    local_dirs: tuple[str, ...] = ()
    forwards: tuple[Forward, ...] = ()
    links: tuple[Link, ...] = ()
    egress: EgressInfo = field(default_factory=EgressInfo)
    attempt: AttemptInfo | None = None
    signatures: tuple[SignatureQuestion, ...] = ()
