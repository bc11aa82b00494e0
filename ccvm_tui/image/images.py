"""An image as it lies on disk, with the agent layers that can be put on top of it."""

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
INITRD = "initrd"
ROOTFS = "rootfs.squashfs"
LAYER = "layer.squashfs"
LAYERS = "layers"
"""The directory, next to the images, of the agent layers; a link of a layer's name leads to the newest one."""


@dataclass(frozen=True)
class Problem:
    """One file that is not as it was published, and the command that mends it."""

    path: Path
    what: str
    mend: str

    def __str__(self) -> str:
        return f"{self.path} {self.what}"


@dataclass(frozen=True)
class Layer:
    """An agent, ready to be attached as a disk."""

    directory: Path
    manifest: LayerManifest

    @property
    def name(self) -> str:
        return self.manifest.name

    @property
    def digest(self) -> str:
        return self.manifest.digest

    @property
    def version(self) -> str:
        return self.manifest.version

    @property
    def file(self) -> Path:
        return self.directory / LAYER

    @property
    def agent(self) -> str:
        """Absolute path of the agent's program in the guest."""
        return self.manifest.agent

    @property
    def size(self) -> int:
        """Bytes on disk."""
        return sum(file.size for file in self.manifest.files.values())


@dataclass(frozen=True)
class Image:
    """A published base image. ``layers`` are all the agent layers that there are for it."""

    directory: Path
    manifest: ImageManifest

    @property
    def digest(self) -> str:
        return self.manifest.digest

    @property
    def kernel(self) -> Path:
        return self.directory / KERNEL

    @property
    def initrd(self) -> Path:
        return self.directory / INITRD

    @property
    def rootfs(self) -> Path:
        return self.directory / ROOTFS

    @property
    def cmdline(self) -> str:
        """The kernel's command line as far as the image decides it."""
        return self.manifest.cmdline

    @property
    def size(self) -> int:
        """Bytes on disk, without layers."""
        return sum(file.size for file in self.manifest.files.values())

    @cached_property
    def layers(self) -> tuple[Layer, ...]:
        return current_layers(self.directory.parent)

    def layer(self, name: str) -> Layer | None:
        """The layer called ``name``; None for "none". Raises ImageError when it was never built."""
        if name == NO_LAYER:
            return None
        for layer in self.layers:
            if layer.name == name:
                return layer
        raise ImageError(f"there is no agent layer {name}", f"`ccvm-tui image build --agent {name}` makes it")

    def drives(self, layer: str = NO_LAYER) -> list[tuple[str, Path]]:
        """(serial, file) of the disks that a guest with ``layer`` needs, in their order."""
        chosen = self.layer(layer)
        return [("rootfs", self.rootfs), *([("layer0", chosen.file)] if chosen else [])]

    def quick_check(self, layer: str = NO_LAYER) -> None:
        """Raises ImageError for the first file that is missing or has changed since it was published.

        Looks at sizes and times only: milliseconds, for every boot.
        """
        chosen = self.layer(layer)
        folders: list[Image | Layer] = [self, chosen] if chosen else [self]
        for folder in folders:
            for name, wanted in folder.manifest.files.items():
                if problem := changed_since(folder.directory / name, wanted):
                    raise ImageError(f"the guest image is damaged: {problem}", f"`{problem.mend}` makes it anew")


def load_image(directory: Path) -> Image:
    """The image in ``directory``. Raises ImageError when there is none."""
    return Image(directory, manifest.read_image(directory))


def current_layers(root: Path) -> tuple[Layer, ...]:
    """The newest layer of each name under the store ``root``. Damaged ones are not among them."""
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
    """Compare every byte of ``image`` and its layers with what was published. Seconds."""
    problems = differences(image.directory, image.manifest.files)
    for layer in image.layers:
        problems += differences(layer.directory, layer.manifest.files)
    return problems


def quick_check(image: Image) -> None:
    """The image without layers; see ``Image.quick_check``."""
    image.quick_check()


def differences(folder: Path, files: Mapping[str, FileRecord], mend: str = REBUILD) -> list[Problem]:
    """Files in ``folder`` that are not as they were published, by every byte; ``mend`` is the command for that."""
    problems = []
    for name, wanted in files.items():
        path = folder / name
        if not path.is_file():
            problems.append(Problem(path, "is missing", mend))
        elif path.stat().st_size != wanted.size:
            problems.append(Problem(path, f"has {path.stat().st_size} bytes instead of {wanted.size}", mend))
        elif sha256_of(path) != wanted.sha256:
            problems.append(Problem(path, "has other content than the one that was built", mend))
    return problems


def changed_since(path: Path, wanted: FileRecord, mend: str = REBUILD) -> Problem | None:
    """The difference between a file and the published one, as far as its size and time tell."""
    try:
        info = path.stat()
    except OSError as error:
        return Problem(path, f"cannot be read: {error.strerror}", mend)
    if info.st_size != wanted.size:
        return Problem(path, f"has {info.st_size} bytes instead of {wanted.size}", mend)
    if info.st_mtime_ns != wanted.mtime_ns:
        return Problem(path, "was changed after it was built", mend)
    return None


__all__ = ["FILENAME", "Image", "Layer", "Problem", "current_layers", "load_image", "quick_check", "verify"]
