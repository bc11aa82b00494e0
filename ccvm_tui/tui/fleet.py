"""All guests as the dashboard knows them: one control connection to each keeper, and the runtime directory.

The keepers tell what changes; only that a guest appeared is found by looking into the directory, once a second.
Knows no widget: `changed` is called after every change, at most once per turn of the loop.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum

from ccvm_tui.client import connection, ends, listing
from ccvm_tui.client.connection import Keeper
from ccvm_tui.client.ends import End
from ccvm_tui.errors import CcvmError, KeeperLost, NoSuchGuest, PrerequisiteError, VersionMismatch
from ccvm_tui.guest import GuestInfo, SessionInfo
from ccvm_tui.paths import runtime_dir
from ccvm_tui.protocol import Console, Happened, Info
from ccvm_tui.tui.attention import SessionKey
from ccvm_tui.tui.log_files import recorded_events

LOOK_EVERY = 1.0
"""Seconds between looks into the runtime directory."""

CONSOLE_KEPT = 16_384
EVENTS_KEPT = 300
SAMPLES_KEPT = 120


class Contact(Enum):
    """How well the keeper and we understand each other."""

    CONNECTING = "connecting"
    GOOD = "good"
    HUNG = "hung"
    FOREIGN = "foreign"


@dataclass
class Guest:
    """One running guest. ``project`` is known even where ``info`` is not (another version's keeper)."""

    name: str
    contact: Contact = Contact.CONNECTING
    info: GuestInfo | None = None
    keeper: Keeper | None = None
    project: str = ""
    version: str = ""
    console: str = ""
    events: deque[Happened] = field(default_factory=lambda: deque(maxlen=EVENTS_KEPT))
    cpu: deque[float] = field(default_factory=lambda: deque(maxlen=SAMPLES_KEPT))
    memory: deque[float] = field(default_factory=lambda: deque(maxlen=SAMPLES_KEPT))

    @property
    def sessions(self) -> tuple[SessionInfo, ...]:
        return self.info.sessions if self.info is not None else ()


Heard = Callable[[str, Happened], None]


class Fleet:
    """``run`` lives as long as the dashboard. ``heard`` gets every event of every guest as it comes."""

    def __init__(self, changed: Callable[[], None], heard: Heard) -> None:
        self.guests: dict[str, Guest] = {}
        self.ends: dict[str, End] = {}
        self.projects: dict[str, str] = {}
        """Of every guest that was ever seen."""
        self.remembered: dict[SessionKey, SessionInfo] = {}
        """What was last told of every session, those included that ended before anybody looked."""
        self._changed = changed
        self._heard = heard
        self._scheduled = False
        self._tasks: asyncio.TaskGroup | None = None
        self._watching: set[str] = set()
        self._names: set[str] = set()
        self._runtime_changed = 0
        self._lazy: asyncio.TimerHandle | None = None
        self._looked = asyncio.Event()
        self._awaited: list[asyncio.Future[None]] = []

    async def run(self) -> None:
        """Watch until cancelled."""
        try:
            async with asyncio.TaskGroup() as tasks:
                self._tasks = tasks
                self.ends = {end.guest: end for end in ends.all_ends()}
                self._note()
                while True:
                    self.look()
                    self._looked.set()
                    await asyncio.sleep(LOOK_EVERY)
        finally:
            self._tasks = None

    async def looked(self) -> None:
        """Returns once the directory was read for the first time."""
        await self._looked.wait()

    def look(self) -> None:
        """Look into the runtime directory now: new guests are connected to.

        A guest that comes makes a directory, which changes the time of the one above; nothing else needs a look.
        """
        try:
            changed = runtime_dir().stat().st_mtime_ns
            if changed == self._runtime_changed and self._watching >= self._names:
                return
            names = listing.names()
        except (OSError, PrerequisiteError):
            return
        self._runtime_changed, self._names = changed, set(names)
        for name in names:
            if name not in self._watching and self._tasks is not None:
                self._watching.add(name)
                self.guests.setdefault(name, Guest(name, project=self.projects.get(name, "")))
                self._tasks.create_task(self._watch(name), name=f"dashboard: {name}")
                self._note()

    def sessions(self) -> list[tuple[SessionKey, SessionInfo]]:
        """All sessions that run, in the order of the tree."""
        return [
            (SessionKey(guest.name, info.id), info)
            for guest in sorted(self.guests.values(), key=lambda guest: (guest.project, guest.name))
            for info in guest.sessions
            if info.exit_status is None
        ]

    def keeper(self, name: str) -> Keeper:
        """Raises KeeperLost when there is no connection (yet)."""
        guest = self.guests.get(name)
        if guest is None or guest.keeper is None:
            raise KeeperLost(f"there is no connection to {name}", "see `ccvm-tui ls`")
        return guest.keeper

    async def _watch(self, name: str) -> None:
        """Stay connected to one keeper for its life. Whatever one keeper does wrong stays here."""
        guest = self.guests[name]
        try:
            async with await connection.connect(name, events=True, console=True) as keeper:
                guest.keeper = keeper
                guest.events.extend(recorded_events(name, EVENTS_KEPT))
                self._take(guest, await keeper.info())
                async for message in keeper.events():
                    match message:
                        case Info(guest=info):
                            self._take(guest, info)
                        case Happened():
                            guest.events.append(message)
                            self._heard(name, message)
                            self._note()
                        case Console(text=text):
                            guest.console = (guest.console + text)[-CONSOLE_KEPT:]
                            self._note()
        except VersionMismatch:
            await self._foreign(guest)
        except NoSuchGuest:
            await asyncio.sleep(LOOK_EVERY / 4)  # its lock is taken, its socket not yet there (or no longer)
        except (CcvmError, OSError):
            guest.contact = Contact.HUNG
        finally:
            guest.keeper = None
            if name in listing.names() and guest.info is not None:
                guest.contact = Contact.HUNG
                self._note()
            self._gone(name)

    def _gone(self, name: str) -> None:
        self._watching.discard(name)
        self.guests.pop(name, None)
        self.read_end(name)
        self._note()

    async def _foreign(self, guest: Guest) -> None:
        """A keeper of another version: ask with the greeting, whose form never changes, until it is gone."""
        while guest.name in listing.names():
            with contextlib.suppress(CcvmError):
                told = await asyncio.to_thread(listing.ask_once, guest.name)
                guest.project = str(told.get("project", ""))
                guest.version = str(told.get("version", ""))
            guest.contact = Contact.FOREIGN
            self._note()
            await asyncio.sleep(LOOK_EVERY * 3)

    def _take(self, guest: Guest, info: GuestInfo) -> None:
        old, guest.info = guest.info, info
        guest.project = self.projects[guest.name] = info.project
        guest.version = info.version
        guest.contact = Contact.GOOD
        self.remembered |= {SessionKey(guest.name, session.id): session for session in info.sessions}
        usage = info.usage
        guest.cpu.append(usage.cpu)
        guest.memory.append(float(usage.rss))
        if old is not None and dataclasses.replace(old, usage=usage) == info:
            self._note_lazily()
        else:
            self._note()

    def _note_lazily(self) -> None:
        """Figures alone may wait for others: all guests tell theirs every few seconds."""
        if self._lazy is None:
            self._lazy = asyncio.get_running_loop().call_later(LOOK_EVERY, self._note)

    def _note(self) -> None:
        if self._lazy is not None:
            self._lazy.cancel()
            self._lazy = None
        if not self._scheduled:
            self._scheduled = True
            asyncio.get_running_loop().call_soon(self._tell)

    def _tell(self) -> None:
        self._scheduled = False
        awaited, self._awaited = self._awaited, []
        for future in awaited:
            if not future.done():
                future.set_result(None)
        self._changed()

    async def change(self) -> None:
        """Returns after the next change, once it is shown."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._awaited.append(future)
        await future

    # --- those that ended ----------------------------------------------------------------------------------

    def read_end(self, name: str) -> None:
        """Why the guest is gone, if its keeper could still write that down."""
        if (end := ends.end_of(name)) is not None:
            self.ends[name] = end
        else:
            self.ends.pop(name, None)

    def forget_ends(self, project: str) -> None:
        """The user knows how guests of ``project`` ended, and goes on."""
        for name in [end.guest for end in self.ends.values() if end.project == project]:
            del self.ends[name]
            ends.forget_end(name)

    def connected(self, name: str) -> bool:
        guest = self.guests.get(name)
        return guest is not None and guest.contact is Contact.GOOD


def usable_runtime() -> str:
    """The runtime directory, for messages; raises PrerequisiteError when there is none."""
    return str(runtime_dir())
