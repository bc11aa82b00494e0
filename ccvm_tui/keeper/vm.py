"""A guest in a virtual machine: boot, connections, and shutdown."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import logging
import os
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from ccvm_tui.agents.sanitize import KEY_ENDING
from ccvm_tui.aio import Background
from ccvm_tui.edits import Edits
from ccvm_tui.egress.policy import Mode
from ccvm_tui.errors import BootError, ProtocolError, UserError
from ccvm_tui.guest import Usage
from ccvm_tui.image import Image, Runtime, load_image, load_runtime
from ccvm_tui.keeper import clipboard, egress, logins, scratch
from ccvm_tui.keeper.configuration import USER, Network, configuration
from ccvm_tui.keeper.control import GuestAgent, Message
from ccvm_tui.keeper.forwards import Connection, valid_ports
from ccvm_tui.keeper.guarding import Guarding
from ccvm_tui.keeper.guests import Facts, GuestOwner
from ccvm_tui.keeper.login import Login
from ccvm_tui.keeper.shares import Shares, remember_start
from ccvm_tui.keeper.staging import Staged, messages, stage
from ccvm_tui.keeper.statistics import with_reported
from ccvm_tui.machine import Drive, ExitReason, Machine, MachineSpec, accel, limits, protection
from ccvm_tui.paths import GuestPaths
from ccvm_tui.protocol import Happened, LaunchSpec, SessionSpec
from ccvm_tui.session.channel import Transport

if TYPE_CHECKING:
    import asyncssh

    from ccvm_tui.broker.broker import Broker
    from ccvm_tui.egress.connect import Intercept

log = logging.getLogger(__name__)

CONSOLE_TIMEOUT = 8.0
"""Seconds within which a guest on KVM must print to its console. After that it is assumed not to run at all."""

HELLO_TIMEOUT = 120.0
"""Seconds from the start of the kernel to the agent's ``hello``, even if twenty guests boot under emulation."""

STALL_TIMEOUT = 90.0
"""Seconds after which a first boot without ``hello`` is given up and repeated. On two cores, five guests that boot at
the same time need 15, and twenty about 60."""

READY_TIMEOUT = 60.0
"""Seconds for the configuration of the guest, even if twenty guests boot under emulation."""

FALLBACK_TERM = "xterm-256color"
"""The terminal type of programs if no description of the host terminal is known: most terminals imitate xterm."""

SHARE_EXIT_TIMEOUT = 1.0
"""Seconds within which a failed file server exits after QEMU noticed the failure."""

POWEROFF_TIMEOUT = 5.0
"""Seconds within which a guest must power off."""

SLOW_HINT = "if this machine is busy, try again when it is not; `ccvm-tui doctor` checks the rest"

STAGING_TIMEOUT = 30.0
"""Seconds within which the user's configuration must be read. A network file system may not answer at all."""

REPLY_TIMEOUT = 3.0
"""Seconds within which the guest agent must answer the requests of this module."""


