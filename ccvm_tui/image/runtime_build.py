"""Build of a runtime from Debian packages, which mmdebstrap downloads and unpacks without installing them."""

from __future__ import annotations

import datetime
import os
import platform
import re
import shutil
import subprocess
import tarfile
import threading
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path, PurePosixPath

from ccvm_tui.errors import ImageError, PrerequisiteError
from ccvm_tui.image import manifest, mirrors
from ccvm_tui.image.bootstrap import build_mode, scratch_environment
from ccvm_tui.image.digest import builder_parts, digest_of
from ccvm_tui.image.manifest import FileRecord, RuntimeManifest
from ccvm_tui.image.recipe import Recipe
from ccvm_tui.image.run import BuildProcess
from ccvm_tui.image.runtime import BIN, LIB, SHARE, loader_command

PACKAGES = {"x86_64": "qemu-system-x86", "aarch64": "qemu-system-arm"}
"""Debian's package of QEMU, by the machine that ``uname`` reports."""

LOADERS = {"x86_64": "ld-linux-x86-64.so.2", "aarch64": "ld-linux-aarch64.so.1"}
"""glibc's dynamic loader, by the machine that ``uname`` reports."""

_UNLISTED = ("libgcc_s.so.1",)
"""Libraries that no executable lists: glibc loads this one when a thread is cancelled (pthread_cancel(3))."""

_LIBRARY = re.compile(r"(usr/)?lib/[^/]+-linux-gnu/(?P<name>[^/]+\.so(\.[^/]+)?)")
_FIRMWARE = re.compile(r"usr/share/(qemu|seabios)/(?P<name>[A-Za-z0-9_.-]+\.(bin|rom))")
_EXCLUDED = ("/usr/share/doc/*", "/usr/share/locale/*", "/usr/share/man/*", "/usr/lib/*/gconv/*")
_LISTED = re.compile(r"\s*(?P<name>\S+) => (?P<path>.+?)( \(0x[0-9a-f]+\))?")
_RUN_TIMEOUT = 60


def runtime_key(recipe: Recipe) -> str:
    """Return a hex digest of everything in ``recipe`` and in this program that affects its runtime.

    Versions of packages are not part of the key.
    """
    content = [recipe.suite, recipe.mirror, recipe.components, platform.machine()]
    return digest_of(content, builder_parts(("runtime", "runtime_build")))


def build_runtime(
    recipe: Recipe,
    workdir: Path,
    on_tick: Callable[[], None],
    cancel: threading.Event,
    keep_open: tuple[int, ...] = (),
) -> RuntimeManifest:
    """Build a runtime and its manifest in ``workdir`` and return the manifest.

    Raises ImageError if a step fails, PrerequisiteError if a prerequisite is missing, BuildCancelled soon after
    ``cancel`` is set.
    """
    machine = platform.machine()
    if machine not in PACKAGES:
        raise PrerequisiteError(f"there is no QEMU package for the architecture {machine}")
    archive = workdir / "packages.tar"
    _download(recipe, PACKAGES[machine], archive, on_tick, cancel, keep_open)
    with tarfile.open(archive) as members:
        program = _take(members, f"qemu-system-{machine}", workdir)
    archive.unlink()
    (workdir / "scratch").unlink()
    loader = workdir / LIB / LOADERS[machine]
    _keep_only_needed(loader, program)
    files = {str(path.relative_to(workdir)): manifest.record(path) for path in _files(workdir)}
    built = RuntimeManifest(
        digest=content_digest(files),
        suite=recipe.suite,
        version=_version(loader, program),
        program=program.name,
        loader=loader.name,
        created=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        files=files,
    )
    manifest.write(workdir, built)
    return built


def content_digest(files: dict[str, FileRecord]) -> str:
    """Return the hex digest of the names and contents of ``files``."""
    return digest_of(sorted((name, file.sha256) for name, file in files.items()), [])


