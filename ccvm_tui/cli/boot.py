"""A session in the project's guest: in the one that runs, or in a new one, shown as it boots.

Whoever started a guest stops it again when interrupted on the way, and leaves nothing behind. Two who start
the same guest at once get one: the keeper's lock decides, and the other joins.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from ccvm_tui import claim
from ccvm_tui.cli.bootline import BootLine
from ccvm_tui.client import connection, listing, spawn
from ccvm_tui.client.connection import Keeper
from ccvm_tui.errors import BootError, KeeperLost, NoSuchGuest, UserError
from ccvm_tui.guest import GuestInfo, GuestState
from ccvm_tui.paths import GuestPaths
from ccvm_tui.protocol import Console, Info, LaunchSpec, SessionSpec
from ccvm_tui.text import console_line, printable

GONE_WITHIN = 20.0
"""Seconds for a guest that is stopping to be gone, before another one takes its place."""

ATTEMPTS = 3
"""A guest may end between the moment it is seen and the moment it is asked; then it is looked for again."""

CONSOLE_KEPT = 8192
CONSOLE_SHOWN = 15
"""Characters kept of the console while booting, and lines of it shown when the boot fails."""

_LEAVING = ("stopping", "stopped", "failed")


@dataclass
class Boot:
    """``prepare`` completes the spec (it may build the image) and is called only if a guest must be started,
    in a thread; it gives up when the event is set.

    Without a ``session`` it is only seen to that the guest runs, and ``run`` returns "". ``console`` gets what
    the guest's console says while it boots. ``started`` tells whether the guest is ours.
    """

    spec: LaunchSpec
    session: SessionSpec | None
    prepare: Callable[[LaunchSpec, BootLine, threading.Event], LaunchSpec]
    console: Callable[[str], None] | None = None
    started: bool = False
    _tail: str = field(default="", repr=False)

    async def run(self) -> str:
        """The id of the running session.

        Raises UserError, BootError with the console's tail. Cancelled, it stops what it started.
        """
        for attempt in range(ATTEMPTS):
            try:
                return await self._once()
            except (NoSuchGuest, KeeperLost):
                if self.started or attempt == ATTEMPTS - 1:
                    raise
        raise AssertionError("unreachable")

    async def _once(self) -> str:
        line = BootLine(self.spec.name)
        spinning = asyncio.create_task(line.spin(), name="boot line")
        try:
            if not await self._joinable():
                spec = await self._prepared(line)
                line.note("starting")
                self.started = await self._launch(spec)
            session = await self._open(line)
        except BaseException as error:
            spinning.cancel()
            line.clear()
            if self.started and isinstance(error, asyncio.CancelledError | KeyboardInterrupt):
                _stop(self.spec.name)
            raise
        spinning.cancel()
        line.ready() if self.started else line.clear()
        return session

    async def _joinable(self) -> bool:
        """Whether the guest runs. One that is on its way out is waited for. Raises UserError if it is another's."""
        paths = GuestPaths(self.spec.name)
        deadline = time.monotonic() + GONE_WITHIN
        while claim.alive(paths.lock):
            with contextlib.suppress(NoSuchGuest, KeeperLost):  # about to listen, or about to be gone
                info = listing.ask_once(self.spec.name)
                if info["state"] not in _LEAVING:
                    self._check_same(info)
                    return True
            if time.monotonic() > deadline:
                raise KeeperLost(
                    f"{self.spec.name} neither runs nor ends", f"`ccvm-tui stop --force {self.spec.name}` ends it"
                )
            await asyncio.sleep(0.02)
        return False

    def _check_same(self, info: listing.GuestDict) -> None:
        if info["project"] != self.spec.project:
            raise UserError(
                f"the guest {self.spec.name} runs for another project, {info['project']}",
                "give this one another name with --name",
            )
        if self.spec.read_only and not info["read_only"]:
            raise UserError(
                f"{self.spec.name} is running already, and it may write to the project",
                f"`ccvm-tui stop {self.spec.name}` first, or leave out --read-only",
            )

    async def _prepared(self, line: BootLine) -> LaunchSpec:
        give_up = threading.Event()
        try:
            return await asyncio.to_thread(self.prepare, self.spec, line, give_up)
        except asyncio.CancelledError:
            give_up.set()  # asyncio waits for the thread before the process ends
            raise

    async def _launch(self, spec: LaunchSpec) -> bool:
        """Start the keeper. An interruption waits until it is known whether there is one to stop."""
        launching = asyncio.ensure_future(spawn.launch(spec))
        try:
            return await asyncio.shield(launching)
        except asyncio.CancelledError:
            await asyncio.wait({launching})
            self.started = not launching.exception() and launching.result()
            raise

    async def _open(self, line: BootLine) -> str:
        async with await connection.connect(self.spec.name, events=True, console=True) as keeper:
            up: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            watching = asyncio.create_task(self._watch(keeper, line, up), name="boot events")
            try:
                with self._told_with_console():
                    known = () if self.started else (await keeper.info()).warnings
                    if self.session is None:
                        await up
                        session = ""
                    else:
                        session = (await keeper.start_session(self.session)).id
                    self._tell(await keeper.info(), line, known)
            finally:
                watching.cancel()
                up.cancel()
            return session

    async def _watch(self, keeper: Keeper, line: BootLine, up: asyncio.Future[None]) -> None:
        """Follow the boot; ``up`` is done when it is over, one way or the other."""
        async for event in keeper.events():
            if isinstance(event, Info):
                guest = event.guest
                line.update(guest.started, guest.phases)
                if guest.state in _LEAVING:
                    _settle(up, BootError(guest.reason or f"{guest.name} is {guest.state}"))
                elif guest.state is not GuestState.BOOTING:
                    _settle(up)
            elif isinstance(event, Console):
                self._tail = (self._tail + event.text)[-CONSOLE_KEPT:]
                if self.console is not None:
                    self.console(event.text)
        _settle(up, keeper.lost)

    @contextlib.contextmanager
    def _told_with_console(self) -> Iterator[None]:
        """A boot that fails is told with the last lines of the console."""
        try:
            yield
        except BootError as error:
            raise BootError(error.message, error.hint, error.console_tail or self._console_tail()) from error
        except KeeperLost as error:
            if self.started:
                raise BootError(error.message, error.hint, self._console_tail()) from error
            raise

    def _tell(self, guest: GuestInfo, line: BootLine, known: tuple[str, ...]) -> None:
        """Show the guest's warnings, without those that others have been shown."""
        if self.started:
            line.update(guest.started, guest.phases)
        for warning in guest.warnings[len(known) :]:
            line.clear()
            print(f"ccvm-tui: {printable(warning)}", file=sys.stderr)

    def _console_tail(self) -> str:
        lines = self._tail.replace("\r\n", "\n").split("\n")[-CONSOLE_SHOWN:]
        return "\n".join(console_line(line) for line in lines)


def _settle(up: asyncio.Future[None], error: Exception | None = None) -> None:
    if up.done():
        return
    if error is None:
        up.set_result(None)
    else:
        up.set_exception(error)
        up.exception()  # nobody may be waiting: that is no fault


def _stop(name: str) -> None:
    """Stop what we started; runs to its end although we were interrupted. A second Ctrl+C is ours to feel."""
    with contextlib.suppress(UserError):
        listing.stop_any(name, force=True)
