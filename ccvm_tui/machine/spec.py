"""The specification of a machine: frozen and complete. QEMU's command line depends on nothing else."""

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
EGRESS_PORT = "ccvm.egress"
"""Names under ``/sys/class/virtio-ports``. The guest finds ports by name, since their numbers may change."""

WORKSPACE_TAG = "workspace"
HISTORY_TAG = "history"
SCRATCH_SERIAL = "scratch"
"""The serial of the scratch disk."""

SERIAL_MAX = 20
"""Maximum length of a virtio disk's serial in bytes (VIRTIO_BLK_ID_BYTES, virtio 1.2, 5.2.6)."""
TAG_MAX = 35
"""Maximum length of a virtio file system's tag in bytes, without the NUL (virtio 1.2, 5.11.4)."""


@dataclass(frozen=True, slots=True)
class Share:
    """A virtio file system, named ``tag`` in the guest and served by a file server outside QEMU."""

    tag: str = WORKSPACE_TAG

    def __post_init__(self) -> None:
        if not 0 < len(self.tag.encode()) <= TAG_MAX:
            raise ValueError(f"the tag of a file system must have 1 to {TAG_MAX} bytes: {self.tag!r}")

    @property
    def port(self) -> str:
        """The name of the virtio-serial port of the share's helper in the guest."""
        return f"ccvm.share.{self.tag}"


@dataclass(frozen=True, slots=True)
class ShareFds:
    """File descriptors of one share, both connected to its file server.

    ``device`` is the vhost-user connection, ``helper`` the connection to the port of the share's helper.
    """

    device: int
    helper: int


@dataclass(frozen=True, slots=True)
class Drive:
    """A read-only raw disk image, identified in the guest by the disk's ``serial``."""

    path: Path
    serial: str

    def __post_init__(self) -> None:
        if not 0 < len(self.serial.encode()) <= SERIAL_MAX:
            raise ValueError(f"the serial of a disk must have 1 to {SERIAL_MAX} bytes: {self.serial!r}")


@dataclass(frozen=True, slots=True)
class MachineSpec:
    """The specification of one machine.

    If ``kernel`` is None, the machine's processors never start. ``memory_mib`` is in MiB. ``seccomp`` enables QEMU's
    own filter, ``confine`` Landlock. With ``egress_port`` the guest has a port for connections through the keeper's
    proxy; ``network`` is then "none". ``lock_memory`` keeps guest memory out of swap. ``name`` is visible in ``ps``.
    ``qemu`` is the name or path of the executable, the architecture's default if it is empty; a ``runtime`` takes
    precedence. ``tsc_khz`` is the frequency of the host's time stamp counter; if it is 0, ``Machine.start`` measures it
    when the machine needs it. Raises ValueError if the machine is impossible.
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
    egress_port: bool = False
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
            raise ValueError(f"no machine type {self.machine!r} on {self.arch.name}, only {known}")
        if self.memory_mib < 1 or self.cores < 1:
            raise ValueError(f"memory and cores must be positive: {self.memory_mib} MiB, {self.cores} cores")
        tags = [share.tag for share in self.shares]
        if len(set(tags)) != len(tags):
            raise ValueError(f"duplicate share tags: {tags}")

    @property
    def program(self) -> str:
        """The name or path of the host's QEMU executable."""
        return self.qemu or self.arch.qemu

    @property
    def command(self) -> list[str]:
        """The start of the command line: QEMU, or the loader of a runtime with its arguments."""
        return [self.program] if self.runtime is None else self.runtime.command


@dataclass(frozen=True, slots=True)
class MachineFds:
    """File descriptors that QEMU inherits: connected stream sockets, and for ``ssh`` a listening socket.

    A device whose descriptor is None is omitted. ``egress`` leads to the keeper's proxy. ``shares`` has one element per
    share of the machine. ``scratch`` is the file of a writable disk.
    """

    qmp: int | None = None
    console: int | None = None
    control: int | None = None
    ssh: int | None = None
    egress: int | None = None
    shares: tuple[ShareFds, ...] = ()
    scratch: int | None = None

    def all(self) -> tuple[int, ...]:
        """Return all descriptors."""
        sockets = (self.qmp, self.console, self.control, self.ssh, self.egress)
        single = [fd for fd in (*sockets, self.scratch) if fd is not None]
        return (*single, *(fd for share in self.shares for fd in (share.device, share.helper)))
