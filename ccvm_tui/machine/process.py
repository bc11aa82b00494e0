"""One QEMU process, from its start until it is reaped."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Protocol

import psutil

from ccvm_tui.aio import Child
from ccvm_tui.errors import BootError, CcvmError
from ccvm_tui.guest import Usage
from ccvm_tui.machine import launch, tsc
from ccvm_tui.machine.argv import argv
from ccvm_tui.machine.console import CONSOLE_LIMIT, QEMU_LIMIT, BoundedLog, LogReader
from ccvm_tui.machine.grants import find_program, qemu_denied, qemu_limits, qemu_rules
from ccvm_tui.machine.monitor import Monitor, MonitorError
from ccvm_tui.machine.spec import MachineFds, MachineSpec, ShareFds
from ccvm_tui.paths import GuestPaths

log = logging.getLogger(__name__)

GREETING_TIMEOUT = 20.0
"""Seconds from the launch to QMP's greeting; on an idle host it takes about 0.1."""

QUIT_GRACE = 2.0
"""Seconds within which QEMU must exit after the QMP command ``quit``."""

TERM_GRACE = 2.0
"""Seconds within which QEMU must exit after SIGTERM."""

_PANIC = b"Kernel panic - not syncing"
_SIGSYS = 31


class State(StrEnum):
    """The state of a machine."""

    STARTING = "starting"
    RUNNING = "running"
    PAUSED = "paused"
    STOPPING = "stopping"
    EXITED = "exited"


_TRANSITIONS: dict[State, frozenset[State]] = {
    State.STARTING: frozenset({State.RUNNING, State.STOPPING, State.EXITED}),
    State.RUNNING: frozenset({State.PAUSED, State.STOPPING, State.EXITED}),
    State.PAUSED: frozenset({State.RUNNING, State.STOPPING, State.EXITED}),
    State.STOPPING: frozenset({State.EXITED}),
    State.EXITED: frozenset(),
}


class StateError(CcvmError):
    """The machine's state does not allow the operation."""


class ExitReason(StrEnum):
    """The cause of QEMU's exit."""

    GUEST = "guest"
    """The guest powered off or reset."""
    PANIC = "panic"
    """The guest's kernel panicked."""
    STOPPED = "stopped"
    """``Machine.stop`` made QEMU exit."""
    KILLED = "killed"
    """A signal from outside terminated QEMU."""
    FAILED = "failed"
    """QEMU failed or never started, because of an option, a file or the accelerator."""


@dataclass(frozen=True, slots=True)
class MachineExit:
    """The exit of a machine.

    ``status`` is QEMU's exit status, negative for a signal. ``detail`` is a description of one line for users.
    """

    reason: ExitReason
    status: int
    detail: str


class ShareSockets(Protocol):
    """QEMU's sockets of the two connections to a file server."""

    device: socket.socket
    helper: socket.socket


