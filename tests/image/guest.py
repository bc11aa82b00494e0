"""A real guest for tests: the built image in a real machine, its control port, and SSH."""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import asyncssh

from ccvm_tui.guest import SessionKind
from ccvm_tui.image import Image
from ccvm_tui.keeper.control import GuestAgent
from ccvm_tui.machine import Drive, Machine, MachineSpec, Share
from ccvm_tui.paths import GuestPaths
from ccvm_tui.protocol import SessionSpec
from ccvm_tui.session.channel import Channel
from ccvm_tui.session.ssh_channel import SshTransport
from ccvm_tui.share.process import ShareServer
from ccvm_tui.ssh import connection
from ccvm_tui.ssh.keys import GuestKeys
from tests.waiting import eventually


class RunningProgram:
    """A program without a terminal, with the bytes ``printed`` on each stream and its exit ``status``."""

    channel: Channel

    def __init__(self) -> None:
        self.printed = {1: b"", 2: b""}
        self.status: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    def output(self, data: bytes, stream: int) -> None:
        self.printed[stream] += data

    def ended(self, status: int, _: str) -> None:
        self.status.set_result(status)


class RealGuest:
    """A booted guest. ``times`` has the seconds from the start of the machine to hello, ready and login."""

    def __init__(
        self, machine: Machine, agent: GuestAgent, keys: GuestKeys, ssh_socket: Path, share: ShareServer
    ) -> None:
        self.machine = machine
        self.agent = agent
        self.keys = keys
        self.share = share
        self.ssh_socket = ssh_socket
        self.events: list[dict[str, Any]] = []
        self.times: dict[str, float] = {}
        self.ssh: asyncssh.SSHClientConnection

    async def login(self) -> asyncssh.SSHClientConnection:
        return await connection.connect(self.ssh_socket, "dev", self.keys, lambda _: None)

    async def start(self, *argv: str) -> RunningProgram:
        """Start a program in the guest in the same way as a keeper."""

        async def connection() -> asyncssh.SSHClientConnection:
            return self.ssh

        program = RunningProgram()
        spec = SessionSpec(SessionKind.COMMAND, argv)
        program.channel = await SshTransport(connection).start("t", spec, program, pty=False)
        return program

    async def run(self, script: str, stdin: str | None = None) -> str:
        """Run a shell script in the guest and return its output. The test fails if the script fails."""
        program = await self.start("sh", "-euc", script)
        if stdin is not None:
            program.channel.write(stdin.encode())
        program.channel.write_eof()
        status = await program.status
        assert status == 0, (status, program.printed)
        return program.printed[1].decode()

    async def event(self, kind: str, within: float = 30.0) -> dict[str, Any]:
        """Remove and return the first pending event of ``kind``."""
        await eventually(lambda: any(event["kind"] == kind for event in self.events), within=within)
        return self.events.pop(next(index for index, event in enumerate(self.events) if event["kind"] == kind))


@contextlib.asynccontextmanager
async def booted(
    image: Image,
    runtime: Path,
    project: Path,
    *,
    machine: str = "microvm",
    layer: str = "none",
    read_only: bool = False,
    network: str = "user",
    memory: int = 1024,
    files: Sequence[dict[str, Any]] = (),
    **configure: Any,
) -> AsyncIterator[RealGuest]:
    paths = GuestPaths("image-test", runtime)
    paths.dir.mkdir(parents=True, exist_ok=True)
    spec = MachineSpec(
        kernel=image.kernel,
        initrd=image.initrd,
        drives=tuple(Drive(path, serial) for serial, path in image.drives(layer)),
        cmdline=image.cmdline,
        machine=machine,
        accel="tcg",
        memory_mib=memory,
        cores=1,
        shares=(Share(),),
        network=network,  # type: ignore[arg-type]
        seccomp=True,
        confine=True,
        name=paths.name,
    )
    keys = GuestKeys.make()
    started = time.monotonic()
    edits = str(paths.empty_edits_dir()) if read_only else ""
    share = await ShareServer.start(str(project), edits=edits, capacity=memory << 19)
    running = await Machine.start(spec, paths, [share])
    guest: RealGuest
    agent = GuestAgent(lambda event: guest.events.append(event), lambda _: None)
    guest = RealGuest(running, agent, keys, paths.ssh_socket, share)
    try:
        await agent.open(running.control)
        listening = asyncio.ensure_future(agent.run())
        await _within(agent.hello, running)
        guest.times["hello"] = time.monotonic() - started
        for file in files:
            agent.send({"type": "files", "files": [file]})
        agent.send(
            {
                "type": "configure",
                "hostname": "project",
                "guest": "project-1",
                "user": {"name": "dev", "uid": os.getuid(), "gid": os.getgid(), "sudo": True},
                "ssh": {"host_key": keys.host_private, "authorized_key": keys.authorized},
                "workspace": {"tag": "workspace", "path": str(project)},
                "time_ns": time.time_ns(),
                "entropy": os.urandom(64).hex(),
                "timezone": {"name": "Europe/Berlin", "data": ""},
                "network": network,
                **configure,
            }
        )
        await _within(agent.ready, running)
        guest.times["ready"] = time.monotonic() - started
        guest.ssh = await guest.login()
        guest.times["login"] = time.monotonic() - started
        yield guest
        guest.ssh.abort()
        listening.cancel()
    finally:
        await running.stop()
        await share.stop()


async def _within(future: asyncio.Future[Any], machine: Machine) -> None:
    try:
        async with asyncio.timeout(90):
            await asyncio.shield(future)
    except (TimeoutError, Exception) as error:
        raise AssertionError(f"the guest did not start:\n{machine.console_tail()}") from error
