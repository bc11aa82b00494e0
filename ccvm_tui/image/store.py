"""The store of built images, agent layers and runtimes, with its lock and its cleanup."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

from ccvm_tui.errors import ImageError
from ccvm_tui.image.bootstrap import remove_scratch
from ccvm_tui.image.digest import image_digest
from ccvm_tui.image.images import LAYERS, Image, Layer, current_layers, load_image
from ccvm_tui.image.manifest import FILENAME, RuntimeManifest, read_layer
from ccvm_tui.image.recipe import NO_LAYER, Recipe
from ccvm_tui.image.run import BuildCancelled
from ccvm_tui.image.runtime import RUNTIMES, Runtime, load_runtime
from ccvm_tui.image.runtime_build import runtime_key
from ccvm_tui.paths import images_dir

_UNFINISHED = ".building-"
_PARTIAL = ".download-"
_LOCK = ".lock"
_DURATIONS = ".durations.json"
_SHORT = 16
_POLL = 0.2


# The method ``Store.list`` hides the builtin in annotations.
Images = list[Image]
Layers = list[Layer]
Runtimes = list[Runtime]
Paths = list[Path]


class Store:
    """The store in ``root``.

    Images are in ``<digest>/``, agent layers in ``layers/<digest>/``, runtimes in ``runtimes/<digest>/``.
    """

    def __init__(self, root: Path | None = None) -> None:
        self.root = images_dir() if root is None else root

    @property
    def layers_dir(self) -> Path:
        """The directory of the agent layers."""
        return self.root / LAYERS

    @property
    def runtimes_dir(self) -> Path:
        """The directory of the runtimes."""
        return self.root / RUNTIMES

    @property
    def durations(self) -> Path:
        """The file with the durations of the phases of earlier builds."""
        return self.root / _DURATIONS

    def partial(self, sha256: str) -> Path:
        """Return the file for the received part of an archive whose checksum is ``sha256``. It outlives a download."""
        return self.root / f"{_PARTIAL}{sha256[:_SHORT]}"

    def partials(self) -> Paths:
        """Return the received parts of all archives that are not complete."""
        return sorted(self.root.glob(f"{_PARTIAL}*"))

    def directory_of(self, recipe: Recipe) -> Path:
        """Return the directory of the image of ``recipe``, which need not exist."""
        return self.root / image_digest(recipe)[:_SHORT]

    def find(self, recipe: Recipe, layer: str = NO_LAYER) -> Image | None:
        """Return the image of ``recipe``, or None if it or the agent layer has not been built.

        Raises ImageError if the image's manifest is damaged.
        """
        directory = self.directory_of(recipe)
        if not (directory / FILENAME).exists():
            return None
        image = load_image(directory)
        return image if image.has_layer(layer) else None

    def adopt(self, directory: Path, *, locked: bool = False) -> Image:
        """Return the image in ``directory``, which was built elsewhere, as an image of this store.

        The store contains a symbolic link to the directory, so that the store's agent layers can be used with it.
        ``locked`` states that the caller holds the lock. Raises ImageError if the directory contains no image.
        """
        link = self.root / load_image(directory).digest[:_SHORT]
        if not (link / FILENAME).exists():
            with contextlib.nullcontext() if locked else self.locked():
                self._link(link, directory.resolve())
                self._remove_broken_links()
        return load_image(link)

    def list(self) -> Images:
        """Return all images, newest first. Images with a damaged manifest are omitted."""
        images = []
        for directory in self.root.iterdir() if self.root.is_dir() else ():
            with contextlib.suppress(ImageError):
                if not directory.name.startswith(".") and directory.name not in (LAYERS, RUNTIMES):
                    images.append(load_image(directory))
        return sorted(images, key=lambda image: image.manifest.created, reverse=True)

    def outdated(self, *recipes: Recipe) -> Images:
        """Return the images of none of the ``recipes``: of older recipes, or of older versions of this program."""
        wanted = {self.directory_of(recipe) for recipe in recipes}
        return [image for image in self.list() if image.directory not in wanted]

    def layers(self) -> Layers:
        """Return all agent layers, including outdated ones. Layers with a damaged manifest are omitted."""
        layers = []
        for directory in sorted(self.layers_dir.iterdir()) if self.layers_dir.is_dir() else ():
            with contextlib.suppress(ImageError):
                if not directory.is_symlink():
                    layers.append(Layer(directory, read_layer(directory)))
        return layers

    def runtime(self, recipe: Recipe) -> Runtime | None:
        """Return the runtime of ``recipe``, or None if it has not been built.

        Raises ImageError if its manifest is damaged.
        """
        link = self._runtime_link(recipe)
        return load_runtime(link.resolve()) if (link / FILENAME).exists() else None

    def _runtime_link(self, recipe: Recipe) -> Path:
        return self.runtimes_dir / f"{recipe.suite}-{runtime_key(recipe)[:_SHORT]}"

    def runtimes(self) -> Runtimes:
        """Return all runtimes, including outdated ones. Runtimes with a damaged manifest are omitted."""
        runtimes = []
        for directory in sorted(self.runtimes_dir.iterdir()) if self.runtimes_dir.is_dir() else ():
            with contextlib.suppress(ImageError):
                if not directory.is_symlink() and not directory.name.startswith("."):
                    runtimes.append(load_runtime(directory))
        return runtimes

    def outdated_runtimes(self, *recipes: Recipe) -> Runtimes:
        """Return the runtimes that have been replaced, or with ``recipes`` all that these recipes do not use.

        Runtimes in use by running guests are omitted.
        """
        links = [path for path in self.runtimes_dir.glob("[!.]*") if path.is_symlink()]
        if recipes:
            links = [self._runtime_link(recipe) for recipe in recipes]
        used = {link.resolve() for link in links}
        return [runtime for runtime in self.runtimes() if runtime.directory not in used and not runtime.in_use]

    def remove(self, digest: str) -> None:
        """Remove the image, layer or runtime whose digest begins with ``digest``.

        Running guests keep the images and layers that they use. Raises ImageError if no digest or several digests
        match, or if a running guest uses the runtime.
        """
        everything: list[Image | Layer | Runtime] = [*self.list(), *self.layers(), *self.runtimes()]
        found = [item for item in everything if digest and item.digest.startswith(digest)]
        if len(found) != 1:
            message = (
                f"{len(found)} images have a digest that begins with {digest!r}"
                if found
                else f"no image has a digest that begins with {digest!r}"
            )
            raise ImageError(message, "`ccvm-tui image ls` lists all images")
        chosen = found[0]
        if isinstance(chosen, Runtime) and chosen.in_use:
            raise ImageError(f"a running guest uses the runtime {digest}", "`ccvm-tui ls` lists the guests")
        with self.locked():
            self._discard(chosen.directory)
            self._remove_broken_links()

    def clean_stale(self) -> int:
        """Remove the directories of killed builds, unless a build is running, and return their number."""
        if not self.root.is_dir():
            return 0
        with (self.root / _LOCK).open("a") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return 0
            return self._clean()

    def clean_outdated_layers(self) -> int:
        """Remove the layers that were replaced by newer ones of the same name, and return their number."""
        current = {layer.directory for layer in current_layers(self.root)}
        outdated = [layer for layer in self.layers() if layer.directory not in current]
        if outdated:
            with self.locked():
                for layer in outdated:
                    self._discard(layer.directory)
        return len(outdated)

    @contextlib.contextmanager
    def locked(
        self, on_wait: Callable[[], None] = lambda: None, cancel: threading.Event | None = None
    ) -> Iterator[int]:
        """Hold the exclusive lock that changes of the store require, and yield its file descriptor.

        ``on_wait`` is called repeatedly while another process holds the lock. Raises BuildCancelled if ``cancel`` is
        set during the wait.
        """
        self.root.mkdir(parents=True, exist_ok=True)
        cancel = cancel or threading.Event()
        with (self.root / _LOCK).open("a") as lock:
            while True:
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    on_wait()
                if cancel.wait(_POLL):
                    raise BuildCancelled("the build was cancelled while it waited for another build")
            self._clean()
            yield lock.fileno()

    @contextlib.contextmanager
    def workdir(self) -> Iterator[Path]:
        """Yield a directory to build in, which is removed at the end unless ``publish`` moved it. Needs the lock."""
        path = Path(tempfile.mkdtemp(prefix=_UNFINISHED, dir=self.root))
        path.chmod(0o755)
        try:
            yield path
        finally:
            if path.exists():
                self._discard(path)

    def publish(self, workdir: Path, target: Path) -> None:
        """Move a complete ``workdir`` to ``target`` atomically and durably, replacing an existing directory."""
        for path in workdir.rglob("*"):
            _fsync(path)
        _fsync(workdir)
        target.parent.mkdir(exist_ok=True)
        if target.exists():
            self._discard(target)
        workdir.rename(target)
        _fsync(target.parent)

    def publish_layer(self, workdir: Path, name: str, digest: str) -> None:
        """Publish a layer as the current layer of ``name``."""
        target = self.layers_dir / digest[:_SHORT]
        self.publish(workdir, target)
        self._link(self.layers_dir / name, Path(target.name))

    def publish_runtime(self, workdir: Path, made: RuntimeManifest, recipe: Recipe) -> None:
        """Publish a runtime as the current one of ``recipe``. An intact runtime of the same content is not replaced."""
        target = self.runtimes_dir / made.digest[:_SHORT]
        if not _is_intact(target):
            self.publish(workdir, target)
        self._link(self._runtime_link(recipe), Path(target.name))

    def _link(self, link: Path, target: Path) -> None:
        """Point ``link`` to ``target``, which may be relative to the link's directory, atomically and durably."""
        fresh = link.with_name(f"{_UNFINISHED}{link.name}")
        fresh.unlink(missing_ok=True)
        fresh.symlink_to(target)
        fresh.rename(link)
        _fsync(link.parent)

    def _discard(self, path: Path) -> None:
        # A rename first, so that a partly removed directory is not mistaken for an image.
        hidden = Path(tempfile.mkdtemp(prefix=_UNFINISHED, dir=self.root)) / "discarded"
        path.rename(hidden)
        shutil.rmtree(hidden.parent)

    def _clean(self) -> int:
        stale = list(self.root.glob(f"{_UNFINISHED}*"))
        for path in stale:
            with contextlib.suppress(OSError):
                remove_scratch(Path((path / "scratch").read_text()))
            shutil.rmtree(path, ignore_errors=True)
        return len(stale)

    def _remove_broken_links(self) -> None:
        for folder in (self.root, self.layers_dir, self.runtimes_dir):
            for link in folder.iterdir() if folder.is_dir() else ():
                if link.is_symlink() and not link.exists():
                    link.unlink()


def _is_intact(runtime: Path) -> bool:
    try:
        return not load_runtime(runtime).verify()
    except ImageError:
        return False


def _fsync(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
