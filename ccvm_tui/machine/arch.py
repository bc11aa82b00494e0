"""Differences between processor architectures. A new architecture is a new row in ``_BY_NAME``."""

from __future__ import annotations

import platform
from dataclasses import dataclass

from ccvm_tui.errors import PrerequisiteError


@dataclass(frozen=True, slots=True)
class MachineType:
    """A machine type of QEMU.

    ``properties`` follow ``-machine NAME``. ``bus`` is the suffix of virtio device names: ``device`` on virtio-mmio
    (``virtio-blk-device``), ``pci`` on PCI (``virtio-blk-pci``). ``cmdline`` holds the kernel parameters that the
    machine type needs.
    """

    qemu_name: str
    bus: str
    properties: str = ""
    cmdline: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Arch:
    """A processor architecture.

    ``qemu`` is the name of QEMU's executable, ``console`` the kernel's name for the first serial port. Under TCG,
    ``emulated_cpu`` is the processor model and ``emulated_cmdline`` holds additional kernel parameters.
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
    # TCG executes "rep movsb" byte by byte. Without ERMS and FSRM the kernel copies and clears memory by words.
    emulated_cpu="max,-erms,-fsrm",
    # The first two are expensive under emulation, and harden the guest's kernel only against programs inside the guest,
    # which have root there. The security boundary is the machine. On a busy host, ticks are lost, which the kernel's
    # check of the timer takes for a missing connection ("MP-BIOS bug"); the guest then hangs. Without random addresses,
    # QEMU 7.2 reuses its translation of a program that is executed again: exec takes a third of the time, git too.
    emulated_cmdline=("mitigations=off", "init_on_alloc=0", "no_timer_check", "norandmaps"),
    machines={
        # ACPI describes the devices: kernels of distributions do not accept them on the command line.
        # PIT and PIC stay on. Under TCG the guest hangs silently without them, and KVM guests get the same machine
        # so that only one has to be tested.
        "microvm": MachineType(
            qemu_name="microvm",
            bus="device",
            properties="acpi=on,pit=on,pic=on,rtc=on,isa-serial=on,mem-merge=off,dump-guest-core=off",
            # A triple fault is the fastest reset; with -no-reboot it makes QEMU exit. The kernel logs the missing PCI
            # bus as an error: loglevel=3 limits the console to critical messages, including panics and oopses.
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
    """Return the architecture of this host, or of ``machine`` as reported by ``uname -m``.

    Raises PrerequisiteError if the architecture is not supported.
    """
    name = platform.machine() if machine is None else machine
    try:
        return _BY_NAME[name]
    except KeyError:
        raise PrerequisiteError(
            f"guests are not supported on the architecture {name}", f"supported: {', '.join(_BY_NAME)}"
        ) from None
