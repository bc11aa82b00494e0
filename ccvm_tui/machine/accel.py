"""Selection of an accelerator that runs guests on this host.

A device that opens proves nothing: on some hosts ``/dev/kvm`` opens and creates virtual machines in which no
guest instruction ever runs. KVM is therefore used only after a real kernel has printed its first line on it.
The verdict is cached for as long as the host's boot, kernel, processor and QEMU stay the same.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import platform
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from ccvm_tui.errors import AccelError, BootError
from ccvm_tui.image.runtime import Runtime
from ccvm_tui.machine.arch import host_arch
from ccvm_tui.machine.grants import find_program
from ccvm_tui.machine.process import Machine
from ccvm_tui.machine.spec import Accel, MachineSpec
from ccvm_tui.paths import GuestPaths, cache_dir

log = logging.getLogger(__name__)

AccelSetting = Literal["auto", "kvm", "tcg"]
"""The values of the setting ``accel``."""

PROBE_DEADLINE = 4.0
"""Seconds within which a kernel must print its first line on KVM. Where KVM works, it takes about 0.1 seconds."""

_PROBE_MEMORY_MIB = 512
_KERNEL_BANNER = "Linux version"
_DEVICE = Path("/dev/kvm")
_NOT_PROBED = "KVM was not tried: there is no guest image yet to try it with"


@dataclass(frozen=True, slots=True)
class Verdict:
    """The accelerator to use and the reason. ``cached`` is true if the result comes from an earlier probe."""

    accel: Accel
    reason: str
    cached: bool = False


async def choose(
    wanted: AccelSetting,
    kernel: Path | None,
    machine: str = "microvm",
    *,
    runtime: Runtime | None = None,
    fresh: bool = False,
) -> Verdict:
    """Return the accelerator for guests that boot ``kernel`` (an uncompressed ELF) on ``machine``.

    Unless a verdict is cached, the kernel is booted on KVM for up to ``PROBE_DEADLINE`` seconds. ``fresh`` ignores
    the cache. Raises AccelError if KVM is requested and does not run guests, PrerequisiteError if QEMU is missing.
    """
    if wanted == "tcg":
        return Verdict("tcg", "requested")
    verdict = await _evaluate_kvm(kernel, machine, runtime, fresh)
    if wanted == "kvm" and verdict.accel != "kvm" and verdict.reason != _NOT_PROBED:
        raise AccelError(
            f"KVM does not run guests here: {verdict.reason}",
            "use `--accel auto` or `--accel tcg`; `ccvm-tui doctor` tries KVM again",
        )
    return Verdict("kvm", "requested") if wanted == "kvm" and verdict.accel != "kvm" else verdict


def record_kvm_failure(reason: str, machine: str = "microvm", *, runtime: Runtime | None = None) -> None:
    """Cache the verdict that KVM does not run guests, for as long as a probe's verdict would be cached."""
    _store_verdict(_circumstances(machine, runtime), Verdict("tcg", reason))


async def _evaluate_kvm(kernel: Path | None, machine: str, runtime: Runtime | None, fresh: bool) -> Verdict:
    if (obstacle := kvm_obstacle()) is not None:
        return Verdict("tcg", obstacle)
    circumstances = _circumstances(machine, runtime)
    if not fresh and (cached := _load_verdict(circumstances)) is not None:
        return cached
    if kernel is None:
        return Verdict("tcg", _NOT_PROBED)
    log.info("trying KVM with %s", kernel)
    failure = await probe("kvm", kernel, machine, runtime=runtime)
    verdict = Verdict("kvm", "a guest ran on it") if failure is None else Verdict("tcg", failure)
    _store_verdict(circumstances, verdict)
    return verdict


def kvm_obstacle(device: Path = _DEVICE) -> str | None:
    """Return the reason why KVM cannot be tried at all, or None. Only the device node is examined."""
    if not device.exists():
        return f"{device} does not exist (no hardware virtualization, or the kvm module is not loaded)"
    if not os.access(device, os.R_OK | os.W_OK):
        return f"{device} is not accessible to you"
    return None


