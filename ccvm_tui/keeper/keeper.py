"""The keeper of one guest: its state and its sessions, from boot to end."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import time
from collections.abc import Iterator
from typing import Protocol

from ccvm_tui import __version__
from ccvm_tui.agents import AGENTS
from ccvm_tui.aio import Background
from ccvm_tui.bridging import ClipboardWanted, Notice
from ccvm_tui.errors import BootError, KeeperLost, NoSuchSession, UserError
from ccvm_tui.guest import TRANSITIONS, Activity, EgressInfo, Forward, GuestInfo, GuestState, SessionInfo, Usage
from ccvm_tui.keeper.attempt import attempt_of
from ccvm_tui.keeper.clipboard import ClipboardImages
from ccvm_tui.keeper.forwards import Forwards
from ccvm_tui.keeper.guests import Guest, LocalGuest
from ccvm_tui.keeper.journal import UNMET_PREREQUISITES, Ending, EventLog, record_end
from ccvm_tui.keeper.links import Links
from ccvm_tui.keeper.phases import Phases
from ccvm_tui.keeper.ssh_agents import SshAgents
from ccvm_tui.paths import GuestPaths
from ccvm_tui.protocol import LOST, Console, Exited, Happened, Info, LaunchSpec, SessionSpec, ToClient
from ccvm_tui.screen.link import ScreenLink
from ccvm_tui.session.channel import Transport
from ccvm_tui.session.session import Hooks, Session
from ccvm_tui.terminal.events import TermEvent

log = logging.getLogger(__name__)

INFO_INTERVAL = 0.05
"""Minimum seconds between two Info messages, which combine bursts of changes."""

STATS_INTERVAL = 3.0
"""Seconds between updates of the guest's usage."""

SHOWN_TIMEOUT = 10.0
"""Seconds for which an ended session is kept until a client has shown its screen."""

GUEST_END_TIMEOUT = 2.0
"""Seconds within which the end of the guest is noticed after a connection to it broke."""

UNUSED_TIMEOUT = 60.0
"""Seconds after which a booted guest is stopped if no session was ever started."""


class Listener(Protocol):
    """A control connection that receives events. ``asks`` is true if its client can ask the user."""

    asks: bool

    def send(self, message: ToClient) -> None:
        """Queue ``message``. Must not block."""


