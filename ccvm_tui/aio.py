"""The few asyncio idioms that every part needs: deadlines, logged tasks, children that are always reaped."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
from collections.abc import Coroutine
from typing import Any

log = logging.getLogger(__name__)


class Child:
    """A process started by asyncio that can be signalled without a race and is always reaped.

    ``asyncio.subprocess.Process.terminate`` and ``kill`` go through ``Popen.send_signal``, which polls first: when
    the child has just died they reap it under the nose of asyncio's child watcher, and its status is lost (255 and
    a warning instead of, say, -6). A pidfd (pidfd_open(2)) signals exactly this process and reaps nothing.
    ``close`` gives the pidfd back; ``wait`` works without it.
    """

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.pid = process.pid
        self._pidfd = -1
        with contextlib.suppress(ProcessLookupError):
            self._pidfd = os.pidfd_open(process.pid)

    def send(self, number: signal.Signals) -> None:
        """Nothing happens when the process has ended."""
        if self._pidfd >= 0:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._pidfd, number)

    async def wait(self) -> int:
        return await self.process.wait()

    async def end(self, grace: float) -> int:
        """SIGTERM, after ``grace`` seconds SIGKILL; returns the status. Reaps also when it is cancelled."""
        try:
            if grace > 0:
                self.send(signal.SIGTERM)
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(grace):
                        return await self.wait()
            self.send(signal.SIGKILL)
            return await self.wait()
        except asyncio.CancelledError:
            self.send(signal.SIGKILL)
            await asyncio.shield(self.wait())
            raise

    def close(self) -> None:
        if self._pidfd >= 0:
            os.close(self._pidfd)
            self._pidfd = -1


class Background:
    """Named tasks that belong to one owner. A failure is logged; ``close`` cancels and awaits what is left.

    For work whose end nobody waits for, next to a TaskGroup for work that lives and dies together.
    """

    def __init__(self, owner: str) -> None:
        self._owner = owner
        self._tasks: set[asyncio.Task[Any]] = set()

    def start(self, work: Coroutine[Any, Any, Any], name: str) -> asyncio.Task[Any]:
        task = asyncio.get_running_loop().create_task(work, name=f"{self._owner}: {name}")
        self._tasks.add(task)
        task.add_done_callback(self._done)
        return task

    def _done(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("%s failed", task.get_name(), exc_info=error)

    async def finish(self, within: float) -> None:
        """Give what is left ``within`` seconds to end by itself, then ``close``."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=within)
        await self.close()

    async def close(self) -> None:
        current = asyncio.current_task()
        tasks = [task for task in self._tasks if task is not current]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
