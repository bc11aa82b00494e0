"""Machines for tests: real QEMU with kernels of a few bytes."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from ccvm_tui.machine.process import Machine
from ccvm_tui.machine.spec import MachineSpec
from ccvm_tui.paths import GuestPaths
from tests.machine.machines import StartMachine
from tests.machine.tiny_kernel import Then, tiny_kernel


@pytest.fixture
def paths(tmp_path: Path) -> GuestPaths:
    guest = GuestPaths("t", tmp_path / "run")
    guest.dir.mkdir(parents=True, mode=0o700)
    return guest


@pytest.fixture
async def start(tmp_path: Path, paths: GuestPaths) -> AsyncIterator[StartMachine]:
    """Return a function that starts a small machine.

    Its kernel prints ``text`` and then does ``then``; further arguments are passed to MachineSpec.
    """
    machines: list[Machine] = []

    async def started(text: str = "alive\n", then: Then = Then.HANG, **more: Any) -> Machine:
        kernel = tiny_kernel(tmp_path / "kernel", text, then)
        settings: dict[str, Any] = {"kernel": kernel, "memory_mib": 64, "cores": 1, "network": "none", **more}
        machine = await Machine.start(MachineSpec(**settings), paths)
        machines.append(machine)
        return machine

    yield started
    for machine in machines:
        machine.control.close()
        await machine.stop()
