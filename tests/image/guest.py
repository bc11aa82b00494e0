"""A real guest for tests: the built image in a real machine, its agent's frames, and SSH into it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import asyncssh

from ccvm_tui.image import Image
from ccvm_tui.keeper.control import GuestAgent
from ccvm_tui.machine import Drive, Machine, MachineSpec, Share
from ccvm_tui.paths import GuestPaths
from ccvm_tui.ssh import connection
from ccvm_tui.ssh.keys import GuestKeys


class RealGuest:
    """``times`` has seconds since the start of the machine: hello, ready, login."""

    def __init__(self, machine: Machine, agent: GuestAgent, keys: GuestKeys, ssh_socket: Path) -> None:
        self.machine = machine
        self.agent = agent
        self.keys = keys
        self.ssh_socket = ssh_socket
        self.events: list[dict[str, Any]] = []
        self.times: dict[str, float] = {}
        self.ssh: asyncssh.SSHClientConnection

    async def login(self) -> asyncssh.SSHClientConnection:
        return await connection.connect(self.ssh_socket, "dev", self.keys, lambda _: None)

    async def run(self, script: str, stdin: str | None = None) -> str:
        """What a shell script prints in the guest; fails the test when it fails."""
        done = await self.ssh.run(f"/usr/lib/ccvm/session t exec sh -euc {_quote(script)}", input=stdin)
        assert done.exit_status == 0, (done.exit_status, done.stdout, done.stderr)
        return str(done.stdout)

    async def event(self, kind: str, within: float = 30.0) -> dict[str, Any]:
        """The first event of ``kind`` not taken yet."""
        async with asyncio.timeout(within):
            while True:
                for index, event in enumerate(self.events):
                    if event["kind"] == kind:
                        return self.events.pop(index)
                await asyncio.sleep(0.02)


def _quote(text: str) -> str:
    return "'" + text.replace("'", "'\"'\"'") + "'"


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
    **configure: Any,
) -> AsyncIterator[RealGuest]:
    paths = GuestPaths("image-test", runtime)
    paths.dir.mkdir(parents=True, exist_ok=True)
    spec = MachineSpec(
        kernel=image.kernel,
        initrd=image.initrd,
        drives=tuple(Drive(path, serial) for serial, path in image.drives(layer)),
        cmdline=image.cmdline,
        machine=machine,  # type: ignore[arg-type]
        accel="tcg",
        memory_mib=memory,
        cores=2,
        workspace=Share(project, read_only=read_only),
        network=network,  # type: ignore[arg-type]
        seccomp=True,
        confine=True,
        name=paths.name,
    )
    keys = GuestKeys.make()
    started = time.monotonic()
    running = await Machine.start(spec, paths)
    guest: RealGuest
    agent = GuestAgent(lambda event: guest.events.append(event), lambda _: None)
    guest = RealGuest(running, agent, keys, paths.ssh_socket)
    try:
        await agent.open(running.control)
        listening = asyncio.ensure_future(agent.run())
        await _within(agent.hello, running)
        guest.times["hello"] = time.monotonic() - started
        agent.send(
            {
                "type": "configure",
                "hostname": "project",
                "guest": "project-1",
                "user": {"name": "dev", "uid": os.getuid(), "gid": os.getgid(), "sudo": True},
                "ssh": {"host_key": keys.host_private, "authorized_key": keys.authorized},
                "workspace": {"tag": "workspace", "path": str(project), "read_only": read_only},
                "files": [],
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


async def _within(future: asyncio.Future[Any], machine: Machine) -> None:
    try:
        async with asyncio.timeout(90):
            await asyncio.shield(future)
    except (TimeoutError, Exception) as error:
        raise AssertionError(f"the guest did not start:\n{machine.console_tail()}") from error
