"""Checks for ``doctor``: what confines each kind of process that a guest has, as the kernel reports it."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path

from ccvm_tui.errors import CcvmError
from ccvm_tui.guest import TermSize
from ccvm_tui.image import Runtime
from ccvm_tui.machine import Machine, MachineSpec, confine
from ccvm_tui.machine.check import Check
from ccvm_tui.machine.protection import Protection
from ccvm_tui.machine.status import Status
from ccvm_tui.paths import GuestPaths
from ccvm_tui.screen.link import ScreenLink
from ccvm_tui.share.process import ShareServer

_NAMES = {
    "files": "files",
    "devices": "ioctl on devices",
    "tcp": "TCP",
    "scopes": "signals and abstract sockets",
}
"""The restrictions of Landlock, for people."""

_LANDLOCK_PARTIAL = "use a newer kernel: Linux 6.12 restricts all of this"


async def checks(machine: str, runtime: Runtime | None) -> list[Check]:
    """Start each kind of process, without a guest, and return one check for each."""
    return list(await asyncio.gather(_qemu(machine, runtime), _file_server(), _screen()))


async def _qemu(machine: str, runtime: Runtime | None) -> Check:
    """Check QEMU as it runs with every kind of egress but ``open``."""
    name = "confined: QEMU"
    with tempfile.TemporaryDirectory(prefix="ccvm-doctor-") as directory:
        paths = GuestPaths("doctor", Path(directory))
        paths.dir.mkdir(mode=0o700)
        spec = MachineSpec(kernel=None, machine=machine, memory_mib=64, cores=1, network="none", runtime=runtime)
        try:
            vm = await Machine.start(spec, paths)
        except (CcvmError, OSError) as error:
            return Check(name, Status.FAIL, str(error))
        try:
            found = Protection.of(vm.pid)
        finally:
            vm.control.close()
            await vm.stop()
    return _check(name, str(confine.available()), found)


async def _file_server() -> Check:
    name = "confined: file server"
    with tempfile.TemporaryDirectory(prefix="ccvm-doctor-") as directory:
        try:
            server = await ShareServer.start(directory)
        except OSError as error:
            return Check(name, Status.FAIL, str(error))
        try:
            await server.edits()  # the server answers only after it has confined itself
            found = Protection.of(server.pid)
        except OSError as error:
            return Check(name, Status.FAIL, str(error))
        finally:
            await server.stop()
    support = confine.available()
    return _check(name, str(support) if support.renames else "", found)


async def _screen() -> Check:
    name = "confined: screens"
    link = ScreenLink()
    try:
        await link.start()
        link.open("doctor", TermSize(20, 4))
        await link.sync()
        found = Protection.of(link.pid)
    except (CcvmError, OSError) as error:
        return Check(name, Status.FAIL, str(error))
    finally:
        await link.close()
    return _check(name, ",".join(part for part in link.confined.split(",") if part in _NAMES), found)


def _check(name: str, landlock: str, found: Protection) -> Check:
    """Return the check of a process that Landlock restricts in the ways that ``landlock`` lists."""
    active = [_NAMES[part] for part in landlock.split(",") if part]
    detail = (f"Landlock ({', '.join(active)}), " if active else "no Landlock, ") + str(found)
    if not active or not found.filters or not found.no_new_privileges:
        return Check(name, Status.WARN, detail, "see `landlock` and `machine` above")
    if len(active) < len(_NAMES):
        return Check(name, Status.OK, detail, _LANDLOCK_PARTIAL)
    return Check(name, Status.OK, detail)
