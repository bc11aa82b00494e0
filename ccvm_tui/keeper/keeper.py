"""One guest and all that happens with it, from its boot to its end."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from ccvm_tui import __version__
from ccvm_tui.aio import Background
from ccvm_tui.errors import BootError, KeeperLost, NoSuchSession, UserError
from ccvm_tui.guest import TRANSITIONS, Activity, GuestInfo, GuestState, Phase, SessionInfo, Usage
from ccvm_tui.keeper.guests import Guest, LocalGuest, Reports
from ccvm_tui.keeper.record import UNMET, Ending, EventLog, record_end
from ccvm_tui.paths import GuestPaths
from ccvm_tui.protocol import Console, Exited, Happened, Info, LaunchSpec, SessionSpec, ToClient
from ccvm_tui.screen.link import ScreenLink
from ccvm_tui.session.channel import LOST, Transport
from ccvm_tui.session.session import Hooks, Session
from ccvm_tui.terminal.events import TermEvent

log = logging.getLogger(__name__)

TELL_GAP = 0.05
"""Seconds between two infos: what changes in bursts is told once."""

STATS_EVERY = 3.0
SHOWN_WITHIN = 10.0
"""Seconds that an ended session waits for whoever started it to come and see."""

END_KNOWN_WITHIN = 2.0
"""Seconds in which the machine's end is known once connections to the guest have broken over it."""

UNUSED_WITHIN = 60.0
"""Seconds that a booted guest without any session waits for its first one."""


class Listener(Protocol):
    """A control connection that asked for events."""

    def tell(self, message: ToClient) -> None: ...


