"""Starting, stopping, pausing and muting guests, and starting and ending their sessions.

These functions receive what they need as arguments. ``Ask`` asks the user a question. Errors are raised; the caller
shows them.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable

from msgspec.structs import replace

from ccvm_tui import claim
from ccvm_tui import project as projects
from ccvm_tui.client import listing, spawn
from ccvm_tui.errors import CcvmError, ConfigError, UserError
from ccvm_tui.guest import GuestState, SessionKind, TermColours, TermSize
from ccvm_tui.paths import GuestPaths
from ccvm_tui.text import plain
from ccvm_tui.tui.actions import attempts
from ccvm_tui.tui.actions.ask import Ask
from ccvm_tui.tui.actions.starter import Starter
from ccvm_tui.tui.model.fleet import Fleet
from ccvm_tui.tui.model.guests import Contact, Guest
from ccvm_tui.tui.model.model import Model
from ccvm_tui.tui.model.projects import project_settings
from ccvm_tui.tui.model.sessions import SessionKey, session_title
from ccvm_tui.tui.model.tree_rows import TreeRow

APPEARANCE_TIMEOUT = 5.0
"""Seconds within which a session that was started must be in its guest's list."""

ABSENCE_TIMEOUT = 1.0
"""Seconds after which the lock of a guest is examined again that has started and is not known yet."""

BUSY_TIMEOUT = 3.0
EDITS_TIMEOUT = 5.0
"""Seconds to wait for what is running in a guest, and for the edits in it, before the user is asked without them."""

NAMES_SHOWN = 8
"""The number of edited files that are named."""


def default_kind(project: str) -> SessionKind:
    """Return the kind of a project's first session: an agent, unless the settings name none or are invalid."""
    try:
        return SessionKind.SHELL if project_settings(project).agent == "none" else SessionKind.AGENT
    except ConfigError:
        return SessionKind.SHELL


# --- starting ---------------------------------------------------------------------------------------------------


