"""The initrd: a static busybox, our /init, and the few kernel modules that a boot needs."""

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
"""Loaded by /init: what it takes to reach the root file system and the control port."""

LATER_MODULES = ("virtiofs", "virtio_net", "virtio_rng")
"""Loaded while the guest agent starts: what `configure` needs."""

_PAGE = 4096
_LAST_PAGE_USED = 512
"""QEMU puts an initrd at the very end of memory, from the beginning of a page. On a microvm, QEMU 10's firmware keeps
ACPI tables in that last page, at its end: an initrd that fills the page overwrites them, and the kernel hangs."""

_APPLETS = ("sh", "mount", "mkdir", "cp", "insmod", "switch_root", "usleep")
_DIRECTORIES = ("bin", "dev", "proc", "sys", "lower", "upper", "new", "modules", "later")


class KernelFiles:
    """What the bootstrap left of the kernel package: ``kernel.tar`` unpacked for as long as the context lasts."""

    def __init__(self, archive: Path) -> None:
        self._archive = archive
        self._folder = tempfile.TemporaryDirectory(prefix="ccvm-kernel-")

    def __enter__(self) -> KernelFiles:
        unpack(self._archive, Path(self._folder.name))
        root = Path(self._folder.name, "kernel")
        releases = list((root / "modules").iterdir())
        if len(releases) != 1:
            raise ImageError(f"the kernel package holds {len(releases)} kernels, not one")
        self.release = releases[0].name
        self.modules = ModuleTree(releases[0])
        self.vmlinuz = root / "vmlinuz"
        self.busybox = root / "busybox"
        return self

    def __exit__(self, *_: object) -> None:
        self._folder.cleanup()

    def write_vmlinux(self, target: Path) -> None:
        target.write_bytes(extract_vmlinux(self.vmlinuz.read_bytes()))

    def write_initrd(self, target: Path, digest: str) -> None:
        """``digest`` is what the guest agent calls its image in `hello`."""
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
