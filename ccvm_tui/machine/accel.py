"""Which accelerator really runs guests on this host.

A device that opens proves nothing: there are hosts on which /dev/kvm opens and makes virtual machines in which
no instruction of a guest ever runs. So KVM is trusted after a real kernel has printed its first line on it, and
not before. The verdict holds as long as the host's kernel, QEMU and the processor are the same, and is kept.
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

Wanted = Literal["auto", "kvm", "tcg"]

PROBE_DEADLINE = 4.0
"""Seconds that a kernel has for its first line on KVM; where KVM works it takes about a tenth of one."""

_PROBE_MEMORY_MIB = 512
_SIGN_OF_LIFE = "Linux version"
_DEVICE = Path("/dev/kvm")
_NOT_PROVEN = "KVM was not tried: there is no guest image yet to try it with"


@dataclass(frozen=True, slots=True)
class Verdict:
    """``accel`` to use and why. ``cached`` when an earlier probe said so."""

    accel: Accel
    reason: str
    cached: bool = False


async def choose(
    wanted: Wanted,
    kernel: Path | None,
    machine: str = "microvm",
    *,
    runtime: Runtime | None = None,
    fresh: bool = False,
) -> Verdict:
    """The accelerator for guests that boot ``kernel`` (an uncompressed ELF) on ``machine``.

    May boot that kernel on KVM for up to PROBE_DEADLINE seconds, once per host boot; ``fresh`` does so again.
    Raises AccelError when KVM is wanted and does not run guests, PrerequisiteError when QEMU is missing.
    """
    if wanted == "tcg":
        return Verdict("tcg", "asked for")
    verdict = await _judge_kvm(kernel, machine, runtime, fresh)
    if wanted == "kvm" and verdict.accel != "kvm" and verdict.reason != _NOT_PROVEN:
        raise AccelError(
            f"KVM does not run guests here: {verdict.reason}",
            "use `--accel auto` or `--accel tcg`; `ccvm-tui doctor` tries KVM again",
        )
    return Verdict("kvm", "asked for") if wanted == "kvm" and verdict.accel != "kvm" else verdict


def distrust(reason: str, machine: str = "microvm", *, runtime: Runtime | None = None) -> None:
    """Remember that a guest showed no life on KVM, for as long as a probe's verdict would hold."""
    _remember(_circumstances(machine, runtime), Verdict("tcg", reason))


async def _judge_kvm(kernel: Path | None, machine: str, runtime: Runtime | None, fresh: bool) -> Verdict:
    if (obstacle := device_obstacle()) is not None:
        return Verdict("tcg", obstacle)
    circumstances = _circumstances(machine, runtime)
    if not fresh and (known := _recall(circumstances)) is not None:
        return known
    if kernel is None:
        return Verdict("tcg", _NOT_PROVEN)
    log.info("trying KVM with %s", kernel)
    failure = await probe("kvm", kernel, machine, runtime=runtime)
    verdict = Verdict("kvm", "a guest ran on it") if failure is None else Verdict("tcg", failure)
    _remember(circumstances, verdict)
    return verdict


def device_obstacle(device: Path = _DEVICE) -> str | None:
    """Why KVM cannot even be tried, or None. Cheap: looks at the device node only."""
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
    """Boot ``kernel`` on ``accel`` until it says who it is; None when it did, else what happened instead.

    The machine is a bare one, confined like any other: no drive, no network, no share.
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
            return f"QEMU gave up: {_last_line(error.console_tail) or error.message}"
        except TimeoutError:
            return f"QEMU did not start within {deadline:.0f} s"
        try:
            async with asyncio.timeout(deadline):
                if await _alive(vm):
                    return None
            return f"QEMU ended before the guest's kernel said anything: {(await vm.wait()).detail}"
        except TimeoutError:
            return f"the guest showed no sign of life within {deadline:.0f} s"
        finally:
            vm.control.close()
            await vm.stop()


async def _alive(vm: Machine) -> bool:
    """True once the kernel has spoken, False when QEMU has ended without that."""
    ended = asyncio.ensure_future(vm.wait())
    try:
        while _SIGN_OF_LIFE not in vm.console_tail(100):
            if ended.done():
                return False
            await asyncio.wait([ended], timeout=0.02)
        return True
    finally:
        ended.cancel()


def _last_line(text: str) -> str:
    return next((line.strip() for line in reversed(text.splitlines()) if line.strip()), "")


# The memory of verdicts


def _circumstances(machine: str, runtime: Runtime | None) -> dict[str, Any]:
    """All that a verdict depends on. QEMU by the file it is, which is its version without running it."""
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


def _memory(circumstances: dict[str, Any]) -> Path:
    """Of the host's QEMU and of our own apart, so that guests of both do not try KVM in turns."""
    own = "-own" if circumstances["runtime"] else ""
    return cache_dir() / f"accel-{circumstances['machine']}{own}.json"


def _recall(circumstances: dict[str, Any]) -> Verdict | None:
    try:
        kept = json.loads(_memory(circumstances).read_text())
        if kept["circumstances"] == circumstances and kept["accel"] in ("kvm", "tcg"):
            return Verdict(kept["accel"], str(kept["reason"]), cached=True)
    except (OSError, ValueError, KeyError, TypeError):
        pass  # never written, or by somebody else: then it is not known
    return None


def _remember(circumstances: dict[str, Any], verdict: Verdict) -> None:
    path = _memory(circumstances)
    kept = {"circumstances": circumstances, "accel": verdict.accel, "reason": verdict.reason}
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        fd, temporary = tempfile.mkstemp(prefix=path.name, dir=path.parent)
        with os.fdopen(fd, "w") as file:
            json.dump(kept, file)
        Path(temporary).replace(path)
    except OSError as error:
        log.warning("the verdict on KVM is not kept: %s", error)
