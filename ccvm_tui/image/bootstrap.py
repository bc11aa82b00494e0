"""Bootstrap of a Debian root file system: mmdebstrap writes it directly into a squashfs, and its kernel into a tar."""

from __future__ import annotations

import contextlib
import os
import platform
import pwd
import shlex
import shutil
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

from ccvm_tui import subids
from ccvm_tui.errors import ImageError, PrerequisiteError
from ccvm_tui.image import mirrors
from ccvm_tui.image.guestfiles import GUEST, GuestFile, as_tar, guest_files
from ccvm_tui.image.recipe import Recipe
from ccvm_tui.image.run import BuildProcess
from ccvm_tui.requirements import UIDMAP, require

KERNEL_PACKAGES = {"x86_64": "linux-image-amd64", "aarch64": "linux-image-arm64"}
"""The metapackage of the kernel, by the machine that ``uname`` reports."""

REQUIRED = ("busybox-static", "kmod", "openssh-server", "python3", "systemd-standalone-sysusers", "zsh")
"""Packages that every guest needs, regardless of the recipe. Standalone sysusers avoids a dependency on systemd."""

_REMOVAL_TIMEOUT = 10.0

_REQUIRED_SPACE = 3 << 30
_STAGE = "/ccvm-build"  # input and output of the steps inside the chroot, removed at the end
_PHASES = (
    ("running apt-get update", "index"),
    ("downloading packages", "download"),
    ("extracting archives", "extract"),
    ("installing essential", "essential"),
    ("installing remaining", "install"),
    ("running special hook: tar-in", "kernel"),
    ("creating tarball", "squashfs"),
)
_EXCLUDED = ("/usr/share/doc/*", "/usr/share/locale/*", "/usr/share/man/*", "/usr/share/info/*")
_KEPT = ("/usr/share/doc/*/copyright", "/usr/share/locale/locale.alias")

# lz4 decompresses several times faster than zstd, and a boot under emulation mostly reads.
SQUASHFS = ("-comp", "lz4", "-noappend", "-no-progress", "-quiet")
"""Options of mksquashfs."""


class Bootstrap:
    """One bootstrap in ``workdir``, which creates ``rootfs.squashfs`` and ``kernel.tar`` there.

    The descriptors ``keep_open`` are inherited by the programs that it runs.
    """

    def __init__(self, recipe: Recipe, workdir: Path, keep_open: tuple[int, ...] = ()) -> None:
        self._recipe = recipe
        self._workdir = workdir
        self._keep_open = keep_open
        self.rootfs = workdir / "rootfs.squashfs"
        self.kernel = workdir / "kernel.tar"

    def run(self, on_phase: Callable[[str], None], on_tick: Callable[[], None], cancel: threading.Event) -> None:
        """Run the bootstrap. Blocks.

        Raises ImageError with the last output of a program that fails, PrerequisiteError if something has to be
        installed, BuildCancelled soon after ``cancel`` is set.
        """
        mode = build_mode()

        def line(text: str) -> None:
            for marker, phase in _PHASES:
                if marker in text:
                    on_phase(phase)

        with (
            scratch_environment(self._workdir) as environment,
            BuildProcess(
                self._mmdebstrap(mode), env=environment, stdout=subprocess.PIPE, keep_open=self._keep_open
            ) as debian,
            BuildProcess(["mksquashfs", "-", str(self.rootfs), "-tar", *SQUASHFS], stdin=_pipe(debian)) as packer,
        ):
            _pipe(debian).close()
            debian.follow(line, on_tick, cancel)
            packer.follow(lambda _: None, on_tick, cancel)

    def _mmdebstrap(self, mode: str) -> list[str]:
        stage = self._stage()
        hooks = [
            f"tar-in {shlex.quote(str(stage))} /",
            # The kernel package is not installed: it depends on an initramfs generator, which is slow and not needed.
            f'cd "$1{_STAGE}" && APT_CONFIG="$MMDEBSTRAP_APT_CONFIG" sh ./fetch-kernel {_kernel_package()}',
            f'chroot "$1" sh {_STAGE}/finish',
            f"tar-out {_STAGE}/kernel {shlex.quote(str(self.kernel))}",
            f'rm -rf "$1{_STAGE}" "$1/boot" "$1/etc/apt/apt.conf.d/99mmdebstrap"',
        ]
        return [
            "mmdebstrap",
            f"--mode={mode}",
            "--variant=minbase",
            f"--include={','.join(dict.fromkeys([*REQUIRED, *self._recipe.packages]))}",
            *(f"--aptopt={option}" for option in mirrors.apt_options()),
            *(f"--dpkgopt=path-exclude={path}" for path in _EXCLUDED),
            *(f"--dpkgopt=path-include={path}" for path in _KEPT),
            *(f"--customize-hook={hook}" for hook in hooks),
            self._recipe.suite,
            "-",
            *mirrors.source_lines(self._recipe),
        ]

    def _stage(self) -> Path:
        build = GUEST / "build"
        modules = " ".join(self._recipe.modules) + "\n"
        stage = [GuestFile(f"{_STAGE}/{path.name}", path.read_bytes(), 0o755) for path in sorted(build.iterdir())]
        stage.append(GuestFile(f"{_STAGE}/modules", modules.encode(), 0o644))
        archive = self._workdir / "guest.tar"
        archive.write_bytes(as_tar([*guest_files(), *self._recipe.files, *stage]))
        return archive


