"""The attempt of a guest: the creation of its clone at the end of the boot, and its state."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import time
from collections.abc import Callable, Iterable

from ccvm_tui.attempt import host, script
from ccvm_tui.attempt.losses import lost
from ccvm_tui.attempt.script import Places, State
from ccvm_tui.attempt.spec import PROJECT, AttemptSpec
from ccvm_tui.errors import BootError, UserError
from ccvm_tui.guest import AttemptInfo, SessionKind
from ccvm_tui.paths import GuestPaths
from ccvm_tui.protocol import LaunchSpec, SessionSpec
from ccvm_tui.session.channel import Channel, Transport

log = logging.getLogger(__name__)

START_TIMEOUT = 600.0
"""Seconds within which the clone must be created. A large checkout takes long under emulation."""

STATE_TIMEOUT = 60.0
"""Seconds within which the guest must report the state of its attempt."""

INTERVAL = 5.0
"""Minimum seconds between two requests for the state."""

PAUSE_FACTOR = 20
"""The multiple of the duration of a request for the state that passes until the next one."""

OUTPUT_MAX = 1 << 20
"""Maximum length of the output of a command, in bytes."""

_ERROR_LINES = 5
_WARNINGS = {
    "submodules": "the project's submodules are empty in the attempt: `git submodule update --init` in the guest "
    "downloads them, and commits in them are not fetched from there",
    "lfs": "files of Git LFS are pointers in the attempt, because git-lfs is not installed in the guest",
}


class _Command:
    """A program with a limited output; see ``ChannelOwner``."""

    def __init__(self) -> None:
        self.done: asyncio.Future[tuple[int, str]] = asyncio.get_running_loop().create_future()
        self.channel: Channel | None = None
        self.printed = {1: bytearray(), 2: bytearray()}

    def output(self, data: bytes, stream: int) -> None:
        printed = self.printed[stream]
        printed += data[: OUTPUT_MAX - len(printed)]
        if len(printed) >= OUTPUT_MAX and self.channel is not None:
            self.channel.kill()

    def ended(self, status: int, reason: str) -> None:
        if not self.done.done():
            self.done.set_result((status, reason))


class Attempt:
    """The attempt ``spec`` of a guest that shares ``project``.

    ``warn`` receives warnings for the user, and ``changed`` is called after each new state.
    """

    def __init__(
        self,
        spec: AttemptSpec,
        project: str,
        places: Places,
        warn: Callable[[str], None],
        changed: Callable[[], None],
    ) -> None:
        self._spec = spec
        self._project = project
        self._places = places
        self._warn = warn
        self._changed = changed
        self._soon = asyncio.Event()
        self._state = State(branch=spec.name)

    def info(self) -> AttemptInfo:
        """Return the state that was reported last."""
        state = self._state
        return AttemptInfo(
            self._spec.name, self._spec.base, self._places.project, self._places.clone, state.branch, state.ahead,
            state.behind, state.changed, state.uncommitted, state.unfetched,
        )  # fmt: skip

    async def create(self, transport: Transport) -> None:
        """Create the clone. Raises BootError if that fails."""
        spec = self._spec
        try:
            async with asyncio.timeout(START_TIMEOUT):
                printed = await self._run(transport, "start", spec.name, spec.start)
                for operation, data in (
                    ("remove", _terminated(spec.removed)),
                    ("exclude", "".join(spec.excluded).encode("utf-8", "surrogateescape")),
                    ("copy", _terminated(spec.copied)),
                ):
                    if data:
                        await self._run(transport, operation, data=data)
        except TimeoutError as error:
            raise BootError(f"the clone of {self._project} was not complete within {START_TIMEOUT:.0f} s") from error
        except UserError as error:
            raise BootError(f"{self._project} could not be cloned: {error.message}", error.hint) from error
        for word in printed.decode(errors="replace").split():
            if word in _WARNINGS:
                self._warn(_WARNINGS[word])

    async def refresh(self, transport: Transport) -> AttemptInfo:
        """Ask the guest for the state and return it. Raises UserError if the guest does not report it."""
        known = await asyncio.to_thread(host.known, self._project, self._spec.name)
        try:
            async with asyncio.timeout(STATE_TIMEOUT):
                printed = await self._run(transport, "status", self._spec.base, known.current or "HEAD", *known.fetched)
                self._state = script.parse(printed)
        except TimeoutError as error:
            raise UserError(
                "the guest does not report the state of its attempt", "it may be paused or very busy"
            ) from error
        self._changed()
        return self.info()

    async def loss(self, transport: Transport) -> str:
        """Return what would be lost if the guest stopped, for the user, or an empty string."""
        try:
            return lost(await self.refresh(transport))
        except UserError as error:
            return error.message

    async def follow(self, transport: Transport, last_use: Callable[[], float]) -> None:
        """Ask for the state after programs were used, until cancelled.

        ``last_use`` returns when that was, in seconds since 1970. The more time a request takes in the guest, the less
        often it happens.
        """
        asked, interval = 0.0, INTERVAL
        while True:
            if last_use() >= asked or self._soon.is_set():
                self._soon.clear()
                asked = time.time()
                with contextlib.suppress(UserError):
                    await self.refresh(transport)
                interval = max(INTERVAL, PAUSE_FACTOR * (time.time() - asked))
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(interval):
                    await self._soon.wait()

    def refresh_soon(self) -> None:
        """Let ``follow`` ask for the state now."""
        self._soon.set()

    async def _run(self, transport: Transport, operation: str, *arguments: str, data: bytes = b"") -> bytes:
        """Run an operation of the script and return its output. Raises UserError with its errors if it fails."""
        command = _Command()
        spec = SessionSpec(SessionKind.COMMAND, self._places.command(operation, *arguments))
        command.channel = channel = await transport.start("exec", spec, command, pty=False)
        try:
            if data:
                channel.write(data)
                await channel.drain()
            channel.write_eof()
            status, reason = await command.done
        finally:
            channel.kill()
        if status or reason:
            lines = command.printed[2].decode(errors="replace").strip().splitlines()[-_ERROR_LINES:]
            log.warning("%s of the attempt failed with status %s: %s", operation, status, "; ".join(lines) or reason)
            raise UserError(_last(lines) or reason or f"Git ended with status {status}")
        return bytes(command.printed[1])


def attempt_of(
    spec: LaunchSpec, paths: GuestPaths, warn: Callable[[str], None], changed: Callable[[], None]
) -> Attempt | None:
    """Return the attempt of a guest, or None if it works on the project itself; see ``Attempt``."""
    if spec.attempt is None:
        return None
    places = Places(PROJECT, spec.project) if spec.image else Places(spec.project, str(paths.local_clone))
    return Attempt(spec.attempt, spec.project, places, warn, changed)


def _terminated(paths: Iterable[str]) -> bytes:
    return b"".join(os.fsencode(path) + b"\0" for path in paths)


def _last(lines: Iterable[str]) -> str:
    """Return the last line of Git's errors, without the prefix."""
    found = [line.removeprefix("fatal: ").removeprefix("error: ") for line in lines]
    return found[-1][:300] if found else ""
