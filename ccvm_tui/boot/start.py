"""The start of a guest and of a session in it, as a series of events.

A guest that is already running is joined. If two processes start the same guest at once, the keeper's lock decides, and
the other process joins. A start that is cancelled stops the guest that it has started, and leaves nothing behind.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass

from ccvm_tui import claim
from ccvm_tui.aio import completed
from ccvm_tui.boot import images
from ccvm_tui.boot.attempts import planned
from ccvm_tui.client import connection, listing, spawn
from ccvm_tui.client.connection import Keeper
from ccvm_tui.config import Settings
from ccvm_tui.errors import BootError, KeeperLost, NoSuchGuest, UserError
from ccvm_tui.guest import GuestInfo, GuestState
from ccvm_tui.image import Progress
from ccvm_tui.paths import GuestPaths
from ccvm_tui.protocol import Console, Info, LaunchSpec, SessionSpec
from ccvm_tui.text import console_line

STOPPED_WITHIN = 20.0
"""Seconds to wait for a guest that is stopping, before a new one takes its place."""

ATTEMPTS = 3
"""A guest may end between the check and the request. Then the start is repeated."""

CONSOLE_KEPT = 8192
"""Characters of the console's output that are kept during a boot."""

CONSOLE_SHOWN = 15
"""Lines of the console's output in the error of a boot that fails."""

_ENDING = (GuestState.STOPPING, GuestState.STOPPED, GuestState.FAILED)


@dataclass(frozen=True, slots=True)
class Request:
    """A guest to start, unless it is running, and a session to start in it.

    ``spec`` needs no image. Without ``session``, the start ends when the guest is running. ``agent_wanted`` is true if
    the image must contain the agent's layer.
    """

    spec: LaunchSpec
    settings: Settings
    session: SessionSpec | None
    agent_wanted: bool


@dataclass(frozen=True, slots=True)
class ImageBuilding:
    """The progress of the build of an image or a runtime."""

    progress: Progress


@dataclass(frozen=True, slots=True)
class KeeperStarting:
    """The guest's keeper is being started."""


@dataclass(frozen=True, slots=True)
class GuestChanged:
    """The state of the guest has changed, for example because a phase of its boot has begun."""

    guest: GuestInfo


@dataclass(frozen=True, slots=True)
class ConsoleOutput:
    """Output of the guest's console."""

    text: str


@dataclass(frozen=True, slots=True)
class Warned:
    """A warning for the user, which no other client has been shown."""

    text: str


@dataclass(frozen=True, slots=True)
class Ready:
    """The end of the start.

    ``session`` is the id of the new session, or empty if none was requested. ``started`` is true if the guest was
    started, and false if it was running.
    """

    session: str
    started: bool


Event = ImageBuilding | KeeperStarting | GuestChanged | ConsoleOutput | Warned | Ready
"""A step of a start. ``Ready`` is the last one."""


@contextlib.asynccontextmanager
async def start(request: Request) -> AsyncIterator[AsyncIterator[Event]]:
    """Start a guest and yield the events of the start, of which ``Ready`` is the last.

    If the block ends before the iterator does, the start is cancelled, and a guest that it has started is stopped.

    The iterator raises BootError with the end of the console's output if the guest does not become ready, ImageError or
    PrerequisiteError if there is no image, and other UserErrors if the guest is unsuitable or cannot be reached.
    """
    events: asyncio.Queue[Event | None] = asyncio.Queue()
    work = _Start(request, events.put_nowait)
    starting = asyncio.create_task(work.run(), name=f"start {request.spec.name}")
    starting.add_done_callback(lambda _: events.put_nowait(None))

    async def iterate() -> AsyncIterator[Event]:
        while (event := await events.get()) is not None:
            yield event
            if isinstance(event, Ready):
                work.accepted.set()
        await starting

    try:
        yield iterate()
    finally:
        starting.cancel()
        await completed(starting)