def build_mode() -> str:
    """Return mmdebstrap's mode: ``root`` for uid 0, otherwise ``unshare``.

    Raises PrerequisiteError if neither is possible.
    """
    if os.getuid() == 0:
        return "root"
    user = pwd.getpwuid(os.getuid()).pw_name
    require(UIDMAP, what="building an image without root")
    if not subids.has_range(user):
        raise PrerequisiteError(
            f"building an image without root needs subordinate user ids, and {user} has none",
            f"`sudo {shlex.join(subids.command(user))}`",
        )
    return "unshare"


@contextlib.contextmanager
def scratch_environment(workdir: Path) -> Iterator[dict[str, str]]:
    """Yield the environment for mmdebstrap, with a scratch directory that is removed at the end.

    The file ``scratch`` in ``workdir`` contains its path, so that it can be removed after a killed build.
    """
    scratch = scratch_dir()
    (workdir / "scratch").write_text(str(scratch))
    # programs inside the new root inherit this: the user's other variables must not leave traces in the image
    environment = {name: value for name, value in os.environ.items() if _for_downloads(name)}
    try:
        yield environment | {"HOME": "/root", "TMPDIR": str(scratch), "LC_ALL": "C.UTF-8"}
    finally:
        remove_scratch(scratch)


def scratch_dir() -> Path:
    """Create a directory for the unpacked system that subordinate users can access, unlike a private home.

    Raises ImageError if there is not enough space.
    """
    candidates = (tempfile.gettempdir(), "/var/tmp")  # noqa: S108 - the directory is private
    suitable = [path for path in candidates if shutil.disk_usage(path).free > _REQUIRED_SPACE]
    if not suitable:
        raise ImageError(
            f"building an image needs {_REQUIRED_SPACE >> 30} GiB free in {tempfile.gettempdir()} or /var/tmp",
            "free some space, or set TMPDIR to a directory that has it",
        )
    scratch = Path(tempfile.mkdtemp(prefix="ccvm-build-", dir=suitable[0]))
    scratch.chmod(0o1777)
    return scratch


def remove_scratch(scratch: Path) -> None:
    """Remove a scratch directory and the files of subordinate users that an interrupted mmdebstrap left in it.

    Processes of a killed mmdebstrap may still write to it, so this is repeated for up to ``_REMOVAL_TIMEOUT`` seconds.
    """
    deadline = time.monotonic() + _REMOVAL_TIMEOUT
    _remove(scratch)
    while scratch.exists() and time.monotonic() < deadline:
        time.sleep(0.1)
        _remove(scratch)


def _remove(scratch: Path) -> None:
    leftovers = [str(path) for path in scratch.iterdir()] if scratch.is_dir() else []
    if leftovers and os.getuid() != 0:
        subprocess.run(
            ["mmdebstrap", "--unshare-helper", "rm", "-rf", "--one-file-system", *leftovers],
            capture_output=True,
            check=False,
        )
    subprocess.run(["rm", "-rf", "--one-file-system", str(scratch)], capture_output=True, check=False)


def _kernel_package() -> str:
    try:
        return KERNEL_PACKAGES[platform.machine()]
    except KeyError:
        raise PrerequisiteError(f"there is no guest kernel for the architecture {platform.machine()}") from None


def _pipe(process: BuildProcess) -> IO[bytes]:
    stream = process.process.stdout
    assert stream is not None
    return stream


def _for_downloads(variable: str) -> bool:
    """Return whether apt and its helpers need the variable to find programs or to access the network."""
    network = variable.lower().endswith("_proxy") or variable.startswith(("SSL_CERT_", "APT_"))
    return variable == "PATH" or network
