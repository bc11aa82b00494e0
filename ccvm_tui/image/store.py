"""The directory of built images: who is in it, who may build, and what a killed build left."""

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
_LOCK = ".lock"
_DURATIONS = ".durations.json"
_SHORT = 16
_POLL = 0.2


Images = list[Image]
Layers = list[Layer]
Runtimes = list[Runtime]


class Store:
    """``<root>/<digest>/`` holds an image, ``layers/<digest>/`` an agent layer, ``runtimes/<digest>/`` a runtime."""

    def __init__(self, root: Path | None = None) -> None:
        self.root = images_dir() if root is None else root

    @property
    def layers_dir(self) -> Path:
        return self.root / LAYERS

    @property
    def runtimes_dir(self) -> Path:
        return self.root / RUNTIMES

    @property
    def durations(self) -> Path:
        """What the phases of the last build took."""
        return self.root / _DURATIONS

    def directory_of(self, recipe: Recipe) -> Path:
        """Where the image of ``recipe`` is, or would be."""
        return self.root / image_digest(recipe)[:_SHORT]

    def find(self, recipe: Recipe, layer: str = NO_LAYER) -> Image | None:
        """The image of ``recipe``, if it and the agent layer are there. Raises ImageError for a damaged one."""
        directory = self.directory_of(recipe)
        if not (directory / FILENAME).exists():
            return None
        image = load_image(directory)
        wanted = layer == NO_LAYER or any(one.name == layer for one in image.layers)
        return image if wanted else None

    def list(self) -> Images:
        """All images, the newest first. What cannot be read is left out."""
        images = []
        for directory in self.root.iterdir() if self.root.is_dir() else ():
            with contextlib.suppress(ImageError):
                if not directory.name.startswith(".") and directory.name not in (LAYERS, RUNTIMES):
                    images.append(load_image(directory))
        return sorted(images, key=lambda image: image.manifest.created, reverse=True)

    def outdated(self, *recipes: Recipe) -> Images:
        """Images that none of ``recipes`` asks for any more: of older recipes, or of older versions of this program."""
        wanted = {self.directory_of(recipe) for recipe in recipes}
        return [image for image in self.list() if image.directory not in wanted]

    def layers(self) -> Layers:
        """All agent layers, outdated ones included."""
        layers = []
        for directory in sorted(self.layers_dir.iterdir()) if self.layers_dir.is_dir() else ():
            with contextlib.suppress(ImageError):
                if not directory.is_symlink():
                    layers.append(Layer(directory, read_layer(directory)))
        return layers

    def runtime(self, recipe: Recipe) -> Runtime | None:
        """The runtime that goes with ``recipe``, if it is there. Raises ImageError for a damaged one."""
        link = self._runtime_link(recipe)
        return load_runtime(link.resolve()) if (link / FILENAME).exists() else None

    def _runtime_link(self, recipe: Recipe) -> Path:
        return self.runtimes_dir / f"{recipe.suite}-{runtime_key(recipe)[:_SHORT]}"

    def runtimes(self) -> Runtimes:
        """All runtimes, outdated ones included. What cannot be read is left out."""
        runtimes = []
        for directory in sorted(self.runtimes_dir.iterdir()) if self.runtimes_dir.is_dir() else ():
            with contextlib.suppress(ImageError):
                if not directory.is_symlink() and not directory.name.startswith("."):
                    runtimes.append(load_runtime(directory))
        return runtimes

    def outdated_runtimes(self, *recipes: Recipe) -> Runtimes:
        """Runtimes that newer ones have replaced; with ``recipes`` all those that these do not use.

        Those that running guests use are not among them.
        """
        links = [path for path in self.runtimes_dir.glob("[!.]*") if path.is_symlink()]
        if recipes:
            links = [self._runtime_link(recipe) for recipe in recipes]
        used = {link.resolve() for link in links}
        return [runtime for runtime in self.runtimes() if runtime.directory not in used and not runtime.held]

    def remove(self, digest: str) -> None:
        """Remove the image, layer or runtime whose digest begins with ``digest``. Running guests keep what they use.

        Raises ImageError when there is none, or more than one, and for a runtime that a guest uses.
        """
        everything: list[Image | Layer | Runtime] = [*self.list(), *self.layers(), *self.runtimes()]
        found = [one for one in everything if digest and one.digest.startswith(digest)]
        if len(found) != 1:
            count = "no image" if not found else f"more than one image ({len(found)})"
            raise ImageError(f"{count} has a digest that begins with {digest!r}", "`ccvm-tui image ls` lists them")
        chosen = found[0]
        if isinstance(chosen, Runtime) and chosen.held:
            raise ImageError(f"a running guest uses the runtime {digest}", "`ccvm-tui ls` lists the guests")
        with self.locked():
            self._discard(chosen.directory)
            self._drop_dead_links()

    def clean_stale(self) -> int:
        """Remove what killed builds left, unless a build is running; returns how many were found."""
        if not self.root.is_dir():
            return 0
        with (self.root / _LOCK).open("a") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return 0
            return self._clean()

    def clean_outdated_layers(self) -> int:
        """Remove layers that a newer one of the same name has replaced; returns how many."""
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
        """The right to change the store: one process at a time. Yields the lock's file descriptor.

        ``on_wait`` is called again and again while another one has it; raises BuildCancelled after ``cancel``.
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
                    raise BuildCancelled("the build was cancelled while waiting for another one")
            self._clean()
            yield lock.fileno()

    @contextlib.contextmanager
    def workdir(self) -> Iterator[Path]:
        """A directory to build in. Needs the lock; is removed at the end unless ``publish`` moved it away."""
        path = Path(tempfile.mkdtemp(prefix=_UNFINISHED, dir=self.root))
        path.chmod(0o755)
        try:
            yield path
        finally:
            if path.exists():
                self._discard(path)

    def publish(self, workdir: Path, target: Path) -> None:
        """Move a complete ``workdir`` to ``target``: durable, and all or nothing. What was there goes."""
        for path in workdir.rglob("*"):
            _fsync(path)
        _fsync(workdir)
        target.parent.mkdir(exist_ok=True)
        if target.exists():
            self._discard(target)
        workdir.rename(target)
        _fsync(target.parent)

    def publish_layer(self, workdir: Path, name: str, digest: str) -> None:
        """Publish a layer and make it the one that ``name`` means."""
        target = self.layers_dir / digest[:_SHORT]
        self.publish(workdir, target)
        self._link(self.layers_dir / name, target)

    def publish_runtime(self, workdir: Path, made: RuntimeManifest, recipe: Recipe) -> None:
        """Publish a runtime and make it the one of ``recipe``. One of the same content, if it is sound, stays."""
        target = self.runtimes_dir / made.digest[:_SHORT]
        if not _is_sound(target):
            self.publish(workdir, target)
        self._link(self._runtime_link(recipe), target)

    def _link(self, link: Path, target: Path) -> None:
        """Make ``link`` lead to ``target``, next to it: durable, and at no moment to nothing."""
        fresh = link.with_name(f"{_UNFINISHED}{link.name}")
        fresh.unlink(missing_ok=True)
        fresh.symlink_to(target.name)
        fresh.rename(link)
        _fsync(link.parent)

    def _discard(self, path: Path) -> None:
        # Out of sight first: a half-removed directory must not look like an image.
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

    def _drop_dead_links(self) -> None:
        for folder in (self.layers_dir, self.runtimes_dir):
            for link in folder.iterdir() if folder.is_dir() else ():
                if link.is_symlink() and not link.exists():
                    link.unlink()


def _is_sound(runtime: Path) -> bool:
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
