"""The interface of a keeper's guest, and a guest without a virtual machine."""

from __future__ import annotations

import asyncio
import os
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from ccvm_tui.guest import Usage
from ccvm_tui.protocol import Edits, Happened, LaunchSpec, SessionSpec
from ccvm_tui.session.channel import Transport
from ccvm_tui.session.local import LocalTransport

if TYPE_CHECKING:  # slow to import
    from ccvm_tui.egress.service import EgressService


@dataclass(frozen=True)
class Facts:
    """Properties of a guest, some of which are known only once its machine runs."""

    accel: str = ""
    accel_reason: str = ""
    qemu_pid: int = 0
    machine: str = ""
    memory_mib: int = 0
    cores: int = 0
    image: str = ""
    agent: str = ""


class GuestOwner(Protocol):
    """The receiver of a guest's reports. Its methods are called from the event loop and must not block."""

    def begin_phase(self, name: str) -> None:
        """Handle the beginning of a phase of the boot."""

    def console_output(self, data: bytes) -> None:
        """Handle output of the guest's console."""

    def record_event(self, event: Happened) -> None:
        """Handle an event."""

    def report_hook(self, session: str, state: str, text: str) -> None:
        """Handle a report of a hook in the guest about the state of a session."""

    def warn(self, text: str) -> None:
        """Handle a warning for the user."""

    def mark_changed(self) -> None:
        """Handle a change of what ``info`` of the guest returns."""

    def can_ask(self) -> bool:
        """Return whether a client shows questions of the guest's egress to the user."""


class Guest(Protocol):
    """A guest, which is booted once and ends once."""

    facts: Facts
    egress: EgressService | None
    """The way out of the guest, or None if nothing controls it."""

    async def boot(self) -> Transport:
        """Boot the guest and return when programs can be started.

        After cancellation, ``stop`` cleans up. Raises UserError if the boot fails.
        """

    async def wait(self) -> str:
        """Wait until the guest ends without ``stop``, and return the reason."""

    async def stop(self, *, force: bool) -> None:
        """Stop the guest in any state, gracefully unless ``force``, and reap all its processes."""

    async def pause(self) -> None:
        """Pause the guest."""

    async def resume(self) -> None:
        """Resume a paused guest."""

    async def prepare(self, spec: SessionSpec) -> SessionSpec:
        """Prepare the guest for a session, and return ``spec`` with replacements for features that the guest lacks."""

    async def usage(self) -> Usage:
        """Return the guest's use of resources."""

    async def busy(self, session: str) -> str:
        """Return the command in the session's foreground, or an empty string if it is the session's own program."""

    async def edits(self) -> Edits:
        """Return the edits of a read-only project, which exist in memory only."""

    def console_tail(self) -> str:
        """Return the last lines of the console."""


class LocalGuest:
    """A guest without a virtual machine, whose sessions run on this machine; see ``ccvm_tui.session.local``."""

    def __init__(self, spec: LaunchSpec) -> None:
        self.facts = Facts(machine="none", cores=os.cpu_count() or 1)
        self.egress: EgressService | None = None
        self._project = spec.project
        self._started = time.monotonic()
        self._transport: LocalTransport | None = None

    async def boot(self) -> Transport:
        """Return a transport that starts programs on this machine."""
        self._transport = LocalTransport(self._project)
        return self._transport

    async def wait(self) -> str:
        """Wait until cancelled."""
        return str(await asyncio.get_running_loop().create_future())

    async def stop(self, *, force: bool) -> None:  # noqa: ARG002 - the interface of a guest
        """Terminate all programs."""
        if self._transport is not None:
            await self._transport.close()

    async def pause(self) -> None:
        """Do nothing."""

    async def resume(self) -> None:
        """Do nothing."""

    async def prepare(self, spec: SessionSpec) -> SessionSpec:
        """Return ``spec``."""
        return spec

    async def usage(self) -> Usage:
        """Return the uptime only."""
        return Usage(uptime=time.monotonic() - self._started)

    async def busy(self, session: str) -> str:
        """Return the command in the session's foreground, or an empty string if it is the session's own program."""
        return self._transport.foreground(session) if self._transport is not None else ""

    async def edits(self) -> Edits:
        """Return no edits."""
        return Edits(0)

    def console_tail(self) -> str:
        """Return an empty string."""
        return ""