class SessionLauncher:
    """A launcher of guests and sessions, which opens the sessions that it has started.

    ``terminal`` returns the size and the colours for new sessions. ``refresh`` shows the model, ``show_guest`` selects
    a guest by its name, and ``open_session`` opens a session.
    """

    def __init__(
        self,
        model: Model,
        starter: Starter,
        terminal: Callable[[], tuple[TermSize, TermColours]],
        refresh: Callable[[], None],
        show_guest: Callable[[str], None],
        open_session: Callable[[SessionKey], None],
    ) -> None:
        self._model = model
        self._starter = starter
        self._terminal = terminal
        self._refresh = refresh
        self._show_guest = show_guest
        self._open_session = open_session

    async def new_session(self, guest: Guest, kind: SessionKind) -> None:
        """Start another session in a guest, and open it. Raises TimeoutError if it does not appear in the guest."""
        fleet, (size, colours) = self._model.fleet, self._terminal()
        with self._model.pending.opening():
            spec = await asyncio.to_thread(self._starter.session, guest.project, kind, size)
            session = await fleet.keeper(guest.name).start_session(replace(spec, colours=colours))
            async with asyncio.timeout(APPEARANCE_TIMEOUT):
                while not any(listed.id == session.id for listed in guest.sessions):
                    await fleet.change()
            self._open_session(SessionKey(guest.name, session.id))

    async def start_guest(self, project: str, cancelled: threading.Event, kind: SessionKind, attempt: str = "") -> None:
        """Start the guest of a project, or of an attempt, show its boot, and open its first session.

        ``cancelled`` is the event of ``Starts.begin``. The session is not opened if the user has selected something
        else in the meantime.
        """
        starts = self._model.starts
        try:
            name = await self._launch(project, cancelled, kind, attempt)
        except (CcvmError, OSError) as error:
            hint = error.hint if isinstance(error, UserError) else ""
            starts.errors[project] = f"{error} → {hint}" if hint else str(error)
            raise
        finally:
            starts.end(project)
            self._refresh()
        self._show_guest(name)
        starts.awaited.add(name)
        try:
            key = await self._first_session(name)
        finally:
            starts.awaited.discard(name)
        row = self._model.tree.row
        if key is not None and (row is None or row.guest == name or (row.project == project and not row.session)):
            self._open_session(key)

    async def _launch(self, project: str, cancelled: threading.Event, kind: SessionKind, attempt: str) -> str:
        """Build what the guest needs, start its keeper, and return the guest's name."""
        model, (size, colours) = self._model, self._terminal()
        loop = asyncio.get_running_loop()

        def note(text: str) -> None:
            model.starts.note(project, text)
            self._refresh()

        def progress(text: str) -> None:
            loop.call_soon_threadsafe(note, text)

        found = projects.resolve(project)
        path = str(found.path)
        model.fleet.forget_ends(path)
        spec = await asyncio.to_thread(self._starter.launch, path, kind, size, progress, cancelled, attempt)
        if spec.session is not None:
            spec = replace(spec, session=replace(spec.session, colours=colours))
        model.requested_ends.forget_guest(spec.name)
        with contextlib.suppress(OSError):  # the history is a convenience
            model.history.remember(path, found.name)
        model.fleet.projects[spec.name] = path
        await spawn.launch(spec)
        model.fleet.scan()
        return spec.name

    async def _first_session(self, name: str) -> SessionKey | None:
        """Wait for the first session. Return None if the guest ends, or if the session's last screen is shown."""
        model = self._model
        while name in model.starts.awaited:
            guest = model.fleet.guests.get(name)
            if guest is not None and guest.sessions and guest.state is GuestState.RUNNING:
                return SessionKey(name, guest.sessions[0].id)
            if guest is None and not claim.alive(GuestPaths(name).lock):
                return None
            with contextlib.suppress(TimeoutError):  # the fleet may have found the guest before its keeper listened
                async with asyncio.timeout(ABSENCE_TIMEOUT if guest is None else None):
                    await model.fleet.change()
        return None


# --- ending -----------------------------------------------------------------------------------------------------


async def end_session(model: Model, key: SessionKey, ask: Ask) -> None:
    """End a session if the user confirms it."""
    keeper = model.fleet.keeper(key.guest)
    guest = model.fleet.guests[key.guest]
    info = model.sessions.get(key)
    busy = dict(await keeper.busy()).get(key.session, "")
    lines = [f"{session_title(info) if info is not None else key.session} in {key.guest}"]
    if busy:
        lines.append(f"It is running: {plain(busy, 100)}")
    if sum(session.exit_status is None for session in guest.sessions) == 1:
        kept = "it has commits or changes that were not fetched" if guest.is_attempt else "`linger` is set"
        lines.append(f"It is the last session: the guest stops with it, unless {kept}.")
    if len(lines) > 1 and not guest.is_attempt:
        lines += await _edits(model.fleet, guest)
    if await ask("End this session?", lines, "end it"):
        model.requested_ends.add_session(key)
        await keeper.end_session(key.session)


async def stop_guest(model: Model, guest: Guest, ask: Ask, notify: Callable[[str], None]) -> None:
    """Stop a guest. The user is asked if a program is running, or if edits would be lost."""
    if guest.contact is not Contact.CONNECTED:
        await _stop_unconnected(guest, ask)
        return
    lines: list[str] = []
    if guest.state in (GuestState.RUNNING, GuestState.PAUSED):
        lines += await _busy(model.fleet, guest)
        lines += await (attempts.losses if guest.is_attempt else _edits)(model.fleet, guest)
    if lines and not await ask(f"Stop {guest.name}?", lines, "stop it"):
        return
    model.requested_ends.add_guest(guest.name)
    notify(f"Stopping {guest.name} …")
    await model.fleet.keeper(guest.name).stop()


