"""Permissions of confined processes, checked with the kernel and with QEMU itself."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ccvm_tui.machine import launch
from ccvm_tui.machine.confine import Access, Rule, available
from ccvm_tui.machine.grants import elf_interpreter, find_program, qemu_rules
from ccvm_tui.machine.launch import LaunchRequest
from ccvm_tui.machine.monitor import MonitorError
from ccvm_tui.machine.spec import Drive, MachineSpec
from tests.machine.machines import StartMachine
from tests.machine.tiny_kernel import tiny_kernel


async def open_in_qemu(vm: object, path: Path, *, read_only: bool = True) -> None:
    """Make QEMU open a file as a disk. Raises MonitorError with QEMU's reason if it cannot."""
    await vm.monitor.execute(  # type: ignore[attr-defined]
        "blockdev-add",
        {"driver": "file", "node-name": "probe", "filename": str(path), "read-only": read_only},
    )


async def test_qemu_cannot_open_files_outside_its_grants(start: StartMachine, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(bytes(4096))
    vm = await start()
    for path in (secret, Path("/etc/passwd"), Path("/proc/self/environ")):
        with pytest.raises(MonitorError, match="Permission denied"):
            await open_in_qemu(vm, path)


async def test_qemu_can_open_any_file_without_landlock(start: StartMachine, tmp_path: Path) -> None:
    """The control experiment for the previous test."""
    secret = tmp_path / "secret"
    secret.write_bytes(bytes(4096))
    vm = await start(confine=False)
    await open_in_qemu(vm, secret)


async def test_images_are_read_only(start: StartMachine, tmp_path: Path) -> None:
    image = tmp_path / "image"
    image.write_bytes(bytes(4096))
    vm = await start(drives=(Drive(image, "rootfs"),))
    with pytest.raises(MonitorError, match="Permission denied"):
        await open_in_qemu(vm, image, read_only=False)
    await open_in_qemu(vm, image)


async def test_qemu_cannot_listen_on_tcp(start: StartMachine) -> None:
    if not available().tcp:
        return  # this kernel's Landlock does not support TCP
    vm = await start(network="user")
    with pytest.raises(MonitorError, match="Permission denied"):
        await vm.monitor.execute(
            "chardev-add",
            {
                "id": "listener",
                "backend": {
                    "type": "socket",
                    "data": {"addr": {"type": "inet", "data": {"host": "127.0.0.1", "port": "0"}}, "wait": False},
                },
            },
        )


async def test_qemu_has_no_environment_no_privileges_and_no_core_file(start: StartMachine) -> None:
    vm = await start()
    process = Path(f"/proc/{vm.pid}")
    assert (process / "environ").read_bytes() == b""
    status = dict(line.split(":\t", 1) for line in (process / "status").read_text().splitlines() if ":\t" in line)
    assert status["NoNewPrivs"].strip() == "1"
    assert status["Seccomp"].strip() == "2"
    assert os.getsid(vm.pid) == vm.pid
    limits = (process / "limits").read_text()
    assert [line.split()[4:6] for line in limits.splitlines() if "core file" in line] == [["0", "0"]]


async def test_qemu_inherits_no_other_descriptors(start: StartMachine, tmp_path: Path) -> None:
    with (tmp_path / "keepers own file").open("w") as own:
        os.set_inheritable(own.fileno(), True)
        vm = await start()
        links = [os.readlink(link) for link in Path(f"/proc/{vm.pid}/fd").iterdir()]
    assert not [link for link in links if "keepers own file" in link]


def confined(program: str, *rules: Rule, **more: bool) -> subprocess.CompletedProcess[str]:
    """Run Python code in a process that has confined itself to ``rules``."""
    listed = [(str(rule.path), rule.access.value) for rule in rules]
    setup = (
        "import os, socket, sys, json, encodings.idna\n"
        "from pathlib import Path\n"
        "from ccvm_tui.machine.confine import *\n"
        f"rules = [Rule(Path(p), Access(a)) for p, a in json.loads({json.dumps(json.dumps(listed))})]\n"
        f"confine(rules, **{more!r})\n"
    )
    return subprocess.run([sys.executable, "-P", "-c", setup + program], capture_output=True, text=True, timeout=30)


def test_no_file_can_be_opened_without_rules(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    ended = confined(f"open({str(tmp_path / 'file')!r})")
    assert "PermissionError" in ended.stderr


def test_rules_apply_to_single_files_and_to_trees(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    tree.mkdir()
    (tmp_path / "file").write_text("content")
    ended = confined(
        f"print(open({str(tmp_path / 'file')!r}).read())\n"
        f"os.mkdir({str(tree / 'new')!r}); open({str(tree / 'new' / 'f')!r}, 'w').write('x')\n"
        f"os.rename({str(tree / 'new' / 'f')!r}, {str(tree / 'moved')!r}); os.symlink('a', {str(tree / 'l')!r})\n"
        f"open({str(tmp_path / 'file')!r}, 'a')",
        Rule(tmp_path / "file", Access.READ),
        Rule(tree, Access.WRITE),
        Rule(tmp_path / "not there", Access.READ),
    )
    assert ended.stdout == "content\n"
    assert ended.stderr.splitlines()[-1].startswith("PermissionError")
    assert (tree / "moved").read_text() == "x"


def test_tcp_is_denied_and_connecting_can_be_allowed() -> None:
    if not available().tcp:
        return
    with socket.create_server(("127.0.0.1", 0)) as server:
        connect = f"socket.create_connection(('127.0.0.1', {server.getsockname()[1]}))"
        assert "PermissionError" in confined(connect).stderr
        assert confined(connect, connect_tcp=True).returncode == 0
        bind = "socket.socket().bind(('127.0.0.1', 0))"
        assert "PermissionError" in confined(bind, connect_tcp=True).stderr


def test_other_processes_cannot_be_signalled() -> None:
    if not available().scopes:
        return
    assert "PermissionError" in confined(f"os.kill({os.getpid()}, 0)").stderr


def launched(request: LaunchRequest) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        launch.command(request), env=launch.environment(), capture_output=True, text=True, timeout=30, cwd="/"
    )


def test_a_launcher_whose_parent_has_exited_is_killed() -> None:
    ended = launched(LaunchRequest(parent=1, program="/bin/true", argv=("true",), rules=None))
    assert ended.returncode == -signal.SIGKILL


def test_a_program_that_cannot_be_executed_is_named() -> None:
    ended = launched(LaunchRequest(parent=os.getpid(), program="/nowhere/qemu", argv=("qemu",), rules=()))
    assert ended.returncode == launch.CANNOT_EXECUTE
    assert "/nowhere/qemu" in ended.stderr


def test_only_granted_programs_can_be_executed() -> None:
    ended = launched(LaunchRequest(parent=os.getpid(), program="/bin/true", argv=("true",), rules=()))
    assert ended.returncode == launch.CANNOT_EXECUTE
    assert "Permission denied" in ended.stderr


paths = st.binary(max_size=30).map(lambda raw: os.fsdecode(raw.replace(b"\0", b"")))


@given(st.lists(paths), st.lists(st.tuples(paths, st.sampled_from(Access))), st.booleans())
def test_a_launch_request_survives_json(argv: list[str], rules: list[tuple[str, Access]], connect: bool) -> None:
    request = LaunchRequest(
        parent=7,
        program="/usr/bin/qemu",
        argv=tuple(argv),
        rules=tuple(Rule(Path(path), access) for path, access in rules),
        connect_tcp=connect,
    )
    assert request.to_json().isascii()
    assert LaunchRequest.from_json(request.to_json()) == request


def test_grants_depend_on_the_machine(tmp_path: Path) -> None:
    kernel = tiny_kernel(tmp_path / "kernel", "x")
    spec = MachineSpec(kernel=kernel, accel="kvm", network="none")
    granted = {rule.path: rule.access for rule in qemu_rules(spec, find_program(spec))}
    assert granted[kernel] is Access.READ
    assert tmp_path not in granted
    assert granted[Path("/dev/kvm")] is Access.DEVICE
    assert Path("/etc/resolv.conf") not in granted
    executables = {path for path, access in granted.items() if access is Access.EXECUTE}
    assert executables == {find_program(spec), elf_interpreter(find_program(spec))}


def test_a_wrapper_script_may_execute_the_system_trees(tmp_path: Path) -> None:
    script = tmp_path / "qemu-system-x86_64"
    script.write_text("#!/bin/sh\nexec qemu\n")
    assert elf_interpreter(script) is None
    assert Rule(Path("/usr"), Access.EXECUTE) in qemu_rules(MachineSpec(kernel=None), script)


async def test_a_machine_runs_under_landlock_and_seccomp(start: StartMachine) -> None:
    vm = await start(machine="q35", network="user")
    async with asyncio.timeout(20):
        await vm.first_console_output.wait()
    assert await vm.monitor.status() == "running"
