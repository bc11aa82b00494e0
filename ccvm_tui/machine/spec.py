"""What a machine is made of: frozen, and complete. Nothing else decides QEMU's command line."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from ccvm_tui.image.runtime import Runtime
from ccvm_tui.machine.arch import Arch, host_arch

Accel = Literal["kvm", "tcg"]
Network = Literal["user", "none"]

CONTROL_PORT = "ccvm.control"
SSH_PORT = "ccvm.ssh"
"""Names under /sys/class/virtio-ports: the guest goes by names, numbers are not to be relied on."""

WORKSPACE_TAG = "workspace"
SERIAL_MAX = 20
"""Longest serial of a virtio disk in bytes (VIRTIO_BLK_ID_BYTES, virtio 1.2, 5.2.6)."""
TAG_MAX = 35
"""Longest tag of a virtio file system in bytes, less the NUL (virtio 1.2, 5.11.4)."""


@dataclass(frozen=True, slots=True)
class Share:
    """A virtio file system that the guest finds under ``tag``. A file server outside QEMU answers for it."""

    tag: str = WORKSPACE_TAG

    def __post_init__(self) -> None:
        if not 0 < len(self.tag.encode()) <= TAG_MAX:
            raise ValueError(f"a file system's tag has 1 to {TAG_MAX} bytes: {self.tag!r}")

    @property
    def port(self) -> str:
        """The name of the port of its helper in the guest."""
        return f"ccvm.share.{self.tag}"


@dataclass(frozen=True, slots=True)
class ShareFds:
    """File descriptors for one share: the vhost-user connection to its server, and the server's end of its port."""

    device: int
    helper: int


@dataclass(frozen=True, slots=True)
class Drive:
    """A raw image, read-only, found in the guest as the disk whose serial is ``serial``."""

    path: Path
    serial: str

    def __post_init__(self) -> None:
        if not 0 < len(self.serial.encode()) <= SERIAL_MAX:
            raise ValueError(f"a disk's serial has 1 to {SERIAL_MAX} bytes: {self.serial!r}")


@dataclass(frozen=True, slots=True)
class MachineSpec:
    """One machine. ``kernel`` None makes a machine whose processors never start.

    ``memory_mib`` in MiB. ``seccomp`` is QEMU's own filter, ``confine`` Landlock around QEMU. ``lock_memory``
    keeps guest memory out of swap. ``name`` shows in ``ps``. ``qemu`` is the program, by name or path; a ``runtime``
    takes its place. ``tsc_khz`` is the host's counter frequency; 0 lets ``Machine.start`` find it out.
    """

    kernel: Path | None
    initrd: Path | None = None
    drives: tuple[Drive, ...] = ()
    cmdline: str = ""
    machine: str = "microvm"
    accel: Accel = "tcg"
    memory_mib: int = 4096
    cores: int = 4
    shares: tuple[Share, ...] = ()
    network: Network = "user"
    seccomp: bool = True
    confine: bool = True
    lock_memory: bool = False
    tsc_khz: int = 0
    name: str = "ccvm"
    arch: Arch = field(default_factory=host_arch)
    qemu: str = ""
    runtime: Runtime | None = None

    def __post_init__(self) -> None:
        if self.machine not in self.arch.machines:
            known = ", ".join(self.arch.machines)
            raise ValueError(f"no machine {self.machine!r} on {self.arch.name}: {known}")
        if self.memory_mib < 1 or self.cores < 1:
            raise ValueError(f"a machine of {self.memory_mib} MiB and {self.cores} cores")
        tags = [share.tag for share in self.shares]
        if len(set(tags)) != len(tags):
            raise ValueError(f"two shares of one tag: {tags}")

    @property
    def program(self) -> str:
        return self.qemu or self.arch.qemu

    @property
    def command(self) -> list[str]:
        """The beginning of the command line, the program first."""
        return [self.program] if self.runtime is None else self.runtime.command


@dataclass(frozen=True, slots=True)
class MachineFds:
    """File descriptors that QEMU inherits: connected stream sockets, except ``ssh``, which listens.

    None leaves the device out. ``shares`` has one element for each share of the machine.
    """

    qmp: int | None = None
    console: int | None = None
    control: int | None = None
    ssh: int | None = None
    shares: tuple[ShareFds, ...] = ()

    def all(self) -> tuple[int, ...]:
        single = [fd for fd in (self.qmp, self.console, self.control, self.ssh) if fd is not None]
        return (*single, *(fd for share in self.shares for fd in (share.device, share.helper)))
