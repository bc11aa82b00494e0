"""Build of images from recipes. An image is built in a temporary directory and published when it is complete.

The base image and the runtime can be downloaded instead; see ``download``.
"""

from __future__ import annotations

import datetime
import errno
import shutil
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from ccvm_tui import paths
from ccvm_tui.errors import ImageError
from ccvm_tui.image import agent_layer, manifest
from ccvm_tui.image.bootstrap import Bootstrap
from ccvm_tui.image.cmdline import CMDLINE
from ccvm_tui.image.digest import image_digest
from ccvm_tui.image.images import INITRD, KERNEL, ROOTFS, Image, current_layers, load_image
from ccvm_tui.image.initrd import KernelFiles
from ccvm_tui.image.origin import Origin
from ccvm_tui.image.progress import Phases, Progress
from ccvm_tui.image.recipe import NO_LAYER, LayerRecipe, Recipe
from ccvm_tui.image.run import BuildCancelled
from ccvm_tui.image.runtime_build import build_runtime
from ccvm_tui.image.store import Store
from ccvm_tui.requirements import BUILD, LAYER, require

if TYPE_CHECKING:
    from ccvm_tui.image.download import Download

_BASE_PHASES = {"index", "download", "extract", "essential", "install", "kernel", "squashfs", "initrd"}

_BASE_SPACE = 512 << 20
_LAYER_SPACE = 768 << 20
"""Bytes that the build of a base image and of an agent's layer use in the store at most, leftovers included."""


def build(
    store: Store,
    recipe: Recipe,
    layers: Iterable[str] = (),
    progress: Callable[[Progress], None] = lambda _: None,
    cancel: threading.Event | None = None,
    *,
    base: Path | None = None,
    force: bool = False,
    runtime: bool = False,
    update: bool = False,
    origin: Origin | None = None,
) -> Image:
    """Build the missing parts of the image of ``recipe`` with the agent ``layers``, and return the image. Blocks.

    ``base`` is the directory of an image that was built elsewhere; the store adopts it instead of building an image.
    ``force`` rebuilds all other parts. ``runtime`` includes the runtime of QEMU, and ``update`` rebuilds the runtime
    from the current packages. With an ``origin``, image and runtime are downloaded from there instead of being built.

    A concurrent build waits and then finds nothing left to do. A killed build leaves published parts unchanged.
    Raises BuildCancelled soon after ``cancel`` is set, PrerequisiteError if a program is not installed, ImageError if
    a step fails or the store cannot be written.
    """
    cancel = cancel or threading.Event()
    try:
        return _build(
            store, recipe, layers, progress, cancel,
            base=base, force=force, runtime=runtime, update=update, origin=origin,
        )  # fmt: skip
    except OSError as error:
        if (known := paths.unwritable(error, store.root)) is None:
            raise
        raise ImageError(known.message, known.hint) from error


def _build(
    store: Store,
    recipe: Recipe,
    layers: Iterable[str],
    progress: Callable[[Progress], None],
    cancel: threading.Event,
    *,
    base: Path | None,
    force: bool,
    runtime: bool,
    update: bool,
    origin: Origin | None,
) -> Image:
    wanted = [recipe.layer(name) for name in layers if name != NO_LAYER]
    builds = origin is None and (base is None or runtime)
    require(*(BUILD if builds else ()), *(LAYER if wanted else ()), what="building an image")

    def waiting() -> None:
        progress(Progress("waiting for another build to finish", 0.0, 0.0))

    with store.locked(waiting, cancel) as lock:
        target = store.directory_of(recipe) if base is None else store.adopt(base, locked=True).directory
        base_needed = base is None and (force or not (target / manifest.FILENAME).exists())
        runtime_needed = runtime and (force or update or store.runtime(recipe) is None)
        base_phases = {"fetch", "unpack"} if origin else _BASE_PHASES
        runtime_phases = {"fetch runtime", "runtime"} if origin else {"runtime"}
        phases = Phases(
            progress,
            store.durations,
            {"publish"}
            | (base_phases if base_needed else set())
            | ({"layer"} if wanted else set())
            | (runtime_phases if runtime_needed else set()),
        )
        parts = _download(origin, store, recipe, phases, cancel) if origin else _Parts(recipe, phases, cancel, lock)
        if base_needed and origin is None:
            _require_space(store, _BASE_SPACE, "the guest image")
        if base_needed:
            with store.workdir() as workdir:
                parts.base(workdir)
                phases.begin("publish")
                store.publish(workdir, target)
        for layer in wanted:
            phases.begin("layer")
            _build_layer(store, layer, phases, cancel, force=force)
        if runtime_needed:
            with store.workdir() as workdir:
                store.publish_runtime(workdir, parts.runtime(workdir), recipe)
        phases.finish()
        return load_image(target)


