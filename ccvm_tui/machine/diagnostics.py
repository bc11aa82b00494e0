"""Checks of this host for ``doctor``: whether it can run guests, and how to fix what is missing.

Version numbers only indicate what should work, so the checks try it: they enter user namespaces, start a confined
machine, write files, and run a guest on KVM. They run concurrently, because each mostly waits.
"""

from __future__ import annotations

import asyncio
import grp
import os
import platform
import shutil
import stat
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from ccvm_tui.errors import CcvmError, PrerequisiteError, UserError
from ccvm_tui.image.runtime import Runtime
from ccvm_tui.machine import accel, confine, image_checks, qemu_issues
from ccvm_tui.machine.check import Check, Remedy, first_line, output_of, required, user_name
from ccvm_tui.machine.limits import Host
from ccvm_tui.machine.process import Machine
from ccvm_tui.machine.spec import MachineSpec
from ccvm_tui.machine.status import Status
from ccvm_tui.paths import GuestPaths, cache_dir, runtime_dir
from ccvm_tui.requirements import NCURSES, QEMU, alternatives

_NEEDED_MIB = 1024
_BUILD_SPACE = 3 << 30
_RUN_SPACE = 64 << 20
_LANDLOCK_SINCE = (5, 13)
_WATCHES_NAME = "fs.inotify.max_user_watches"
_WATCHES = Path("/proc/sys", *_WATCHES_NAME.split("."))
_ENOUGH_WATCHES = 65_536


async def check_host(
    kernel: Path | None = None, machine: str = "microvm", runtime: Runtime | None = None, *, downloads: bool = False
) -> list[Check]:
    """Run all checks and return their results in a fixed order.

    With a ``kernel``, KVM is probed even if an earlier verdict is cached; without one it cannot be probed. With a
    ``runtime``, the checks run its QEMU instead of the host's. If the image is downloaded (``downloads``), what a build
    needs is not checked.
    """
    kvm = asyncio.ensure_future(_kvm(kernel, machine, runtime))
    checks: list[Callable[[], Awaitable[Check]]] = [
        _user,
        _kernel_version,
        lambda: _qemu(runtime, kvm),
        lambda: _machine_type(machine, runtime),
        lambda: _file_sharing(machine, runtime),
        lambda: _machine_starts(machine, runtime),
        lambda: kvm,
        _landlock,
        _memory,
        _runtime_directory,
        _disk,
        *image_checks.checks(downloads=downloads),
        lambda: required(NCURSES),
    ]
    return list(await asyncio.gather(*(check() for check in checks)))


async def _user() -> Check:
    if os.getuid() != 0:
        return Check("user", Status.OK, f"uid {os.getuid()}")
    allowed = os.environ.get("CCVM_ALLOW_ROOT") == "1"
    return Check(
        "user",
        Status.WARN if allowed else Status.FAIL,
        "running as root: a guest that escapes would control the host",
        "run as an ordinary user" + ("" if allowed else ", or set CCVM_ALLOW_ROOT=1"),
    )


async def _kernel_version() -> Check:
    release = platform.release()
    numbers = [int(part) for part in release.replace("-", ".").split(".")[:2] if part.isdigit()]
    if tuple(numbers) < _LANDLOCK_SINCE:
        wanted = ".".join(map(str, _LANDLOCK_SINCE))
        return Check("kernel", Status.WARN, f"Linux {release}", f"Landlock needs Linux {wanted} or newer")
    return Check("kernel", Status.OK, f"Linux {release}")


