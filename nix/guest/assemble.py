"""Complete a guest image that Nix builds: write the kernel, the initrd and the manifest next to the root file system.

The same code builds the images of recipes.
"""

from __future__ import annotations

import argparse
import platform
from dataclasses import replace
from pathlib import Path

from ccvm_tui.image import manifest
from ccvm_tui.image.cmdline import CMDLINE
from ccvm_tui.image.digest import BUILDER, builder_parts, digest_of
from ccvm_tui.image.guestfiles import INITRD_INIT
from ccvm_tui.image.images import INITRD, KERNEL, ROOTFS
from ccvm_tui.image.initrd import KernelFiles

STORE_TIME_NS = 1_000_000_000
"""The modification time of all files in a Nix store, which are changed after this program has run."""

CREATED = "1970-01-01T00:00:01+00:00"
"""The same time in the manifest: an image depends on its inputs only."""


def assemble(archive: Path, image: Path, suite: str) -> None:
    """Complete the image in the directory ``image``, which contains the root file system.

    ``archive`` is the kernel.tar of a bootstrap. ``suite`` is the release of NixOS. Raises ImageError if the archive is
    damaged or lacks a module.
    """
    with KernelFiles(archive) as kernel:
        kernel.write_vmlinux(image / KERNEL)
        parts = {name: manifest.sha256_of(image / name) for name in (KERNEL, ROOTFS)}
        digest = digest_of(
            {"machine": platform.machine(), "release": kernel.release, **parts},
            [("initrd", 0, INITRD_INIT.read_bytes()), *builder_parts(BUILDER)],
        )
        kernel.write_initrd(image / INITRD, digest)
        release = kernel.release
    files = {name: replace(manifest.record(image / name), mtime_ns=STORE_TIME_NS) for name in (KERNEL, INITRD, ROOTFS)}
    manifest.write(image, manifest.ImageManifest(digest, "nixos", suite, CREATED, release, CMDLINE, files))


def main() -> None:
    """Run the program with the arguments of the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--suite", required=True)
    parser.add_argument("archive", type=Path)
    parser.add_argument("image", type=Path)
    arguments = parser.parse_args()
    assemble(arguments.archive, arguments.image, arguments.suite)


if __name__ == "__main__":
    main()
