"""Programs on ptys of the host, for a keeper without a guest.

Tests and benchmarks of the dashboard use such keepers when the guest does not matter; protocol, sessions and screen
process are the real ones. No command of the user interface starts one, because these programs are not isolated.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import functools
import os
import pty
import shutil
import signal
import struct
import tempfile
import termios
from pathlib import Path
from typing import BinaryIO

from ccvm_tui.aio import Background
from ccvm_tui.errors import UserError
from ccvm_tui.guest import SessionKind, TermSize
from ccvm_tui.protocol import SessionSpec
from ccvm_tui.session.channel import END_SIGNALS, GRACE, INPUT_BACKLOG, OUTPUT_GRACE, Channel, ChannelOwner, Serve

_CHUNK = 1 << 16
_IUTF8 = 0o40000  # asm-generic/termbits-common.h; missing in the termios module

KILLED_WITHIN = 2.0
"""Seconds to wait for the ends of killed programs."""


class LocalTransport:
    """A transport that starts programs on the host, in ``directory``."""

    def __init__(self, directory: str) -> None:
        self._directory = directory
        self._tasks = Background("local programs")
        self._channels: list[Channel] = []
        self._terminals: dict[str, _PtyChannel] = {}

    async def start(self, id: str, spec: SessionSpec, owner: ChannelOwner, *, pty: bool) -> Channel:
        """Start a program on a pty or on pipes. Raises UserError if the program cannot be started."""
        argv = spec.argv if spec.kind is SessionKind.COMMAND or spec.argv else (os.environ.get("SHELL", "/bin/sh"),)
        environment = {**os.environ, "TERM": spec.term, "CCVM_SESSION": id, **spec.env}
        channel: Channel
        try:
            if pty:
                terminal = await _open_pty(argv, environment, self._directory, spec.size, owner, self._tasks)
                channel = self._terminals[id] = terminal
            else:
                channel = await _open_pipes(argv, environment, self._directory, owner, self._tasks)
        except OSError as error:
            raise UserError(f"cannot start {argv[0]!r}: {error.strerror}") from error
        self._channels.append(channel)
        return channel

    def foreground(self, session: str) -> str:
        """Return the name of the foreground command of a session, or "" if that is the session's own program."""
        terminal = self._terminals.get(session)
        return terminal.foreground() if terminal is not None else ""

    async def listen(self, name: str, serve: Serve) -> LocalListener:
        """Listen on a socket in a directory of its own. Raises OSError if that is not possible."""
        path = Path(tempfile.mkdtemp(prefix="ccvm-")) / name
        return LocalListener(await asyncio.start_unix_server(serve, path), path)

    async def close(self) -> None:
        """Kill all programs and wait for their ends."""
        for channel in self._channels:
            channel.kill()
        await self._tasks.finish(KILLED_WITHIN)


class LocalListener:
    """A socket on the host, in a private directory that is removed by ``close``."""

    def __init__(self, server: asyncio.Server, path: Path) -> None:
        self._server = server
        self._path = path

    @property
    def path(self) -> str:
        """The path of the socket."""
        return str(self._path)

    def close(self) -> None:
        """Accept no further connections."""
        self._server.close()
        shutil.rmtree(self._path.parent, ignore_errors=True)


async def _open_pty(
    argv: tuple[str, ...],
    environment: dict[str, str],
    directory: str,
    size: TermSize,
    owner: ChannelOwner,
    tasks: Background,
) -> _PtyChannel:
    master, slave = pty.openpty()
    with contextlib.ExitStack() as after, contextlib.ExitStack() as on_failure:
        after.callback(os.close, slave)
        on_failure.callback(os.close, master)
        _set_size(slave, size)
        _expect_utf8(slave)
        # setsid makes the pty the program's controlling terminal, which subprocess cannot do
        process = await asyncio.create_subprocess_exec(
            "setsid", "--ctty", *argv, stdin=slave, stdout=slave, stderr=slave, env=environment, cwd=directory
        )
        on_failure.pop_all()
    os.set_blocking(master, False)
    return _PtyChannel(process, master, owner, tasks)