class Keeper:
    """State and sessions of one guest. ``run`` is its whole life."""

    def __init__(self, spec: LaunchSpec, paths: GuestPaths) -> None:
        self.spec = spec
        self.paths = paths
        self.sessions: dict[str, Session] = {}
        self.listeners: set[Listener] = set()
        self.usage = Usage()
        self.ending: Ending | None = None
        self._state = GuestState.BOOTING
        self._born = time.monotonic()
        self._started = time.time()
        self._phases: list[Phase] = []
        self._warnings = list(spec.warnings)
        self._numbers = 0
        self._needs = 0
        self._done = False
        self._why = "stopped"
        self._last = ""
        self._events = EventLog(paths.events_log)
        self._tasks = Background(f"keeper {spec.name}")
        self._changed = asyncio.Event()
        self._stop_asked = asyncio.Event()
        self._ends = asyncio.Event()
        self._force = False
        self._transport: asyncio.Future[Transport] = asyncio.get_running_loop().create_future()
        self.over = asyncio.Event()
        self.screen = ScreenLink(on_reply=self._reply, on_event=self._told, on_lost=self._screen_lost)
        self.guest: Guest = self._make_guest()

    def _make_guest(self) -> Guest:
        reports = Reports(self._phase, self._console_output, self.happened, self._hook, self._warn)
        if not self.spec.image:
            return LocalGuest(self.spec)
        from ccvm_tui.keeper.vm import VmGuest

        return VmGuest(self.spec, self.paths, reports)

    # --- life ---------------------------------------------------------------------------------------------

    async def run(self) -> Ending:
        """Boot, live, end. Everything is stopped and reaped when this returns."""
        self._tasks.start(self._tell(), "tell")
        self._tasks.start(self._watch(), "watch")
        try:
            self.ending = await self._live()
        except asyncio.CancelledError:
            self._force = True
            self.ending = Ending(False, "the keeper was told to end")
            raise
        finally:
            await self._end(self.ending or Ending(True, "the keeper failed; its log says why"))
        return self.ending

    async def _live(self) -> Ending:
        stop = asyncio.ensure_future(self._stop_asked.wait())
        boot = asyncio.ensure_future(self._boot())
        death: asyncio.Future[str] | None = None
        try:
            await asyncio.wait({stop, boot}, return_when=asyncio.FIRST_COMPLETED)
            if not boot.done():
                return Ending(False, "stopped while it booted")
            try:
                await boot
            except UserError as error:
                tail = error.console_tail if isinstance(error, BootError) else self.guest.console_tail()
                return Ending(True, error.message, error.hint, tail, error if isinstance(error, UNMET) else None)
            death = asyncio.ensure_future(self.guest.wait())
            await asyncio.wait({stop, death}, return_when=asyncio.FIRST_COMPLETED)
            if stop.done():
                return Ending(False, self._why)
            return Ending(True, death.result(), "", self.guest.console_tail())
        finally:
            pending = [task for task in (stop, boot, death) if task is not None and not task.done()]
            for task in pending:
                task.cancel()
            await asyncio.gather(*pending, return_exceptions=True)

    async def _boot(self) -> None:
        transport, _ = await asyncio.gather(self.guest.boot(), self.screen.start())
        self._phase("session")
        if self.spec.session is not None:
            await self._open(self.spec.session, transport)
        self._phase("")
        self.state = GuestState.RUNNING
        self.happened(Happened(time.time(), "boot", f"ready after {time.monotonic() - self._born:.1f} s"))
        self._transport.set_result(transport)

    async def _end(self, ending: Ending) -> None:
        self._ends.set()
        if self._state is not GuestState.STOPPING:
            self.state = GuestState.FAILED if ending.failed else GuestState.STOPPING
        log.info("ending: %s", ending.reason)
        if not self._transport.done():
            self._transport.set_exception(ending.as_error())
            self._transport.exception()
        exited = Exited(LOST, ending.reason, ending.console_tail)
        ends = [(one, exited if one.alive or one.lost else Exited(*one.end)) for one in self.sessions.values()]
        for session in self.sessions.values():
            session.hang_up()
        await self.guest.stop(force=self._force or ending.failed)
        for session, end in ends:
            await session.finish(end)
        self.sessions.clear()
        await self.screen.close()
        record_end(self.spec.name, self.spec.project, ending)
        self.state = GuestState.STOPPED
        self._broadcast(Info(self.info()))
        await self._tasks.close()
        self.over.set()

    def stop(self, *, force: bool) -> None:
        """Begin to stop; ``over`` is set when everything is gone."""
        self._force = self._force or force
        if self._state in (GuestState.RUNNING, GuestState.PAUSED, GuestState.BOOTING):
            self.state = GuestState.STOPPING
        self._stop_asked.set()

    @property
    def state(self) -> GuestState:
        return self._state

    @state.setter
    def state(self, state: GuestState) -> None:
        if state is self._state:
            return
        if state not in TRANSITIONS[self._state]:
            raise AssertionError(f"a guest does not go from {self._state} to {state}")
        self._state = state
        self.changed()

    async def pause(self) -> None:
        if self._state is not GuestState.RUNNING:
            raise UserError(f"{self.spec.name} is {self._state}, not running", "see `ccvm-tui ls`")
        await self.guest.pause()
        self.state = GuestState.PAUSED

    async def resume(self) -> None:
        if self._state is not GuestState.PAUSED:
            raise UserError(f"{self.spec.name} is {self._state}, not paused", "see `ccvm-tui ls`")
        await self.guest.resume()
        self.state = GuestState.RUNNING

    # --- sessions -----------------------------------------------------------------------------------------

    async def transport(self) -> Transport:
        """Where programs are started; waits for the boot. Raises BootError if that fails."""
        return await asyncio.shield(self._transport)

    async def open_session(self, spec: SessionSpec) -> SessionInfo:
        """Raises UserError when the guest is not there (any more) or the program cannot be started."""
        transport = await self.transport()
        if self._state is not GuestState.RUNNING:
            raise UserError(f"{self.spec.name} is {self._state}", "see `ccvm-tui ls`")
        return (await self._open(spec, transport)).info()

    async def _open(self, spec: SessionSpec, transport: Transport) -> Session:
        spec = await self.guest.prepare(spec)
        self._numbers += 1
        hooks = Hooks(self.changed, self.happened, self._session_ended)
        titles = self.spec.waiting_titles
        session = Session(f"s{self._numbers}", spec, self.screen, self.spec.scrollback, hooks, titles)
        self.sessions[session.id] = session
        self._done = False
        try:
            await session.start(transport)
        except BaseException:
            self.sessions.pop(session.id, None)
            await session.finish(Exited(LOST, "not started"))
            raise
        self.happened(Happened(time.time(), "session", f"{spec.kind} started", session.id))
        return session

    async def session(self, id: str) -> Session:
        """Raises NoSuchSession; waits for a boot that is under way."""
        await self.transport()
        if id not in self.sessions:
            have = ", ".join(self.sessions) or "none"
            raise NoSuchSession(f"{self.spec.name} has no session {id!r} (there are: {have})", "see `ccvm-tui ls`")
        return self.sessions[id]

    def _session_ended(self, session: Session) -> None:
        if self.sessions.get(session.id) is session and self.ending is None:
            self._tasks.start(self._bury(session), f"end of {session.id}")

    async def _bury(self, session: Session) -> None:
        status, reason = session.end
        self.changed()
        if session.lost and await self._guest_ends():
            return  # that is why, and whoever watches is told so
        if not session.spec.detached:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(SHOWN_WITHIN):
                    await session.shown.wait()
        if self.sessions.pop(session.id, None) is None:
            return  # the guest's own end came first
        text = reason or f"ended with status {status}"
        self.happened(Happened(time.time(), "session", text, session.id))
        await session.finish(Exited(status, reason))
        self.changed()
        if status != LOST:  # a connection that broke has ended no work
            self._done = not self.sessions
            self._last = f"its last session ({session.spec.kind}) ended with status {status}"
            self._stop_if_done()

    @contextlib.contextmanager
    def needed(self) -> Iterator[None]:
        """While the block runs, the guest outlives its last session."""
        self._needs += 1
        try:
            yield
        finally:
            self._needs -= 1
            self._stop_if_done()

    def _stop_if_done(self) -> None:
        if self._done and not self.sessions and not self._needs and not self.spec.linger:
            self._why = self._last or "stopped"
            self.stop(force=False)

    async def _guest_ends(self) -> bool:
        """Whether the guest is on its way out: a connection that breaks may be the first that is heard of it."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(END_KNOWN_WITHIN):
                await self._ends.wait()
        return self._ends.is_set()

    def _reply(self, session: str, data: bytes) -> None:
        if session in self.sessions:
            self.sessions[session].reply(data)

    def _told(self, session: str, event: TermEvent) -> None:
        if session in self.sessions:
            self.sessions[session].handle_event(event)

    def _screen_lost(self, sessions: list[str]) -> None:
        self.happened(Happened(time.time(), "warning", "the screen process died and was started again"))
        for id_ in sessions:
            if id_ in self.sessions:
                self.sessions[id_].redraw()

    def _hook(self, session: str, state: str, text: str) -> None:
        if session in self.sessions and state in [activity.value for activity in Activity]:
            self.sessions[session].hook(Activity(state), text)

    # --- what clients are told ----------------------------------------------------------------------------

    def info(self) -> GuestInfo:
        facts = self.guest.facts
        return GuestInfo(
            name=self.spec.name,
            project=self.spec.project,
            state=self._state,
            keeper_pid=os.getpid(),
            qemu_pid=facts.qemu_pid,
            started=self._started,
            accel=facts.accel,
            accel_reason=facts.accel_reason,
            machine=facts.machine,
            memory_mib=facts.memory_mib,
            cores=facts.cores,
            read_only=self.spec.read_only,
            network=self.spec.network,
            image=facts.image,
            agent=facts.agent,
            version=__version__,
            sessions=tuple(session.info() for session in self.sessions.values()),
            phases=tuple(self._phases),
            usage=self.usage,
            warnings=tuple(self._warnings),
            reason=self.ending.reason if self.ending else "",
            local_dirs=self.spec.local_dirs,
        )

    def happened(self, event: Happened) -> None:
        """Log ``event`` and tell whoever listens."""
        self._events.write(event)
        self._broadcast(event)

    def changed(self) -> None:
        """The info is not what it was; listeners get the new one soon."""
        self._changed.set()

    async def _tell(self) -> None:
        while True:
            await self._changed.wait()
            self._changed.clear()
            if self.listeners:
                self._broadcast(Info(self.info()))
            await asyncio.sleep(TELL_GAP)

    async def _watch(self) -> None:
        """Once a second: silence that means something, an unused guest, figures for those who look."""
        ticks = 0
        idle_since = time.monotonic()
        while True:
            await asyncio.sleep(1.0)
            ticks += 1
            for session in self.sessions.values():
                session.tick()
            if self.sessions or self._numbers or self.spec.linger or self._state is not GuestState.RUNNING:
                idle_since = time.monotonic()
            elif time.monotonic() - idle_since > UNUSED_WITHIN:
                self.stop(force=False)
            if self.listeners and self._state is GuestState.RUNNING and ticks % int(STATS_EVERY) == 0:
                with contextlib.suppress(KeeperLost):
                    self.usage = await self.guest.usage()
                self.changed()

    def _broadcast(self, message: ToClient) -> None:
        for listener in list(self.listeners):
            listener.tell(message)

    def _phase(self, name: str) -> None:
        """The boot goes on to ``name``; an empty one ends the last phase."""
        now = time.monotonic() - self._born
        if self._phases and self._phases[-1].ended < 0:
            last = self._phases[-1]
            self._phases[-1] = Phase(last.name, last.started, now)
        if name:
            self._phases.append(Phase(name, now))
        self.changed()

    def _warn(self, text: str) -> None:
        self._warnings.append(text)
        self.happened(Happened(time.time(), "warning", text))
        self.changed()

    def _console_output(self, data: bytes) -> None:
        if self._state is GuestState.BOOTING:
            self._broadcast(Console(data.decode("utf-8", "replace")))

    @property
    def directory(self) -> Path:
        return self.paths.dir
