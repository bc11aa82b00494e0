"""What differs between processor architectures. A new one is a new row."""

from __future__ import annotations

import platform
from dataclasses import dataclass

from ccvm_tui.errors import PrerequisiteError


@dataclass(frozen=True, slots=True)
class MachineType:
    """``properties`` go behind ``-machine NAME``; ``bus`` ends the names of virtio devices (``mmio`` has
    ``virtio-blk-device``, ``pci`` has ``virtio-blk-pci``); ``cmdline`` is what the kernel has to be told."""

    qemu_name: str
    bus: str
    properties: str = ""
    cmdline: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Arch:
    """``qemu`` is the program's name, ``console`` the kernel's name of the first serial port.

    ``emulated_cpu`` is the processor model under TCG, ``emulated_cmdline`` what the kernel is told there.
    """

    name: str
    qemu: str
    console: str
    machines: dict[str, MachineType]
    emulated_cpu: str = "max"
    emulated_cmdline: tuple[str, ...] = ()


_X86_64 = Arch(
    name="x86_64",
    qemu="qemu-system-x86_64",
    console="ttyS0",
    # TCG carries out "rep movsb" byte by byte. Without ERMS and FSRM the kernel copies and clears memory by words.
    emulated_cpu="max,-erms,-fsrm",
    # Both cost much under emulation, and harden the guest's kernel against its own programs only. The boundary is the
    # machine: the programs have root inside.
    emulated_cmdline=("mitigations=off", "init_on_alloc=0"),
    machines={
        # The devices are named by ACPI: distributions' kernels do not take them from the command line.
        # PIT and PIC stay on: under TCG the guest hangs silently without them, and one machine for both
        # accelerators is one machine to test.
        "microvm": MachineType(
            qemu_name="microvm",
            bus="device",
            properties="acpi=on,pit=on,pic=on,rtc=on,isa-serial=on,mem-merge=off,dump-guest-core=off",
            # A triple fault is the quickest reset; with -no-reboot it ends QEMU. The kernel calls it a fatal error that
            # there is no PCI bus: the console tells only what is critical, panics and oopses among it.
            cmdline=("reboot=t", "loglevel=3"),
        ),
        "q35": MachineType(
            qemu_name="q35",
            bus="pci",
            properties="smm=off,vmport=off,sata=off,smbus=off,usb=off,mem-merge=off,dump-guest-core=off",
        ),
    },
)

_AARCH64 = Arch(
    name="aarch64",
    qemu="qemu-system-aarch64",
    console="ttyAMA0",
    machines={
        "microvm": MachineType(
            qemu_name="virt", bus="device", properties="gic-version=max,mem-merge=off,dump-guest-core=off"
        ),
        "q35": MachineType(qemu_name="virt", bus="pci", properties="gic-version=max,mem-merge=off,dump-guest-core=off"),
    },
)

_BY_NAME = {"x86_64": _X86_64, "amd64": _X86_64, "aarch64": _AARCH64, "arm64": _AARCH64}


def host_arch(machine: str | None = None) -> Arch:
    """The row for this host, or for ``machine`` as ``uname -m`` gives it.

    Raises PrerequisiteError when there is no row.
    """
    name = platform.machine() if machine is None else machine
    try:
        return _BY_NAME[name]
    except KeyError:
        raise PrerequisiteError(
            f"this program cannot make guests for the processor {name}", f"it knows {', '.join(_BY_NAME)}"
        ) from None
