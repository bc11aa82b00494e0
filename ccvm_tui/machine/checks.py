"""What this host has and lacks for running guests, found out by trying. Data; ``doctor`` shows it.

A version number says what ought to work. So user namespaces are entered, a machine is started behind its
confinement, files are written, and KVM gets a guest to run. All at once, since each is mostly waiting.
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
from ccvm_tui.machine import accel, confine, damage
from ccvm_tui.machine.limits import Host
from ccvm_tui.machine.process import Machine
from ccvm_tui.machine.spec import MachineSpec
from ccvm_tui.machine.status import Status
from ccvm_tui.paths import GuestPaths, cache_dir, runtime_dir

TIMEOUT = 10.0
"""Seconds for one program that a check runs."""

_NEEDED_MIB = 1024
_BUILD_SPACE = 3 << 30
_RUN_SPACE = 64 << 20
_LANDLOCK_SINCE = (5, 13)
_WATCHES_NAME = "fs.inotify.max_user_watches"
_WATCHES = Path("/proc/sys", *_WATCHES_NAME.split("."))
_ENOUGH_WATCHES = 65_536


@dataclass(frozen=True, slots=True)
class Check:
    """One finding. ``mend`` is what to do about it, and empty where nothing is to be done."""

    name: str
    status: Status
    detail: str
    mend: str = ""


async def host(kernel: Path | None = None, machine: str = "microvm", runtime: Runtime | None = None) -> list[Check]:
    """All checks, in a fixed order, in about the time of the slowest.

    KVM is tried with ``kernel`` even when an earlier verdict is known; without a kernel it cannot be. With a
    ``runtime`` it is that one's QEMU that is tried.
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
    """Status and output (both streams) of a program; -1 when it cannot be run or takes too long."""
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
        "root: a guest that escapes would own the host",
        "run as an ordinary user" + ("" if allowed else ", or set CCVM_ALLOW_ROOT=1"),
    )


async def _kernel_version() -> Check:
    release = platform.release()
    numbers = [int(part) for part in release.replace("-", ".").split(".")[:2] if part.isdigit()]
    if tuple(numbers) < _LANDLOCK_SINCE:
        wanted = ".".join(map(str, _LANDLOCK_SINCE))
        return Check("kernel", Status.WARN, f"Linux {release}", f"Landlock needs Linux {wanted} or newer")
    return Check("kernel", Status.OK, f"Linux {release}")


_NO_QEMU = "`ccvm-tui image build` unpacks one of our own; or `apt install qemu-system-x86` on Debian-like systems"


async def _qemu(runtime: Runtime | None, kvm: asyncio.Future[Check]) -> Check:
    """The host's QEMU. If a runtime's is used, it may be missing or old."""
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
    if known := damage.worst(version, emulated=emulated):
        return Check("qemu", known.status, f"{version} ({found}): {known.what}", _BETTER_QEMU)
    return Check("qemu", Status.OK, f"{version} ({found})")


_BETTER_QEMU = 'use a newer QEMU: the distribution\'s, or one of our own with `runtime = "own"` in the settings'


async def _machine_type(machine: str, runtime: Runtime | None) -> Check:
    spec = MachineSpec(kernel=None, machine=machine, runtime=runtime)
    name = spec.arch.machines[machine].qemu_name
    status, output = await _output(*spec.command, "-machine", "help")
    known = [line.split()[0] for line in output.splitlines() if line.strip()]
    if status == 0 and name in known:
        return Check("machine type", Status.OK, f"QEMU knows {name}")
    return Check(
        "machine type", Status.FAIL, f"this QEMU has no machine {name}", "use `--machine q35`, or a fuller QEMU"
    )


async def _file_sharing(machine: str, runtime: Runtime | None) -> Check:
    spec = MachineSpec(kernel=None, machine=machine, runtime=runtime)
    device = f"vhost-user-fs-{spec.arch.machines[machine].bus}"
    # asked for this one alone: a list of all devices loads modules, which a QEMU of our own would take from the host's
    status, _ = await _output(*spec.command, "-device", f"{device},help")
    if status != 0:
        return Check("file sharing", Status.FAIL, f"this QEMU has no device {device}", _BETTER_QEMU)
    watches = int(_WATCHES.read_text())
    detail = f"QEMU has {device}; {watches} directories can be watched"
    if watches < _ENOUGH_WATCHES:
        mend = f"`sudo sysctl {_WATCHES_NAME}=524288`: what is not watched is slower in guests"
        return Check("file sharing", Status.WARN, detail, mend)
    return Check("file sharing", Status.OK, detail)