async def _stop_unconnected(guest: Guest, ask: Ask) -> None:
    hung = guest.contact is Contact.HUNG
    problem = "does not respond" if hung else f"is of version {plain(guest.version, 20) or 'unknown'}"
    lines = [f"The keeper of {guest.name} {problem}.", "The contents of its sessions will be lost."]
    if await ask(f"Stop {guest.name}?", lines, "stop it"):
        await asyncio.to_thread(listing.stop_any, guest.name, force=hung)


async def _busy(fleet: Fleet, guest: Guest) -> list[str]:
    """Return which sessions of a guest are running a program."""
    try:
        async with asyncio.timeout(BUSY_TIMEOUT):
            busy = await fleet.keeper(guest.name).busy()
    except (TimeoutError, CcvmError):
        return []
    titles = {session.id: session_title(session) for session in guest.sessions}
    return [f"{titles.get(session, session)} is running {plain(command, 80)}" for session, command in busy]


async def _edits(fleet: Fleet, guest: Guest) -> list[str]:
    """Return which edits of a read-only project would be lost with its guest."""
    if guest.info is None or not guest.info.read_only:
        return []
    try:
        async with asyncio.timeout(EDITS_TIMEOUT):
            edits = await fleet.keeper(guest.name).edits()
    except (TimeoutError, CcvmError):
        return ["The guest did not report whether files were edited in it."]
    if not edits.files:
        return []
    count = f"{edits.files} edited file{'s' if edits.files != 1 else ''}"
    names = [f"  {plain(name, 80)}" for name in edits.names[:NAMES_SHOWN]]
    more = [f"  … and {edits.files - len(names)} more"] if edits.files > len(names) else []
    return [f"{count} in this read-only project would be discarded:", *names, *more]


# --- pausing and muting -----------------------------------------------------------------------------------------


async def pause_or_resume(fleet: Fleet, guest: Guest) -> None:
    """Resume a guest that is paused, and pause any other."""
    keeper = fleet.keeper(guest.name)
    await (keeper.resume() if guest.state is GuestState.PAUSED else keeper.pause())


async def mute_or_unmute(model: Model, row: TreeRow, refresh: Callable[[], None]) -> None:
    """Mute or unmute the session of a row, or else the row's project, and call ``refresh``."""
    if row.session is not None:
        info = model.sessions.get(row.session)
        await model.fleet.keeper(row.session.guest).mute(row.session.session, info is None or not info.muted)
    elif (entry := model.entry(row.project)) is not None:
        await asyncio.to_thread(model.history.mute, row.project, not entry.muted)
    refresh()


# --- the list of projects ---------------------------------------------------------------------------------------


def add_project(model: Model, path: str) -> None:
    """Add the project in ``path`` to the list.

    Raises UserError if it cannot be a project, and OSError if the history cannot be written. In that case the project
    is listed until the dashboard is closed.
    """
    found = projects.resolve(path)
    try:
        model.history.remember(str(found.path), found.name, now=0.0)  # it has not been started yet
    except OSError:
        model.added.add(str(found.path))
        raise


def forget_project(model: Model, project: str) -> str:
    """Remove a project from the list, if it has no running guest. Return why it remains, or an empty string."""
    if model.fleet.guest_of_project(project) is not None or model.fleet.attempts_of_project(project):
        return "Stop its guests before you remove the project from the list"
    if project in model.configured:
        return "The project is in config.toml: remove its section there"
    with contextlib.suppress(OSError):
        model.history.forget(project)
    model.added.discard(project)
    model.fleet.forget_ends(project)
    return ""


# --- the guard --------------------------------------------------------------------------------------------------


async def allow_guarded(fleet: Fleet, guest: str, notify: Callable[[str], None], item: str | None) -> None:
    """Allow a change that the guard of a guest has blocked or noticed, unless ``item`` is None."""
    if item is not None:
        notify(plain(await fleet.keeper(guest).allow_guarded(item), 200))
