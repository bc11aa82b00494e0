"""Agent layers: the user's own installation of an agent, or its npm package, packed as squashfs."""

from __future__ import annotations

import datetime
import hashlib
import os
import platform
import shutil
import stat
import subprocess
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ccvm_tui.errors import ImageError, PrerequisiteError
from ccvm_tui.image import manifest
from ccvm_tui.image.bootstrap import SQUASHFS
from ccvm_tui.image.images import LAYER
from ccvm_tui.image.kernel import ELF_MAGIC
from ccvm_tui.image.recipe import LayerRecipe
from ccvm_tui.image.run import BuildProcess, hint_for
from ccvm_tui.image.unpack import unpack
from ccvm_tui.requirements import AGENT, how_to_install

LAYER_FORMAT = 1
"""Part of a layer's digest. A change of the layout of layers needs a new number."""

NPM_ARCH = {"x86_64": "x64", "aarch64": "arm64"}
"""npm's names of architectures, by the machine that ``uname`` reports."""

_OPT = "/opt/ccvm"
AGENT_LINK = f"{_OPT}/agent"
"""The path of the agent's executable in a guest, a link in its layer."""

NODE = "bin/node"
"""The interpreter in the npm package of a runtime."""

_IMPATIENT = ("--fetch-retry-mintimeout=1000", "--fetch-retry-maxtimeout=5000")
"""Options of npm that limit its two pauses between attempts to seconds. By default they are 10 and 60 seconds long, and
without network that is what every build of a complete image would take."""

_SELF_CONTAINED = 10 << 20
"""Minimum size in bytes of an ELF executable that is the agent itself, and not a launcher that needs other files."""


@dataclass(frozen=True)
class Source:
    """The source of an agent: an executable on this machine (``path``), or else an npm package (``npm``).

    ``runtime`` is the npm package of its interpreter with the version, or empty.
    """

    recipe: LayerRecipe
    path: Path | None
    version: str
    npm: str
    runtime: str = ""

    @property
    def origin(self) -> str:
        """A description of the source for users."""
        return str(self.path) if self.path else f"npm {self.npm}"

    def digest(self) -> str:
        """Return the layer's hex digest, which depends on the agent's version and on the file on this machine."""
        parts = [str(LAYER_FORMAT), self.recipe.name, self.origin, self.version]
        if self.path:
            info = self.path.stat()
            parts += [str(info.st_size), str(info.st_mtime_ns)]
        if self.runtime:
            parts.append(self.runtime)
        return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def locate(recipe: LayerRecipe) -> Source:
    """Find the source of an agent.

    Raises PrerequisiteError if the agent is neither installed here nor available from npm, ImageError if npm fails.
    """
    place = find(recipe)
    if isinstance(place, Path):
        return Source(recipe, place, _version_of(place), "")
    runtime = _filled(recipe.runtime)
    version = _npm_version(place) + _filled(recipe.version)
    return Source(recipe, None, version, place, f"{runtime}@{_npm_version(runtime)}" if runtime else "")


def find(recipe: LayerRecipe) -> Path | str:
    """Return the path of an agent's executable on this machine, or else its npm package. Neither is run.

    Raises PrerequisiteError if the agent is neither installed here nor available from npm.
    """
    program = shutil.which(recipe.program) if recipe.program else None
    if program and _is_self_contained(Path(program).resolve()):
        return Path(program).resolve()
    if not recipe.npm:
        raise PrerequisiteError(f"{recipe.program} is not installed on this machine as a self-contained executable")
    if shutil.which("npm") is None:
        raise PrerequisiteError(
            f"neither {recipe.program or recipe.name} nor npm, which can download it, is installed on this machine",
            f"install {recipe.program or recipe.name}, or npm: {how_to_install(AGENT)}",
        )
    return _filled(recipe.npm)


