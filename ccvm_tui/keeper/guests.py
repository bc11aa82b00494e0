"""The interface of a keeper's guest, and a guest without a virtual machine."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from ccvm_tui.edits import Edits
from ccvm_tui.errors import UserError
from ccvm_tui.guest import Usage
from ccvm_tui.keeper.forwards import Connection
from ccvm_tui.paths import GuestPaths
from ccvm_tui.protocol import Happened, LaunchSpec, SessionSpec
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

    async def clipboard_image(self, request: bytes) -> bytes:
        """Return the answer to a request for an image in the user's clipboard. The request may be invalid."""

    def offer_link(self, session: str, address: str) -> None:
        """Handle that a program in the guest wants to open a web page. The address may be invalid."""

    def warn(self, text: str) -> None:
        """Handle a warning for the user."""

    def mark_changed(self) -> None:
        """Handle a change of what ``info`` of the guest returns."""

    def can_ask(self) -> bool:
        """Return whether a client shows the guest's questions to the user."""


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

    async def ports(self) -> tuple[int, ...]:
        """Return the TCP ports on which programs of the guest listen. Raises UserError if the guest does not answer."""

    async def connect(self, port: int) -> Connection:
        """Connect to a port of the guest's loopback interface. Raises OSError or UserError if that fails."""

    async def prepare_ssh(self) -> str:
        """Prepare the guest for SSH clients, and return the directory with the files for them.

        Raises UserError if the guest does not support it.
        """

    async def list_edits(self) -> Edits:
        """Return all edits of a read-only project, with what is needed to apply them."""

    async def accept_edits(self, paths: Sequence[str], *, undoing: bool) -> None:
        """Report that edits at ``paths`` were applied to the host, or are about to be undone."""

    async def trust(self, path: str, problems: tuple[str, ...]) -> None:
        """Make the guard accept ``problems`` of the file ``path``."""

    def console_tail(self) -> str:
        """Return the last lines of the console."""


class LocalGuest:
    """A guest without a virtual machine, whose sessions run on this machine; see ``ccvm_tui.session.local``."""

    def __init__(self, spec: LaunchSpec, paths: GuestPaths) -> None:
        self.facts = Facts(machine="none", cores=os.cpu_count() or 1)
        self.egress: EgressService | None = None
        self._directory = spec.project if spec.attempt is None else str(paths.local_clone)
        self._started = time.monotonic()
        self._transport: LocalTransport | None = None

    async def boot(self) -> Transport:
        """Return a transport that starts programs on this machine."""
        Path(self._directory).mkdir(exist_ok=True)
        self._transport = LocalTransport(self._directory)
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

    async def ports(self) -> tuple[int, ...]:
        """Return nothing: all ports of this machine would be listed."""
        return ()

    async def connect(self, port: int) -> Connection:
        """Connect to a port of this machine. Raises OSError if nothing listens on it."""
        return await asyncio.open_connection("127.0.0.1", port)

    async def prepare_ssh(self) -> str:
        """Raise UserError: there is no guest."""
        raise UserError("this guest has no machine that SSH could connect to")

    async def list_edits(self) -> Edits:
        """Return no edits."""
        return Edits(0)

    async def accept_edits(self, paths: Sequence[str], *, undoing: bool) -> None:
        """Do nothing."""

    async def trust(self, path: str, problems: tuple[str, ...]) -> None:
        """Do nothing: programs on this machine are not checked."""

    def console_tail(self) -> str:
        """Return an empty string."""
        return ""