async def probe(
    accel: Accel,
    kernel: Path,
    machine: str = "microvm",
    *,
    runtime: Runtime | None = None,
    deadline: float = PROBE_DEADLINE,
) -> str | None:
    """Boot ``kernel`` on ``accel`` until it prints its version; return None, or a description of the failure.

    The machine has no drive, network or share, and is confined like any other.
    """
    arch = host_arch()
    early = "earlyprintk=ttyS0" if arch.name == "x86_64" else "earlycon"
    spec = MachineSpec(
        kernel=kernel, cmdline=early, machine=machine, accel=accel, memory_mib=_PROBE_MEMORY_MIB, cores=1,
        network="none", name="ccvm-probe", runtime=runtime,
    )  # fmt: skip
    with tempfile.TemporaryDirectory(prefix="ccvm-probe-") as directory:
        paths = GuestPaths("probe", Path(directory))
        paths.dir.mkdir(mode=0o700)
        try:
            async with asyncio.timeout(deadline):
                vm = await Machine.start(spec, paths)
        except BootError as error:
            return f"QEMU failed to start: {_last_line(error.console_tail) or error.message}"
        except TimeoutError:
            return f"QEMU did not start within {deadline:.0f} s"
        try:
            async with asyncio.timeout(deadline):
                if await _kernel_starts(vm):
                    return None
            return f"QEMU exited before the guest's kernel printed anything: {(await vm.wait()).detail}"
        except TimeoutError:
            return f"the guest's kernel printed nothing within {deadline:.0f} s"
        finally:
            vm.control.close()
            await vm.stop()


async def _kernel_starts(vm: Machine) -> bool:
    """Return True once the kernel has printed its version, False if QEMU exits before that."""
    ended = asyncio.ensure_future(vm.wait())
    try:
        while _KERNEL_BANNER not in vm.console_tail(100):
            if ended.done():
                return False
            await asyncio.wait([ended], timeout=0.02)
        return True
    finally:
        ended.cancel()


def _last_line(text: str) -> str:
    return next((line.strip() for line in reversed(text.splitlines()) if line.strip()), "")


# --- the cache of verdicts --------------------------------------------------------------------------------


def _circumstances(machine: str, runtime: Runtime | None) -> dict[str, Any]:
    """Return everything that a verdict depends on.

    Size and modification time of the executable stand for QEMU's version, which would otherwise need a run of QEMU.
    """
    program = find_program(MachineSpec(kernel=None, machine=machine)) if runtime is None else runtime.program
    info = program.stat()
    return {
        "boot": _first_line(Path("/proc/sys/kernel/random/boot_id")),
        "kernel": platform.release(),
        "cpu": _cpu_model(),
        "qemu": [str(program), info.st_size, info.st_mtime_ns],
        "machine": machine,
        "runtime": runtime is not None,
    }


def _first_line(path: Path) -> str:
    try:
        return path.read_text().partition("\n")[0]
    except OSError:
        return ""


def _cpu_model() -> str:
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            key, _, value = line.partition(":")
            if key.strip() in {"model name", "CPU part"}:
                return value.strip()
    return platform.processor()


def _cache_file(circumstances: dict[str, Any]) -> Path:
    """Return the cache file. The host's QEMU and a runtime have separate files, so that neither evicts the other."""
    own = "-own" if circumstances["runtime"] else ""
    return cache_dir() / f"accel-{circumstances['machine']}{own}.json"


def _load_verdict(circumstances: dict[str, Any]) -> Verdict | None:
    try:
        stored = json.loads(_cache_file(circumstances).read_text())
        if stored["circumstances"] == circumstances and stored["accel"] in ("kvm", "tcg"):
            return Verdict(stored["accel"], str(stored["reason"]), cached=True)
    except (OSError, ValueError, KeyError, TypeError):
        pass  # a missing or malformed file is an empty cache
    return None


def _store_verdict(circumstances: dict[str, Any], verdict: Verdict) -> None:
    path = _cache_file(circumstances)
    stored = {"circumstances": circumstances, "accel": verdict.accel, "reason": verdict.reason}
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        fd, temporary = tempfile.mkstemp(prefix=path.name, dir=path.parent)
        with os.fdopen(fd, "w") as file:
            json.dump(stored, file)
        Path(temporary).replace(path)
    except OSError as error:
        log.warning("cannot cache the verdict on KVM: %s", error)


def valid(wanted: str) -> AccelSetting:
    """Return ``wanted`` with its precise type. Raises AccelError if it is not a valid value."""
    match wanted:
        case "auto" | "kvm" | "tcg":
            return wanted
    raise AccelError(f"unknown accelerator {wanted!r}", "use auto, kvm or tcg")