class Keeper:
    """The state and the sessions of one guest, managed by ``run``.

    The event ``stopped`` is set once the guest has stopped and everything is cleaned up.
    """

    def __init__(self, spec: LaunchSpec, paths: GuestPaths) -> None:
        self.spec = spec
        self.paths = paths
        self.sessions: dict[str, Session] = {}
        self.listeners: set[Listener] = set()
        self.usage = Usage()
        self.ending: Ending | None = None
        self._state = GuestState.BOOTING
        self._started = time.time()
        self._phases = Phases()
        self._warnings = list(spec.warnings)
        self._session_count = 0
        self._holds = 0
        self._sessions_done = False
        self._stop_reason = "stopped"
        self._last_exit = ""
        self._events = EventLog(paths.events_log)
        self._tasks = Background(f"keeper {spec.name}")
        self._changed = asyncio.Event()
        self._stop_requested = asyncio.Event()
        self._end_started = asyncio.Event()
        self._force = False
        self._transport: asyncio.Future[Transport] = asyncio.get_running_loop().create_future()
        self.stopped = asyncio.Event()
        self.screen = ScreenLink(on_reply=self._reply, on_event=self._screen_event, on_lost=self._screen_lost)
        self.guest: Guest = self._make_guest()
        self.attempt = attempt_of(spec, paths, self.warn, self.mark_changed)
        self._last_exec = 0.0
        self.forwards = Forwards(self.guest.connect, self.mark_changed)
        self.links = Links()
        self.clipboard = ClipboardImages(self._ask_client, self.record_event)
        self.ssh_agents = SshAgents(self.can_ask, self.record_event, self.mark_changed)

    def _make_guest(self) -> Guest:
        if not self.spec.image:
            return LocalGuest(self.spec, self.paths)
        from ccvm_tui.keeper.vm import VmGuest

        return VmGuest(self.spec, self.paths, self)

    # --- boot and end -------------------------------------------------------------------------------------

    async def run(self) -> Ending:
        """Boot the guest, run it until it ends or is stopped, and clean up."""
        self._tasks.start(self._publish_info(), "info")
        self._tasks.start(self._watch(), "watch")
        try:
            self.ending = await self._run_guest()
        except asyncio.CancelledError:
            self._force = True
            self.ending = Ending(False, "the keeper was terminated")
            raise
        finally:
            await self._end(self.ending or Ending(True, "the keeper failed; see its log"))
        return self.ending

    async def _run_guest(self) -> Ending:
        stop = asyncio.ensure_future(self._stop_requested.wait())
        boot = asyncio.ensure_future(self._boot())
        death: asyncio.Future[str] | None = None
        try:
            await asyncio.wait({stop, boot}, return_when=asyncio.FIRST_COMPLETED)
            if not boot.done():
                return Ending(False, "stopped during boot")
            try:
                await boot
            except UserError as error:
                tail = error.console_tail if isinstance(error, BootError) else self.guest.console_tail()
                unmet = error if isinstance(error, UNMET_PREREQUISITES) else None
                return Ending(True, error.message, error.hint, tail, unmet)
            death = asyncio.ensure_future(self.guest.wait())
            await asyncio.wait({stop, death}, return_when=asyncio.FIRST_COMPLETED)
            if stop.done():
                return Ending(False, self._stop_reason)
            return Ending(True, death.result(), "", self.guest.console_tail())
        finally:
            pending = [task for task in (stop, boot, death) if task is not None and not task.done()]
            for task in pending:
                task.cancel()
            await asyncio.gather(*pending, return_exceptions=True)

    async def _boot(self) -> None:
        transport, _ = await asyncio.gather(self.guest.boot(), self.screen.start())
        if self.attempt is not None:
            self.begin_phase("clone")
            await self.attempt.create(transport)
        self.begin_phase("session")
        if self.spec.session is not None:
            await self._open(self.spec.session, transport)
        self.begin_phase("")
        self.state = GuestState.RUNNING
        self.record_event(Happened(time.time(), "boot", f"ready after {self._phases.elapsed:.1f} s"))
        self._transport.set_result(transport)
        if self.attempt is not None:
            self._tasks.start(self.attempt.follow(transport, self._last_use), "attempt")

    async def _end(self, ending: Ending) -> None:
        self._end_started.set()
        if self._state is not GuestState.STOPPING:
            self.state = GuestState.FAILED if ending.failed else GuestState.STOPPING
        log.info("ending: %s", ending.reason)
        if not self._transport.done():
            self._transport.set_exception(ending.as_error())
            self._transport.exception()
        exited = Exited(LOST, ending.reason, ending.console_tail)
        ends = [
            (session, exited if session.alive or session.lost else Exited(*session.end))
            for session in self.sessions.values()
        ]
        for session in self.sessions.values():
            session.hang_up()
        await self.forwards.close()
        await self.guest.stop(force=self._force or ending.failed)
        for session, end in ends:
            await session.finish(end)
        self.sessions.clear()
        await self.screen.close()
        record_end(self.spec.name, self.spec.project, ending)
        self.state = GuestState.STOPPED
        self._broadcast(Info(self.info()))
        await self._tasks.close()
        self.stopped.set()

    def stop(self, *, force: bool) -> None:
        """Start to stop the guest, gracefully unless ``force``."""
        self._force = self._force or force
        if self._state in (GuestState.RUNNING, GuestState.PAUSED, GuestState.BOOTING):
            self.state = GuestState.STOPPING
        self._stop_requested.set()

    @property
    def state(self) -> GuestState:
        """The state of the guest. Setting it notifies listeners."""
        return self._state

    @state.setter
    def state(self, state: GuestState) -> None:
        if state is self._state:
            return
        if state not in TRANSITIONS[self._state]:
            raise AssertionError(f"invalid transition from {self._state} to {state}")
        self._state = state
        self.mark_changed()

    async def pause(self) -> None:
        """Pause the guest. Raises UserError if it is not running."""
        if self._state is not GuestState.RUNNING:
            raise UserError(f"{self.spec.name} is {self._state}, not running", "see `ccvm-tui ls`")
        await self.guest.pause()
        self.state = GuestState.PAUSED

    async def resume(self) -> None:
        """Resume the guest. Raises UserError if it is not paused."""
        if self._state is not GuestState.PAUSED:
            raise UserError(f"{self.spec.name} is {self._state}, not paused", "see `ccvm-tui ls`")
        await self.guest.resume()
        self.state = GuestState.RUNNING

    # --- sessions -----------------------------------------------------------------------------------------

    async def transport(self) -> Transport:
        """Wait for the end of the boot and return the transport that starts programs.

        Raises BootError, or the error that names what was missing, if the boot fails.
        """
        return await asyncio.shield(self._transport)

    async def open_session(self, spec: SessionSpec) -> SessionInfo:
        """Wait for the end of the boot and start a session.

        Raises UserError if the guest is not running or the program cannot be started.
        """
        transport = await self.transport()
        if self._state is not GuestState.RUNNING:
            raise UserError(f"{self.spec.name} is {self._state}", "see `ccvm-tui ls`")
        return (await self._open(spec, transport)).info()

    async def _open(self, spec: SessionSpec, transport: Transport) -> Session:
        self._session_count += 1
        id_, spec = f"s{self._session_count}", await self.guest.prepare(spec)
        hooks = Hooks(self.mark_changed, self.record_event, self._session_ended)
        titles, agent = self.spec.waiting_titles, AGENTS.get(self.spec.sharing.agent)
        signs = agent.signs if agent is not None else ()
        spec = await self.ssh_agents.open(id_, spec, transport)
        session = Session(id_, spec, self.screen, self.spec.scrollback, hooks, titles, signs)
        self.sessions[id_] = session
        self._sessions_done = False
        async with contextlib.AsyncExitStack() as on_failure:
            on_failure.push_async_callback(session.finish, Exited(LOST, "not started"))
            on_failure.callback(self.ssh_agents.close, id_)
            on_failure.callback(self.sessions.pop, id_, None)
            await session.start(transport)
            on_failure.pop_all()
        self.record_event(Happened(time.time(), "session", f"{spec.kind} started", session.id))
        return session

    async def session(self, id: str) -> Session:
        """Wait for the end of the boot and return a session. Raises NoSuchSession if it does not exist."""
        await self.transport()
        if id not in self.sessions:
            existing = ", ".join(self.sessions) or "none"
            raise NoSuchSession(f"{self.spec.name} has no session {id!r} (sessions: {existing})", "see `ccvm-tui ls`")
        return self.sessions[id]

    def _session_ended(self, session: Session) -> None:
        self.ssh_agents.close(session.id)
        if self.sessions.get(session.id) is session and self.ending is None:
            self._tasks.start(self._finish_session(session), f"end of {session.id}")

    async def _finish_session(self, session: Session) -> None:
        status, reason = session.end
        self.mark_changed()
        if session.lost and await self._guest_is_ending():
            return  # the end of the guest also finishes the session, and reports the actual reason
        if not session.spec.detached:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(SHOWN_TIMEOUT):
                    await session.shown.wait()
        if self.sessions.pop(session.id, None) is None:
            return  # finished by the end of the guest
        text = reason or f"ended with status {status}"
        self.record_event(Happened(time.time(), "session", text, session.id))
        await session.finish(Exited(status, reason))
        self.mark_changed()
        if status != LOST:  # a broken connection does not mean that the work is done
            self._sessions_done = not self.sessions
            self._last_exit = f"its last session ({session.spec.kind}) ended with status {status}"
            self._stop_if_done()

    @contextlib.contextmanager
    def keep_running(self) -> Iterator[None]:
        """Keep the guest running after the end of its last session, while the block runs."""
        self._holds += 1
        try:
            yield
        finally:
            self._holds -= 1
            self._last_exec = time.time()
            self._stop_if_done()

    def _last_use(self) -> float:
        """Return when a program of the guest last printed something or ended, in seconds since 1970."""
        return max(self._last_exec, *(session.info().last_output for session in self.sessions.values()), 0.0)

    def _stop_if_done(self) -> None:
        if self._sessions_done and not self.sessions and not self._holds and not self.spec.linger:
            self._tasks.start(self._stop_unless_lost(), "end of the last session")

    async def _stop_unless_lost(self) -> None:
        """Stop the guest after its last session, unless it has commits of an attempt that were not fetched."""
        loss = await self.attempt.loss(await self.transport()) if self.attempt is not None else ""
        if loss:
            self.record_event(Happened(time.time(), "warning", f"{self.spec.name} keeps running: {loss}"))
        elif not self.sessions and not self._holds:
            self._stop_reason = self._last_exit or "stopped"
            self.stop(force=False)

    async def _guest_is_ending(self) -> bool:
        """Return whether the guest is ending, of which a broken connection may be the first sign."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(GUEST_END_TIMEOUT):
                await self._end_started.wait()
        return self._end_started.is_set()

    def _reply(self, session: str, data: bytes) -> None:
        if session in self.sessions:
            self.sessions[session].reply(data)

    def _screen_event(self, session: str, event: TermEvent) -> None:
        if session in self.sessions:
            self.sessions[session].handle_event(event)

    def _screen_lost(self, sessions: list[str]) -> None:
        self.record_event(Happened(time.time(), "warning", "the screen process died and was restarted"))
        for id_ in sessions:
            if id_ in self.sessions:
                self.sessions[id_].redraw()

    def report_hook(self, session: str, state: str, text: str) -> None:
        """Pass a report of a hook in the guest to the session that it is about."""
        if session in self.sessions and state in [activity.value for activity in Activity]:
            self.sessions[session].hook(Activity(state), text)

    # --- ports and links ----------------------------------------------------------------------------------

    async def add_forward(self, guest: int, host: int) -> Forward:
        """Wait for the end of the boot and forward a port. Raises UserError if that fails."""
        await self.transport()
        forward = await self.forwards.add(guest, host)
        self.record_event(Happened(time.time(), "forward", f"port {guest} is forwarded from 127.0.0.1:{forward.host}"))
        return forward

    def remove_forward(self, host: int) -> None:
        """End the forwarding of a port. Raises UserError if it is not forwarded."""
        forward = self.forwards.remove(host)
        self.record_event(Happened(time.time(), "forward", f"port {forward.guest} is no longer forwarded"))

    def offer_link(self, session: str, address: str) -> None:
        """Offer a web page, which a program in the guest wants to open, to the user."""
        link = self.links.offer(session if session in self.sessions else "", address)
        if link is not None:
            if self.links.worth_an_event():
                notice = Notice(f"{self.spec.name} wants to open {link.address}: `ccvm-tui open {self.spec.name}`")
                for one in self.sessions.values():
                    one.notify(notice)
                self.record_event(Happened(time.time(), "link", f"wants to open {link.address}", link.session))
            self.mark_changed()

    async def answer_link(self, id_: int, *, opened: bool) -> None:
        """Remove the offer of a link, and forward its callback port if the user opens it.

        Raises UserError if there is no such offer or the port is not available.
        """
        link = self.links.find(id_)
        if opened and link.port:
            await self.add_forward(link.port, link.port)
        self.links.forget(id_)
        self.mark_changed()

    async def clipboard_image(self, request: bytes) -> bytes:
        """Return the answer to a request of a program in the guest for an image in the user's clipboard."""
        return await self.clipboard.answer(request)

    def _ask_client(self, id_: str, wanted: ClipboardWanted) -> bool:
        """Send a request to the active client of a session, or of the session with the newest output."""
        sessions = sorted(self.sessions.values(), key=lambda one: (one.id == id_, one.info().last_output), reverse=True)
        for session in sessions:
            if session.active is not None:
                session.active.send(wanted)
                return True
        return False

    # --- information for clients --------------------------------------------------------------------------

    def info(self) -> GuestInfo:
        """Return the current state of the guest and its sessions."""
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
            phases=self._phases.all(),
            usage=self.usage,
            warnings=tuple(self._warnings),
            reason=self.ending.reason if self.ending else "",
            local_dirs=self.spec.local_dirs,
            forwards=self.forwards.all(),
            links=self.links.all(),
            egress=self._egress_info(),
            attempt=self.attempt.info() if self.attempt is not None else None,
            signatures=self.ssh_agents.questions(),
        )

    def _egress_info(self) -> EgressInfo:
        if self.guest.egress is not None:
            return self.guest.egress.info()
        return EgressInfo("none" if "none" in (self.spec.network, self.spec.egress.mode) else "open")

    def record_event(self, event: Happened) -> None:
        """Log ``event`` and send it to the listeners."""
        self._events.write(event)
        self._broadcast(event)

    def can_ask(self) -> bool:
        """Return whether a client shows the guest's questions to the user."""
        return any(listener.asks for listener in self.listeners)

    def mark_changed(self) -> None:
        """Note that ``info`` has changed. Listeners soon receive the new one."""
        self._changed.set()

    async def _publish_info(self) -> None:
        while True:
            await self._changed.wait()
            self._changed.clear()
            if self.listeners:
                self._broadcast(Info(self.info()))
            await asyncio.sleep(INFO_INTERVAL)

    async def _watch(self) -> None:
        """Once a second, update the sessions' attention, stop an unused guest, and update the usage for listeners."""
        ticks = 0
        idle_since = time.monotonic()
        while True:
            await asyncio.sleep(1.0)
            ticks += 1
            for session in self.sessions.values():
                session.tick()
            used = self.sessions or self._session_count or self._holds or self.attempt is not None
            if used or self.spec.linger or self._state is not GuestState.RUNNING:
                idle_since = time.monotonic()
            elif time.monotonic() - idle_since > UNUSED_TIMEOUT:
                self.stop(force=False)
            if self.listeners and self._state is GuestState.RUNNING and ticks % int(STATS_INTERVAL) == 0:
                with contextlib.suppress(KeeperLost):
                    self.usage = await self.guest.usage()
                self.mark_changed()

    def _broadcast(self, message: ToClient) -> None:
        for listener in list(self.listeners):
            listener.send(message)

    def begin_phase(self, name: str) -> None:
        """End the current phase of the boot, and start the phase ``name`` unless it is empty."""
        self._phases.begin(name)
        self.mark_changed()

    def warn(self, text: str) -> None:
        """Add a warning for the user, and record it as an event."""
        self._warnings.append(text)
        self.record_event(Happened(time.time(), "warning", text))
        self.mark_changed()

    def console_output(self, data: bytes) -> None:
        """Send output of the guest's console to the listeners during the boot."""
        if self._state is GuestState.BOOTING:
            self._broadcast(Console(data.decode("utf-8", "replace")))
