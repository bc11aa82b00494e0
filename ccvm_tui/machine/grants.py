"""The permissions of a machine's QEMU: the files it may access, the system calls it is denied, and its resource limits.

Access to all other files of the host is denied. The runtime directory is not among them: QEMU inherits its sockets as
open file descriptors.
"""

from __future__ import annotations

import os
import resource
import shutil
import struct
from pathlib import Path

from ccvm_tui.errors import PrerequisiteError
from ccvm_tui.image.runtime import Runtime
from ccvm_tui.machine.confine import Access, Rule
from ccvm_tui.machine.seccomp import Denied
from ccvm_tui.machine.spec import MachineSpec

_SYSTEM_TREES = ("/usr", "/lib", "/lib32", "/lib64", "/libx32")
_NIX_STORE = Path("/nix/store")
_FILES_MAX = 4096
"""Open files of QEMU. Each TCP connection of the user network is one."""

_DATA_BESIDES = 4 << 30
"""Bytes of private memory that QEMU may use besides the guest's: up to 1 GiB of translated code, heap, stacks."""

_ELF = b"\x7fELF\x02"
_PT_INTERP = 3


def find_program(spec: MachineSpec) -> Path:
    """Return the real path of the executable: the host's QEMU, or the dynamic loader that runs a runtime's QEMU.

    Raises PrerequisiteError if QEMU is not installed.
    """
    if spec.runtime is not None:
        return spec.runtime.loader
    found = shutil.which(spec.program)
    if found is None:
        raise PrerequisiteError(
            f"{spec.program} is not installed",
            "`ccvm-tui image build` unpacks a QEMU for guests; `ccvm-tui doctor` checks the other prerequisites",
        )
    return Path(os.path.realpath(found))


def qemu_rules(spec: MachineSpec, program: Path) -> tuple[Rule, ...]:
    """Return the complete list of rules for a machine that ``program`` runs."""
    runtime = spec.runtime
    rules = _program_rules(program) if runtime is None else _runtime_rules(runtime)
    rules += _device_rules(spec)
    images = [spec.kernel, spec.initrd, *(drive.path for drive in spec.drives)]
    rules += [Rule(image, Access.READ) for image in images if image is not None]
    if spec.network == "user":
        rules += _resolver_rules()
    return tuple(rules)


def qemu_denied(spec: MachineSpec) -> tuple[Denied, ...]:
    """Return the system calls denied to QEMU, besides those of its own filter.

    Only the user network needs sockets other than the inherited ones. QEMU accepts connections to the SSH port.
    """
    if not spec.seccomp:
        return ()
    return (Denied.KERNEL,) if spec.network == "user" else (Denied.KERNEL, Denied.SOCKETS)


def qemu_limits(spec: MachineSpec) -> dict[int, int]:
    """Return QEMU's resource limits (``resource.RLIMIT_*``). With them a broken QEMU cannot use all of the host."""
    limits = {
        resource.RLIMIT_NOFILE: _FILES_MAX,
        resource.RLIMIT_DATA: (spec.memory_mib << 20) + _DATA_BESIDES,
        resource.RLIMIT_MSGQUEUE: 0,
    }
    if not spec.lock_memory:
        limits[resource.RLIMIT_MEMLOCK] = 0
    return limits


def _program_rules(program: Path) -> list[Rule]:
    """Allow QEMU, its libraries and its firmware. Only QEMU and its ELF interpreter may be executed."""
    trees = [Path(tree) for tree in _SYSTEM_TREES]
    if program.is_relative_to(_NIX_STORE):
        trees.append(_NIX_STORE)
    elif not program.is_relative_to("/usr"):
        trees.append(program.parent.parent)
    interpreter = elf_interpreter(program)
    if interpreter is None:  # a wrapper script, as in Nix: the programs that it runs are unknown
        return [Rule(tree, Access.EXECUTE) for tree in trees] + _LOADER_RULES
    executables = [Rule(program, Access.EXECUTE), Rule(interpreter, Access.EXECUTE)]
    return executables + [Rule(tree, Access.READ) for tree in trees] + _LOADER_RULES


def _runtime_rules(runtime: Runtime) -> list[Rule]:
    """Allow the runtime's directory and no file of the host. Only the runtime's loader may be executed."""
    return [Rule(runtime.loader, Access.EXECUTE), Rule(runtime.directory, Access.READ)]


_LOADER_RULES = [Rule(Path("/etc/ld.so.cache"), Access.READ), Rule(Path("/etc/ld.so.conf"), Access.READ)]


def _device_rules(spec: MachineSpec) -> list[Rule]:
    devices = ["/dev/null", "/dev/urandom"]
    if spec.accel == "kvm":
        devices.append("/dev/kvm")
    return [Rule(Path(device), Access.DEVICE) for device in devices]


def _resolver_rules() -> list[Rule]:
    """Allow ``/etc/resolv.conf``, which slirp reads again whenever it changes.

    A resolver with a directory under ``/run`` replaces the file there, so the rule grants that directory. If the file
    is in ``/etc``, the rule grants only the current file, since ``/etc`` as a whole would be too much.
    """
    configuration = Path("/etc/resolv.conf")
    rules = [Rule(configuration, Access.READ)]
    real = Path(os.path.realpath(configuration))
    if real.is_relative_to("/run") and real.parent != Path("/run"):
        rules.append(Rule(real.parent, Access.READ))
    return rules


def elf_interpreter(program: Path) -> Path | None:
    """Return the dynamic loader named in the 64-bit little-endian ELF ``program`` (elf(5), PT_INTERP), or None."""
    try:
        with program.open("rb") as file:
            header = file.read(64)
            if len(header) < 64 or not header.startswith(_ELF):
                return None
            offset, size, count = struct.unpack_from("<Q14xHH", header, 32)
            file.seek(offset)
            table = file.read(size * count)
            for entry in range(0, len(table) - 55, size):
                kind, start, length = struct.unpack_from("<I4xQ16xQ", table, entry)
                if kind == _PT_INTERP:
                    file.seek(start)
                    return Path(os.fsdecode(file.read(length).rstrip(b"\0")))
    except (OSError, struct.error, ValueError):
        return None
    return None
