"""The supervisor of a program in the guest, here with a program of this machine."""

from __future__ import annotations

import os
import socket
import subprocess

import pytest

from ccvm_tui.image.guest.agent import wire
from ccvm_tui.image.guest.agent.supervisor import Supervisor


class Program:
    """A program without streams that exits at once. It has left a process behind, which runs until it is killed."""

    terminal = False
    stdin = stdout = stderr = -1

    def __init__(self) -> None:
        self._process = subprocess.Popen(["sh", "-c", "exit 5"])
        self.pidfd = os.pidfd_open(self._process.pid)
        self.status = -1
        self.killed = False

    def reap(self) -> None:
        self.status = self._process.wait()

    def kill(self) -> None:
        self.killed = True

    def populated(self) -> bool:
        return not self.killed

    def watch_populated(self) -> int:
        return os.open("/proc/self/status", os.O_RDONLY)


def test_processes_are_left_running_if_the_caller_disconnects_as_soon_as_it_has_the_status(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    caller, server = socket.socketpair()
    connection = server.detach()
    write = os.write
    received = []

    def write_to_caller(fd: int, data: bytes) -> int:
        count = write(fd, data)
        if fd == connection:
            received.extend(wire.Frames().feed(caller.recv(count)))
            if received[-1][0] == wire.ENDED:
                caller.close()
        return count

    monkeypatch.setattr(os, "write", write_to_caller)
    program = Program()
    Supervisor(connection, program, wire.Frames()).run([])  # type: ignore[arg-type]
    assert received == [(wire.STARTED, b""), (wire.ENDED, wire.number(5))]
    assert not program.killed
