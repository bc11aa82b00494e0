"""Runtimes: QEMU from the guest image's Debian suite, with the libraries and the firmware that it needs.

``bin`` contains QEMU, ``lib`` all libraries that it loads and their dynamic loader, ``share`` the firmware. The loader
(ld.so(8)) runs QEMU, so that on any distribution QEMU needs nothing of the host but its kernel.
"""

from __future__ import annotations

import fcntl
import os
from dataclasses import dataclass
from pathlib import Path

from ccvm_tui.errors import ImageError
from ccvm_tui.image import manifest
from ccvm_tui.image.images import Problem, changed_since, differences
from ccvm_tui.image.manifest import RENEW, RuntimeManifest

BIN = "bin"
"""The directory of QEMU in a runtime."""

LIB = "lib"
"""The directory of the libraries and the loader in a runtime."""

SHARE = "share"
"""The directory of the firmware in a runtime."""

RUNTIMES = "runtimes"
"""The directory of the runtimes, next to the images. A symbolic link per kind of image points to the current one."""

LIBRARY_PATH = f"$ORIGIN/../{LIB}"
"""The loader's search path. It is relative to QEMU, because in an absolute path colons and semicolons are special."""


@dataclass(frozen=True)
class Runtime:
    """A published runtime, run by ``command``."""

    directory: Path
    manifest: RuntimeManifest

    @property
    def digest(self) -> str:
        """The hex digest of the runtime's content."""
        return self.manifest.digest

    @property
    def version(self) -> str:
        """The version and the package that QEMU reports."""
        return self.manifest.version

    @property
    def program(self) -> Path:
        """QEMU's executable, which only the loader can run."""
        return self.directory / BIN / self.manifest.program

    @property
    def loader(self) -> Path:
        """The dynamic loader."""
        return self.directory / LIB / self.manifest.loader

    @property
    def firmware(self) -> Path:
        """The directory of the firmware."""
        return self.directory / SHARE

    @property
    def size(self) -> int:
        """The size on disk in bytes."""
        return sum(file.size for file in self.manifest.files.values())

    @property
    def command(self) -> list[str]:
        """The start of QEMU's command line, to which QEMU's options are appended."""
        name = self.program.name
        return [
            *loader_command(self.loader, self.program),
            "-L", str(self.firmware),
            # otherwise ps(1) shows the name of the loader
            "-name", f"process={name}",
        ]  # fmt: skip

    def quick_check(self) -> None:
        """Check the sizes and times of all files. This takes milliseconds and runs before every boot.

        Raises ImageError for the first file that is missing or has changed since it was published.
        """
        for name, wanted in self.manifest.files.items():
            if problem := changed_since(self.directory / name, wanted, RENEW):
                raise ImageError(f"the runtime is damaged: {problem}", f"`{problem.fix}` rebuilds it")

    def verify(self) -> list[Problem]:
        """Compare all bytes of all files with the published ones."""
        return differences(self.directory, self.manifest.files, RENEW)

    def acquire(self) -> int:
        """Return a file descriptor that prevents removal of the runtime until it is closed.

        Raises ImageError if the runtime has been removed.
        """
        try:
            fd = os.open(self.directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            fcntl.flock(fd, fcntl.LOCK_SH)
            self.loader.stat()  # the runtime may have been removed during the wait for the lock
        except OSError as error:
            raise ImageError(
                f"the runtime {self.directory} is missing: {error.strerror}", "`ccvm-tui image build` builds it"
            ) from error
        return fd

    @property
    def in_use(self) -> bool:
        """True while a running guest uses the runtime."""
        try:
            fd = os.open(self.directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError:
            return False
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(fd)
        return False


def loader_command(loader: Path, program: Path, *options: str) -> list[str]:
    """Return the command that runs ``program`` with the libraries of its runtime only.

    ``options`` are additional options of the loader.
    """
    return [
        str(loader), "--inhibit-cache", "--library-path", LIBRARY_PATH, "--argv0", program.name, *options, str(program),
    ]  # fmt: skip


def load_runtime(directory: Path) -> Runtime:
    """Return the runtime in ``directory``. Raises ImageError if there is none."""
    return Runtime(directory, manifest.read_runtime(directory))
