"""One QEMU process, from its start to its reaping."""

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
from ccvm_tui.machine.grants import find_program, qemu_rules
from ccvm_tui.machine.monitor import Monitor, MonitorError
from ccvm_tui.machine.spec import MachineFds, MachineSpec, ShareFds
from ccvm_tui.paths import GuestPaths

log = logging.getLogger(__name__)

GREETING_TIMEOUT = 20.0
"""Seconds from the launch to QMP's greeting; it takes a tenth of one on an idle host."""

QUIT_GRACE = 2.0
TERM_GRACE = 2.0
_PANIC = b"Kernel panic - not syncing"
_SIGSYS = 31


class State(StrEnum):
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
    """The machine is not in a state in which that can be done."""


class ExitReason(StrEnum):
    GUEST = "guest"
    """The guest powered off or reset."""
    PANIC = "panic"
    STOPPED = "stopped"
    """We asked QEMU to end."""
    KILLED = "killed"
    """A signal from outside ended QEMU."""
    FAILED = "failed"
    """QEMU gave up, or never came up: an option, a file, the accelerator."""


@dataclass(frozen=True, slots=True)
class MachineExit:
    """How a machine ended. ``status`` is QEMU's: negative is a signal. ``detail`` is one line for people."""

    reason: ExitReason
    status: int
    detail: str


class ShareEnds(Protocol):
    """QEMU's ends of the two connections to a file server."""

    device: socket.socket
    helper: socket.socket