def _download(origin: Origin, store: Store, recipe: Recipe, phases: Phases, cancel: threading.Event) -> Download:
    from ccvm_tui.image.download import Download  # which imports what only downloads need

    return Download(origin, store, recipe, phases, cancel)


class _Parts:
    """The parts that can also be downloaded, built on this machine."""

    def __init__(self, recipe: Recipe, phases: Phases, cancel: threading.Event, lock: int) -> None:
        self._recipe = recipe
        self._phases = phases
        self._cancel = cancel
        # The programs inherit the lock: if this process is killed, the next build waits until they have exited too.
        self._keep_open = (lock,)

    def base(self, workdir: Path) -> None:
        """Build the base image in ``workdir``."""
        self._phases.begin("index")
        bootstrap = Bootstrap(self._recipe, workdir, keep_open=self._keep_open)
        bootstrap.run(self._phases.begin, self._phases.tick, self._cancel)
        self._phases.begin("initrd")
        digest = image_digest(self._recipe)
        with KernelFiles(bootstrap.kernel) as kernel:
            kernel.write_vmlinux(workdir / KERNEL)
            kernel.write_initrd(workdir / INITRD, digest)
            release = kernel.release
        for path in (bootstrap.kernel, workdir / "guest.tar", workdir / "scratch"):
            path.unlink(missing_ok=True)
        if self._cancel.is_set():
            raise BuildCancelled("the build was cancelled")
        built = manifest.ImageManifest(
            digest=digest,
            recipe=self._recipe.name,
            suite=self._recipe.suite,
            created=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            kernel_release=release,
            cmdline=CMDLINE,
            files={name: manifest.record(workdir / name) for name in (KERNEL, INITRD, ROOTFS)},
        )
        manifest.write(workdir, built)

    def runtime(self, workdir: Path) -> manifest.RuntimeManifest:
        """Build the runtime in ``workdir``, and return its manifest."""
        self._phases.begin("runtime")
        return build_runtime(self._recipe, workdir, self._phases.tick, self._cancel, keep_open=self._keep_open)


def _build_layer(store: Store, recipe: LayerRecipe, phases: Phases, cancel: threading.Event, *, force: bool) -> None:
    source = agent_layer.locate(recipe)
    current = [layer.digest for layer in current_layers(store.root) if layer.name == recipe.name]
    if source.digest() in current and not force:
        return
    _require_space(store, _LAYER_SPACE, "the agent's layer")
    with store.workdir() as workdir:
        agent_layer.build_layer(source, workdir, phases.tick, cancel)
        store.publish_layer(workdir, recipe.name, source.digest())


def _require_space(store: Store, size: int, what: str) -> None:
    """Raise ImageError if the store has less than ``size`` bytes left. The programs of a build do not report it."""
    free = shutil.disk_usage(store.root).free
    if free < size:
        full = paths.unwritable(OSError(errno.ENOSPC, "", str(store.root)))
        raise ImageError(
            f"the build of {what} needs {size >> 20} MiB in {store.root}, where {free >> 20} MiB are free",
            full.hint if full else "",
        )