class Machine:
    """A running QEMU with its sockets: monitor, console, control port, egress port, and the listener of the SSH port.

    ``Machine.start`` creates it. ``control`` is the connected, non-blocking socket of the control port, and belongs to
    the caller, like ``egress``, which is None unless the machine has that port. On ``ssh_path`` QEMU serves one
    connection at a time. A connection made within milliseconds of the end of the previous one may be closed at once;
    the client must then retry.

    QEMU is forked by the calling thread and is killed when that thread exits (prctl(2), PR_SET_PDEATHSIG). The thread
    must therefore live as long as the guest, like that of the event loop.
    """

    def __init__(
        self, spec: MachineSpec, paths: GuestPaths, control: socket.socket, egress: socket.socket | None = None
    ) -> None:
        self.spec = spec
        self.ssh_path = paths.ssh_socket
        self.control = control
        self.egress = egress
        self._state = State.STARTING
        self._console = BoundedLog(paths.console_log, CONSOLE_LIMIT)
        self._qemu_log = BoundedLog(paths.qemu_log, QEMU_LIMIT)
        self._console_reader = LogReader(self._console)
        self._child: Child
        self._monitor: Monitor | None = None
        self._watch: asyncio.Task[MachineExit]
        self._psutil: psutil.Process | None = None
        self._stop_requested = False

    @classmethod
    async def start(
        cls, spec: MachineSpec, paths: GuestPaths, shares: Sequence[ShareSockets] = (), scratch: int | None = None
    ) -> Machine:
        """Launch QEMU, connect to its monitor and start the guest's processors.

        ``shares`` are QEMU's sockets of the connections to the file servers, one element per share of ``spec``; they
        are closed here. ``scratch`` is the descriptor of the scratch disk's file. ``paths.dir`` must exist. On failure
        or cancellation no process is left running. Raises PrerequisiteError if QEMU is missing, BootError with QEMU's
        output if it does not start, OSError if a socket cannot be created.
        """
        program = find_program(spec)
        if spec.accel == "tcg" and not spec.tsc_khz:
            spec = replace(spec, tsc_khz=await tsc.host_khz() or 0)
        async with contextlib.AsyncExitStack() as on_failure:
            theirs = on_failure.enter_context(contextlib.ExitStack())
            for share in shares:
                theirs.enter_context(share.device)
                theirs.enter_context(share.helper)
            ssh = theirs.enter_context(_listening(paths.ssh_socket))
            on_failure.callback(lambda: paths.ssh_socket.unlink(missing_ok=True))
            pairs = [socket.socketpair() for _ in range(4 if spec.egress_port else 3)]
            for ours, other in pairs:
                theirs.enter_context(other)
                on_failure.enter_context(ours)
                ours.setblocking(False)
            (qmp, qmp_end), (console, console_end), (control, control_end), *others = pairs
            egress, egress_end = others[0] if others else (None, None)
            machine = cls(spec, paths, control, egress)
            on_failure.callback(machine._console.close)
            on_failure.callback(machine._qemu_log.close)
            fds = MachineFds(
                qmp=qmp_end.fileno(),
                console=console_end.fileno(),
                control=control_end.fileno(),
                ssh=ssh.fileno(),
                egress=egress_end.fileno() if egress_end is not None else None,
                shares=tuple(ShareFds(share.device.fileno(), share.helper.fileno()) for share in shares),
                scratch=scratch,
            )
            machine._child = Child(await _spawn(spec, program, fds))
            on_failure.callback(machine._child.close)
            on_failure.push_async_callback(machine._child.end, 0.0)
            theirs.close()  # without copies in this process, end-of-file on our sockets means that QEMU exited
            await machine._connect(qmp, console)
            on_failure.pop_all()
        return machine

    async def _connect(self, qmp: socket.socket, console: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        transport, _ = await loop.create_connection(lambda: self._console_reader, sock=console)
        logging_output = loop.create_task(self._log_output(), name=f"qemu log {self.spec.name}")
        try:
            async with asyncio.timeout(GREETING_TIMEOUT):
                self._monitor = await Monitor.connect(qmp, self.spec.name)
                if self.spec.kernel is not None:
                    await self._monitor.resume()
        except BaseException as error:
            status = await self._child.end(0.0 if isinstance(error, asyncio.CancelledError) else 1.0)
            await logging_output  # ends with QEMU, the only process that has this pipe
            transport.abort()
            if self._monitor is not None:
                await self._monitor.close()
            if not isinstance(error, (MonitorError, TimeoutError)):
                raise
            raise BootError(
                f"QEMU did not start (status {status}): {self._last_output_line() or error}",
                "`ccvm-tui doctor` checks what QEMU needs",
                console_tail=self._qemu_log.tail(20),
            ) from error
        self._move(State.RUNNING)
        self._watch = loop.create_task(self._until_exit(logging_output), name=f"machine {self.spec.name}")

    async def _log_output(self) -> None:
        stdout = self._child.process.stdout
        assert stdout is not None
        while data := await stdout.read(1 << 16):
            self._qemu_log.write(data)

    async def _until_exit(self, logging_output: asyncio.Task[None]) -> MachineExit:
        """Wait for QEMU's exit, read its remaining output, and release all resources."""
        status = await self._child.wait()
        # QEMU has closed its sockets; read the data still buffered in ours before the logs are closed.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(1.0):
                await self._console_reader.closed.wait()
                await logging_output
        logging_output.cancel()
        assert self._monitor is not None
        await self._monitor.close()
        result = self._explain(status)
        self._state = State.EXITED
        self._console.close()
        self._qemu_log.close()
        self._child.close()
        with contextlib.suppress(OSError):
            self.ssh_path.unlink(missing_ok=True)
        log.info("qemu %d exited: %s (%s)", self._child.pid, result.reason, result.detail)
        return result

    def _explain(self, status: int) -> MachineExit:
        assert self._monitor is not None
        shutdown = self._monitor.shutdown
        by_guest = shutdown is not None and bool(shutdown.data.get("guest"))
        if self._monitor.panicked or (by_guest and _PANIC in self._console):
            return MachineExit(ExitReason.PANIC, status, "the guest's kernel panicked")
        if by_guest and status == 0:
            return MachineExit(ExitReason.GUEST, status, "the guest powered off")
        if self._stop_requested:
            return MachineExit(ExitReason.STOPPED, status, "stopped")
        if status == -_SIGSYS:
            return MachineExit(ExitReason.FAILED, status, "QEMU made a system call that its seccomp filter forbids")
        if status < 0:
            return MachineExit(ExitReason.KILLED, status, f"QEMU was killed by signal {-status}")
        if shutdown is not None and str(shutdown.data.get("reason", "")).startswith("host-signal"):
            return MachineExit(ExitReason.KILLED, status, "QEMU was terminated by a signal")
        return MachineExit(ExitReason.FAILED, status, self._last_output_line() or f"QEMU exited with status {status}")

    def _last_output_line(self) -> str:
        return self._qemu_log.tail(1).strip()

    # --- the interface of a running machine ---------------------------------------------------------------

    @property
    def state(self) -> State:
        """The state of the machine."""
        return self._state

    @property
    def pid(self) -> int:
        """The pid of QEMU, which is that of the launcher."""
        return self._child.pid

    @property
    def monitor(self) -> Monitor:
        """The QMP connection."""
        assert self._monitor is not None
        return self._monitor

    @property
    def first_console_output(self) -> asyncio.Event:
        """An event that is set when the guest prints its first byte on the console."""
        return self._console_reader.first_byte

    def on_console(self, listener: Callable[[bytes], None]) -> None:
        """Pass the guest's console output, from its first byte on, to ``listener``. There is one listener."""
        self._console_reader.subscribe(listener)

    def console_tail(self, lines: int = 20) -> str:
        """Return the last lines of the console.

        After a panic, return the lines from its message on, since the trace after it would fill the whole tail.
        """
        return self._console.tail(lines, marker=_PANIC.decode())

    async def pause(self) -> None:
        """Stop the guest's processors.

        Raises StateError if the machine is not running, MonitorError if QEMU does not carry out the command.
        """
        self._move(State.PAUSED)
        try:
            await self.monitor.pause()
        except MonitorError:
            self._move_if(State.PAUSED, State.RUNNING)
            raise

    async def resume(self) -> None:
        """Continue the guest's processors.

        Raises StateError if the machine is not paused, MonitorError if QEMU does not carry out the command.
        """
        if self._state is not State.PAUSED:
            raise StateError(f"the machine is {self._state}, not paused")
        await self.monitor.resume()
        self._move_if(State.PAUSED, State.RUNNING)

    @property
    def exit(self) -> MachineExit | None:
        """The exit of the machine, or None while it runs."""
        return self._watch.result() if self._watch.done() and not self._watch.cancelled() else None

    async def wait(self) -> MachineExit:
        """Wait until QEMU has exited and is reaped. Cancelling the wait does not affect QEMU."""
        return await asyncio.shield(self._watch)

    async def stop(self, grace: float = 0.0) -> MachineExit:
        """Stop the machine and wait until QEMU is reaped, even if the call is cancelled.

        A guest that was asked to power off has ``grace`` seconds to do so. After that come QMP ``quit``, SIGTERM and
        SIGKILL. The method may be called in any state, repeatedly.
        """
        was_paused = self._state is State.PAUSED
        self._move_if(State.RUNNING, State.STOPPING)
        self._move_if(State.PAUSED, State.STOPPING)
        try:
            if grace > 0 and not was_paused and await self._exits_within(grace):
                return await self.wait()
            self._stop_requested = True
            if not await self._quit():
                await self._child.end(TERM_GRACE)
            return await self.wait()
        except asyncio.CancelledError:
            self._stop_requested = True
            self._child.send_signal(signal.SIGKILL)
            await asyncio.shield(self._watch)
            raise

    async def _quit(self) -> bool:
        """Send QMP ``quit`` and return whether QEMU has exited. A QEMU that does not reply gets no further grace."""
        try:
            async with asyncio.timeout(QUIT_GRACE):
                await self.monitor.quit()
        except (MonitorError, TimeoutError):
            return self._watch.done()
        return await self._exits_within(QUIT_GRACE)

    async def _exits_within(self, seconds: float) -> bool:
        await asyncio.wait([self._watch], timeout=seconds)
        return self._watch.done()

    def usage(self) -> Usage:
        """Return QEMU's CPU usage since the last call, in percent of one core, and its resident memory in bytes.

        Both are 0 if QEMU has exited.
        """
        try:
            if self._psutil is None:
                self._psutil = psutil.Process(self.pid)
            with self._psutil.oneshot():
                return Usage(cpu=self._psutil.cpu_percent(None), rss=self._psutil.memory_info().rss)
        except psutil.Error:
            return Usage()

    def _move(self, new: State) -> None:
        if new not in _TRANSITIONS[self._state]:
            raise StateError(f"the machine is {self._state} and cannot become {new}")
        self._state = new

    def _move_if(self, old: State, new: State) -> None:
        if self._state is old:
            self._move(new)

    def __repr__(self) -> str:
        return f"Machine({self.spec.name!r}, pid={self.pid}, {self._state})"


@contextlib.contextmanager
def _listening(path: Path) -> Iterator[socket.socket]:
    """Yield a unix socket that listens on ``path``, which has mode 0600 from its creation on."""
    path.unlink(missing_ok=True)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        # bind(2) copies the mode of the new file from the socket's inode, so the file never has a wider mode.
        os.fchmod(sock.fileno(), 0o600)
        sock.bind(os.fsencode(path))
        sock.listen(1)
        yield sock


async def _spawn(spec: MachineSpec, program: Path, fds: MachineFds) -> asyncio.subprocess.Process:
    request = launch.LaunchRequest(
        parent=os.getpid(),
        program=str(program),
        argv=tuple(argv(spec, fds)),
        rules=qemu_rules(spec, program) if spec.confine else None,
        connect_tcp=spec.network == "user",
        denied=qemu_denied(spec),
        limits=tuple(qemu_limits(spec).items()),
        isolated=spec.confine and spec.network == "none",
    )
    # QEMU gets its own session, so that Ctrl+C in the terminal of the keeper does not reach it.
    return await asyncio.create_subprocess_exec(
        *launch.command(request),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        pass_fds=fds.all(),
        start_new_session=True,
        env=launch.environment(),
        cwd="/",
    )