class VmGuest:
    """A guest in a virtual machine; see ``ccvm_tui.keeper.guests.Guest``."""

    def __init__(self, spec: LaunchSpec, paths: GuestPaths, owner: GuestOwner) -> None:
        self._spec = spec
        self._paths = paths
        self._owner = owner
        self.facts = Facts(machine=spec.machine, memory_mib=spec.memory_mib, cores=spec.cores, agent=spec.layer)
        self._tasks = Background(f"guest {spec.name}")
        self._machine: Machine | None = None
        self._shares = Shares(spec, paths, Guarding(spec.name, spec.project, owner.record_event).handle)
        self._mode = egress.mode_of(spec)
        self._intercepts: dict[tuple[str, int], Intercept] = {}
        self.egress = egress.service_for(spec, paths.egress_log, owner, self._intercepts)
        self._broker: Broker | None = None
        self._runtime_lock: int | None = None
        self._scratch: int | None = None
        self._agent = GuestAgent(self._event, lambda _: None)
        self._login = Login(paths.ssh_socket, USER, self._tasks)
        self._terminfo: dict[str, str] = {}
        self._started = time.monotonic()
        self._broken: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    # --- boot ---------------------------------------------------------------------------------------------

    async def boot(self) -> Transport:
        """Start the machine, configure the guest and connect to it.

        Raises ImageError or AccelError if a prerequisite is missing, BootError if the boot fails.
        """
        image = load_image(Path(self._spec.image))
        start = self._tasks.start(asyncio.to_thread(remember_start, self._spec, self._paths), "snapshot of the project")
        await self._start_machine(image, self._runtime())
        self._broker = logins.broker_for(self._spec, self._intercepts, self._owner)
        ending = self._broker.key_ending(KEY_ENDING) if self._broker is not None else ""
        work = asyncio.to_thread(stage, self._spec.sharing, self._spec.project, ending)
        staging = self._tasks.start(work, "staging")
        # imported while the guest's kernel starts, because they are slow to import
        from ccvm_tui.session.ssh_channel import SshTransport
        from ccvm_tui.ssh.keys import GuestKeys

        self._login.keys = GuestKeys.make()
        if self._spec.clipboard_images:
            self._login.on_connect = self._listen_for_clipboard
        await self._await_hello(image)
        self._owner.begin_phase("configure")
        files = [*(await self._staged(staging)).files, *logins.files_of(self._broker, self._spec)]
        for message in messages(files):
            self._agent.send(message)
        await start  # the guest can change the project as soon as it is configured
        network = Network.GATE if self.egress is not None else Network.of(self._mode)
        self._agent.send(configuration(self._spec, self._login.keys, self._shares.mounts, network))
        await self._wait_during_boot(self._agent.ready, READY_TIMEOUT, "the guest did not become ready")
        self._owner.begin_phase("login")
        await self._login.connection()
        if self._broker is None:
            return SshTransport(self._login.connection)
        return SshTransport(self._login.connection, self._broker.environment)

    async def _listen_for_clipboard(self, connection: asyncssh.SSHClientConnection) -> None:
        from ccvm_tui.ssh import requests

        try:
            await requests.listen(connection, clipboard.SOCKET, clipboard.REQUEST_MAX, self._owner.clipboard_image)
        except OSError as error:
            log.warning("the guest cannot read images from the clipboard: %s", error)

    async def _staged(self, staging: asyncio.Task[Staged]) -> Staged:
        """Return the user's files for the guest, after a warning for each that is omitted."""
        try:
            async with asyncio.timeout(STAGING_TIMEOUT):
                staged = await asyncio.shield(staging)
        except TimeoutError:
            staged = Staged(warnings=[f"your configuration could not be read within {STAGING_TIMEOUT:.0f} s"])
        for warning in staged.warnings:
            self._owner.warn(warning)
        return staged

    def _runtime(self) -> Runtime | None:
        """Return the guest's runtime, if any, checked and protected from removal until the guest ends."""
        if not self._spec.runtime:
            return None
        runtime = load_runtime(Path(self._spec.runtime))
        self._runtime_lock = runtime.acquire()
        runtime.quick_check()
        return runtime

    async def _start_machine(self, image: Image, runtime: Runtime | None) -> None:
        self._owner.begin_phase("accelerator")
        spec = self._spec
        for gap in protection.check(landlock=spec.confine, filters=spec.seccomp, required=spec.require_confinement):
            self._owner.warn(gap)
        image.quick_check(spec.layer)
        sized = limits.clamp(spec.memory_mib, spec.cores, limits.Host.here())
        for warning in sized.warnings:
            self._owner.warn(warning)
        verdict = await accel.choose(accel.valid(spec.accel), image.kernel, spec.machine, runtime=runtime)
        machine_spec = MachineSpec(
            kernel=image.kernel,
            initrd=image.initrd,
            drives=tuple(Drive(path, serial) for serial, path in image.drives(spec.layer)),
            cmdline=image.cmdline,
            machine=spec.machine,
            accel=verdict.accel,
            memory_mib=sized.memory_mib,
            cores=sized.cores,
            shares=self._shares.specs,
            network="user" if self._mode is Mode.OPEN else "none",
            egress_port=self.egress is not None,
            seccomp=spec.seccomp,
            confine=spec.confine,
            lock_memory=spec.lock_memory,
            name=spec.name,
            runtime=runtime,
        )
        if spec.lock_memory:
            limits.require_lockable(sized.memory_mib, verdict.accel)
        if spec.scratch_gib:
            self._scratch = scratch.create(spec.scratch_gib, allow_tmpfs=spec.scratch_on_tmpfs)
            if warning := scratch.shortage(spec.scratch_gib):
                self._owner.warn(warning)
        await self._launch(machine_spec, verdict.reason, image)
        if verdict.accel == "kvm":
            await self._require_console_output(machine_spec, image)

    async def _launch(self, spec: MachineSpec, reason: str, image: Image) -> None:
        self._owner.begin_phase("machine")
        servers = await self._shares.start()
        try:
            self._machine = machine = await Machine.start(spec, self._paths, servers, self._scratch)
        except BootError as error:
            # QEMU does not start without its file servers, whose error is more specific
            if (cause := await self._shares.ended_within(SHARE_EXIT_TIMEOUT)) is not None:
                raise BootError(
                    f"the file server of the project did not start: {cause}",
                    "check that you can read the project's directory; `ccvm-tui doctor` checks the rest",
                ) from error
            raise
        machine.on_console(self._owner.console_output)
        if self.egress is not None:
            assert machine.egress is not None
            await self.egress.attach(machine.egress)
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
        self._owner.begin_phase("kernel")
        await self._agent.open(machine.control)
        self._tasks.start(self._listen(self._agent), "control port")

    async def _require_console_output(self, spec: MachineSpec, image: Image) -> None:
        """Restart the guest without KVM if it prints nothing to its console."""
        assert self._machine is not None
        try:
            async with asyncio.timeout(CONSOLE_TIMEOUT):
                await self._machine.first_console_output.wait()
        except TimeoutError:
            reason = f"the guest printed nothing on KVM within {CONSOLE_TIMEOUT:.0f} s"
            self._owner.warn(f"{reason}; restarted with emulation (tcg), which is slower")
            accel.record_kvm_failure(reason, spec.machine, runtime=spec.runtime)
            await self._relaunch(replace(spec, accel="tcg"), reason, image)

    async def _await_hello(self, image: Image) -> None:
        """Wait for the agent's ``hello``, and restart the guest once if its kernel panics or stalls before that.

        A race between emulated processors sometimes makes the kernel panic (observed about once in 300 starts, on a
        busy host) or stop before it prints anything (observed once). The guest has no state yet, so nothing is lost.
        """
        try:
            await self._hello(STALL_TIMEOUT)
        except BootError as error:
            machine = self._machine
            if machine is None:
                raise
            if machine.exit is not None and machine.exit.reason is ExitReason.PANIC:
                problem = "panicked during boot"
            elif machine.exit is None and not self._agent.hello.done():
                problem = f"did not start within {STALL_TIMEOUT:.0f} s"
            else:
                raise
            log.warning("the first boot failed; the last lines of its console:\n%s", error.console_tail)
            self._owner.warn(f"the guest's kernel {problem}; the guest was restarted")
            await self._relaunch(machine.spec, self.facts.accel_reason, image)
            await self._hello(HELLO_TIMEOUT)

    async def _hello(self, within: float) -> None:
        await self._wait_during_boot(self._agent.hello, within, "the guest's kernel did not start its agent")

    async def _relaunch(self, spec: MachineSpec, reason: str, image: Image) -> None:
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

    async def _wait_during_boot(self, future: asyncio.Future[Any], within: float, failure: str) -> None:
        """Wait for ``future``.

        Raises BootError with the console's tail if the future fails, the machine exits, or ``within`` seconds pass.
        ``failure`` describes the last of these cases.
        """
        assert self._machine is not None
        end = asyncio.ensure_future(self._machine.wait())
        try:
            await asyncio.wait([future, end], timeout=within, return_when=asyncio.FIRST_COMPLETED)
            if end.done():
                raise BootError(f"the machine exited during boot: {end.result().detail}", "", self.console_tail())
            if not future.done():
                raise BootError(f"{failure} within {within:.0f} s", SLOW_HINT, self.console_tail())
            error = future.exception()
            if error is None:
                return
            # the port may be closed because the machine is exiting: then report the reason of the exit
            await asyncio.wait({end}, timeout=1.0)
            message = f"the machine exited during boot: {end.result().detail}" if end.done() else str(error)
            hint = error.hint if isinstance(error, UserError) else ""
            raise BootError(message, hint, self.console_tail()) from error
        finally:
            end.cancel()

    # --- the running guest --------------------------------------------------------------------------------

    def _event(self, message: Message) -> None:
        text = str(message.get("text", ""))[:500]
        match message:
            case {"kind": "attention", "session": str(session), "state": str(state)}:
                self._owner.report_hook(session, state, text)
            case {"kind": "link", "session": str(session), "address": str(address)}:
                self._owner.offer_link(session, address)
            case {"kind": "ssh_ended"}:
                # the port itself stays connected, so only this event shows that the connection is dead
                log.warning("the guest's SSH server exited")
                self._login.close()
            case {"kind": "ssh_free"}:
                self._login.port_free.set()
            case {"kind": "oom"}:
                self._owner.record_event(Happened(time.time(), "oom", text or "the guest ran out of memory"))
            case {"kind": str(kind)}:
                self._owner.record_event(Happened(time.time(), kind[:40], text))
            case _:
                pass

    async def wait(self) -> str:
        """Wait until QEMU or a file server exits or the guest violates the control protocol; return the reason."""
        assert self._machine is not None
        end = asyncio.ensure_future(self._machine.wait())
        share = asyncio.ensure_future(self._shares.wait())
        try:
            await asyncio.wait([end, share, self._broken], return_when=asyncio.FIRST_COMPLETED)  # type: ignore[type-var]
            if share.done() and not end.done():
                # the file servers exit when the machine exits: prefer the reason of the machine's exit
                await asyncio.wait([end], timeout=1.0)
            if self._broken.done():
                return self._broken.result()
            return end.result().detail if end.done() else f"the file server exited: {share.result()}"
        finally:
            end.cancel()
            share.cancel()

    async def stop(self, *, force: bool) -> None:
        """Power off the guest, or with ``force`` stop it at once, and reap all processes."""
        machine = self._machine
        if machine is not None:
            graceful = not force and self._agent.ready.done() and not self._agent.ready.exception()
            if graceful:
                with contextlib.suppress(Exception):
                    if machine.state == "paused":
                        await machine.resume()
                self._agent.send({"type": "stop"})
            self._login.close()
            await machine.stop(POWEROFF_TIMEOUT if graceful else 0.0)
        if self.egress is not None:
            await self.egress.close()
        if self._broker is not None:
            await self._broker.close()
        await self._shares.stop()
        await self._tasks.close()
        for fd in (self._runtime_lock, self._scratch):
            if fd is not None:
                os.close(fd)
        self._runtime_lock = self._scratch = None

    async def pause(self) -> None:
        """Stop the guest's processors. Raises StateError or MonitorError if that fails."""
        assert self._machine is not None
        await self._machine.pause()
        self._login.set_keepalive(0)  # unanswered keepalive messages would accumulate

    async def resume(self) -> None:
        """Continue the guest's processors and set its clock.

        Raises StateError or MonitorError if that fails, TimeoutError if the guest does not answer.
        """
        from ccvm_tui.ssh import connection

        assert self._machine is not None
        await self._machine.resume()
        self._login.set_keepalive(connection.KEEPALIVE_EVERY)
        await self._agent.request("time", REPLY_TIMEOUT, time_ns=time.time_ns())

    async def prepare(self, spec: SessionSpec) -> SessionSpec:
        """Install the terminal's description in the guest, and replace the terminal type if that fails."""
        if spec.term not in self._terminfo:
            self._terminfo[spec.term] = await self._install_terminfo(spec.term, spec.terminfo)
        return msgspec.structs.replace(spec, term=self._terminfo[spec.term])

    async def _install_terminfo(self, term: str, entry: bytes) -> str:
        """Install a terminfo entry in the guest unless it has one, and return the terminal type for programs."""
        data = base64.b64encode(entry).decode()
        try:
            if (await self._agent.request("terminfo", REPLY_TIMEOUT, name=term, data=data))["known"]:
                return term
            problem = f"neither this machine nor the guest has a terminfo entry for the terminal {term[:100]!r}"
        except TimeoutError:
            return term
        except (KeyError, UserError) as error:
            problem = f"the guest did not accept the terminfo entry of the terminal {term[:100]!r}: {error}"
        self._owner.warn(f"{problem}; programs use {FALLBACK_TERM}")
        return FALLBACK_TERM

    async def usage(self) -> Usage:
        """Return QEMU's usage, with the guest's own statistics if its agent answers."""
        assert self._machine is not None
        qemu = self._machine.usage()
        try:
            stats = await self._agent.request("stats", REPLY_TIMEOUT)
        except (TimeoutError, UserError):
            stats = {}
        usage = Usage(cpu=qemu.cpu, rss=qemu.rss, uptime=time.monotonic() - self._started)
        return with_reported(usage, stats)

    async def busy(self, session: str) -> str:
        """Return the command in the session's foreground.

        The result is empty if it is the session's own program, or if the guest does not answer.
        """
        try:
            reply = await self._agent.request("processes", REPLY_TIMEOUT, session=session)
        except (TimeoutError, UserError):
            return ""
        return str(reply.get("command", ""))[:100] if reply.get("busy") else ""

    async def trust(self, path: str, problems: tuple[str, ...]) -> None:
        """Make the guard accept ``problems`` of the file ``path``."""
        await self._shares.trust(path, problems)

    async def edits(self) -> Edits:
        """Return the number of edits of a read-only project, with the names of the first files."""
        return await self._shares.edits()

    async def ports(self) -> tuple[int, ...]:
        """Return the ports on which programs of the guest listen. Raises UserError if the guest does not answer."""
        try:
            return valid_ports((await self._agent.request("ports", REPLY_TIMEOUT)).get("ports"))
        except TimeoutError as error:
            raise _silent() from error

    async def connect(self, port: int) -> Connection:
        """Connect to a port of the guest's loopback interface. Raises OSError or UserError if that fails."""
        from ccvm_tui.ssh import tcp

        return await tcp.connect(await self._login.connection(), port)

    async def prepare_ssh(self) -> str:
        """Install new keys for SSH clients, and return the directory with the files for them.

        Raises UserError if the guest does not answer or does not support it.
        """
        from ccvm_tui.ssh import files

        try:
            return await files.prepare(self._spec.name, self._paths, self._install_ssh)
        except TimeoutError as error:
            raise _silent() from error

    async def _install_ssh(self, host_key: str, authorized_key: str) -> None:
        await self._agent.request("editor", REPLY_TIMEOUT, host_key=host_key, authorized_key=authorized_key)

    async def list_edits(self) -> Edits:
        """Return all edits of a read-only project, with what is needed to apply them."""
        return await self._shares.list_edits()

    async def accept_edits(self, paths: Sequence[str], *, undoing: bool) -> None:
        """Report that edits at ``paths`` were applied to the host, or are about to be undone."""
        await self._shares.accept_edits(paths, undoing=undoing)

    def console_tail(self) -> str:
        """Return the last lines of the console, or an empty string before the machine was started."""
        return self._machine.console_tail() if self._machine is not None else ""


def _silent() -> UserError:
    return UserError("the guest does not answer", "it may be paused or very busy")