class _Group:
    """A program and the other processes of its process group."""

    def __init__(self, process: asyncio.subprocess.Process, tasks: Background) -> None:
        self._process = process
        self._group_tasks = tasks
        self._ending: asyncio.Task[None] | None = None

    def signal(self, number: int) -> None:
        if self._process.returncode is not None:
            return
        with contextlib.suppress(OSError):
            os.killpg(self._process.pid, number)
        if number in END_SIGNALS and self._ending is None:
            self._ending = self._group_tasks.start(self._kill_later(), f"end of {self._process.pid}")

    def hang_up(self) -> None:
        self.signal(signal.SIGHUP)

    def kill(self) -> None:
        self.signal(signal.SIGKILL)
        if self._ending is not None:
            self._ending.cancel()

    async def _kill_later(self) -> None:
        await asyncio.sleep(GRACE)
        with contextlib.suppress(OSError):
            os.killpg(self._process.pid, signal.SIGKILL)


class _PtyChannel(_Group):
    def __init__(
        self, process: asyncio.subprocess.Process, master: int, owner: ChannelOwner, tasks: Background
    ) -> None:
        super().__init__(process, tasks)
        self._master = master
        self._owner = owner
        self._input = bytearray()
        self._input_space = asyncio.Event()
        self._input_space.set()
        self._loop = asyncio.get_running_loop()
        self._drained = asyncio.Event()
        self._loop.add_reader(master, self._readable)
        tasks.start(self._wait(), f"wait for {process.pid}")

    def _readable(self) -> None:
        try:
            data = os.read(self._master, _CHUNK)
        except BlockingIOError:
            return
        except OSError:  # EIO: the last process closed its side
            data = b""
        if data:
            self._owner.output(data, 1)
        else:
            self._loop.remove_reader(self._master)
            self._drained.set()

    async def _wait(self) -> None:
        status = await self._process.wait()
        # read the output that is still in the pty; it does not end if a child process holds the pty open
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(OUTPUT_GRACE):
                await self._drained.wait()
        self._close()
        self._owner.ended(status if status >= 0 else 128 - status, "")

    def _close(self) -> None:
        if self._master >= 0:
            self._loop.remove_reader(self._master)
            self._loop.remove_writer(self._master)
            os.close(self._master)
            self._master = -1
            self._input_space.set()

    def foreground(self) -> str:
        """Return the name of the foreground command, or "" if that is the program itself or the pty is closed."""
        if self._master < 0:
            return ""
        with contextlib.suppress(OSError):
            if (group := os.tcgetpgrp(self._master)) not in (0, self._process.pid):
                return Path(f"/proc/{group}/comm").read_text().strip()
        return ""

    def write(self, data: bytes) -> None:
        if self._master < 0:
            return
        if not self._input:
            self._loop.add_writer(self._master, self._writable)
        self._input += data
        self._writable()
        if len(self._input) > INPUT_BACKLOG:
            self._input_space.clear()

    def _writable(self) -> None:
        try:
            while self._input:
                del self._input[: os.write(self._master, self._input[:_CHUNK])]
        except BlockingIOError:
            if len(self._input) <= INPUT_BACKLOG:
                self._input_space.set()
            return
        except OSError:
            self._input.clear()
        self._input_space.set()
        self._loop.remove_writer(self._master)

    def write_eof(self) -> None:
        self.write(b"\x04")

    def resize(self, size: TermSize) -> None:
        if self._master >= 0:
            _set_size(self._master, size)

    def pause_reading(self) -> None:
        if self._master >= 0 and not self._drained.is_set():
            self._loop.remove_reader(self._master)

    def resume_reading(self) -> None:
        if self._master >= 0 and not self._drained.is_set():
            self._loop.add_reader(self._master, self._readable)

    async def drain(self) -> None:
        await self._input_space.wait()


