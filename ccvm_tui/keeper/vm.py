"""A guest in a virtual machine: from LaunchSpec to a guest that runs programs, and back to nothing."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import logging
import os
import socket
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from ccvm_tui.aio import Background
from ccvm_tui.errors import AccelError, BootError, ProtocolError, UserError
from ccvm_tui.guest import Usage
from ccvm_tui.image import Image, Runtime, load_image, load_runtime
from ccvm_tui.keeper.control import GuestAgent, Message
from ccvm_tui.keeper.guests import Facts, Reports
from ccvm_tui.machine import Drive, ExitReason, Machine, MachineSpec, Share, accel, limits
from ccvm_tui.machine.spec import WORKSPACE_TAG
from ccvm_tui.paths import GuestPaths
from ccvm_tui.protocol import Edits, Happened, LaunchSpec, SessionSpec
from ccvm_tui.session.channel import Transport
from ccvm_tui.share.process import ShareServer

if TYPE_CHECKING:
    import asyncssh

    from ccvm_tui.ssh.keys import GuestKeys

log = logging.getLogger(__name__)

USER = "dev"
LIFE_WITHIN = 8.0
"""Seconds without a byte on the console after which a guest on KVM is taken for one that will never run."""

HELLO_WITHIN = 120.0
READY_WITHIN = 60.0
"""Seconds for the guest's own start; generous, since twenty guests may boot at once under emulation."""

FALLBACK_TERM = "xterm-256color"
"""The terminal type for programs when no description of the outer terminal is known: most terminals imitate xterm."""

PORT_FREE_WITHIN = 5.0
"""Seconds for the guest to notice that we hung up. A call that comes before that would reach the last server."""

SHARE_END_WITHIN = 1.0
"""Seconds for a file server that failed to be gone, once QEMU has noticed."""

POWEROFF_WITHIN = 5.0
REPLY_WITHIN = 3.0


