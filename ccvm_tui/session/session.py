"""A session: a program in the guest, its screen, and its clients."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from ccvm_tui.agents.table import Sign
from ccvm_tui.aio import Background
from ccvm_tui.bridging import Notice
from ccvm_tui.guest import UNKNOWN_COLOURS, Activity, SessionInfo, SessionKind, TermColours, TermSize
from ccvm_tui.protocol import LOST, Exited, Happened, SessionSpec
from ccvm_tui.screen.link import ScreenError, ScreenLink
from ccvm_tui.session.attention import Attention
from ccvm_tui.session.channel import Channel, Transport
from ccvm_tui.session.clients import Client, RawClient
from ccvm_tui.terminal import events
from ccvm_tui.terminal.events import TermEvent
from ccvm_tui.terminal.reports import ReportSplitter, without_reports

log = logging.getLogger(__name__)

TEXT_MAX = 200
"""Characters of a title or a notification that are reported and logged."""

ARGUMENTS_SHOWN = 4096
"""Characters of a session's arguments that are reported, because programs may have megabytes of arguments."""

REDRAW_GAP = 0.15
"""Seconds between the two changes of size that make a program redraw."""

REPORT_WITHIN = 0.05
"""Seconds to wait for the rest of a terminal's report."""

LAST_FRAME_WITHIN = 10.0
"""Seconds to wait for the emulator to show a program's last output, before the end is reported to the clients.

Long, because the screen process of a new guest may still be starting on a busy machine.
"""