def _download(
    recipe: Recipe,
    package: str,
    archive: Path,
    on_tick: Callable[[], None],
    cancel: threading.Event,
    keep_open: tuple[int, ...],
) -> None:
    """Unpack ``package`` and all its dependencies into the tar file ``archive``."""
    mode = build_mode()
    with scratch_environment(archive.parent) as environment:
        command = [
            "mmdebstrap",
            f"--mode={mode}",
            "--variant=extract",
            f"--include={package}",
            *(f"--aptopt={option}" for option in mirrors.apt_options()),
            *(f"--dpkgopt=path-exclude={path}" for path in _EXCLUDED),
            recipe.suite,
            str(archive),
            *mirrors.source_lines(recipe),
        ]
        with BuildProcess(command, env=environment, keep_open=keep_open) as debian:
            debian.follow(lambda _: None, on_tick, cancel)


def _take(members: tarfile.TarFile, program: str, into: Path) -> Path:
    """Extract QEMU, all libraries and the firmware into their directories under ``into``, and return QEMU's path.

    Links become copies of their targets. Directories in the archive do not influence the paths that are written.
    """
    for name in (BIN, LIB, SHARE):
        (into / name).mkdir()
    aliases: list[tuple[Path, Path]] = []
    for member in members:
        path = str(PurePosixPath(member.name))
        if path == f"usr/bin/{program}":
            target = into / BIN / program
        elif found := _LIBRARY.fullmatch(path):
            target = into / LIB / found["name"]
        elif found := _FIRMWARE.fullmatch(path):
            target = into / SHARE / found["name"]
        else:
            continue
        if member.issym():
            aliases.append((target, target.with_name(PurePosixPath(member.linkname).name)))
        elif member.isreg():
            _write(members, member, target)
    for alias, target in aliases:
        if target.is_file() and not alias.exists():
            os.link(target, alias)
    if not (into / BIN / program).is_file():
        raise ImageError(f"the package does not contain {program}")
    return into / BIN / program


def _write(members: tarfile.TarFile, member: tarfile.TarInfo, target: Path) -> None:
    content = members.extractfile(member)
    assert content is not None
    with content, target.open("wb") as file:
        shutil.copyfileobj(content, file, 1 << 20)
    target.chmod(0o755 if member.mode & 0o100 else 0o644)


def _keep_only_needed(loader: Path, program: Path) -> None:
    """Remove the libraries that QEMU does not load. Raises ImageError if a library that it loads is missing."""
    needed = {loader.name, *_UNLISTED}
    for name, path in _libraries(loader, program):
        if PurePosixPath(os.path.normpath(path)).parent != PurePosixPath(os.path.normpath(loader.parent)):
            raise ImageError(f"the packages of {program.name} lack the library {name}")
        needed.add(name)
    for library in loader.parent.iterdir():
        if library.name not in needed:
            library.unlink()


def _libraries(loader: Path, program: Path) -> Iterator[tuple[str, str]]:
    """Yield the name and the path of each library, as resolved by the loader."""
    for line in _run(loader_command(loader, program, "--list")).splitlines():
        if found := _LISTED.fullmatch(line):
            yield found["name"], found["path"]


def _version(loader: Path, program: Path) -> str:
    """Return QEMU's version and package from the first line of ``--version``."""
    line = _run([*loader_command(loader, program), "--version"]).partition("\n")[0]
    return line.removeprefix("QEMU emulator version ").strip()


def _run(command: list[str]) -> str:
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            check=True,
            env={},
            stdin=subprocess.DEVNULL,
            timeout=_RUN_TIMEOUT,
        )
    except PermissionError as error:
        raise ImageError(
            f"{command[0]} cannot be run: {error.strerror}",
            "the file system of the images must allow execution: set XDG_CACHE_HOME to a file system without noexec",
        ) from error
    except OSError as error:
        raise ImageError(f"{command[0]} cannot be run: {error.strerror}") from error
    except subprocess.TimeoutExpired as error:
        raise ImageError(f"the unpacked QEMU did not answer within {_RUN_TIMEOUT} s") from error
    except subprocess.CalledProcessError as error:
        raise ImageError(f"the unpacked QEMU failed: {error.stderr.strip()[-500:]}") from error
    return done.stdout


def _files(folder: Path) -> Iterable[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())