def build_layer(
    source: Source, workdir: Path, on_tick: Callable[[], None], cancel: threading.Event
) -> manifest.LayerManifest:
    """Create ``layer.squashfs`` and its manifest in ``workdir`` and return the manifest.

    Raises ImageError if a step fails, BuildCancelled soon after ``cancel`` is set.
    """
    name = source.recipe.name
    tree = workdir / "tree"
    home = tree / _OPT.lstrip("/") / name
    home.mkdir(parents=True)
    binary = _link_program(source, home) if source.path else _fetch(source, workdir, home, on_tick, cancel)
    if source.runtime:
        binary = _add_runtime(source, workdir, home, binary, on_tick, cancel)
    binary.chmod(0o755)
    inside = f"{_OPT}/{name}/{binary.relative_to(home)}"
    (tree / AGENT_LINK.lstrip("/")).symlink_to(inside)
    (tree / "usr/local/bin").mkdir(parents=True)
    (tree / "usr/local/bin" / name).symlink_to(inside)
    packer = ["mksquashfs", str(tree), str(workdir / LAYER), "-all-root", *SQUASHFS]
    with BuildProcess(packer) as process:
        process.follow(lambda _: None, on_tick, cancel)
    shutil.rmtree(tree)
    built = manifest.LayerManifest(
        digest=source.digest(),
        name=name,
        version=source.version,
        origin=source.origin,
        agent=inside,
        created=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        files={LAYER: manifest.record(workdir / LAYER)},
    )
    manifest.write(workdir, built)
    return built


def _link_program(source: Source, home: Path) -> Path:
    assert source.path is not None
    binary = home / source.recipe.name
    try:
        shutil.copyfile(source.path, binary)
    except OSError as error:
        raise ImageError(f"cannot read the agent {source.path}: {error.strerror}") from error
    return binary


def _fetch(source: Source, workdir: Path, home: Path, on_tick: Callable[[], None], cancel: threading.Event) -> Path:
    package = f"{source.npm}@{source.version}"
    _unpack_package(package, workdir, home, on_tick, cancel)
    binary = home / _filled(source.recipe.binary)
    if not binary.is_file():
        raise ImageError(f"the npm package {package} has no file {_filled(source.recipe.binary)}")
    return binary


def _add_runtime(
    source: Source, workdir: Path, home: Path, binary: Path, on_tick: Callable[[], None], cancel: threading.Event
) -> Path:
    """Add the interpreter of ``binary``, and return a program that runs ``binary`` with it."""
    runtime = home / "runtime"
    runtime.mkdir()
    _unpack_package(source.runtime, workdir, runtime, on_tick, cancel)
    if not (runtime / NODE).is_file():
        raise ImageError(f"the npm package {source.runtime} has no file {NODE}")
    (runtime / NODE).chmod(0o755)
    launcher = home / source.recipe.name
    inside = f"{_OPT}/{source.recipe.name}"
    launcher.write_text(f'#!/bin/sh\nexec {inside}/runtime/{NODE} {inside}/{binary.relative_to(home)} "$@"\n')
    return launcher


def _unpack_package(
    package: str, workdir: Path, target: Path, on_tick: Callable[[], None], cancel: threading.Event
) -> None:
    # ``npm pack`` uses the registry that npm is configured for, and runs no scripts of the package.
    folder = workdir / "npm"
    folder.mkdir()
    with BuildProcess(["npm", "pack", "--loglevel=error", package], cwd=folder) as process:
        process.follow(lambda _: None, on_tick, cancel)
    (archive,) = folder.glob("*.tgz")
    unpack(archive, folder)
    for path in (folder / "package").iterdir():
        path.rename(target / path.name)
    shutil.rmtree(folder)


def _filled(pattern: str) -> str:
    """Return ``pattern`` with the names of this machine's architecture."""
    machine = platform.machine()
    return pattern.format(arch=NPM_ARCH.get(machine, machine), machine=machine)


def _is_self_contained(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            is_elf = file.read(len(ELF_MAGIC)) == ELF_MAGIC
        return is_elf and path.stat().st_size >= _SELF_CONTAINED and bool(path.stat().st_mode & stat.S_IXUSR)
    except OSError:
        return False


def _version_of(path: Path) -> str:
    try:
        done = subprocess.run(
            [str(path), "--version"], capture_output=True, text=True, timeout=20, check=True,
            env={"PATH": os.environ.get("PATH", ""), "HOME": "/nonexistent"},
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return "unknown"
    return done.stdout.strip().partition("\n")[0][:100] or "unknown"


def _npm_version(package: str) -> str:
    try:
        done = subprocess.run(
            ["npm", "view", "--loglevel=error", *_IMPATIENT, package, "version"],
            capture_output=True, text=True, timeout=120, check=True,
        )  # fmt: skip
    except subprocess.TimeoutExpired as error:
        raise ImageError(f"npm did not answer about {package} within two minutes") from error
    except subprocess.CalledProcessError as error:
        raise ImageError(
            f"npm cannot find {package}: {error.stderr.strip()[-400:]}",
            hint_for(error.stderr) or "`npm config list` shows the registry",
        ) from error
    return done.stdout.strip()
