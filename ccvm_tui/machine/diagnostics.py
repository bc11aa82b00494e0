"""Checks of this host for ``doctor``: whether it can run guests, and how to fix what is missing.

Version numbers only indicate what should work, so the checks try it: they enter user namespaces, start a confined
machine, write files, and run a guest on KVM. They run concurrently, because each mostly waits.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import platform
import shutil
import tempfile
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from ccvm_tui.errors import CcvmError, PrerequisiteError, UserError
from ccvm_tui.image.runtime import Runtime
from ccvm_tui.machine import accel, confine, qemu_issues
from ccvm_tui.machine.limits import Host
from ccvm_tui.machine.process import Machine
from ccvm_tui.machine.spec import MachineSpec
from ccvm_tui.machine.status import Status
from ccvm_tui.paths import GuestPaths, cache_dir, runtime_dir

TIMEOUT = 10.0
"""Seconds that a program may take when run by a check."""

_NEEDED_MIB = 1024
_BUILD_SPACE = 3 << 30
_RUN_SPACE = 64 << 20
_LANDLOCK_SINCE = (5, 13)
_WATCHES_NAME = "fs.inotify.max_user_watches"
_WATCHES = Path("/proc/sys", *_WATCHES_NAME.split("."))
_ENOUGH_WATCHES = 65_536


@dataclass(frozen=True, slots=True)
class Check:
    """The result of one check. ``fix`` tells the user how to solve the problem; it is empty if there is none."""

    name: str
    status: Status
    detail: str
    fix: str = ""


async def check_host(
    kernel: Path | None = None, machine: str = "microvm", runtime: Runtime | None = None
) -> list[Check]:
    """Run all checks and return their results in a fixed order.

    With a ``kernel``, KVM is probed even if an earlier verdict is cached; without one it cannot be probed. With a
    ``runtime``, the checks run its QEMU instead of the host's.
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
        _user_namespaces,
        lambda: _program("mmdebstrap", "mmdebstrap", "it builds the guest image"),
        lambda: _program("mksquashfs", "squashfs-tools", "it packs the guest image"),
        lambda: _program("infocmp", "ncurses-bin", "it describes your terminal to the guest"),
        _agent_source,
    ]
    return list(await asyncio.gather(*(check() for check in checks)))


async def _output(*command: str) -> tuple[int, str]:
    """Return a program's exit status and combined output; the status is -1 if it cannot be run or takes too long."""
    try:
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
    except OSError as error:
        return -1, error.strerror or str(error)
    try:
        async with asyncio.timeout(TIMEOUT):
            output, _ = await process.communicate()
    except TimeoutError:
        with contextlib.suppress(ProcessLookupError):
            os.kill(process.pid, 9)
        await process.wait()
        return -1, f"no answer within {TIMEOUT:.0f} s"
    return process.returncode or 0, output.decode("utf-8", "replace").strip()


def _first_line(text: str) -> str:
    return text.partition("\n")[0].strip()


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


_NO_QEMU = "`ccvm-tui image build` unpacks a QEMU for guests; or `apt install qemu-system-x86` on Debian-like systems"


async def _qemu(runtime: Runtime | None, kvm: asyncio.Future[Check]) -> Check:
    """Check the host's QEMU, which may be missing or old if guests run in a runtime's QEMU."""
    program = MachineSpec(kernel=None).program
    found = shutil.which(program)
    if found is None and runtime is not None:
        return Check("qemu", Status.OK, f"{program} is not installed: the runtime's is used")
    if found is None:
        return Check("qemu", Status.FAIL, f"{program} is not installed", _NO_QEMU)
    status, output = await _output(found, "--version")
    version = _first_line(output)
    if runtime is not None:
        return Check("qemu", Status.OK, f"{version} ({found}), not used: the runtime's is")
    if status != 0:
        return Check("qemu", Status.FAIL, f"{found} does not run: {version}", _NO_QEMU)
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
    status, output = await _output(*spec.command, "-machine", "help")
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
    status, _ = await _output(*spec.command, "-device", f"{device},help")
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
    return Check("kvm", Status.WARN, detail, _kvm_fix(obstacle is None))


def _kvm_fix(probed: bool) -> str:
    device = Path("/dev/kvm")
    if probed:
        return "nothing to do if this host is itself a virtual machine; otherwise check for firmware and kernel updates"
    if not device.exists():
        return "enable virtualization in the firmware and load kvm_intel or kvm_amd"
    with contextlib.suppress(OSError, KeyError):
        group = device.group()
        if group != "root":
            return f"`sudo usermod -aG {group} $USER`, then log in again"
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


_SUBIDS = "`sudo usermod --add-subuids 100000-165535 --add-subgids 100000-165535 $USER`, and `apt install uidmap`"


_ALLOW_NAMESPACES = (
    "allow them: `sudo sysctl kernel.unprivileged_userns_clone=1`, or if AppArmor forbids them, "
    "`sudo sysctl kernel.apparmor_restrict_unprivileged_userns=0`"
)


async def _user_namespaces() -> Check:
    """Create a user namespace with a range of uids, which mmdebstrap needs when it does not run as root."""
    name = "user namespaces"
    if os.getuid() == 0:
        return Check(name, Status.OK, "not needed: images are built as root")
    status, output = await _output("unshare", "--user", "--map-root-user", "true")
    if status != 0:
        return Check(name, Status.FAIL, f"not allowed: {_first_line(output)}", _ALLOW_NAMESPACES)
    status, output = await _output("unshare", "--user", "--map-auto", "--map-root-user", "chown", "--version")
    if status != 0:
        return Check(name, Status.FAIL, f"you have no range of uids: {_first_line(output)}", _SUBIDS)
    return Check(name, Status.OK, "available, with a range of uids")


async def _program(name: str, package: str, purpose: str) -> Check:
    if (found := shutil.which(name)) is not None:
        return Check(name, Status.OK, found)
    return Check(name, Status.FAIL, f"not installed; {purpose}", f"`apt install {package}` on Debian-like systems")


async def _agent_source() -> Check:
    """Check the source of the agent's layer: the user's installation, or else npm."""
    for program in ("claude", "npm"):
        if (found := shutil.which(program)) is not None:
            return Check("agent", Status.OK, f"from {found}")
    return Check(
        "agent", Status.WARN, "neither claude nor npm is installed", "install one of them, or use `--agent none`"
    )
