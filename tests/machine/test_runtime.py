"""A machine run by a runtime's QEMU: it needs no other files of the host and may access none."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from ccvm_tui.image import Runtime
from ccvm_tui.machine.confine import Access
from ccvm_tui.machine.grants import find_program, qemu_rules
from ccvm_tui.machine.monitor import MonitorError
from ccvm_tui.machine.spec import MachineSpec
from tests.machine.machines import StartMachine
from tests.machine.tiny_kernel import tiny_kernel


@pytest.mark.parametrize("machine", ["microvm", "q35"])
@pytest.mark.parametrize("confine", [True, False])
async def test_a_runtime_runs_guests_with_its_own_files_only(
    start: StartMachine, runtime: Runtime, machine: str, confine: bool
) -> None:
    vm = await start(runtime=runtime, machine=machine, confine=confine, network="user")
    async with asyncio.timeout(20):
        await vm.first_console_output.wait()
    process = Path(f"/proc/{vm.pid}")
    mapped = {line.split(maxsplit=5)[5] for line in (process / "maps").read_text().splitlines() if "/" in line}
    files = {path.rstrip("\n") for path in mapped if path.startswith("/") and not path.startswith(("/dev/", "/memfd:"))}
    assert str(runtime.program) in files
    assert {path for path in files if not Path(path).is_relative_to(runtime.directory)} == {str(vm.spec.kernel)}
    assert (process / "comm").read_text().startswith("qemu-system")
    assert (process / "environ").read_bytes() == b""
    assert runtime.version.startswith(".".join(map(str, await version(vm))))


async def version(vm: object) -> list[int]:
    reply = (await vm.monitor.execute("query-version"))["qemu"]  # type: ignore[attr-defined]
    return [reply["major"], reply["minor"], reply["micro"]]


async def test_a_runtime_cannot_open_the_hosts_libraries(start: StartMachine, runtime: Runtime) -> None:
    vm = await start(runtime=runtime)
    for path in (Path("/usr/lib/os-release"), Path("/etc/ld.so.cache"), Path("/etc/passwd")):
        with pytest.raises(MonitorError, match="Permission denied"):
            await vm.monitor.execute(
                "blockdev-add", {"driver": "file", "node-name": "probe", "filename": str(path), "read-only": True}
            )


def test_a_runtime_is_granted_only_its_directory(runtime: Runtime, tmp_path: Path) -> None:
    kernel = tiny_kernel(tmp_path / "kernel", "x")
    spec = MachineSpec(kernel=kernel, network="none", runtime=runtime)
    granted = {rule.path: rule.access for rule in qemu_rules(spec, find_program(spec))}
    assert granted == {
        runtime.loader: Access.EXECUTE,
        runtime.directory: Access.READ,
        kernel: Access.READ,
        Path("/dev/null"): Access.DEVICE,
        Path("/dev/urandom"): Access.DEVICE,
    }