async def _qemu(runtime: Runtime | None, kvm: asyncio.Future[Check]) -> Check:
    """Check the host's QEMU, which may be missing or old if guests run in a runtime's QEMU."""
    program = MachineSpec(kernel=None).program
    found = shutil.which(program)
    if found is None and runtime is not None:
        return Check("qemu", Status.OK, f"{program} is not installed: the runtime's is used")
    if found is None:
        return Check("qemu", Status.FAIL, f"{program} is not installed", alternatives(QEMU), Remedy((QEMU,)))
    status, output = await output_of(found, "--version")
    version = first_line(output)
    if runtime is not None:
        return Check("qemu", Status.OK, f"{version} ({found}), not used: the runtime's is")
    if status != 0:
        return Check("qemu", Status.FAIL, f"{found} does not run: {version}", _BETTER_QEMU)
    emulated = (await kvm).status is not Status.OK
    if issue := qemu_issues.worst_issue(version, emulated=emulated):
        return Check("qemu", issue.status, f"{version} ({found}): {issue.summary}", _BETTER_QEMU)
    return Check("qemu", Status.OK, f"{version} ({found})")


_BETTER_QEMU = (
    "use a newer QEMU: from the distribution, or the one that `ccvm-tui image build` unpacks "
    'if the settings have `runtime = "own"`'
)


async def _machine_type(machine: str, runtime: Runtime | None) -> Check:
    spec = MachineSpec(kernel=None, machine=machine, runtime=runtime)
    name = spec.arch.machines[machine].qemu_name
    status, output = await output_of(*spec.command, "-machine", "help")
    known = [line.split()[0] for line in output.splitlines() if line.strip()]
    if status == 0 and name in known:
        return Check("machine type", Status.OK, f"QEMU supports {name}")
    return Check(
        "machine type",
        Status.FAIL,
        f"this QEMU has no machine type {name}",
        "use `--machine q35`, or a QEMU with all machine types",
    )


async def _file_sharing(machine: str, runtime: Runtime | None) -> Check:
    spec = MachineSpec(kernel=None, machine=machine, runtime=runtime)
    device = f"vhost-user-fs-{spec.arch.machines[machine].bus}"
    # only this device: to list all devices, QEMU loads modules, and a runtime's QEMU would load the host's
    status, _ = await output_of(*spec.command, "-device", f"{device},help")
    if status != 0:
        return Check("file sharing", Status.FAIL, f"this QEMU has no device {device}", _BETTER_QEMU)
    watches = int(_WATCHES.read_text())
    detail = f"QEMU has {device}; {watches} directories can be watched"
    if watches < _ENOUGH_WATCHES:
        fix = f"`sudo sysctl {_WATCHES_NAME}=524288`: directories that are not watched are slower in guests"
        return Check("file sharing", Status.WARN, detail, fix)
    return Check("file sharing", Status.OK, detail)


async def _machine_starts(machine: str, runtime: Runtime | None) -> Check:
    """Start a machine with all the devices of a guest and no kernel, confined by seccomp and Landlock."""
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="ccvm-doctor-") as directory:
        paths = GuestPaths("doctor", Path(directory))
        paths.dir.mkdir(mode=0o700)
        spec = MachineSpec(kernel=None, machine=machine, memory_mib=64, cores=1, name="ccvm-doctor", runtime=runtime)
        try:
            vm = await Machine.start(spec, paths)
        except UserError as error:
            return Check("machine", Status.FAIL, error.message, error.hint)
        except (CcvmError, OSError) as error:
            return Check("machine", Status.FAIL, str(error))
        took = time.monotonic() - began
        filtered = "Seccomp:\t2" in Path(f"/proc/{vm.pid}/status").read_text()
        vm.control.close()
        await vm.stop()
    if not filtered:
        return Check(
            "machine", Status.WARN, "QEMU started without its seccomp filter", "use a QEMU built with seccomp support"
        )
    return Check("machine", Status.OK, f"QEMU started with all devices and seccomp in {took * 1000:.0f} ms")


