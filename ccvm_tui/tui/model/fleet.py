"""All running guests: one control connection to each keeper, and the runtime directory.

Keepers report changes. New guests are found by reading the runtime directory, once a second.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
from collections.abc import Callable

from ccvm_tui.client import connection, ends, listing
from ccvm_tui.client.connection import Keeper
from ccvm_tui.client.ends import End
from ccvm_tui.errors import CcvmError, KeeperLost, NoSuchGuest, PrerequisiteError, VersionMismatch
from ccvm_tui.guest import GuestInfo, SessionInfo
from ccvm_tui.paths import runtime_dir
from ccvm_tui.protocol import Console, Happened, Info
from ccvm_tui.tui.model.guests import EVENTS_KEPT, Contact, Guest, logged_events
from ccvm_tui.tui.model.sessions import SessionKey

SCAN_INTERVAL = 1.0
"""Seconds between two scans of the runtime directory."""

CONSOLE_KEPT = 16_384
"""Characters of a guest's console that are kept."""

EventHandler = Callable[[str, Happened], None]
"""A function that is called with the name of a guest and an event of it."""


class Fleet:
    """The running guests by name, while ``run`` runs.

    ``on_change`` is called after changes, at most once per turn of the loop. ``on_event`` is called for every event of
    every guest. ``ends`` are the records of ended guests, ``projects`` the project of every guest that was ever seen,
    and ``remembered`` the last known state of every session, including sessions that have ended.
    """

    def __init__(self, on_change: Callable[[], None], on_event: EventHandler) -> None:
        self.guests: dict[str, Guest] = {}
        self.ends: dict[str, End] = {}
        self.projects: dict[str, str] = {}
        self.remembered: dict[SessionKey, SessionInfo] = {}
        self._on_change = on_change
        self._on_event = on_event
        self._scheduled = False
        self._tasks: asyncio.TaskGroup | None = None
        self._watched: set[str] = set()
        self._names: set[str] = set()
        self._directory_changed = 0
        self._delayed: asyncio.TimerHandle | None = None
        self._scanned = asyncio.Event()
        self._waiters: list[asyncio.Future[None]] = []

    async def run(self) -> None:
        """Watch all guests until cancelled."""
        try:
            async with asyncio.TaskGroup() as tasks:
                self._tasks = tasks
                self.ends = {end.guest: end for end in ends.all_ends()}
                self._notify()
                while True:
                    self.scan()
                    self._scanned.set()
                    await asyncio.sleep(SCAN_INTERVAL)
        finally:
            self._tasks = None

    async def scanned(self) -> None:
        """Wait until the runtime directory has been read for the first time."""
        await self._scanned.wait()

    async def change(self) -> None:
        """Wait for the next change, until after ``on_change`` was called."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters.append(future)
        await future

    def scan(self) -> None:
        """Read the runtime directory, and connect to new guests.

        A new guest creates a directory, which changes the modification time of the runtime directory. The directory is
        therefore only read if that time has changed.
        """
        try:
            changed = runtime_dir().stat().st_mtime_ns
            if changed == self._directory_changed and self._watched >= self._names:
                return
            names = listing.names()
        except (OSError, PrerequisiteError):
            return
        self._directory_changed, self._names = changed, set(names)
        for name in names:
            if name not in self._watched and self._tasks is not None:
                self._watched.add(name)
                self.guests.setdefault(name, Guest(name, project=self.projects.get(name, "")))
                self._tasks.create_task(self._watch(name), name=f"dashboard: {name}")
                self._notify()

    # --- queries -------------------------------------------------------------------------------------------

    def sessions(self) -> list[tuple[SessionKey, SessionInfo]]:
        """Return all running sessions, in the order of the tree."""
        return [
            (SessionKey(guest.name, info.id), info)
            for guest in sorted(self.guests.values(), key=lambda guest: (guest.project, guest.name))
            for info in guest.sessions
            if info.exit_status is None
        ]

    def keeper(self, name: str) -> Keeper:
        """Return the connection to a guest's keeper. Raises KeeperLost if there is none."""
        guest = self.guests.get(name)
        if guest is None or guest.keeper is None:
            raise KeeperLost(f"there is no connection to {name}", "see `ccvm-tui ls`")
        return guest.keeper

    def connected(self, name: str) -> bool:
        """Return whether the guest's keeper is connected."""
        guest = self.guests.get(name)
        return guest is not None and guest.contact is Contact.CONNECTED

    def project_of(self, name: str) -> str:
        """Return the project of a guest, even if the guest has ended; empty if it was never seen."""
        guest = self.guests.get(name)
        return guest.project if guest is not None else self.projects.get(name, "")

    def guest_of_project(self, project: str) -> Guest | None:
        """Return the first running guest of a project that is no attempt."""
        own = (guest for guest in self.guests.values() if guest.project == project and not guest.is_attempt)
        return next(own, None)

    def attempts_of_project(self, project: str) -> list[Guest]:
        """Return the running attempts of a project."""
        return [guest for guest in self.guests.values() if guest.project == project and guest.is_attempt]

    # --- keepers -------------------------------------------------------------------------------------------

    async def _watch(self, name: str) -> None:
        """Stay connected to one keeper until it exits. Errors of one keeper do not affect the others."""
        guest = self.guests[name]
        try:
            async with await connection.connect(name, events=True, console=True, asks=True) as keeper:
                guest.keeper = keeper
                guest.events.extend(logged_events(name, EVENTS_KEPT))
                self._update(guest, await keeper.info())
                async for message in keeper.events():
                    match message:
                        case Info(guest=info):
                            self._update(guest, info)
                        case Happened():
                            guest.events.append(message)
                            self._on_event(name, message)
                            self._notify()
                        case Console(text=text):
                            guest.console = (guest.console + text)[-CONSOLE_KEPT:]
                            self._notify()
        except VersionMismatch:
            await self._watch_foreign(guest)
        except NoSuchGuest:
            await asyncio.sleep(SCAN_INTERVAL / 4)  # its lock is taken, but its socket does not exist yet or any more
        except (CcvmError, OSError):
            guest.contact = Contact.HUNG
        finally:
            guest.keeper = None
            if name in listing.names() and guest.info is not None:
                guest.contact = Contact.HUNG
                self._notify()
            self._remove(name)

    def _remove(self, name: str) -> None:
        self._watched.discard(name)
        self.guests.pop(name, None)
        if (end := ends.end_of(name)) is not None:
            self.ends[name] = end
        else:
            self.ends.pop(name, None)
        self._notify()

    async def _watch_foreign(self, guest: Guest) -> None:
        """Query a keeper of another version with the greeting, whose form never changes, until the keeper exits."""
        while guest.name in listing.names():
            with contextlib.suppress(CcvmError):
                answer = await asyncio.to_thread(listing.ask_once, guest.name)
                guest.project = str(answer.get("project", ""))
                guest.version = str(answer.get("version", ""))
            guest.contact = Contact.FOREIGN
            self._notify()
            await asyncio.sleep(SCAN_INTERVAL * 3)

    def _update(self, guest: Guest, info: GuestInfo) -> None:
        old, guest.info = guest.info, info
        guest.project = self.projects[guest.name] = info.project
        guest.version = info.version
        guest.contact = Contact.CONNECTED
        self.remembered |= {SessionKey(guest.name, session.id): session for session in info.sessions}
        usage = info.usage
        guest.cpu.append(usage.cpu)
        guest.memory.append(float(usage.rss))
        if old is not None and dataclasses.replace(old, usage=usage) == info:
            self._notify_later()
        else:
            self._notify()

    # --- notifications -------------------------------------------------------------------------------------

    def _notify_later(self) -> None:
        """Call ``on_change`` within a second. All guests report their usage every few seconds, and none is urgent."""
        if self._delayed is None:
            self._delayed = asyncio.get_running_loop().call_later(SCAN_INTERVAL, self._notify)

    def _notify(self) -> None:
        if self._delayed is not None:
            self._delayed.cancel()
            self._delayed = None
        if not self._scheduled:
            self._scheduled = True
            asyncio.get_running_loop().call_soon(self._notify_now)

    def _notify_now(self) -> None:
        self._scheduled = False
        waiters, self._waiters = self._waiters, []
        for future in waiters:
            if not future.done():
                future.set_result(None)
        self._on_change()

    # --- ended guests --------------------------------------------------------------------------------------

    def forget_ends(self, project: str) -> None:
        """Remove the records of the project's ended guests, which the user has seen."""
        for name in [end.guest for end in self.ends.values() if end.project == project]:
            del self.ends[name]
            ends.forget_end(name)