@dataclass
class Hooks:
    """The callbacks by which a session reports to its keeper.

    ``changed`` is called after a change of the session's info, ``happened`` with each event, and ``ended`` once, after
    the program has ended.
    """

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
    """A program and the clients attached to it.

    ``shown`` is set after the screen has been sent to the first client.

    The *active client* is the one that typed last. The session has its size. If it is a raw terminal, that
    terminal answers the program's queries. Replies of other clients' terminals are dropped.
    """

    def __init__(
        self,
        id: str,
        spec: SessionSpec,
        screen: ScreenLink,
        scrollback: int,
        hooks: Hooks,
        waiting_titles: Sequence[str] = (),
        signs: Sequence[Sign] = (),
    ) -> None:
        self.id = id
        self.spec = spec
        self.size = spec.size
        self.created = time.time()
        self.attention = Attention(spec.kind, time.monotonic(), waiting_titles, signs)
        self._screen = screen
        self._hooks = hooks
        self._state = _State()
        self._active: Client | None = None
        self._channel: Channel | None = None
        self._paused = False
        self._examining = False
        self._tasks = Background(f"session {id}")
        self.shown = asyncio.Event()
        self._shown: tuple[object, ...] = ()
        # Agents lay out text by grapheme clusters; shells and editors by code points, as wcwidth(3) does.
        screen.open(id, spec.size, scrollback, spec.colours, graphemes=spec.kind is SessionKind.AGENT)

    async def start(self, transport: Transport) -> None:
        """Start the program. Raises UserError if it cannot be started."""
        self._channel = await transport.start(self.id, self.spec, self, pty=True)
        if self.size.exact != self.spec.size.exact:  # a client has attached in the meantime
            self._channel.resize(self.size)

    def info(self) -> SessionInfo:
        """Return the state of the session, as reported to clients of the keeper."""
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
        """True until the program has ended."""
        return self._state.exit_status is None

    @property
    def lost(self) -> bool:
        """True if the connection was lost before the program ended."""
        return self._state.exit_status == LOST

    @property
    def channel(self) -> Channel | None:
        """The channel of the program, or None if it was not started."""
        return self._channel

    # --- the program -------------------------------------------------------------------------------------

    def output(self, data: bytes, _: int) -> None:
        """Handle output of the program: pass it to the screen and to the clients."""
        self._state.last_output = time.time()
        self.attention.output(time.monotonic())
        self._screen.feed(self.id, data)
        for client in self._state.clients:
            client.output(data)
        if self._screen.want_pause and not self._paused and self._channel is not None:
            self._paused = True
            self._channel.pause_reading()
            self._tasks.start(self._resume_reading(), "wait for the screen")
        self._report_changes()

    async def _resume_reading(self) -> None:
        await self._screen.drain()
        self._paused = False
        if self._channel is not None:
            self._channel.resume_reading()

    def ended(self, status: int, reason: str) -> None:
        """Handle the end of the program."""
        self._state.exit_status = status
        self._state.reason = reason
        self._hooks.ended(self)

    async def finish(self, exited: Exited) -> None:
        """Report the end to the clients, after the last output, and release all resources."""
        if self._state.clients:
            with contextlib.suppress(ScreenError, TimeoutError):
                async with asyncio.timeout(LAST_FRAME_WITHIN):
                    await self._screen.show_last(self.id)
        for client in list(self._state.clients):
            client.ended(exited)
        self._state.clients.clear()
        self._screen.close_session(self.id)
        await self._tasks.close()

    @property
    def end(self) -> tuple[int, str]:
        """The exit status and the reason of an ended session."""
        return (self._state.exit_status or 0, self._state.reason)

    # --- clients -----------------------------------------------------------------------------------------

    async def add(self, client: Client, *, lead: bool = True) -> None:
        """Add a client and send it the screen. With ``lead``, it becomes active and the session takes its size."""
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
        """Remove a client. If it was active, the client that typed before it becomes active."""
        if client not in self._state.clients:
            return
        self._state.clients.remove(client)
        client.leave()
        if client in self._state.watchers:
            self._state.watchers.remove(client)
        if client is self._active:
            self._active = None
            candidates = [other for other in self._state.clients if other not in self._state.watchers]
            if candidates and self.alive:
                self._lead(candidates[-1])
                self._fit(candidates[-1])
        self._hooks.changed()

    def typed(self, client: Client, data: bytes) -> None:
        """Handle input from a client, which becomes active. Reports of its terminal do not make it active."""
        if client is not self._active:
            data, _ = client.reports.feed(data)
            if client.reports.held:
                self._tasks.start(self._flush_input(client, client.reports.held), "incomplete report")
        else:
            data = client.reports.flush() + data
            client.reports = ReportSplitter()  # input of the active client, such as a long paste, is not parsed
        self._type(client, data)

    async def _flush_input(self, client: Client, held: bytes) -> None:
        """Handle held input as typed if no report has followed, because a lone ESC is the Escape key."""
        await asyncio.sleep(REPORT_WITHIN)
        if client.reports.held == held and client in self._state.clients:
            self._type(client, client.reports.flush())

    def _type(self, client: Client, data: bytes) -> None:
        if not data:
            return
        if client is not self._active:
            self._lead(client)
            self._fit(client)
        if self._channel is None:
            return
        if without_reports(data):
            self.attention.typed(time.monotonic())
            self._report_changes()
        self._channel.write(data)

    def resized(self, client: Client, size: TermSize) -> None:
        """Handle a change of the size of a client's terminal."""
        client.size = size
        if client is self._active:
            self._take_size(size)
        self._fit(client)

    def recoloured(self, client: Client, colours: TermColours) -> None:
        """Handle a change of the colours of a client's terminal."""
        client.colours = colours
        if client is self._active:
            self._screen.set_colours(self.id, colours)

    def _lead(self, client: Client) -> None:
        """Make ``client`` active. The caller must fit the client's own view."""
        self._active = client
        clients = self._state.clients
        clients.append(clients.pop(clients.index(client)))  # clients are in the order in which they typed
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
                if client is not self._active:
                    self._fit(client)
        self._hooks.changed()

    def _fit(self, client: Client) -> None:
        # in a task of its own, so that no client waits for the screen of another one
        self._tasks.start(client.fit(self.size), "fit a client")

    @property
    def active(self) -> Client | None:
        """The active client."""
        return self._active

    def notify(self, notice: Notice) -> None:
        """Send a notice to all terminals that show the session."""
        for client in self._state.clients:
            client.send(notice)

    # --- reports of the screen process --------------------------------------------------------------------

    def reply(self, data: bytes) -> None:
        """Send the emulator's reply to a query to the program, unless the active client's terminal answers it."""
        if self._channel is not None and not (self._active is not None and self._active.answers_queries):
            self._channel.write(data)

    def redraw(self) -> None:
        """Make the program redraw its screen, after the screen process has lost output."""
        self._tasks.start(self._redraw(), "redraw")

    async def _redraw(self) -> None:
        if self._channel is not None:
            self._channel.resize(replace(self.size, rows=self.size.rows - 1 if self.size.rows > 1 else 2))
            # programs read the size some time after SIGWINCH, and must see the changed size first
            await asyncio.sleep(REDRAW_GAP)
            self._channel.resize(self.size)

    def handle_event(self, event: TermEvent) -> None:
        """Handle an event that the emulator has reported."""
        now = time.monotonic()
        match event:
            case events.Title(text=text):
                self._state.title = text[:TEXT_MAX]
                self.attention.title(self._state.title, now)
            case events.Cwd(url=url):
                self._state.cwd = url[: 4 * TEXT_MAX]
            case events.Bell():
                self.attention.bell(now)
                self._report("bell", "bell")
            case events.Notification(title=title, body=body):
                text = ": ".join(part for part in (title, body) if part)[:TEXT_MAX]
                self.attention.notification(text)
                self._report("notify", text)
            case events.PromptMark(kind=kind, status=status):
                self.attention.prompt(kind, status, now)
            case events.ClipboardWrite(selection=selection, data=data):
                self._report("clipboard", selection, data)
            case events.LinksDropped():
                self._report("warning", "prints too many links; they are left out")
            case _:
                return
        self._report_changes()

    def _report(self, kind: str, text: str, data: bytes = b"") -> None:
        self._hooks.happened(Happened(time.time(), kind, text, self.id, data))

    # --- attention ---------------------------------------------------------------------------------------

    def hook(self, activity: Activity, text: str) -> None:
        """Handle a report from the program's hooks in the guest."""
        self.attention.hook(activity, text[:TEXT_MAX])
        if self.attention.text:
            self._report("attention", self.attention.text)
        self._report_changes()

    def tick(self) -> None:
        """Update the attention after a period without output. Call this about once a second."""
        now = time.monotonic()
        self.attention.tick(now)
        if self.attention.wants_screen(now) and not self._examining:
            self._examining = True
            self._tasks.start(self._examine_screen(), "examine screen")
        self._report_changes()

    async def _examine_screen(self) -> None:
        """Search the screen for what the program's hooks do not report."""
        try:
            top = (await self._screen.lines(self.id, 0, 0)).top
            text = await self._screen.text(self.id, top, top + self.size.rows - 1)
        except ScreenError:
            return
        finally:
            self._examining = False
        if self.attention.wants_screen(time.monotonic()):
            self.attention.screen(text)
            if self.attention.text:
                self._report("attention", self.attention.text)
            self._report_changes()

    def seen(self) -> None:
        """Clear the attention after the user has looked at the session."""
        self.attention.seen()
        self._report_changes()

    def mute(self, muted: bool) -> None:
        """Hide the attention in ``info``, or show it again."""
        self._state.muted = muted
        self._report_changes()

    def _report_changes(self) -> None:
        shown = (self._state.title, self._state.cwd, self.attention.activity, self.attention.text, self._state.muted)
        if shown != self._shown:
            self._shown = shown
            self._hooks.changed()

    def hang_up(self) -> None:
        """End the program as a closed terminal does; see ``Channel.hang_up``."""
        if self._channel is not None:
            self._channel.hang_up()

    def kill(self) -> None:
        """Kill the program."""
        if self._channel is not None:
            self._channel.kill()


def _shown(argv: tuple[str, ...]) -> tuple[str, ...]:
    """Return the first ``ARGUMENTS_SHOWN`` characters of the arguments, with an ellipsis if some were cut off."""
    shown: list[str] = []
    left = ARGUMENTS_SHOWN
    for argument in argv:
        if len(argument) > left:
            return (*shown, argument[:left] + "…")
        shown.append(argument)
        left -= len(argument) + 1
    return tuple(shown)