class Machine:
    """A running QEMU with its four sockets: monitor, console, control port, and the ssh port's listener.

    Made by ``Machine.start``. ``control`` is the connected, non-blocking socket of the control port and belongs
    to the caller. On ``ssh_path`` QEMU serves one connection at a time; one that comes within milliseconds of
    the end of the last may be closed at once, and is then to be made again.

    The fork happens in the calling thread, and QEMU dies with that thread (prctl(2), PR_SET_PDEATHSIG): call
    from one that lives as long as the guest should, as an event loop's does.
    """

    def __init__(self, spec: MachineSpec, paths: GuestPaths, control: socket.socket) -> None:
        self.spec = spec
        self.ssh_path = paths.ssh_socket
        self.control = control
        self._state = State.STARTING
        self._console = BoundedLog(paths.console_log, CONSOLE_LIMIT)
        self._words = BoundedLog(paths.qemu_log, QEMU_LIMIT)
        self._console_reader = LogReader(self._console)
        self._child: Child
        self._monitor: Monitor | None = None
        self._watch: asyncio.Task[MachineExit]
        self._psutil: psutil.Process | None = None
        self._asked_to_end = False

    @classmethod
    async def start(cls, spec: MachineSpec, paths: GuestPaths, shares: Sequence[ShareEnds] = ()) -> Machine:
        """Launch QEMU and shake hands with its monitor; the guest's processors run when this returns.

        ``shares`` are QEMU's ends of the connections to the file servers, one for each share of ``spec``; they are
        closed here. ``paths.dir`` must exist. Raises PrerequisiteError when QEMU is missing, BootError with QEMU's
        words when it does not come up, OSError when a socket cannot be made. Whatever is raised, nothing is left
        running.
        """
        program = find_program(spec)
        if spec.accel == "tcg" and not spec.tsc_khz:
            spec = replace(spec, tsc_khz=await tsc.host_khz() or 0)
        with contextlib.ExitStack() as theirs, contextlib.ExitStack() as on_failure:
            for share in shares:
                theirs.enter_context(share.device)
                theirs.enter_context(share.helper)
            ssh = theirs.enter_context(_listening(paths.ssh_socket))
            on_failure.callback(lambda: paths.ssh_socket.unlink(missing_ok=True))
            pairs = [socket.socketpair() for _ in range(3)]
            for ours, other in pairs:
                theirs.enter_context(other)
                on_failure.enter_context(ours)
                ours.setblocking(False)
            (qmp, qmp_end), (console, console_end), (control, control_end) = pairs
            machine = cls(spec, paths, control)
            on_failure.callback(machine._console.close)
            on_failure.callback(machine._words.close)
            fds = MachineFds(
                qmp=qmp_end.fileno(),
                console=console_end.fileno(),
                control=control_end.fileno(),
                ssh=ssh.fileno(),
                shares=tuple(ShareFds(share.device.fileno(), share.helper.fileno()) for share in shares),
            )
            machine._child = Child(await _spawn(spec, program, fds))
            on_failure.callback(machine._child.close)
            try:
                theirs.close()  # with our copies closed, end-of-file on the others means that QEMU is gone
                await machine._come_up(qmp, console)
            except BaseException:
                await machine._child.end(0.0)
                raise
            on_failure.pop_all()
        return machine

    async def _come_up(self, qmp: socket.socket, console: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        transport, _ = await loop.create_connection(lambda: self._console_reader, sock=console)
        words = loop.create_task(self._read_words(), name=f"qemu log {self.spec.name}")
        try:
            async with asyncio.timeout(GREETING_TIMEOUT):
                self._monitor = await Monitor.connect(qmp, self.spec.name)
                if self.spec.kernel is not None:
                    await self._monitor.resume()
        except BaseException as error:
            status = await self._child.end(0.0 if isinstance(error, asyncio.CancelledError) else 1.0)
            await words  # ends with QEMU: nobody else has its stderr
            transport.abort()
            if self._monitor is not None:
                await self._monitor.close()
            if not isinstance(error, (MonitorError, TimeoutError)):
                raise
            raise BootError(
                f"QEMU did not come up (status {status}): {self._last_words() or error}",
                "`ccvm-tui doctor` checks what QEMU needs",
                console_tail=self._words.tail(20),
            ) from error
        self._move(State.RUNNING)
        self._watch = loop.create_task(self._until_exit(words), name=f"machine {self.spec.name}")

    async def _read_words(self) -> None:
        stdout = self._child.process.stdout
        assert stdout is not None
        while data := await stdout.read(1 << 16):
            self._words.write(data)

    async def _until_exit(self, words: asyncio.Task[None]) -> MachineExit:
        """Wait for QEMU's end, collect what it said last, and let go of everything that is its."""
        status = await self._child.wait()
        # Its ends of the sockets are closed now; what is still in them is read before the logs are closed.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(1.0):
                await self._console_reader.closed.wait()
                await words
        words.cancel()
        assert self._monitor is not None
        await self._monitor.close()
        result = self._explain(status)
        self._state = State.EXITED
        self._console.close()
        self._words.close()
        self._child.close()
        with contextlib.suppress(OSError):
            self.ssh_path.unlink(missing_ok=True)
        log.info("qemu %d ended: %s (%s)", self._child.pid, result.reason, result.detail)
        return result

    def _explain(self, status: int) -> MachineExit:
        assert self._monitor is not None
        shutdown = self._monitor.shutdown
        by_guest = shutdown is not None and bool(shutdown.data.get("guest"))
        if self._monitor.panicked or (by_guest and _PANIC in self._console):
            return MachineExit(ExitReason.PANIC, status, "the guest's kernel panicked")
        if by_guest and status == 0:
            return MachineExit(ExitReason.GUEST, status, "the guest powered off")
        if self._asked_to_end:
            return MachineExit(ExitReason.STOPPED, status, "stopped")
        if status == -_SIGSYS:
            return MachineExit(ExitReason.FAILED, status, "QEMU made a system call that its seccomp filter forbids")
        if status < 0:
            return MachineExit(ExitReason.KILLED, status, f"QEMU was killed by signal {-status}")
        if shutdown is not None and str(shutdown.data.get("reason", "")).startswith("host-signal"):
            return MachineExit(ExitReason.KILLED, status, "QEMU was told to end by a signal")
        return MachineExit(ExitReason.FAILED, status, self._last_words() or f"QEMU ended with status {status}")

    def _last_words(self) -> str:
        return self._words.tail(1).strip()

    # What callers see and do

    @property
    def state(self) -> State:
        return self._state

    @property
    def pid(self) -> int:
        """The launcher's and, since it becomes QEMU, QEMU's."""
        return self._child.pid

    @property
    def monitor(self) -> Monitor:
        assert self._monitor is not None
        return self._monitor

    @property
    def first_sign_of_life(self) -> asyncio.Event:
        """Set when the guest has printed its first byte on the console."""
        return self._console_reader.first_byte

    def on_console(self, listener: Callable[[bytes], None]) -> None:
        """``listener`` gets everything that the guest prints, from its first byte on. One listener."""
        self._console_reader.also_tell(listener)

    def console_tail(self, lines: int = 20) -> str:
        """The last lines of the console; of a panic those that say why, since its trace alone fills more."""
        return self._console.tail(lines, showing=_PANIC.decode())

    def qemu_tail(self, lines: int = 20) -> str:
        return self._words.tail(lines)

    async def pause(self) -> None:
        """Stop the guest's processors. Raises StateError, MonitorError."""
        self._move(State.PAUSED)
        try:
            await self.monitor.pause()
        except MonitorError:
            self._move_if(State.PAUSED, State.RUNNING)
            raise

    async def resume(self) -> None:
        """Let the guest's processors run again. Raises StateError, MonitorError."""
        if self._state is not State.PAUSED:
            raise StateError(f"the machine is {self._state}, not paused")
        await self.monitor.resume()
        self._move_if(State.PAUSED, State.RUNNING)

    @property
    def end(self) -> MachineExit | None:
        """How the machine ended, if it has."""
        return self._watch.result() if self._watch.done() and not self._watch.cancelled() else None

    async def wait(self) -> MachineExit:
        """Until QEMU has ended and is reaped. Cancelling the wait leaves QEMU alone."""
        return await asyncio.shield(self._watch)

    async def stop(self, grace: float = 0.0) -> MachineExit:
        """End the machine; QEMU is reaped when this returns, also when it is cancelled on the way.

        ``grace`` seconds are given to a guest that was asked to power off beforehand. Then QMP ``quit``, then
        SIGTERM, then SIGKILL. May be called in any state and more than once.
        """
        was_paused = self._state is State.PAUSED
        self._move_if(State.RUNNING, State.STOPPING)
        self._move_if(State.PAUSED, State.STOPPING)
        try:
            if grace > 0 and not was_paused and await self._ended_within(grace):
                return await self.wait()
            self._asked_to_end = True
            if not await self._quit():
                await self._child.end(TERM_GRACE)
            return await self.wait()
        except asyncio.CancelledError:
            self._asked_to_end = True
            self._child.send_signal(signal.SIGKILL)
            await asyncio.shield(self._watch)
            raise

    async def _quit(self) -> bool:
        """Ask QEMU to end; True when it has. One that does not even answer gets no more time."""
        try:
            async with asyncio.timeout(QUIT_GRACE):
                await self.monitor.quit()
        except (MonitorError, TimeoutError):
            return self._watch.done()
        return await self._ended_within(QUIT_GRACE)

    async def _ended_within(self, seconds: float) -> bool:
        await asyncio.wait([self._watch], timeout=seconds)
        return self._watch.done()

    def usage(self) -> Usage:
        """QEMU's processor use in percent of one core since the last call, and its memory in bytes."""
        try:
            if self._psutil is None:
                self._psutil = psutil.Process(self.pid)
            with self._psutil.oneshot():
                return Usage(cpu=self._psutil.cpu_percent(None), rss=self._psutil.memory_info().rss)
        except psutil.Error:
            return Usage()

    def _move(self, new: State) -> None:
        if new not in _TRANSITIONS[self._state]:
            raise StateError(f"a machine that is {self._state} cannot become {new}")
        self._state = new

    def _move_if(self, old: State, new: State) -> None:
        if self._state is old:
            self._move(new)

    def __repr__(self) -> str:
        return f"Machine({self.spec.name!r}, pid={self.pid}, {self._state})"


@contextlib.contextmanager
def _listening(path: Path) -> Iterator[socket.socket]:
    """A unix socket that listens on ``path``, mode 0600 from its first moment."""
    path.unlink(missing_ok=True)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        # bind(2) takes the mode of the new file from the socket's own inode: no moment with a wider one.
        os.fchmod(sock.fileno(), 0o600)
        sock.bind(os.fsencode(path))
        sock.listen(1)
        yield sock


async def _spawn(spec: MachineSpec, program: Path, fds: MachineFds) -> asyncio.subprocess.Process:
    order = launch.Order(
        parent=os.getpid(),
        program=str(program),
        argv=tuple(argv(spec, fds)),
        rules=qemu_rules(spec, program) if spec.confine else None,
        connect_tcp=spec.network == "user",
    )
    # A session of its own: Ctrl+C in the terminal where the keeper was started is not meant for the guest.
    return await asyncio.create_subprocess_exec(
        *launch.command(order),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        pass_fds=fds.all(),
        start_new_session=True,
        env=launch.environment(),
        cwd="/",
    )
