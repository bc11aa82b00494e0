"""Images on disk, and the agent layers that are mounted on top of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from ccvm_tui.errors import ImageError
from ccvm_tui.image import manifest
from ccvm_tui.image.manifest import FILENAME, REBUILD, FileRecord, ImageManifest, LayerManifest, sha256_of
from ccvm_tui.image.recipe import NO_LAYER

KERNEL = "vmlinux"
"""The kernel, an uncompressed ELF file."""

INITRD = "initrd"
"""The initrd, an uncompressed cpio archive."""

ROOTFS = "rootfs.squashfs"
"""The root file system."""

LAYER = "layer.squashfs"
"""The file of an agent layer."""

LAYERS = "layers"
"""The directory of the agent layers, next to the images. A symbolic link per layer name points to the newest one."""


@dataclass(frozen=True)
class Problem:
    """A file that differs from the published one. ``fix`` is the command that restores it."""

    path: Path
    description: str
    fix: str

    def __str__(self) -> str:
        return f"{self.path} {self.description}"


@dataclass(frozen=True)
class Layer:
    """A published agent layer."""

    directory: Path
    manifest: LayerManifest

    @property
    def name(self) -> str:
        """The name of the agent."""
        return self.manifest.name

    @property
    def digest(self) -> str:
        """The hex digest of the layer's source."""
        return self.manifest.digest

    @property
    def version(self) -> str:
        """The version of the agent."""
        return self.manifest.version

    @property
    def file(self) -> Path:
        """The squashfs, which is attached to a guest as a disk."""
        return self.directory / LAYER

    @property
    def agent(self) -> str:
        """The absolute path of the agent's executable in the guest."""
        return self.manifest.agent

    @property
    def size(self) -> int:
        """The size on disk in bytes."""
        return sum(file.size for file in self.manifest.files.values())


@dataclass(frozen=True)
class Image:
    """A published base image."""

    directory: Path
    manifest: ImageManifest

    @property
    def digest(self) -> str:
        """The hex digest that identifies the image."""
        return self.manifest.digest

    @property
    def kernel(self) -> Path:
        """The kernel, an uncompressed ELF file."""
        return self.directory / KERNEL

    @property
    def initrd(self) -> Path:
        """The initrd."""
        return self.directory / INITRD

    @property
    def rootfs(self) -> Path:
        """The root file system, a squashfs."""
        return self.directory / ROOTFS

    @property
    def cmdline(self) -> str:
        """The image's part of the kernel's command line."""
        return self.manifest.cmdline

    @property
    def size(self) -> int:
        """The size on disk in bytes, without layers."""
        return sum(file.size for file in self.manifest.files.values())

    @cached_property
    def layers(self) -> tuple[Layer, ...]:
        """The newest layer of each agent."""
        return current_layers(self.directory.parent)

    def has_layer(self, name: str) -> bool:
        """Return whether the layer ``name`` has been built. The layer "none" always has."""
        return name == NO_LAYER or any(layer.name == name for layer in self.layers)

    def layer(self, name: str) -> Layer | None:
        """Return the layer ``name``, or None for "none". Raises ImageError if the layer was never built."""
        if name == NO_LAYER:
            return None
        for layer in self.layers:
            if layer.name == name:
                return layer
        raise ImageError(f"there is no agent layer {name}", f"`ccvm-tui image build --agent {name}` builds it")

    def drives(self, layer: str = NO_LAYER) -> list[tuple[str, Path]]:
        """Return (serial, file) of each disk of a guest with ``layer``.

        Raises ImageError if the layer was never built.
        """
        chosen = self.layer(layer)
        return [("rootfs", self.rootfs), *([("layer0", chosen.file)] if chosen else [])]

    def quick_check(self, layer: str = NO_LAYER) -> None:
        """Check the sizes and times of all files. This takes milliseconds and runs before every boot.

        Raises ImageError for the first file that is missing or has changed since it was published.
        """
        chosen = self.layer(layer)
        folders: list[Image | Layer] = [self, chosen] if chosen else [self]
        for folder in folders:
            for name, wanted in folder.manifest.files.items():
                if problem := changed_since(folder.directory / name, wanted):
                    raise ImageError(f"the guest image is damaged: {problem}", f"`{problem.fix}` rebuilds it")


def load_image(directory: Path) -> Image:
    """Return the image in ``directory``. Raises ImageError if there is none."""
    return Image(directory, manifest.read_image(directory))


def current_layers(root: Path) -> tuple[Layer, ...]:
    """Return the newest layer of each name in the store ``root``. Layers with a damaged manifest are omitted."""
    found = []
    folder = root / LAYERS
    links = sorted(path for path in folder.iterdir() if path.is_symlink()) if folder.is_dir() else []
    for link in links:
        try:
            found.append(Layer(link.resolve(), manifest.read_layer(link)))
        except ImageError:
            continue
    return tuple(found)


def verify(image: Image) -> list[Problem]:
    """Compare all bytes of ``image`` and its layers with the published ones, which takes seconds."""
    problems = differences(image.directory, image.manifest.files)
    for layer in image.layers:
        problems += differences(layer.directory, layer.manifest.files)
    return problems


def quick_check(image: Image) -> None:
    """Check the image without layers; see ``Image.quick_check``."""
    image.quick_check()


def differences(folder: Path, files: Mapping[str, FileRecord], fix: str = REBUILD) -> list[Problem]:
    """Compare all bytes of the files in ``folder`` with the published ones.

    ``fix`` is the command that restores them.
    """
    problems = []
    for name, wanted in files.items():
        path = folder / name
        if not path.is_file():
            problems.append(Problem(path, "is missing", fix))
        elif path.stat().st_size != wanted.size:
            problems.append(Problem(path, f"has {path.stat().st_size} bytes instead of {wanted.size}", fix))
        elif sha256_of(path) != wanted.sha256:
            problems.append(Problem(path, "differs from the file that was built", fix))
    return problems


def changed_since(path: Path, wanted: FileRecord, fix: str = REBUILD) -> Problem | None:
    """Return the difference in size or time between a file and the published one, or None."""
    try:
        info = path.stat()
    except OSError as error:
        return Problem(path, f"cannot be read: {error.strerror}", fix)
    if info.st_size != wanted.size:
        return Problem(path, f"has {info.st_size} bytes instead of {wanted.size}", fix)
    if info.st_mtime_ns != wanted.mtime_ns:
        return Problem(path, "was changed after it was built", fix)
    return None


__all__ = ["FILENAME", "Image", "Layer", "Problem", "current_layers", "load_image", "quick_check", "verify"]