async def _open_pipes(
    argv: tuple[str, ...], environment: dict[str, str], directory: str, owner: ChannelOwner, tasks: Background
) -> Channel:
    """Start a program on pipes.

    The pipes are created here, because with asyncio's own, ``Process.wait`` does not return while another process holds
    one of them open.
    """
    ours, theirs = _pipes()
    with contextlib.ExitStack() as after, contextlib.ExitStack() as on_failure:
        for fd in theirs:
            after.callback(os.close, fd)
        for pipe in ours:
            on_failure.callback(pipe.close)
        process = await asyncio.create_subprocess_exec(
            *argv,
            stdin=theirs[0],
            stdout=theirs[1],
            stderr=theirs[2],
            env=environment,
            cwd=directory,
            start_new_session=True,
        )
        on_failure.pop_all()
    loop = asyncio.get_running_loop()
    transport, protocol = await loop.connect_write_pipe(asyncio.streams.FlowControlMixin, ours[0])
    readers = (asyncio.StreamReader(), asyncio.StreamReader())
    transports: list[asyncio.BaseTransport] = [transport]
    for reader, pipe in zip(readers, ours[1:], strict=True):
        reading, _ = await loop.connect_read_pipe(functools.partial(asyncio.StreamReaderProtocol, reader), pipe)
        transports.append(reading)
    stdin = asyncio.StreamWriter(transport, protocol, None, loop)
    return _PipeChannel(process, stdin, readers, transports, owner, tasks)


def _pipes() -> tuple[tuple[BinaryIO, BinaryIO, BinaryIO], tuple[int, int, int]]:
    """Create pipes for standard input, output and error. Returns our ends and the program's ends."""
    (in_, stdin), (stdout, out), (stderr, err) = os.pipe(), os.pipe(), os.pipe()
    return (os.fdopen(stdin, "wb", 0), os.fdopen(stdout, "rb", 0), os.fdopen(stderr, "rb", 0)), (in_, out, err)


class _PipeChannel(_Group):
    def __init__(
        self,
        process: asyncio.subprocess.Process,
        stdin: asyncio.StreamWriter,
        readers: tuple[asyncio.StreamReader, asyncio.StreamReader],
        transports: list[asyncio.BaseTransport],
        owner: ChannelOwner,
        tasks: Background,
    ) -> None:
        super().__init__(process, tasks)
        self._stdin = stdin
        self._readers = readers
        self._transports = transports
        self._owner = owner
        self._flowing = asyncio.Event()
        self._flowing.set()
        tasks.start(self._run(), f"pipes of {process.pid}")

    async def _run(self) -> None:
        copying = [asyncio.ensure_future(self._copy(reader, number)) for number, reader in enumerate(self._readers, 1)]
        status = await self._process.wait()
        # read the output that is still in the pipes; it does not end if a child process holds a pipe open
        while (await asyncio.wait(copying, timeout=OUTPUT_GRACE))[1] and not self._flowing.is_set():
            await self._flowing.wait()
        for transport in self._transports:
            transport.close()
        for task in copying:
            task.cancel()
        await asyncio.gather(*copying, return_exceptions=True)
        self._owner.ended(status if status >= 0 else 128 - status, "")

    async def _copy(self, reader: asyncio.StreamReader, stream: int) -> None:
        while data := await reader.read(_CHUNK):
            self._owner.output(data, stream)
            await self._flowing.wait()

    def write(self, data: bytes) -> None:
        if not self._stdin.is_closing():
            self._stdin.write(data)

    def write_eof(self) -> None:
        self._stdin.close()

    def resize(self, size: TermSize) -> None:
        pass

    def pause_reading(self) -> None:
        self._flowing.clear()

    def resume_reading(self) -> None:
        self._flowing.set()

    async def drain(self) -> None:
        with contextlib.suppress(ConnectionError):
            await self._stdin.drain()


def _set_size(fd: int, size: TermSize) -> None:
    fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("HHHH", size.rows, size.cols, size.width, size.height))


def _expect_utf8(fd: int) -> None:
    """Make the line discipline erase whole characters (termios(3), IUTF8), as terminal emulators do."""
    attributes = termios.tcgetattr(fd)
    attributes[0] |= _IUTF8
    termios.tcsetattr(fd, termios.TCSANOW, attributes)
