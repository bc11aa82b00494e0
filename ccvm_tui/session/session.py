"""One program in the guest, its screen, and the clients that show it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from ccvm_tui.aio import Background
from ccvm_tui.guest import UNKNOWN_COLOURS, Activity, SessionInfo, SessionKind, TermColours, TermSize
from ccvm_tui.protocol import Exited, Happened, SessionSpec
from ccvm_tui.screen.link import ScreenError, ScreenLink
from ccvm_tui.session.attention import Attention
from ccvm_tui.session.channel import LOST, Channel, Transport
from ccvm_tui.session.clients import Client, RawClient
from ccvm_tui.terminal import events
from ccvm_tui.terminal.events import TermEvent
from ccvm_tui.terminal.reports import ReportSplitter, without_reports

log = logging.getLogger(__name__)

TEXT_MAX = 200
"""Characters of a title or notification that go into infos and logs."""

ARGUMENTS_SHOWN = 4096
"""Characters of a session's arguments that go into infos: programs may be given megabytes."""

REDRAW_GAP = 0.15
"""Seconds between the two changes of size that make a program redraw."""

REPORT_WITHIN = 0.05
"""Seconds within which the rest of a terminal's report follows its beginning."""

LAST_WITHIN = 2.0
"""Seconds for the emulator to draw a program's last words before its clients are told that it ended."""


@dataclass
class Hooks:
    """What a session tells its keeper."""

    changed: Callable[[], None]
    happened: Callable[[Happened], None]
    ended: Callable[[Session], None]


@dataclass
class _State:
    title: str = ""
    cwd: str = ""
    exit_status: int | None = None
    reason: str = ""
    last_output: float = 0.0
    muted: bool = False
    clients: list[Client] = field(default_factory=list)
    watchers: list[Client] = field(default_factory=list)


