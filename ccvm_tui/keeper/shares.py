"""The file servers of one guest: one for its project, and one for the conversations of its agent if they are shared."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec

from ccvm_tui.agents import AGENTS
from ccvm_tui.edits import EDITS_MAX, Edit, Edits
from ccvm_tui.errors import UserError
from ccvm_tui.keeper.staging import history_directory
from ccvm_tui.machine import Share
from ccvm_tui.machine.spec import HISTORY_TAG
from ccvm_tui.paths import GuestPaths
from ccvm_tui.project import snapshots
from ccvm_tui.protocol import LaunchSpec
from ccvm_tui.share.process import OnReport, ShareServer

log = logging.getLogger(__name__)

SNAPSHOT_TIMEOUT = 8.0
"""Seconds within which a snapshot of a project must be taken. The guest is not configured before."""

_NAMES_MAX = 200
_NAME_LENGTH_MAX = 500


class Shares:
    """The directories of the host that a guest accesses, and their file servers.

    ``on_report`` receives the reports of the project's guard.
    """

    def __init__(self, spec: LaunchSpec, paths: GuestPaths, on_report: OnReport) -> None:
        self._spec = spec
        self._on_report = on_report
        self._paths = paths
        self._servers: list[ShareServer] = []

    @property
    def specs(self) -> tuple[Share, ...]:
        """The devices of the machine, in the order of the servers."""
        return (Share(), Share(HISTORY_TAG)) if self._spec.sharing.history else (Share(),)

    @property
    def mounts(self) -> list[dict[str, str]]:
        """The tags and paths of the shares besides the project, for the guest."""
        agent = AGENTS.get(self._spec.sharing.agent)
        if agent is None or not self._spec.sharing.history:
            return []
        return [{"tag": HISTORY_TAG, "path": f"{agent.directory.target}/{agent.history}"}]

    async def start(self) -> list[ShareServer]:
        """Start the servers, and stop those of a previous machine. Raises UserError if a directory is unsuitable."""
        await self.stop()
        edits = capacity = None
        if self._spec.read_only:
            edits, capacity = self._paths.empty_edits_dir(), self._spec.memory_mib << 19  # half of the guest's memory
        confined, seccomp = self._spec.confine, self._spec.seccomp
        self._servers.append(
            await ShareServer.start(
                self._spec.project,
                confined=confined,
                seccomp=seccomp,
                edits=str(edits or ""),
                capacity=capacity or 0,
                guard=self._spec.guard,
                on_report=self._on_report,
            )
        )
        if self._spec.sharing.history:
            # The guest runs no helper for this share, so its kernel caches nothing of it.
            path = await asyncio.to_thread(history_directory, self._spec.sharing, self._spec.project)
            self._servers.append(await ShareServer.start(path, confined=confined, seccomp=seccomp))
        return list(self._servers)

    async def wait(self) -> str:
        """Wait until a server ends, and return the reason."""
        waiting = [asyncio.ensure_future(server.wait()) for server in self._servers]
        try:
            done, _ = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            return done.pop().result()
        finally:
            for task in waiting:
                task.cancel()

    async def ended_within(self, seconds: float) -> str | None:
        """Return the reason why a server has ended, or None if all are still running after ``seconds``."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                return await self.wait()
        return None

    async def edits(self) -> Edits:
        """Return the number of edits of a read-only project, with the names of the first files."""
        if not self._spec.read_only or not self._servers:
            return Edits(0)
        count, names = await self._servers[0].edits()
        return Edits(count, tuple(os.fsdecode(name)[:_NAME_LENGTH_MAX] for name in names[:_NAMES_MAX]))

    async def list_edits(self) -> Edits:
        """Return all edits of a read-only project."""
        if not self._spec.read_only or not self._servers:
            return Edits(0)
        found = await self._servers[0].list_edits()
        return Edits(len(found), listed=msgspec.convert(found[:EDITS_MAX], tuple[Edit, ...]))

    async def accept_edits(self, paths: Sequence[str], *, undoing: bool) -> None:
        """Report to the file server that edits were applied to the host, or are about to be undone."""
        if self._spec.read_only and self._spec.attempt is None and self._servers:
            await self._servers[0].accept_edits(paths, undoing=undoing)

    async def trust(self, path: str, problems: tuple[str, ...]) -> None:
        """Make the guard accept ``problems`` of the file ``path`` in the project."""
        if self._servers:
            await self._servers[0].trust(path, problems)

    async def stop(self) -> None:
        """End all servers and reap them. Calling it again has no effect."""
        for server in self._servers:
            await server.stop()
        self._servers.clear()


def remember_start(spec: LaunchSpec, paths: GuestPaths) -> None:
    """Take a snapshot of a writable project, with which ``ccvm-tui diff`` compares it later. Failures are logged."""
    if spec.read_only:
        return
    try:
        deadline = time.monotonic() + SNAPSHOT_TIMEOUT
        repository = snapshots.create(paths.start_repository, Path(spec.project), deadline)
        if repository is not None:
            snapshots.remember_start(repository)
    except (UserError, OSError) as error:
        log.warning("no snapshot of the project: %s", error)
