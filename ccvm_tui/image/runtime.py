"""A runtime: QEMU of the guest image's own Debian suite, with the libraries and the firmware it needs.

``bin`` holds QEMU, ``lib`` every library that it loads and their dynamic loader, ``share`` the firmware. QEMU is run by
that loader (ld.so(8)), so that it needs nothing of the host but its kernel, whatever the host's distribution is.
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
LIB = "lib"
SHARE = "share"
RUNTIMES = "runtimes"
"""The directory, next to the images, of the runtimes; a link for each kind of image leads to the one in use."""

LIBRARY_PATH = f"$ORIGIN/../{LIB}"
"""The loader's arguments, relative to the program: in an absolute path colons and more would have a meaning."""


@dataclass(frozen=True)
class Runtime:
    """A QEMU that can be run; see ``command``."""

    directory: Path
    manifest: RuntimeManifest

    @property
    def digest(self) -> str:
        return self.manifest.digest

    @property
    def version(self) -> str:
        """The version and package that QEMU reports."""
        return self.manifest.version

    @property
    def program(self) -> Path:
        """QEMU. To be run by the loader, not by itself."""
        return self.directory / BIN / self.manifest.program

    @property
    def loader(self) -> Path:
        return self.directory / LIB / self.manifest.loader

    @property
    def firmware(self) -> Path:
        return self.directory / SHARE

    @property
    def size(self) -> int:
        """Bytes on disk."""
        return sum(file.size for file in self.manifest.files.values())

    @property
    def command(self) -> list[str]:
        """The beginning of QEMU's command line; QEMU's own options follow."""
        name = self.program.name
        return [
            *loader_command(self.loader, self.program),
            "-L", str(self.firmware),
            # else it would be called after the loader in ps(1)
            "-name", f"process={name}",
        ]  # fmt: skip

    def quick_check(self) -> None:
        """Raises ImageError for the first file that is missing or has changed since it was published.

        Looks at sizes and times only: milliseconds, for every boot.
        """
        for name, wanted in self.manifest.files.items():
            if problem := changed_since(self.directory / name, wanted, RENEW):
                raise ImageError(f"the runtime is damaged: {problem}", f"`{problem.mend}` makes it anew")

    def verify(self) -> list[Problem]:
        """Compare every byte with what was published."""
        return differences(self.directory, self.manifest.files, RENEW)

    def hold(self) -> int:
        """Keep it from being removed until the file descriptor that this returns is closed. Raises ImageError."""
        try:
            fd = os.open(self.directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            fcntl.flock(fd, fcntl.LOCK_SH)
            self.loader.stat()  # not removed while we waited for the lock
        except OSError as error:
            raise ImageError(
                f"the runtime {self.directory} is gone: {error.strerror}", "`ccvm-tui image build`"
            ) from error
        return fd

    @property
    def held(self) -> bool:
        """Whether a running guest uses it."""
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
    """Run ``program`` with the libraries next to it and no others; ``options`` are the loader's."""
    return [
        str(loader), "--inhibit-cache", "--library-path", LIBRARY_PATH, "--argv0", program.name, *options, str(program),
    ]  # fmt: skip


def load_runtime(directory: Path) -> Runtime:
    """The runtime in ``directory``. Raises ImageError when there is none."""
    return Runtime(directory, manifest.read_runtime(directory))
