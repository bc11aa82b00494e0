"""What a keeper keeps: a guest in a virtual machine, or this machine's own ptys for a keeper without one."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from ccvm_tui.guest import Usage
from ccvm_tui.protocol import Edits, Happened, LaunchSpec, SessionSpec
from ccvm_tui.session.channel import Transport
from ccvm_tui.session.local import LocalTransport


@dataclass(frozen=True)
class Facts:
    """What there is to know about a guest once it is chosen how it runs."""

    accel: str = ""
    accel_reason: str = ""
    qemu_pid: int = 0
    machine: str = ""
    memory_mib: int = 0
    cores: int = 0
    image: str = ""
    agent: str = ""


@dataclass(frozen=True)
class Reports:
    """How a guest tells its keeper what happens in it."""

    phase: Callable[[str], None]
    console: Callable[[bytes], None]
    happened: Callable[[Happened], None]
    hook: Callable[[str, str, str], None]
    warning: Callable[[str], None]


class Guest(Protocol):
    """Boots once, lives, ends once."""

    facts: Facts

    async def boot(self) -> Transport:
        """Returns when programs can be started. Raises UserError; may be cancelled, then ``stop`` cleans up."""

    async def wait(self) -> str:
        """Until the guest ends by itself; returns why."""

    async def stop(self, *, force: bool) -> None:
        """End it, politely unless ``force``. Everything is reaped when this returns, at whatever stage it was."""

    async def pause(self) -> None: ...

    async def resume(self) -> None: ...

    async def prepare(self, spec: SessionSpec) -> SessionSpec:
        """Bring what a session needs into the guest before it starts; returns the spec with what it has to do without
        replaced."""

    async def usage(self) -> Usage: ...

    async def busy(self, session: str) -> str:
        """The command in the session's foreground, empty for its own program."""

    async def edits(self) -> Edits: ...

    def console_tail(self) -> str: ...


class LocalGuest:
    """No guest at all; see ``ccvm_tui.session.local`` for what it is good for."""

    def __init__(self, spec: LaunchSpec) -> None:
        self.facts = Facts(machine="none", cores=os.cpu_count() or 1)
        self._project = spec.project
        self._started = time.monotonic()
        self._transport: LocalTransport | None = None

    async def boot(self) -> Transport:
        self._transport = LocalTransport(self._project)
        return self._transport

    async def wait(self) -> str:
        return str(await asyncio.get_running_loop().create_future())

    async def stop(self, *, force: bool) -> None:
        if self._transport is not None:
            await self._transport.close()

    async def pause(self) -> None:
        pass

    async def resume(self) -> None:
        pass

    async def prepare(self, spec: SessionSpec) -> SessionSpec:
        return spec

    async def usage(self) -> Usage:
        return Usage(uptime=time.monotonic() - self._started)

    async def busy(self, session: str) -> str:
        return self._transport.foreground(session) if self._transport is not None else ""

    async def edits(self) -> Edits:
        return Edits(0)

    def console_tail(self) -> str:
        return ""
