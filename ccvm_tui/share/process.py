"""The file server's process, seen from its parent: start, connections and end."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import socket
from collections.abc import Callable, Sequence
from typing import Any, Final

from ccvm_tui import aio, processes
from ccvm_tui.guard.report import Report, decode
from ccvm_tui.share.order import ACCEPT, COUNT, LIST, REVIVE, TRUST, Order

log = logging.getLogger(__name__)

OnReport = Callable[[Report], None]
"""Receives a report of the guard."""

_REPORT_MAX: Final = 1 << 18
_STDERR_MAX: Final = 4096
_CHUNK: Final = 1 << 14


class ShareServer:
    """One process of the file server, for one directory and one guest.

    ``device`` and ``helper`` are QEMU's ends of the vhost-user connection and of the helper's port. The caller closes
    them after QEMU has inherited them.
    """

    def __init__(
        self,
        child: aio.Child,
        control: socket.socket,
        device: socket.socket,
        helper: socket.socket,
        reports: socket.socket,
        on_report: OnReport,
    ) -> None:
        self._child = child
        self._control = control
        self.device = device
        self.helper = helper
        self._stderr = bytearray()
        self._control_lock = asyncio.Lock()
        self._reports = reports
        self._on_report = on_report
        loop = asyncio.get_running_loop()
        self._reader = loop.create_task(self._read_stderr(), name="file server's stderr")
        self._report_reader = loop.create_task(self._read_reports(), name="file server's reports")

    @classmethod
    async def start(
        cls,
        path: str,
        *,
        confined: bool = True,
        seccomp: bool = True,
        edits: str = "",
        capacity: int = 0,
        guard: str = "off",
        on_report: OnReport = lambda _: None,
    ) -> ShareServer:
        """Start a server for the directory ``path``; the other arguments are those of ``Order``.

        ``on_report`` is called with each report of the guard. Raises OSError if the process cannot be started.
        """
        with contextlib.ExitStack() as on_failure, contextlib.ExitStack() as inherited:
            pairs = [socket.socketpair() for _ in range(3)]
            for kept, passed in pairs:
                on_failure.enter_context(kept)
                inherited.enter_context(passed)
            (control, control_end), (device, device_end), (helper, helper_end) = pairs
            reports, reports_end = socket.socketpair(type=socket.SOCK_SEQPACKET)
            on_failure.enter_context(reports)
            inherited.enter_context(reports_end)
            order = Order(
                os.getpid(),
                path,
                device_end.fileno(),
                helper_end.fileno(),
                confined=confined,
                seccomp=seccomp,
                edits=edits,
                capacity=capacity,
                guard=guard,
                reports=reports_end.fileno(),
            )
            process = await asyncio.create_subprocess_exec(
                *processes.command("ccvm_tui.share", order.encode()),
                stdin=control_end.fileno(),
                stdout=asyncio.subprocess.DEVNULL,
                stderr=asyncio.subprocess.PIPE,
                pass_fds=(device_end.fileno(), helper_end.fileno(), reports_end.fileno()),
                env=processes.environment(),
                start_new_session=True,
                cwd="/",
            )
            control.setblocking(False)
            reports.setblocking(False)
            on_failure.pop_all()
        return cls(aio.Child(process), control, device, helper, reports, on_report)

    @property
    def pid(self) -> int:
        """The process number."""
        return self._child.pid

    async def _read_stderr(self) -> None:
        stderr = self._child.process.stderr
        assert stderr is not None
        while data := await stderr.read(_CHUNK):
            self._stderr += data
            del self._stderr[:-_STDERR_MAX]

    async def _read_reports(self) -> None:
        while message := await asyncio.get_running_loop().sock_recv(self._reports, _REPORT_MAX):
            try:
                self._on_report(decode(message))
            except ValueError as error:
                log.warning("the file server sent a malformed report: %s", error)

    async def wait(self) -> str:
        """Wait for the server to end, and return the reason in one line."""
        status = await self._child.wait()
        await asyncio.shield(self._reader)
        lines = self._stderr.decode(errors="replace").strip().splitlines()
        if status < 0:
            return f"killed by signal {-status}"
        return lines[-1] if lines else f"status {status}"

    async def ended_within(self, seconds: float) -> str | None:
        """Return the reason why the server has ended, or None if it is still running after ``seconds``."""
        try:
            async with asyncio.timeout(seconds):
                return await self.wait()
        except TimeoutError:
            return None

    async def edits(self) -> tuple[int, list[bytes]]:
        """Return the number of files of a read-only project that the guest has edited, and the paths of the first ones.

        Raises OSError if the server has ended.
        """
        count, *names = (await self._request(COUNT)).split(b"\0")
        return int(count), names

    async def list_edits(self) -> list[dict[str, Any]]:
        """Return all edits of a read-only project; see ``edit_list.listed``. Raises OSError if the server has ended."""
        return list(json.loads(await self._request(LIST)))

    async def accept_edits(self, paths: Sequence[str], *, undoing: bool = False) -> None:
        """Report that edits were applied to the host (``HostTree.accept``), or are about to be undone (``revive``).

        Raises OSError if the server has ended.
        """
        await self._request(REVIVE if undoing else ACCEPT, paths)

    async def trust(self, path: str, allowed: Sequence[str]) -> None:
        """Make the guard accept the problems ``allowed`` of a file. Raises OSError if the server has ended."""
        await self._request(TRUST, [path, *allowed])

    async def _request(self, request: bytes, strings: Sequence[str] | None = None) -> bytes:
        """Send a request, with strings if it has any, and return the answer."""
        body = b"" if strings is None else json.dumps(strings).encode()
        message = request if strings is None else request + len(body).to_bytes(4, "little") + body
        async with self._control_lock:
            await asyncio.get_running_loop().sock_sendall(self._control, message)
            size = int.from_bytes(await self._receive(4), "little")
            return await self._receive(size)

    async def _receive(self, size: int) -> bytes:
        data = bytearray()
        while len(data) < size:
            part = await asyncio.get_running_loop().sock_recv(self._control, size - len(data))
            if not part:
                raise ConnectionResetError("the file server has ended")
            data += part
        return bytes(data)

    async def stop(self, grace: float = 1.0) -> None:
        """Close the connections, and end and reap the process. Calling it again has no effect."""
        self.device.close()
        self.helper.close()
        self._control.close()
        try:
            async with asyncio.timeout(grace):
                await self._child.wait()
        except TimeoutError:
            await self._child.end(0.0)
        self._child.close()
        self._reader.cancel()
        self._report_reader.cancel()
        await asyncio.wait([self._report_reader])
        self._reports.close()