class _Start:
    """One start. ``accepted`` is set when the caller has received ``Ready``; until then a cancellation undoes all."""

    def __init__(self, request: Request, report: Callable[[Event], None]) -> None:
        self._request = request
        self._report = report
        self._name = request.spec.name
        self._started = False
        self._console = ""
        self.accepted = asyncio.Event()

    async def run(self) -> None:
        try:
            for attempt in range(1, ATTEMPTS + 1):
                try:
                    await self._attempt()
                    break
                except (NoSuchGuest, KeeperLost):
                    if self._started or attempt == ATTEMPTS:
                        raise
            await self.accepted.wait()
        except asyncio.CancelledError:
            if self._started:
                await completed(asyncio.ensure_future(asyncio.to_thread(_stop, self._name)))
            raise

    async def _attempt(self) -> None:
        if not await self._is_running():
            spec = await self._with_image()
            self._report(KeeperStarting())
            await self._launch(spec)
        self._report(Ready(await self._open_session(), self._started))

    async def _is_running(self) -> bool:
        """Return whether the guest is running, after waiting for a guest that is stopping.

        Raises UserError if the guest is not suitable for the request.
        """
        lock = GuestPaths(self._name).lock
        deadline = time.monotonic() + STOPPED_WITHIN
        while claim.alive(lock):
            # the keeper may not listen yet, or may exit at this moment
            with contextlib.suppress(NoSuchGuest, KeeperLost):
                guest = await asyncio.to_thread(listing.ask_once, self._name)
                if guest["state"] not in _ENDING:
                    self._check(guest)
                    return True
            if time.monotonic() > deadline:
                raise KeeperLost(
                    f"the guest {self._name} is neither running nor stopped",
                    f"try `ccvm-tui stop --force {self._name}`",
                )
            await asyncio.sleep(0.02)
        return False

    def _check(self, guest: listing.GuestDict) -> None:
        spec = self._request.spec
        if guest["project"] != spec.project:
            raise UserError(
                f"the guest {self._name} is running for another project, {guest['project']}",
                "choose another name with --name",
            )
        if (guest.get("attempt") or {}).get("name") != (spec.attempt and spec.attempt.name):
            raise UserError(f"the guest {self._name} is running {_described(guest)}", "choose another name with --name")
        if spec.read_only and not guest["read_only"]:
            raise UserError(
                f"{self._name} is already running, and it can write to the project",
                f"stop it first with `ccvm-tui stop {self._name}`, or omit --read-only",
            )

    async def _with_image(self) -> LaunchSpec:
        loop = asyncio.get_running_loop()
        cancel = threading.Event()
        request = self._request
        spec = await asyncio.to_thread(planned, request.spec, request.settings)

        def report(progress: Progress) -> None:
            loop.call_soon_threadsafe(self._report, ImageBuilding(progress))

        providing = asyncio.ensure_future(
            asyncio.to_thread(images.provide, spec, request.settings, report, cancel, agent_wanted=request.agent_wanted)
        )
        try:
            return await asyncio.shield(providing)
        except asyncio.CancelledError:
            cancel.set()
            await completed(providing)
            raise

    async def _launch(self, spec: LaunchSpec) -> None:
        launching = asyncio.ensure_future(spawn.launch(spec))
        try:
            self._started = await asyncio.shield(launching)
        except asyncio.CancelledError:
            await completed(launching)  # only then is it known whether there is a keeper to stop
            self._started = launching.exception() is None and launching.result()
            raise

    async def _open_session(self) -> str:
        """Wait until the guest is running, start the session and return its id, or "" if none was requested."""
        async with await connection.connect(self._name, events=True, console=True) as keeper:
            running: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            watching = asyncio.create_task(self._watch(keeper, running), name="boot events")
            try:
                with self._console_in_errors():
                    shown = () if self._started else (await keeper.info()).warnings
                    if self._request.session is None:
                        await running
                        session = ""
                    else:
                        session = (await keeper.start_session(self._request.session)).id
                    guest = await keeper.info()
                    self._report(GuestChanged(guest))
                    for warning in guest.warnings[len(shown) :]:
                        self._report(Warned(warning))
                    return session
            finally:
                watching.cancel()
                running.cancel()

    async def _watch(self, keeper: Keeper, running: asyncio.Future[None]) -> None:
        """Report the events of the boot, and complete ``running`` when the boot ends."""
        async for event in keeper.events():
            if isinstance(event, Info):
                guest = event.guest
                self._report(GuestChanged(guest))
                if guest.state in _ENDING:
                    _resolve(running, BootError(guest.reason or f"{guest.name} is {guest.state}"))
                elif guest.state is not GuestState.BOOTING:
                    _resolve(running)
            elif isinstance(event, Console):
                self._console = (self._console + event.text)[-CONSOLE_KEPT:]
                self._report(ConsoleOutput(event.text))
        _resolve(running, keeper.lost)

    @contextlib.contextmanager
    def _console_in_errors(self) -> Iterator[None]:
        """Add the last lines of the console to the error of a boot that fails."""
        try:
            yield
        except BootError as error:
            raise BootError(error.message, error.hint, error.console_tail or self._console_tail()) from error
        except KeeperLost as error:
            if self._started:
                raise BootError(error.message, error.hint, self._console_tail()) from error
            raise

    def _console_tail(self) -> str:
        lines = self._console.replace("\r\n", "\n").split("\n")[-CONSOLE_SHOWN:]
        return "\n".join(map(console_line, lines))


def _described(guest: listing.GuestDict) -> str:
    attempt = guest.get("attempt")
    return f"the attempt {attempt.get('name')}" if attempt else "without an attempt"


def _resolve(future: asyncio.Future[None], error: Exception | None = None) -> None:
    if future.done():
        return
    if error is None:
        future.set_result(None)
    else:
        future.set_exception(error)
        future.exception()  # mark it as retrieved, because the boot may have been awaited in another way


def _stop(name: str) -> None:
    with contextlib.suppress(UserError):
        listing.stop_any(name, force=True)
