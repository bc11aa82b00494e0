"""Deeds that need a keeper: start, stop, pause, end, new sessions. Each runs in a worker and tells its troubles."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from msgspec.structs import replace

from ccvm_tui import project as projects
from ccvm_tui.client import listing, spawn
from ccvm_tui.errors import CcvmError, UserError
from ccvm_tui.guest import GuestState, SessionKind, TermSize
from ccvm_tui.protocol import SessionSpec
from ccvm_tui.text import plain
from ccvm_tui.tui import workers
from ccvm_tui.tui.attention import SessionKey
from ccvm_tui.tui.dialogs.confirm import Confirm
from ccvm_tui.tui.fleet import Contact, Guest
from ccvm_tui.tui.tree_rows import session_title

if TYPE_CHECKING:
    from ccvm_tui.tui.screens.main import MainScreen

APPEARS_WITHIN = 5.0
NAMES_SHOWN = 8


class GuestActs:
    def __init__(self, screen: MainScreen) -> None:
        self._screen = screen
        self._starting: dict[str, threading.Event] = {}
        self.awaited: set[str] = set()
        """Guests whose first session is to be shown as soon as it is there."""

    def _go(self, work: Callable[[], Awaitable[None]], name: str) -> None:
        async def guarded() -> None:
            try:
                await work()
            except UserError as error:
                self.trouble(error.message, error.hint)
            except (CcvmError, OSError, TimeoutError) as error:
                self.trouble(str(error) or type(error).__name__)

        workers.start(self._screen, guarded, name, "acts")

    def trouble(self, message: str, hint: str = "") -> None:
        text = plain(message, 300) + (f"\n→ {plain(hint, 200)}" if hint else "")
        self._screen.notify(text, title="That did not work", severity="error", timeout=10, markup=False)

    def _size(self) -> TermSize:
        stage = self._screen.stage.size
        return TermSize(max(20, stage.width), max(5, stage.height - 1)).with_cell(self._screen.dashboard.outer.cell)

    def _coloured(self, spec: SessionSpec) -> SessionSpec:
        return replace(spec, colours=self._screen.dashboard.outer.colours)

    # --- starting ------------------------------------------------------------------------------------------

    def run(self, project: str, kind: SessionKind) -> None:
        """Start the project's guest with a first session."""
        if project in self._starting:
            return
        self._starting[project] = threading.Event()
        self._screen.pages.troubles.pop(project, None)
        self._go(lambda: self._run(project, kind), f"start {project}")

    def preparing(self, project: str) -> bool:
        """Whether something is being made that the project's guest needs."""
        return project in self._starting and project in self._screen.pages.notes

    def cancel_start(self, project: str) -> None:
        """Give up what ``run`` is making."""
        if (give_up := self._starting.get(project)) is not None:
            give_up.set()
            self._screen.pages.note(project, "giving up …")

    async def _run(self, project: str, kind: SessionKind) -> None:
        screen = self._screen
        try:
            found = projects.resolve(project)
            screen.fleet.forget_ends(str(found.path))
            loop = asyncio.get_running_loop()
            give_up = self._starting[project]

            def told(text: str) -> None:
                if not give_up.is_set():
                    loop.call_soon_threadsafe(screen.pages.note, project, text)

            spec = await asyncio.to_thread(screen.starter.launch, str(found.path), kind, self._size(), told, give_up)
            if spec.session is not None:
                spec = replace(spec, session=self._coloured(spec.session))
            screen.deeds.endings.started(spec.name)
            screen.history.remember(str(found.path), spec.name)
            screen.fleet.projects[spec.name] = str(found.path)
            await spawn.launch(spec)
            screen.fleet.look()
            self.awaited.add(spec.name)
            try:
                await self._wait_for_session(spec.name)
            finally:
                self.awaited.discard(spec.name)
        except (UserError, OSError) as error:
            hint = error.hint if isinstance(error, UserError) else ""
            screen.pages.troubles[project] = f"{error}" + (f" → {hint}" if hint else "")
            raise
        finally:
            del self._starting[project]
            screen.pages.notes.pop(project, None)
            screen.refresh_all()

    async def _wait_for_session(self, name: str) -> None:
        """Show the boot, then its first session, unless the user went elsewhere meanwhile."""
        screen = self._screen
        screen.refresh_all()
        screen.fleet_tree.move_to(f"guest:{self._project(name)}:{name}:")
        screen.deeds.preview(screen.fleet_tree.row)
        while (guest := screen.fleet.guests.get(name)) is not None and name in self.awaited:
            if guest.sessions and guest.info is not None and guest.info.state is GuestState.RUNNING:
                row = screen.fleet_tree.row
                if row is None or row.guest == name or (row.project == guest.project and not row.session):
                    screen.deeds.go(SessionKey(name, guest.sessions[0].id))
                return
            await screen.fleet.change()

    def _project(self, name: str) -> str:
        return self._screen.guest_project(name)

    def new_session(self, guest: Guest, kind: SessionKind) -> None:
        self._go(lambda: self._new_session(guest, kind), f"new {kind} in {guest.name}")

    async def _new_session(self, guest: Guest, kind: SessionKind) -> None:
        screen = self._screen
        spec = await asyncio.to_thread(screen.starter.session, guest.project, kind, self._size())
        session = await screen.fleet.keeper(guest.name).start_session(self._coloured(spec))
        key = SessionKey(guest.name, session.id)
        async with asyncio.timeout(APPEARS_WITHIN):
            while not any(one.id == key.session for one in guest.sessions):
                await screen.fleet.change()
        screen.deeds.go(key)

    # --- ending --------------------------------------------------------------------------------------------

    def end_session(self, key: SessionKey) -> None:
        self._go(lambda: self._end_session(key), f"end {key}")

    async def _end_session(self, key: SessionKey) -> None:
        screen = self._screen
        keeper = screen.fleet.keeper(key.guest)
        info = screen.infos.get(key)
        busy = dict(await keeper.busy()).get(key.session, "")
        guest = screen.fleet.guests[key.guest]
        lines = [f"{session_title(info) if info is not None else key.session} in {key.guest}"]
        if busy:
            lines.append(f"It runs: {plain(busy, 100)}")
        if len([one for one in guest.sessions if one.exit_status is None]) == 1:
            lines.append("It is the guest's last session: the guest stops with it, unless it is set to linger.")
        edits = await self._edits_lines(guest) if len(lines) > 1 and guest.info and guest.info.read_only else []
        if await screen.app.push_screen_wait(Confirm("End this session?", [*lines, *edits], "end it")):
            screen.deeds.endings.ask(key)
            await keeper.end_session(key.session)

    def stop(self, guest: Guest) -> None:
        self._go(lambda: self._stop(guest), f"stop {guest.name}")

    async def _stop(self, guest: Guest) -> None:
        """Ask when something would be lost, and then stop."""
        screen = self._screen
        if guest.contact is not Contact.GOOD:
            question = [f"The keeper of {guest.name} " + (
                "does not answer." if guest.contact is Contact.HUNG else f"is of version {plain(guest.version, 20)}."
            ), "What its sessions show is lost."]  # fmt: skip
            if await screen.app.push_screen_wait(Confirm(f"Stop {guest.name}?", question, "stop it")):
                await asyncio.to_thread(listing.stop_any, guest.name, force=guest.contact is Contact.HUNG)
            return
        keeper = screen.fleet.keeper(guest.name)
        info = guest.info
        lines: list[str] = []
        if info is not None and info.state in (GuestState.RUNNING, GuestState.PAUSED):
            try:
                async with asyncio.timeout(3):
                    busy = await keeper.busy()
            except (TimeoutError, CcvmError):
                busy = ()
            titles = {one.id: session_title(one) for one in guest.sessions}
            lines += [f"{titles.get(session, session)} runs {plain(command, 80)}" for session, command in busy]
            if info.read_only:
                lines += await self._edits_lines(guest)
        if lines and not await screen.app.push_screen_wait(Confirm(f"Stop {guest.name}?", lines, "stop it")):
            return
        screen.deeds.endings.ask_guest(guest.name)
        screen.notify(f"Stopping {guest.name} …", timeout=2, markup=False)
        await keeper.stop()

    async def _edits_lines(self, guest: Guest) -> list[str]:
        """What a read-only project's guest would take with it."""
        try:
            async with asyncio.timeout(5):
                edits = await self._screen.fleet.keeper(guest.name).edits()
        except (TimeoutError, CcvmError):
            return ["Whether files were edited in it could not be found out."]
        if not edits.files:
            return []
        count = f"{edits.files} edited file{'s' if edits.files != 1 else ''}"
        names = [f"  {plain(name, 80)}" for name in edits.names[:NAMES_SHOWN]]
        more = [f"  … and {edits.files - len(names)} more"] if edits.files > len(names) else []
        return [f"{count} in this read-only project would be discarded:", *names, *more]

    # --- the rest ------------------------------------------------------------------------------------------

    def pause_or_resume(self, guest: Guest) -> None:
        async def work() -> None:
            keeper = self._screen.fleet.keeper(guest.name)
            paused = guest.info is not None and guest.info.state is GuestState.PAUSED
            await (keeper.resume() if paused else keeper.pause())

        self._go(work, f"pause {guest.name}")

    def seen(self, key: SessionKey) -> None:
        self._go(lambda: self._screen.fleet.keeper(key.guest).seen(key.session), f"seen {key}")

    def mute_project(self, path: str, muted: bool) -> None:
        async def work() -> None:
            await asyncio.to_thread(self._screen.history.mute, path, muted)
            self._screen.refresh_all()

        self._go(work, f"mute {path}")

    def mute(self, key: SessionKey, muted: bool) -> None:
        self._go(lambda: self._screen.fleet.keeper(key.guest).mute(key.session, muted), f"mute {key}")
