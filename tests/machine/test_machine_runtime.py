"""A machine that a runtime's QEMU runs: it needs and may touch nothing else of the host."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from machines import StartMachine
from tiny_kernel import tiny_kernel

from ccvm_tui.image import Runtime
from ccvm_tui.machine.confine import Access
from ccvm_tui.machine.grants import find_program, qemu_rules
from ccvm_tui.machine.monitor import MonitorError
from ccvm_tui.machine.spec import MachineSpec


@pytest.mark.parametrize("machine", ["microvm", "q35"])
@pytest.mark.parametrize("confine", [True, False])
async def test_it_runs_guests_with_its_own_files_only(
    start: StartMachine, tmp_path: Path, runtime: Runtime, machine: str, confine: bool
) -> None:
    vm = await start(runtime=runtime, machine=machine, confine=confine, network="user")
    async with asyncio.timeout(20):
        await vm.first_sign_of_life.wait()
    process = Path(f"/proc/{vm.pid}")
    mapped = {line.split(maxsplit=5)[5] for line in (process / "maps").read_text().splitlines() if "/" in line}
    files = {path.rstrip("\n") for path in mapped if path.startswith("/") and not path.startswith(("/dev/", "/memfd:"))}
    assert str(runtime.program) in files
    assert {path for path in files if not Path(path).is_relative_to(runtime.directory)} == {str(vm.spec.kernel)}
    assert (process / "comm").read_text().startswith("qemu-system")
    assert (process / "environ").read_bytes() == b""
    assert runtime.version.startswith(".".join(map(str, await version(vm))))


async def version(vm: object) -> list[int]:
    told = (await vm.monitor.execute("query-version"))["qemu"]  # type: ignore[attr-defined]
    return [told["major"], told["minor"], told["micro"]]


async def test_the_hosts_libraries_do_not_exist_for_it(start: StartMachine, runtime: Runtime) -> None:
    vm = await start(runtime=runtime)
    for path in (Path("/usr/lib/os-release"), Path("/etc/ld.so.cache"), Path("/etc/passwd")):
        with pytest.raises(MonitorError, match="Permission denied"):
            await vm.monitor.execute(
                "blockdev-add", {"driver": "file", "node-name": "probe", "filename": str(path), "read-only": True}
            )


def test_its_grants_are_one_directory(runtime: Runtime, tmp_path: Path) -> None:
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
