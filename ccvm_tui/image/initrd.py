"""The initrd: a static busybox, ``/init``, and the few kernel modules that a boot needs."""

from __future__ import annotations

import tempfile
from pathlib import Path

from ccvm_tui.errors import ImageError
from ccvm_tui.image.cpio import Archive
from ccvm_tui.image.guestfiles import INITRD_INIT
from ccvm_tui.image.kernel import extract_vmlinux
from ccvm_tui.image.modules import ModuleTree
from ccvm_tui.image.unpack import unpack

ROOT_MODULES = ("virtio_mmio", "virtio_pci", "virtio_blk", "virtio_console", "squashfs", "overlay")
"""Modules that ``/init`` loads to access the root file system and the control port."""

LATER_MODULES = ("virtiofs", "virtio_net", "virtio_rng", "dummy", "tcp_diag")
"""Modules that ``configure`` needs, loaded while the guest agent starts."""

_PAGE = 4096
_LAST_PAGE_USED = 512
"""Bytes of its last page that an initrd occupies. QEMU places an initrd at the end of memory, at the start of a page.
On a microvm, the firmware of QEMU 10 stores ACPI tables at the end of that last page: a larger initrd overwrites them,
and the kernel hangs."""

_APPLETS = ("sh", "mount", "mkdir", "cp", "insmod", "switch_root", "usleep")
_DIRECTORIES = ("bin", "dev", "proc", "sys", "lower", "upper", "new", "modules", "later")


class KernelFiles:
    """A context manager that unpacks the ``kernel.tar`` of a bootstrap. The files exist until its exit."""

    def __init__(self, archive: Path) -> None:
        self._archive = archive
        self._folder = tempfile.TemporaryDirectory(prefix="ccvm-kernel-")

    def __enter__(self) -> KernelFiles:
        unpack(self._archive, Path(self._folder.name))
        root = Path(self._folder.name, "kernel")
        releases = list((root / "modules").iterdir())
        if len(releases) != 1:
            raise ImageError(f"the kernel package contains {len(releases)} kernels instead of one")
        self.release = releases[0].name
        self.modules = ModuleTree(releases[0])
        self.vmlinuz = root / "vmlinuz"
        self.busybox = root / "busybox"
        return self

    def __exit__(self, *_: object) -> None:
        self._folder.cleanup()

    def write_vmlinux(self, target: Path) -> None:
        """Write the uncompressed kernel. Raises ImageError if its compression is unknown."""
        target.write_bytes(extract_vmlinux(self.vmlinuz.read_bytes()))

    def write_initrd(self, target: Path, digest: str) -> None:
        """Write the initrd. The guest agent reports ``digest`` as its image in ``hello``."""
        early = self.modules.load_order(ROOT_MODULES)
        later = [module for module in self.modules.load_order(LATER_MODULES) if module not in early]
        with target.open("wb") as out:
            archive = Archive(out)
            for directory in _DIRECTORIES:
                archive.directory(directory)
            archive.character_device("dev/console", 5, 1)
            archive.file("bin/busybox", self.busybox.read_bytes(), 0o755)
            for applet in _APPLETS:
                archive.symlink(f"bin/{applet}", "busybox")
            for module in early:
                archive.file(f"modules/{module}.ko", self.modules.read(module))
            for module in later:
                archive.file(f"later/{module}.ko", self.modules.read(module))
            archive.file("modules/order", "".join(f"{module}\n" for module in early).encode())
            archive.file("later/order", "".join(f"{module}\n" for module in later).encode())
            archive.file("image", digest.encode() + b"\n")
            archive.file("init", INITRD_INIT.read_bytes(), 0o755)
            archive.close()
            out.write(bytes((_LAST_PAGE_USED - out.tell()) % _PAGE))
