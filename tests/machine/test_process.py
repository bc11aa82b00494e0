"""A machine is started, watched, paused and stopped, and is always reaped."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from ccvm_tui.errors import BootError, PrerequisiteError
from ccvm_tui.machine import tsc
from ccvm_tui.machine.monitor import MonitorError
from ccvm_tui.machine.process import ExitReason, Machine, State, StateError
from ccvm_tui.machine.spec import Drive, MachineSpec
from ccvm_tui.paths import GuestPaths
from tests.machine.machines import StartMachine
from tests.machine.tiny_kernel import Then, tiny_kernel
from tests.waiting import eventually, wait_until


@pytest.mark.parametrize("machine", ["microvm", "q35"])
async def test_a_machine_runs_prints_and_stops(start: StartMachine, machine: str, paths: GuestPaths) -> None:
    vm = await start("hello from inside\n", machine=machine)
    assert await vm.monitor.status() == "running"
    await eventually(lambda: "hello from inside" in vm.console_tail())
    assert vm.first_console_output.is_set()
    ended = await vm.stop()
    assert ended.reason is ExitReason.STOPPED
    assert not psutil.pid_exists(vm.pid)
    assert vm.state is State.EXITED
    assert b"hello from inside" in paths.console_log.read_bytes()
    assert not paths.ssh_socket.exists()


async def test_a_listener_receives_the_console_from_its_first_byte(start: StartMachine) -> None:
    vm = await start("one two three\n", Then.RESET)
    received = bytearray()
    vm.on_console(received.extend)
    async with asyncio.timeout(20):
        await vm.wait()
    assert bytes(received) == b"one two three\n"


async def test_a_reset_by_the_guest_ends_the_machine(start: StartMachine) -> None:
    vm = await start("bye\n", Then.RESET)
    async with asyncio.timeout(20):
        ended = await vm.wait()
    assert (ended.reason, ended.status) == (ExitReason.GUEST, 0)
    assert vm.console_tail() == "bye"


async def test_a_panic_is_not_reported_as_a_power_off(start: StartMachine) -> None:
    vm = await start("[1.0] Kernel panic - not syncing: for a test\n", Then.RESET)
    async with asyncio.timeout(20):
        assert (await vm.wait()).reason is ExitReason.PANIC


async def test_an_emulated_machine_gets_the_counters_frequency(start: StartMachine) -> None:
    vm = await start()
    measured = await tsc.host_khz() or 0
    assert abs(vm.spec.tsc_khz - measured) <= measured // 1000


async def test_a_machine_can_be_paused_and_resumed(start: StartMachine) -> None:
    vm = await start()
    await vm.pause()
    assert (vm.state, await vm.monitor.status()) == (State.PAUSED, "paused")
    with pytest.raises(StateError):
        await vm.pause()
    await vm.resume()
    assert (vm.state, await vm.monitor.status()) == (State.RUNNING, "running")
    with pytest.raises(StateError):
        await vm.resume()


async def test_a_paused_machine_is_stopped_without_a_grace_period(start: StartMachine) -> None:
    vm = await start()
    await vm.pause()
    began = time.monotonic()
    assert (await vm.stop(grace=30)).reason is ExitReason.STOPPED
    assert time.monotonic() - began < 10


async def test_events_reach_every_listener_and_end_when_qemu_exits(start: StartMachine) -> None:
    vm = await start()

    async def names() -> list[str]:
        return [event.name async for event in vm.monitor.events()]

    listeners = [asyncio.create_task(names()) for _ in range(2)]
    await asyncio.sleep(0)
    await vm.pause()
    await vm.resume()
    await vm.stop()
    async with asyncio.timeout(5):
        received = await asyncio.gather(*listeners)
    assert received[0] == received[1]
    assert received[0][:2] == ["STOP", "RESUME"]


async def test_replies_are_matched_to_their_commands(start: StartMachine) -> None:
    vm = await start()
    commands = ["query-status", "query-name", "query-version", "query-kvm"] * 5
    answers = await asyncio.gather(*(vm.monitor.execute(command) for command in commands))
    keys = {"query-status": "status", "query-name": "name", "query-version": "qemu", "query-kvm": "enabled"}
    assert all(keys[command] in answer for command, answer in zip(commands, answers, strict=True))


async def test_a_refused_command_leaves_the_monitor_usable(start: StartMachine) -> None:
    vm = await start()
    with pytest.raises(MonitorError) as caught:
        await vm.monitor.execute("no-such-command")
    assert caught.value.refused
    assert await vm.monitor.status() == "running"


async def test_a_kill_from_outside_is_reported(start: StartMachine) -> None:
    vm = await start()
    os.kill(vm.pid, signal.SIGKILL)
    async with asyncio.timeout(5):
        ended = await vm.wait()
    assert (ended.reason, ended.status) == (ExitReason.KILLED, -signal.SIGKILL)
    with pytest.raises(MonitorError):
        await vm.monitor.status()
    assert (await vm.stop()).reason is ExitReason.KILLED


async def test_a_qemu_that_does_not_answer_is_killed(start: StartMachine) -> None:
    vm = await start()
    os.kill(vm.pid, signal.SIGSTOP)
    async with asyncio.timeout(20):
        ended = await vm.stop()
    assert ended.status == -signal.SIGKILL
    assert not psutil.pid_exists(vm.pid)


async def test_a_cancelled_stop_still_reaps(start: StartMachine) -> None:
    vm = await start()
    stopping = asyncio.create_task(vm.stop(grace=60))
    await eventually(lambda: vm.state is State.STOPPING)
    stopping.cancel()
    with pytest.raises(asyncio.CancelledError):
        await stopping
    assert not psutil.pid_exists(vm.pid)


async def test_a_cancelled_start_leaves_nothing_behind(tmp_path: Path, paths: GuestPaths) -> None:
    kernel = tiny_kernel(tmp_path / "kernel", "x")
    spec = MachineSpec(kernel=kernel, memory_mib=64, cores=1, network="none")
    me = psutil.Process()
    descriptors = me.num_fds()
    for delay in (0.0, 0.005, 0.02, 0.05, 0.08):
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(delay):
                await (await Machine.start(spec, paths)).stop()
        assert me.children() == []
        assert not paths.ssh_socket.exists()
    await asyncio.sleep(0)  # aborted transports close their sockets in the next iteration of the event loop
    assert me.num_fds() <= descriptors


async def test_a_qemu_that_fails_to_start_is_quoted(tmp_path: Path, paths: GuestPaths) -> None:
    spec = MachineSpec(kernel=tmp_path / "missing", memory_mib=64, cores=1)
    with pytest.raises(BootError) as caught:
        await Machine.start(spec, paths)
    assert "missing" in caught.value.message
    assert caught.value.console_tail


async def test_a_missing_qemu_is_reported(paths: GuestPaths) -> None:
    with pytest.raises(PrerequisiteError, match="is not installed"):
        await Machine.start(MachineSpec(kernel=None, qemu="qemu-system-nowhere"), paths)


async def test_the_ssh_port_is_private_and_serves_one_connection_after_the_other(start: StartMachine) -> None:
    vm = await start()
    assert stat.S_IMODE(vm.ssh_path.stat().st_mode) == 0o600
    for _ in range(3):
        async with asyncio.timeout(10):
            while not await _stays_open(vm.ssh_path):
                pass


async def _stays_open(path: Path) -> bool:
    """Return whether QEMU keeps a connection open. It closes one made too soon after the end of the previous one."""
    reader, writer = await asyncio.open_unix_connection(path)
    try:
        writer.write(b"never read: the guest has no driver")
        await writer.drain()
        async with asyncio.timeout(0.05):
            return await reader.read(1) != b""
    except TimeoutError:
        return True
    except ConnectionError:
        return False
    finally:
        writer.close()


@pytest.mark.parametrize("name", ["a,b", "a=b,readonly=on", 'it\'s "here"', "ü ñ 漢", " lead", "back\\slash", "a:b,,c"])
async def test_awkward_paths_reach_qemu_unchanged(start: StartMachine, tmp_path: Path, name: str) -> None:
    project = tmp_path / name
    project.mkdir()
    disk = project / f"{name}.squashfs"
    disk.write_bytes(bytes(4096))
    vm = await start(drives=(Drive(disk, "rootfs"),))
    nodes = await vm.monitor.execute("query-named-block-nodes", {"flat": True})
    files = {node["file"] for node in nodes}
    assert files == {str(disk)}


async def test_the_console_log_is_bounded(
    start: StartMachine, paths: GuestPaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ccvm_tui.machine.process.CONSOLE_LIMIT", 10_000)
    vm = await start("0123456789abcdef" * 16 + "\n", Then.REPEAT)
    older = paths.console_log.with_name("console.log.1")
    await eventually(older.exists)
    await vm.stop()
    assert older.stat().st_size <= 10_000
    assert paths.console_log.stat().st_size <= 10_000


async def test_usage_is_measured_until_qemu_exits(start: StartMachine) -> None:
    vm = await start("x" * 64, Then.REPEAT)
    vm.usage()
    await eventually(lambda: vm.usage().cpu > 0)
    assert vm.usage().rss > 1 << 20
    await vm.stop()
    assert vm.usage().rss == 0


_KEEPER = """
import asyncio, sys
from pathlib import Path
from ccvm_tui.machine import Machine, MachineSpec
from ccvm_tui.paths import GuestPaths

async def main():
    paths = GuestPaths("t", Path(sys.argv[1]))
    machine = await Machine.start(MachineSpec(kernel=Path(sys.argv[2]), memory_mib=64, cores=1), paths)
    print(machine.pid, flush=True)
    await machine.wait()

asyncio.run(main())
"""


def test_qemu_is_killed_together_with_its_keeper(tmp_path: Path, paths: GuestPaths) -> None:
    kernel = tiny_kernel(tmp_path / "kernel", "x")
    keeper = subprocess.Popen(
        [sys.executable, "-P", "-c", _KEEPER, paths.runtime, kernel], stdout=subprocess.PIPE, text=True
    )
    assert keeper.stdout is not None
    qemu = psutil.Process(int(keeper.stdout.readline()))
    assert qemu.name().startswith("qemu-system")
    keeper.kill()
    keeper.wait()
    wait_until(
        lambda: not qemu.is_running() or qemu.status() == psutil.STATUS_ZOMBIE,
        lambda: "QEMU outlived its keeper",
        within=2.0,
    )
    keeper.stdout.close()