async def _machine_starts(machine: str, runtime: Runtime | None) -> Check:
    """Start a machine with every device that guests have, behind seccomp and Landlock, without a kernel."""
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
        return Check("machine", Status.WARN, "QEMU started, but without its seccomp filter", "use a fuller QEMU")
    return Check("machine", Status.OK, f"QEMU with all devices starts, seccomp filter on, in {took * 1000:.0f} ms")


async def _kvm(kernel: Path | None, machine: str, runtime: Runtime | None) -> Check:
    obstacle = accel.device_obstacle()
    try:
        verdict = await accel.choose("auto", kernel, machine, runtime=runtime, fresh=kernel is not None)
    except PrerequisiteError as error:
        return Check("kvm", Status.WARN, error.message, error.hint)
    if verdict.accel == "kvm":
        return Check("kvm", Status.OK, verdict.reason)
    detail = f"guests run under emulation (tcg), which is slower: {verdict.reason}"
    if obstacle is None and kernel is None:
        return Check("kvm", Status.WARN, verdict.reason, "build the image first: `ccvm-tui image build`")
    return Check("kvm", Status.WARN, detail, _kvm_mend(obstacle is None))


def _kvm_mend(tried: bool) -> str:
    device = Path("/dev/kvm")
    if tried:
        return "nothing, if this host is a virtual machine itself; else look for firmware and kernel updates"
    if not device.exists():
        return "switch on virtualization in the firmware and load kvm_intel or kvm_amd"
    with contextlib.suppress(OSError, KeyError):
        group = device.group()
        if group != "root":
            return f"`sudo usermod -aG {group} $USER`, then log in again"
    return "let a group of yours read and write /dev/kvm (a udev rule of the package qemu-system does that)"


async def _landlock() -> Check:
    active = confine.available()
    if not active.files:
        return Check("landlock", Status.WARN, active.reason, "boot with `lsm=landlock,…`; QEMU then runs without it")
    if not active.renames:
        detail = f"ABI {active.abi} cannot allow renames: the file server runs without it, QEMU within it"
        return Check("landlock", Status.WARN, detail, "use Linux 5.19 or newer")
    parts = ["files", *(["TCP"] if active.tcp else []), *(["signals and abstract sockets"] if active.scopes else [])]
    return Check("landlock", Status.OK, f"ABI {active.abi}: {', '.join(parts)}")


async def _memory() -> Check:
    has = Host.here()
    detail = f"{has.available_mib} MiB of {has.memory_mib} MiB free, {has.cores} cores"
    if has.available_mib < _NEEDED_MIB:
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
        return Check("runtime directory", Status.FAIL, f"{directory}: {error.strerror}", f"make room in {directory}")
    free = shutil.disk_usage(directory).free
    if free < _RUN_SPACE:
        return Check("runtime directory", Status.WARN, f"{directory} has {free >> 20} MiB left", "make room there")
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
        return Check("disk", Status.WARN, detail, f"an image build wants {_BUILD_SPACE >> 20} MiB; `ccvm-tui image rm`")
    return Check("disk", Status.OK, detail)


_SUBIDS = "`sudo usermod --add-subuids 100000-165535 --add-subgids 100000-165535 $USER`, and `apt install uidmap`"


_ALLOW_NAMESPACES = (
    "allow them: `sudo sysctl kernel.unprivileged_userns_clone=1`, or where AppArmor forbids them "
    "`sudo sysctl kernel.apparmor_restrict_unprivileged_userns=0`"
)


async def _user_namespaces() -> Check:
    """mmdebstrap without root needs a namespace with a range of uids: make one."""
    name = "user namespaces"
    if os.getuid() == 0:
        return Check(name, Status.OK, "not needed: images are built as root")
    status, output = await _output("unshare", "--user", "--map-root-user", "true")
    if status != 0:
        return Check(name, Status.FAIL, f"not allowed: {_first_line(output)}", _ALLOW_NAMESPACES)
    status, output = await _output("unshare", "--user", "--map-auto", "--map-root-user", "chown", "--version")
    if status != 0:
        return Check(name, Status.FAIL, f"no range of uids for you: {_first_line(output)}", _SUBIDS)
    return Check(name, Status.OK, "work, with a range of uids")


async def _program(name: str, package: str, purpose: str) -> Check:
    if (found := shutil.which(name)) is not None:
        return Check(name, Status.OK, found)
    return Check(name, Status.FAIL, f"not installed; {purpose}", f"`apt install {package}` on Debian-like systems")


async def _agent_source() -> Check:
    """The agent's layer is taken from the user's own installation or, failing that, from npm."""
    for program in ("claude", "npm"):
        if (found := shutil.which(program)) is not None:
            return Check("agent", Status.OK, f"from {found}")
    return Check(
        "agent", Status.WARN, "neither claude nor npm is installed", "install one of them, or use `--agent none`"
    )
