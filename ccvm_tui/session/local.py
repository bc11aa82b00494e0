"""Programs on this machine's own ptys, for a keeper without a guest.

The dashboard's tests and benchmarks use such keepers where the guest does not matter: protocol, sessions and
screen process are the real ones. Nothing that a user can type starts one, since nothing is boxed in here.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import functools
import os
import pty
import signal
import struct
import termios
from pathlib import Path
from typing import BinaryIO

from ccvm_tui.aio import Background
from ccvm_tui.errors import UserError
from ccvm_tui.guest import SessionKind, TermSize
from ccvm_tui.protocol import SessionSpec
from ccvm_tui.session.channel import ENDING, GRACE, INPUT_BACKLOG, LEFT_BEHIND, Channel, ChannelOwner

_CHUNK = 1 << 16
_IUTF8 = 0o40000  # asm-generic/termbits-common.h; the termios module does not know it
KILLED_WITHIN = 2.0

_terminals: dict[str, tuple[int, int]] = {}
"""The pty of each running session and the program that leads it, by the session's id."""


class LocalTransport:
    def __init__(self, directory: str) -> None:
        self._directory = directory
        self._tasks = Background("local programs")
        self._channels: list[Channel] = []

    async def start(self, id: str, spec: SessionSpec, owner: ChannelOwner, *, pty: bool) -> Channel:
        argv = spec.argv if spec.kind is SessionKind.COMMAND or spec.argv else (os.environ.get("SHELL", "/bin/sh"),)
        environment = {**os.environ, "TERM": spec.term, "CCVM_SESSION": id, **spec.env}
        try:
            if pty:
                channel = await _open_pty(id, argv, environment, self._directory, spec.size, owner, self._tasks)
            else:
                channel = await _open_pipes(argv, environment, self._directory, owner, self._tasks)
        except OSError as error:
            raise UserError(f"cannot start {argv[0]!r}: {error.strerror}") from error
        self._channels.append(channel)
        return channel

    async def close(self) -> None:
        for channel in self._channels:
            channel.kill()
        await self._tasks.finish(KILLED_WITHIN)


async def _open_pty(
    id: str,
    argv: tuple[str, ...],
    environment: dict[str, str],
    directory: str,
    size: TermSize,
    owner: ChannelOwner,
    tasks: Background,
) -> Channel:
    master, slave = pty.openpty()
    try:
        _set_size(slave, size)
        _expect_utf8(slave)
        # setsid makes the pty the program's controlling terminal, which subprocess itself cannot
        process = await asyncio.create_subprocess_exec(
            "setsid", "--ctty", *argv, stdin=slave, stdout=slave, stderr=slave, env=environment, cwd=directory
        )
    except BaseException:
        os.close(master)
        raise
    finally:
        os.close(slave)
    os.set_blocking(master, False)
    _terminals[id] = (master, process.pid)
    return _PtyChannel(id, process, master, owner, tasks)


class _Group:
    """A program with all that it started and did not send away."""

    def __init__(self, process: asyncio.subprocess.Process, tasks: Background) -> None:
        self._process = process
        self._group_tasks = tasks
        self._ending: asyncio.Task[None] | None = None

    def signal(self, number: int) -> None:
        if self._process.returncode is not None:
            return
        with contextlib.suppress(OSError):
            os.killpg(self._process.pid, number)
        if number in ENDING and self._ending is None:
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
        self, id: str, process: asyncio.subprocess.Process, master: int, owner: ChannelOwner, tasks: Background
    ) -> None:
        super().__init__(process, tasks)
        self._id = id
        self._master = master
        self._owner = owner
        self._input = bytearray()
        self._room = asyncio.Event()
        self._room.set()
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
        # what it printed last is still in the pty, unless a child of its own keeps that open
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LEFT_BEHIND):
                await self._drained.wait()
        self._close()
        self._owner.ended(status if status >= 0 else 128 - status, "")

    def _close(self) -> None:
        if self._master >= 0:
            self._loop.remove_reader(self._master)
            self._loop.remove_writer(self._master)
            _terminals.pop(self._id, None)
            os.close(self._master)
            self._master = -1
            self._room.set()

    def write(self, data: bytes) -> None:
        if self._master < 0:
            return
        if not self._input:
            self._loop.add_writer(self._master, self._writable)
        self._input += data
        self._writable()
        if len(self._input) > INPUT_BACKLOG:
            self._room.clear()

    def _writable(self) -> None:
        try:
            while self._input:
                del self._input[: os.write(self._master, self._input[:_CHUNK])]
        except BlockingIOError:
            if len(self._input) <= INPUT_BACKLOG:
                self._room.set()
            return
        except OSError:
            self._input.clear()
        self._room.set()
        self._loop.remove_writer(self._master)

    def write_eof(self) -> None:
        self.write(b"\x04")

    def resize(self, size: TermSize) -> None:
        if self._master >= 0:
            _set_size(self._master, size)

    def hold(self) -> None:
        if self._master >= 0 and not self._drained.is_set():
            self._loop.remove_reader(self._master)

    def release(self) -> None:
        if self._master >= 0 and not self._drained.is_set():
            self._loop.add_reader(self._master, self._readable)

    async def room(self) -> None:
        await self._room.wait()


async def _open_pipes(
    argv: tuple[str, ...], environment: dict[str, str], directory: str, owner: ChannelOwner, tasks: Background
) -> Channel:
    """Pipes of our own making: with asyncio's, a program has ended only once nobody holds them any more."""
    ours, theirs = _pipes()
    try:
        process = await asyncio.create_subprocess_exec(
            *argv,
            stdin=theirs[0],
            stdout=theirs[1],
            stderr=theirs[2],
            env=environment,
            cwd=directory,
            start_new_session=True,
        )
    except BaseException:
        for pipe in ours:
            pipe.close()
        raise
    finally:
        for fd in theirs:
            os.close(fd)
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
    """Our ends and the program's, for its standard input, output and error."""
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
        # what it printed last is still in the pipes, unless a child of its own keeps them open
        while (await asyncio.wait(copying, timeout=LEFT_BEHIND))[1] and not self._flowing.is_set():
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

    def hold(self) -> None:
        self._flowing.clear()

    def release(self) -> None:
        self._flowing.set()

    async def room(self) -> None:
        with contextlib.suppress(ConnectionError):
            await self._stdin.drain()


def _set_size(fd: int, size: TermSize) -> None:
    fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("HHHH", size.rows, size.cols, size.width, size.height))


def _expect_utf8(fd: int) -> None:
    """Let the line discipline erase whole characters (termios(3), IUTF8), as terminal emulators do."""
    attributes = termios.tcgetattr(fd)
    attributes[0] |= _IUTF8
    termios.tcsetattr(fd, termios.TCSANOW, attributes)


def foreground_of(session: str) -> str:
    """The command in the foreground of a session's terminal, or nothing when that is its own program."""
    master, leader = _terminals.get(session, (-1, -1))
    if master < 0:
        return ""
    with contextlib.suppress(OSError):
        if (group := os.tcgetpgrp(master)) not in (0, leader):
            return Path(f"/proc/{group}/comm").read_text().strip()
    return ""