class Session:
    """``start`` runs the program; clients come and go; ``ended`` is called once, when the program is gone.

    ``shown`` is set when the first client has been sent the screen.

    The *leader* is the client that typed last. The session has the leader's size, its terminal answers the
    program's queries if it is a raw one, and what other clients' terminals answer is dropped.
    """

    def __init__(
        self,
        id: str,
        spec: SessionSpec,
        screen: ScreenLink,
        scrollback: int,
        hooks: Hooks,
        waiting_titles: Sequence[str] = (),
    ) -> None:
        self.id = id
        self.spec = spec
        self.size = spec.size
        self.created = time.time()
        self.attention = Attention(spec.kind, time.monotonic(), waiting_titles)
        self._screen = screen
        self._hooks = hooks
        self._state = _State()
        self._leader: Client | None = None
        self._channel: Channel | None = None
        self._held = False
        self._tasks = Background(f"session {id}")
        self.shown = asyncio.Event()
        self._shown: tuple[object, ...] = ()
        # Agents lay out their text by what looks like one character; shells and editors count as wcwidth(3) does.
        screen.open(id, spec.size, scrollback, spec.colours, graphemes=spec.kind is SessionKind.AGENT)

    async def start(self, transport: Transport) -> None:
        """Raises UserError when the program cannot be started."""
        self._channel = await transport.start(self.id, self.spec, self, pty=True)
        if self.size.exact != self.spec.size.exact:  # somebody attached meanwhile
            self._channel.resize(self.size)

    def info(self) -> SessionInfo:
        state = self._state
        return SessionInfo(
            id=self.id,
            kind=self.spec.kind,
            title=state.title,
            argv=_shown(self.spec.argv),
            size=self.size,
            created=self.created,
            activity=self.attention.activity,
            attention="" if state.muted else self.attention.text,
            clients=len(state.clients),
            exit_status=state.exit_status,
            last_output=state.last_output,
            cwd=state.cwd,
            name=self.spec.name,
            muted=state.muted,
        )

    @property
    def alive(self) -> bool:
        return self._state.exit_status is None

    @property
    def lost(self) -> bool:
        """Whether the connection broke before the program could tell how it ended."""
        return self._state.exit_status == LOST

    @property
    def channel(self) -> Channel | None:
        return self._channel

    # --- the program -------------------------------------------------------------------------------------

    def output(self, data: bytes, stream: int) -> None:
        self._state.last_output = time.time()
        self.attention.output(time.monotonic())
        self._screen.feed(self.id, data)
        for client in self._state.clients:
            client.output(data)
        if self._screen.want_pause and not self._held and self._channel is not None:
            self._held = True
            self._channel.hold()
            self._tasks.start(self._release(), "wait for the screen")
        self._tell_changes()

    async def _release(self) -> None:
        await self._screen.drain()
        self._held = False
        if self._channel is not None:
            self._channel.release()

    def ended(self, status: int, reason: str) -> None:
        self._state.exit_status = status
        self._state.reason = reason
        self._hooks.ended(self)

    async def finish(self, exited: Exited) -> None:
        """Tell the clients, after the last output, and give everything back."""
        if self._state.clients:
            with contextlib.suppress(ScreenError, TimeoutError):
                async with asyncio.timeout(LAST_WITHIN):
                    await self._screen.show_last(self.id)
        for client in list(self._state.clients):
            client.ended(exited)
        self._state.clients.clear()
        self._screen.close_session(self.id)
        await self._tasks.close()

    @property
    def end(self) -> tuple[int, str]:
        """(status, reason) of an ended session."""
        return (self._state.exit_status or 0, self._state.reason)

    # --- clients -----------------------------------------------------------------------------------------

    async def add(self, client: Client, *, lead: bool = True) -> None:
        """The client is shown the screen as it is; with ``lead`` the session takes its size."""
        self._state.clients.append(client)
        if isinstance(client, RawClient):
            client.on_caught_up = self._fit
        if not lead:
            self._state.watchers.append(client)
        elif self.alive:
            self._lead(client)
        await client.fit(self.size)
        self.shown.set()
        self._hooks.changed()

    def remove(self, client: Client) -> None:
        if client not in self._state.clients:
            return
        self._state.clients.remove(client)
        client.leave()
        if client in self._state.watchers:
            self._state.watchers.remove(client)
        if client is self._leader:
            self._leader = None
            heirs = [other for other in self._state.clients if other not in self._state.watchers]
            if heirs and self.alive:
                self._lead(heirs[-1])
                self._fit(heirs[-1])
        self._hooks.changed()

    def typed(self, client: Client, data: bytes) -> None:
        """Input from a client. What a terminal says by itself makes nobody the leader."""
        if client is not self._leader:
            data, _ = client.reports.feed(data)
            if client.reports.held:
                self._tasks.start(self._typed_late(client, client.reports.held), "half a report")
        else:
            data = client.reports.flush() + data
            client.reports = ReportSplitter()  # what it types as the leader, pastes above all, is not looked at
        self._type(client, data)

    async def _typed_late(self, client: Client, held: bytes) -> None:
        """What might have become a report was typed after all: a lone ESC is the Escape key."""
        await asyncio.sleep(REPORT_WITHIN)
        if client.reports.held == held and client in self._state.clients:
            self._type(client, client.reports.flush())

    def _type(self, client: Client, data: bytes) -> None:
        if not data:
            return
        if client is not self._leader:
            self._lead(client)
            self._fit(client)
        if self._channel is None:
            return
        if without_reports(data):
            self.attention.typed(time.monotonic())
            self._tell_changes()
        self._channel.write(data)

    def resized(self, client: Client, size: TermSize) -> None:
        client.size = size
        if client is self._leader:
            self._take_size(size)
        self._fit(client)

    def recoloured(self, client: Client, colours: TermColours) -> None:
        """The terminal on which the client draws has other colours."""
        client.colours = colours
        if client is self._leader:
            self._screen.set_colours(self.id, colours)

    def _lead(self, client: Client) -> None:
        """Make ``client`` the leader; its own view of the session is the caller's affair."""
        self._leader = client
        clients = self._state.clients
        clients.append(clients.pop(clients.index(client)))  # the last one typed last
        self._take_size(client.size)
        if client.colours != UNKNOWN_COLOURS:
            self._screen.set_colours(self.id, client.colours)

    def _take_size(self, size: TermSize) -> None:
        before, self.size = self.size, size
        if size.exact == before.exact:
            return
        self._screen.resize(self.id, size)
        if self._channel is not None:
            self._channel.resize(size)
        if size != before:
            for client in self._state.clients:
                if client is not self._leader:
                    self._fit(client)
        self._hooks.changed()

    def _fit(self, client: Client) -> None:
        # beside everything else: nobody waits for another's screen
        self._tasks.start(client.fit(self.size), "fit a client")

    # --- what the screen process tells --------------------------------------------------------------------

    def reply(self, data: bytes) -> None:
        """The emulator's answer to a query of the program's; the leader's own terminal has precedence."""
        if self._channel is not None and not (self._leader is not None and self._leader.answers):
            self._channel.write(data)

    def redraw(self) -> None:
        """Make the program draw again, after the screen process has lost what it drew."""
        self._tasks.start(self._redraw(), "redraw")

    async def _redraw(self) -> None:
        if self._channel is not None:
            self._channel.resize(replace(self.size, rows=self.size.rows - 1 if self.size.rows > 1 else 2))
            # programs look at the size when they get round to it: they must find the other one first
            await asyncio.sleep(REDRAW_GAP)
            self._channel.resize(self.size)

    def told(self, event: TermEvent) -> None:
        now = time.monotonic()
        match event:
            case events.Title(text=text):
                self._state.title = text[:TEXT_MAX]
                self.attention.titled(self._state.title, now)
            case events.Cwd(url=url):
                self._state.cwd = url[: 4 * TEXT_MAX]
            case events.Bell():
                self.attention.rang(now)
                self._happened("bell", "bell")
            case events.Notification(title=title, body=body):
                text = ": ".join(part for part in (title, body) if part)[:TEXT_MAX]
                self.attention.notified(text, now)
                self._happened("notify", text)
            case events.PromptMark(kind=kind, status=status):
                self.attention.prompt(kind, status, now)
            case events.ClipboardWrite(selection=selection, data=data):
                self._happened("clipboard", selection, data)
            case events.LinksDropped():
                self._happened("warning", "prints links so densely that they are left out")
            case _:
                return
        self._tell_changes()

    def _happened(self, kind: str, text: str, data: bytes = b"") -> None:
        self._hooks.happened(Happened(time.time(), kind, text, self.id, data))

    # --- attention ---------------------------------------------------------------------------------------

    def hook(self, activity: Activity, text: str) -> None:
        """The program itself told, through its hooks in the guest."""
        self.attention.hook(activity, text[:TEXT_MAX], time.monotonic())
        if self.attention.text:
            self._happened("attention", self.attention.text)
        self._tell_changes()

    def tick(self) -> None:
        self.attention.tick(time.monotonic())
        self._tell_changes()

    def seen(self) -> None:
        self.attention.seen()
        self._tell_changes()

    def mute(self, muted: bool) -> None:
        self._state.muted = muted
        self._tell_changes()

    def _tell_changes(self) -> None:
        shown = (self._state.title, self._state.cwd, self.attention.activity, self.attention.text, self._state.muted)
        if shown != self._shown:
            self._shown = shown
            self._hooks.changed()

    def hang_up(self) -> None:
        if self._channel is not None:
            self._channel.hang_up()

    def kill(self) -> None:
        if self._channel is not None:
            self._channel.kill()


def _shown(argv: tuple[str, ...]) -> tuple[str, ...]:
    """The first ARGUMENTS_SHOWN characters of the arguments; what was left out is marked by an ellipsis."""
    shown: list[str] = []
    left = ARGUMENTS_SHOWN
    for word in argv:
        if len(word) > left:
            return (*shown, word[:left] + "…")
        shown.append(word)
        left -= len(word) + 1
    return tuple(shown)