class VmGuest:
    """Boots once, lives, ends once; see ``ccvm_tui.keeper.guests.Guest``."""

    def __init__(self, spec: LaunchSpec, paths: GuestPaths, reports: Reports) -> None:
        self._spec = spec
        self._paths = paths
        self._reports = reports
        self.facts = Facts(machine=spec.machine, memory_mib=spec.memory_mib, cores=spec.cores, agent=spec.layer)
        self._tasks = Background(f"guest {spec.name}")
        self._machine: Machine | None = None
        self._share: ShareServer | None = None
        self._held: int | None = None
        self._agent = GuestAgent(self._event, lambda _: None)
        self._keys: GuestKeys
        self._login: asyncio.Task[asyncssh.SSHClientConnection] | None = None
        self._line: socket.socket | None = None
        self._port_free = asyncio.Event()
        self._port_free.set()
        self._terminfo: dict[str, str] = {}
        self._started = time.monotonic()
        self._broken: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    # --- boot ---------------------------------------------------------------------------------------------

    async def boot(self) -> Transport:
        image = load_image(Path(self._spec.image))
        await self._start_machine(image, self._runtime())
        # the heavy imports happen while the guest's kernel starts, which takes longer
        from ccvm_tui.session.ssh_channel import SshTransport
        from ccvm_tui.ssh.keys import GuestKeys

        self._keys = GuestKeys.make()
        await self._await_hello(image)
        self._reports.phase("configure")
        self._agent.send(self._configuration())
        await self._first(self._agent.ready, READY_WITHIN, "the guest did not become ready")
        self._reports.phase("login")
        await self._connection()
        return SshTransport(self._connection)

    def _runtime(self) -> Runtime | None:
        """QEMU's runtime, if the guest has one: sound, and kept from being removed for as long as this guest lives."""
        if not self._spec.runtime:
            return None
        runtime = load_runtime(Path(self._spec.runtime))
        self._held = runtime.hold()
        runtime.quick_check()
        return runtime

    async def _start_machine(self, image: Image, runtime: Runtime | None) -> None:
        self._reports.phase("accelerator")
        spec = self._spec
        image.quick_check(spec.layer)
        sized = limits.clamp(spec.memory_mib, spec.cores, limits.Host.here())
        for warning in sized.warnings:
            self._reports.warning(warning)
        verdict = await accel.choose(_accelerator(spec.accel), image.kernel, spec.machine, runtime=runtime)
        machine_spec = MachineSpec(
            kernel=image.kernel,
            initrd=image.initrd,
            drives=tuple(Drive(path, serial) for serial, path in image.drives(spec.layer)),
            cmdline=image.cmdline,
            machine=spec.machine,
            accel=verdict.accel,
            memory_mib=sized.memory_mib,
            cores=sized.cores,
            shares=(Share(),),
            network="user" if spec.network == "user" else "none",
            seccomp=spec.seccomp,
            confine=spec.confine,
            name=spec.name,
            runtime=runtime,
        )
        await self._launch(machine_spec, verdict.reason, image)
        if verdict.accel == "kvm":
            await self._demand_life(machine_spec, image)

    async def _launch(self, spec: MachineSpec, reason: str, image: Image) -> None:
        self._reports.phase("machine")
        self._share = share = await self._start_share()
        try:
            self._machine = machine = await Machine.start(spec, self._paths, [share])
        except BootError as error:
            # QEMU does not come up without its file server, and says less about why
            if (why := await share.ended_within(SHARE_END_WITHIN)) is not None:
                raise BootError(
                    f"the file server of the project did not start: {why}",
                    "may you read the project's directory? `ccvm-tui doctor` checks the rest",
                ) from error
            raise
        machine.on_console(self._reports.console)
        self.facts = Facts(
            accel=spec.accel,
            accel_reason=reason,
            qemu_pid=machine.pid,
            machine=spec.machine,
            memory_mib=spec.memory_mib,
            cores=spec.cores,
            image=image.digest,
            agent=self._spec.layer,
        )
        self._reports.phase("kernel")
        await self._agent.open(machine.control)
        self._tasks.start(self._listen(self._agent), "control port")

    async def _start_share(self) -> ShareServer:
        """Start the file server of the project's directory; that of an earlier start ends."""
        if self._share is not None:
            await self._share.stop()
        edits = capacity = None
        if self._spec.read_only:
            edits, capacity = self._paths.empty_edits_dir(), self._spec.memory_mib << 19  # half of the guest's memory
        return await ShareServer.start(
            self._spec.project, confined=self._spec.confine, edits=str(edits or ""), capacity=capacity or 0
        )

    async def _demand_life(self, spec: MachineSpec, image: Image) -> None:
        """A guest that shows no life on KVM is started once more without it."""
        assert self._machine is not None
        try:
            async with asyncio.timeout(LIFE_WITHIN):
                await self._machine.first_sign_of_life.wait()
        except TimeoutError:
            reason = f"the guest showed no life on KVM within {LIFE_WITHIN:.0f} s"
            self._reports.warning(f"{reason}; started again with emulation (tcg), which is slower")
            accel.distrust(reason, spec.machine, runtime=spec.runtime)
            await self._launch_again(replace(spec, accel="tcg"), reason, image)

    async def _await_hello(self, image: Image) -> None:
        """A kernel that panics before its agent has spoken is given a second chance.

        Emulated processors that run in parallel sometimes lose a race as the kernel comes up (seen about once in
        300 starts, on a busy host). Up to here a guest knows nothing, so that nothing is lost either.
        """
        try:
            await self._hello()
        except BootError as error:
            machine = self._machine
            if machine is None or machine.end is None or machine.end.reason is not ExitReason.PANIC:
                raise
            log.warning("the first start failed, its console ended with:\n%s", error.console_tail)
            self._reports.warning("the guest's kernel panicked while it started; started again")
            await self._launch_again(machine.spec, self.facts.accel_reason, image)
            await self._hello()

    async def _hello(self) -> None:
        await self._first(self._agent.hello, HELLO_WITHIN, "the guest's kernel did not start its agent")

    async def _launch_again(self, spec: MachineSpec, reason: str, image: Image) -> None:
        assert self._machine is not None
        await self._machine.stop()
        self._agent = GuestAgent(self._event, lambda _: None)
        await self._launch(spec, reason, image)

    async def _listen(self, agent: GuestAgent) -> None:
        try:
            await agent.run()
        except ProtocolError as error:
            if not self._broken.done():
                self._broken.set_result(f"the guest broke the control protocol: {error}")

    async def _first(self, future: asyncio.Future[Any], within: float, otherwise: str) -> None:
        """Await ``future``; the end of the machine and the deadline are errors with the console's tail."""
        assert self._machine is not None
        end = asyncio.ensure_future(self._machine.wait())
        try:
            await asyncio.wait([future, end], timeout=within, return_when=asyncio.FIRST_COMPLETED)
            if end.done():
                raise BootError(f"the machine ended while booting: {end.result().detail}", "", self.console_tail())
            if not future.done():
                raise BootError(f"{otherwise} within {within:.0f} s", "", self.console_tail())
            error = future.exception()
            if error is None:
                return
            # a port that closes is the first sign of a machine that ends: better say what ended that
            await asyncio.wait({end}, timeout=1.0)
            message = f"the machine ended while booting: {end.result().detail}" if end.done() else str(error)
            hint = error.hint if isinstance(error, UserError) else ""
            raise BootError(message, hint, self.console_tail()) from error
        finally:
            end.cancel()

    def _configuration(self) -> Message:
        spec = self._spec
        return {
            "type": "configure",
            "hostname": spec.hostname or spec.name,
            "guest": spec.name,
            "user": {"name": USER, "uid": os.getuid(), "gid": os.getgid(), "sudo": spec.sudo},
            "ssh": {"host_key": self._keys.host_private, "authorized_key": self._keys.authorized},
            "workspace": {"tag": WORKSPACE_TAG, "path": spec.project, "local_dirs": list(spec.local_dirs)},
            "files": [],
            "time_ns": time.time_ns(),
            "entropy": os.urandom(64).hex(),
            "timezone": {"name": spec.timezone.name, "data": base64.b64encode(spec.timezone.data).decode()},
            "network": spec.network,
        }

    async def _connection(self) -> asyncssh.SSHClientConnection:
        """The SSH connection of the moment, made again when the last one broke. Raises BootError."""
        if self._login is None:
            self._login = self._tasks.start(self._log_in(), "login")
        # one for all who want it: whoever gives up waiting does not end it for the others
        return await asyncio.shield(self._login)

    async def _log_in(self) -> asyncssh.SSHClientConnection:
        from ccvm_tui.ssh import connection

        try:
            async with asyncio.timeout(PORT_FREE_WITHIN):
                await self._port_free.wait()
        except TimeoutError:
            log.warning("the guest does not say that its SSH port is free; trying all the same")
        self._port_free.clear()
        try:
            return await connection.connect(
                self._paths.ssh_socket, USER, self._keys, lambda _: self._logged_out(), self._dialled
            )
        except BaseException:
            if self._login is asyncio.current_task():
                self._login = None
            raise

    def _dialled(self, sock: socket.socket) -> None:
        self._line = sock

    def _logged_out(self) -> None:
        self._login = None

    def _hang_up(self) -> None:
        """End the SSH connection, if there is one or one is being made."""
        if self._line is not None:
            with contextlib.suppress(OSError):
                self._line.shutdown(socket.SHUT_RDWR)

    # --- life ---------------------------------------------------------------------------------------------

    def _event(self, message: Message) -> None:
        text = str(message.get("text", ""))[:500]
        match message:
            case {"kind": "attention", "session": str(session), "state": str(state)}:
                self._reports.hook(session, state, text)
            case {"kind": "ssh_ended"}:
                # the port itself never breaks, so only the guest can tell that nobody listens any more
                log.warning("the guest's SSH server ended")
                self._hang_up()
            case {"kind": "ssh_free"}:
                self._port_free.set()
            case {"kind": "oom"}:
                self._reports.happened(Happened(time.time(), "oom", text or "the guest ran out of memory"))
            case {"kind": str(kind)}:
                self._reports.happened(Happened(time.time(), kind[:40], text))
            case _:
                pass

    async def wait(self) -> str:
        assert self._machine is not None
        assert self._share is not None
        end = asyncio.ensure_future(self._machine.wait())
        share = asyncio.ensure_future(self._share.wait())
        try:
            await asyncio.wait([end, share, self._broken], return_when=asyncio.FIRST_COMPLETED)  # type: ignore[type-var]
            if share.done() and not end.done():
                # a machine that ends closes the server's connection: that is the usual order
                await asyncio.wait([end], timeout=1.0)
            if self._broken.done():
                return self._broken.result()
            return end.result().detail if end.done() else f"the file server ended: {share.result()}"
        finally:
            end.cancel()
            share.cancel()

    async def stop(self, *, force: bool) -> None:
        machine = self._machine
        if machine is not None:
            polite = not force and self._agent.ready.done() and not self._agent.ready.exception()
            if polite:
                with contextlib.suppress(Exception):
                    if machine.state == "paused":
                        await machine.resume()
                self._agent.send({"type": "stop"})
            self._hang_up()
            await machine.stop(POWEROFF_WITHIN if polite else 0.0)
        if self._share is not None:
            await self._share.stop()
        await self._tasks.close()
        if self._held is not None:
            os.close(self._held)
            self._held = None

    async def pause(self) -> None:
        assert self._machine is not None
        await self._machine.pause()
        self._nudge(0)  # what nobody answers would pile up

    async def resume(self) -> None:
        from ccvm_tui.ssh import connection

        assert self._machine is not None
        await self._machine.resume()
        self._nudge(connection.NUDGE_EVERY)
        await self._agent.request("time", REPLY_WITHIN, time_ns=time.time_ns())

    def _nudge(self, every: float) -> None:
        login = self._login
        if login is not None and login.done() and not login.cancelled() and login.exception() is None:
            login.result().set_keepalive(every)

    async def prepare(self, spec: SessionSpec) -> SessionSpec:
        if spec.term not in self._terminfo:
            self._terminfo[spec.term] = await self._introduce(spec.term, spec.terminfo)
        return msgspec.structs.replace(spec, term=self._terminfo[spec.term])

    async def _introduce(self, term: str, entry: bytes) -> str:
        """Have the guest know the terminal; returns the name that its programs are given."""
        data = base64.b64encode(entry).decode()
        try:
            if (await self._agent.request("terminfo", REPLY_WITHIN, name=term, data=data))["known"]:
                return term
            unknown = f"neither this machine nor the guest has a terminfo entry for the terminal {term[:100]!r}"
        except TimeoutError:
            return term
        except (KeyError, UserError) as error:
            unknown = f"the guest did not take the terminfo entry of the terminal {term[:100]!r}: {error}"
        self._reports.warning(f"{unknown}; programs are told that it is {FALLBACK_TERM}")
        return FALLBACK_TERM

    async def usage(self) -> Usage:
        assert self._machine is not None
        mine = self._machine.usage()
        try:
            stats = await self._agent.request("stats", REPLY_WITHIN)
        except (TimeoutError, UserError):
            stats = {}
        return Usage(
            cpu=mine.cpu,
            rss=mine.rss,
            guest_total=int(stats.get("memory_total", 0)),
            guest_available=int(stats.get("memory_available", 0)),
            guest_load=float(stats.get("load1", 0.0)),
            uptime=time.monotonic() - self._started,
        )

    async def busy(self, session: str) -> str:
        try:
            reply = await self._agent.request("processes", REPLY_WITHIN, session=session)
        except (TimeoutError, UserError):
            return ""
        return str(reply.get("command", ""))[:100] if reply.get("busy") else ""

    async def edits(self) -> Edits:
        if not self._spec.read_only or self._share is None:
            return Edits(0)
        count, names = await self._share.edits()
        return Edits(count, tuple(os.fsdecode(name)[:500] for name in names[:200]))

    def console_tail(self) -> str:
        return self._machine.console_tail() if self._machine is not None else ""


def _accelerator(wanted: str) -> accel.Wanted:
    """Raises AccelError for a word that names none."""
    match wanted:
        case "auto" | "kvm" | "tcg":
            return wanted
    raise AccelError(f"no accelerator {wanted!r}", "use auto, kvm or tcg")
