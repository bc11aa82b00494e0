"""Helpers for asyncio: child processes that are always reaped, background tasks whose failures are logged, streams."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
from collections.abc import Coroutine
from typing import Any, Protocol

log = logging.getLogger(__name__)


class Child:
    """A process started by asyncio that can be signalled without a race and is always reaped.

    ``asyncio.subprocess.Process.terminate`` and ``kill`` use ``Popen.send_signal``, which polls the process first. If
    the child has just died, the poll reaps it before asyncio's child watcher does, and its status is lost (255 and a
    warning instead of, for example, -6). A pidfd (pidfd_open(2)) signals exactly this process and reaps nothing.
    """

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.pid = process.pid
        self._pidfd = -1
        with contextlib.suppress(ProcessLookupError):
            self._pidfd = os.pidfd_open(process.pid)

    def send_signal(self, number: signal.Signals) -> None:
        """Send a signal, unless the process has ended or ``close`` was called."""
        if self._pidfd >= 0:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._pidfd, number)

    async def wait(self) -> int:
        """Wait for the process to end and return its status, which is negative for a signal. Works after ``close``."""
        return await self.process.wait()

    async def end(self, grace: float) -> int:
        """End the process with SIGTERM, and with SIGKILL after ``grace`` seconds. Return its status.

        The process is also killed and reaped if the call is cancelled.
        """
        try:
            if grace > 0:
                self.send_signal(signal.SIGTERM)
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(grace):
                        return await self.wait()
            self.send_signal(signal.SIGKILL)
            return await self.wait()
        except asyncio.CancelledError:
            self.send_signal(signal.SIGKILL)
            await asyncio.shield(self.wait())
            raise

    def close(self) -> None:
        """Close the pidfd."""
        if self._pidfd >= 0:
            os.close(self._pidfd)
            self._pidfd = -1


class Background:
    """Named tasks of one owner that run in the background.

    A failure is logged. ``close`` cancels and awaits the tasks that are still running. Use an ``asyncio.TaskGroup``
    for tasks that start and end together.
    """

    def __init__(self, owner: str) -> None:
        self._owner = owner
        self._tasks: set[asyncio.Task[Any]] = set()

    def start(self, work: Coroutine[Any, Any, Any], name: str) -> asyncio.Task[Any]:
        """Run ``work`` in a new task."""
        task = asyncio.get_running_loop().create_task(work, name=f"{self._owner}: {name}")
        self._tasks.add(task)
        task.add_done_callback(self._done)
        return task

    def _done(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("%s failed", task.get_name(), exc_info=error)

    async def finish(self, within: float) -> None:
        """Wait up to ``within`` seconds for the tasks to complete, then call ``close``."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=within)
        await self.close()

    async def close(self) -> None:
        """Cancel all tasks, except the current one, and wait for them to end."""
        current = asyncio.current_task()
        tasks = [task for task in self._tasks if task is not current]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


class ByteReader(Protocol):
    """The receiving side of a connection."""

    async def read(self, n: int, /) -> bytes:
        """Return up to ``n`` bytes, and none at the end. Raises OSError if the connection is broken."""


class ByteWriter(Protocol):
    """The sending side of a connection."""

    def write(self, data: bytes, /) -> None:
        """Queue data."""

    async def drain(self) -> None:
        """Wait until the queue is short. Raises OSError if the connection is broken."""

    def write_eof(self) -> None:
        """End the data."""

    def close(self) -> None:
        """Close the connection."""


async def completed(future: asyncio.Future[Any]) -> None:
    """Wait until ``future`` is done, even if the caller is cancelled. The cancellation is raised afterwards.

    The future's exception, if any, counts as retrieved.
    """
    cancelled = False
    while not future.done():
        try:
            await asyncio.wait({future})
        except asyncio.CancelledError:
            cancelled = True
    if not future.cancelled():
        future.exception()
    if cancelled:
        raise asyncio.CancelledError