async def _kvm(kernel: Path | None, machine: str, runtime: Runtime | None) -> Check:
    obstacle = accel.kvm_obstacle()
    try:
        verdict = await accel.choose("auto", kernel, machine, runtime=runtime, fresh=kernel is not None)
    except PrerequisiteError as error:
        return Check("kvm", Status.WARN, error.message, error.hint)
    if verdict.accel == "kvm":
        return Check("kvm", Status.OK, verdict.reason)
    detail = f"guests run under emulation (tcg), which is slower: {verdict.reason}"
    if obstacle is None and kernel is None:
        return Check("kvm", Status.WARN, verdict.reason, "build the image first: `ccvm-tui image build`")
    remedy = None if obstacle is None else kvm_remedy(Path("/dev/kvm"), user_name())
    fix = ", then ".join(filter(None, (remedy.text, remedy.afterwards))) if remedy else _kvm_fix(obstacle is None)
    return Check("kvm", Status.WARN, detail, fix, remedy)


def kvm_remedy(device: Path, user: str) -> Remedy | None:
    """Return how ``user`` gets access to ``device``: by its group, unless that is root's or its members lack access."""
    try:
        group = device.group()
        members = grp.getgrnam(group).gr_mem
        usable = bool(device.stat().st_mode & stat.S_IWGRP)
    except (OSError, KeyError):
        return None
    if group == "root" or not usable:
        return None
    if user in members:
        return Remedy(afterwards=f"log in again: this session began before you were added to the group {group}")
    return Remedy(command=("usermod", "--append", "--groups", group, user), afterwards="log in again")


def _kvm_fix(probed: bool) -> str:
    if probed:
        return "nothing to do if this host is itself a virtual machine; otherwise check for firmware and kernel updates"
    if not Path("/dev/kvm").exists():
        return "enable virtualization in the firmware and load kvm_intel or kvm_amd"
    return "give one of your groups access to /dev/kvm (a udev rule of the package qemu-system does that)"


async def _landlock() -> Check:
    support = confine.available()
    if not support.files:
        fix = "boot with `lsm=landlock,…`; until then QEMU runs without it"
        return Check("landlock", Status.WARN, support.reason, fix)
    if not support.renames:
        detail = f"ABI {support.abi} cannot allow renames: QEMU is confined by it, the file server is not"
        return Check("landlock", Status.WARN, detail, "use Linux 5.19 or newer")
    parts = ["files"]
    if support.tcp:
        parts.append("TCP")
    if support.scopes:
        parts.append("signals and abstract sockets")
    return Check("landlock", Status.OK, f"ABI {support.abi}: {', '.join(parts)}")


async def _memory() -> Check:
    host = Host.here()
    detail = f"{host.available_mib} MiB of {host.memory_mib} MiB free, {host.cores} cores"
    if host.available_mib < _NEEDED_MIB:
        return Check("memory", Status.WARN, detail, "stop a guest or another program, or use a smaller `--memory`")
    return Check("memory", Status.OK, detail)


async def _runtime_directory() -> Check:
    try:
        directory = runtime_dir()
    except UserError as error:
        return Check("runtime directory", Status.FAIL, error.message, error.hint)
    try:
        with tempfile.NamedTemporaryFile(dir=directory, prefix=".doctor-") as file:
            file.write(b"x")
            file.flush()
    except OSError as error:
        return Check(
            "runtime directory", Status.FAIL, f"{directory}: {error.strerror}", f"free some space in {directory}"
        )
    free = shutil.disk_usage(directory).free
    if free < _RUN_SPACE:
        return Check(
            "runtime directory", Status.WARN, f"{directory} has {free >> 20} MiB left", "free some space there"
        )
    if "XDG_RUNTIME_DIR" not in os.environ:
        return Check("runtime directory", Status.OK, f"{directory} (XDG_RUNTIME_DIR is not set)")
    return Check("runtime directory", Status.OK, str(directory))


async def _disk() -> Check:
    directory = cache_dir()
    try:
        directory.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(directory).free
    except OSError as error:
        return Check("disk", Status.FAIL, f"{directory}: {error.strerror}", "set XDG_CACHE_HOME to a writable place")
    detail = f"{free >> 20} MiB free for images in {directory}"
    if free < _BUILD_SPACE:
        fix = f"an image build needs {_BUILD_SPACE >> 20} MiB; `ccvm-tui image rm` removes images"
        return Check("disk", Status.WARN, detail, fix)
    return Check("disk", Status.OK, detail)
