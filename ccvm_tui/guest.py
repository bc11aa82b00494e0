"""The nouns that everybody shares: a guest, its state, its sessions, a terminal's size."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum


class GuestState(StrEnum):
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
"""Which state may follow which."""


class SessionKind(StrEnum):
    AGENT = "agent"
    SHELL = "shell"
    COMMAND = "command"


class Activity(StrEnum):
    """What a session is doing, as far as its hooks, marks and output tell."""

    WORKING = "working"
    WAITING = "waiting"
    DONE = "done"
    IDLE = "idle"
    FAILED = "failed"


DEFAULT_CELL = (8, 16)
"""Width and height in pixels of a cell of a terminal that does not tell them, or that is none."""


@dataclass(frozen=True, slots=True)
class TermSize:
    """A terminal's size in cells; ``width`` and ``height`` in pixels as in TIOCGWINSZ (ioctl_tty(2)), 0 if unknown.

    Sizes are equal when their cells are; ``exact`` tells more.
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
        return (self.cols, self.rows, self.width, self.height)

    @property
    def cell(self) -> tuple[int, int]:
        """Width and height of a cell in pixels; zeros if unknown."""
        cell = (self.width // self.cols, self.height // self.rows)
        return cell if all(cell) else (0, 0)

    def with_cell(self, cell: tuple[int, int]) -> TermSize:
        """As many cells of that size."""
        width, height = self.cols * cell[0], self.rows * cell[1]
        return TermSize(self.cols, self.rows, min(width, self.MAX_PIXELS), min(height, self.MAX_PIXELS))


@dataclass(frozen=True, slots=True)
class TermColours:
    """A terminal's own colours, 0xrrggbb, -1 where it does not tell; ``dark`` is None if it has not told that."""

    foreground: int = -1
    background: int = -1
    cursor: int = -1
    dark: bool | None = None

    @property
    def is_dark(self) -> bool:
        """The scheme that the terminal reports, else that of its background's luminance (ITU-R BT.601)."""
        if self.dark is not None:
            return self.dark
        red, green, blue = self.background >> 16 & 255, self.background >> 8 & 255, self.background & 255
        return self.background < 0 or 299 * red + 587 * green + 114 * blue < 128_000


UNKNOWN_COLOURS = TermColours()


@dataclass(frozen=True, slots=True)
class SessionInfo:
    """``id`` is unique in its guest for its life (s1, s2, …); ``exit_status`` is None while it runs."""

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
    """One step of a boot. ``started`` and ``ended`` are seconds since the keeper began; -1 means not yet."""

    name: str
    started: float
    ended: float = -1.0


@dataclass(frozen=True, slots=True)
class Usage:
    """What a guest costs and what it has. Bytes; ``cpu`` in percent of one core; 0 where not known yet."""

    cpu: float = 0.0
    rss: int = 0
    guest_total: int = 0
    guest_available: int = 0
    guest_load: float = 0.0
    uptime: float = 0.0


@dataclass(frozen=True, slots=True)
class GuestInfo:
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
