"""The image that a guest starts from: found, or built while the user watches."""

from __future__ import annotations

import shutil
import threading
from pathlib import Path

import msgspec

from ccvm_tui.cli.bootline import BootLine
from ccvm_tui.config import Settings
from ccvm_tui.errors import ImageError, PrerequisiteError
from ccvm_tui.image import NO_LAYER, BuildCancelled, Image, Progress, Recipe, Store, build, load_recipe
from ccvm_tui.image.agent_layer import locate
from ccvm_tui.machine.arch import host_arch
from ccvm_tui.protocol import LaunchSpec


def recipe_of(settings: Settings) -> Recipe:
    """Raises ImageError when the recipe cannot be read or says what it must not."""
    return load_recipe(Path(settings.image) if settings.image else None)


def with_image(
    spec: LaunchSpec, settings: Settings, line: BootLine, give_up: threading.Event, *, agent_wanted: bool
) -> LaunchSpec:
    """``spec`` with the image to boot and the runtime, if there has to be one. What is missing is built; the agent
    only if it is wanted now.

    Blocks. Raises ImageError or PrerequisiteError: what is missing, and how to get it or do without.
    """
    store, recipe = Store(), recipe_of(settings)
    layer = settings.agent
    found = store.find(recipe, layer)
    if found is None and not agent_wanted:
        layer = NO_LAYER
        found = store.find(recipe, layer)
    own = wants_runtime(settings)
    if found is None or (own and store.runtime(recipe) is None):
        found = _build(store, recipe, layer, line, give_up, runtime=own)
    found.quick_check(layer)
    runtime = store.runtime(recipe) if own else None
    return msgspec.structs.replace(
        spec, image=str(found.directory), layer=layer, runtime=str(runtime.directory) if runtime else ""
    )


def wants_runtime(settings: Settings) -> bool:
    """Whether a runtime's QEMU runs guests: where that is configured, and where the host has none."""
    return settings.runtime == "own" or shutil.which(host_arch().qemu) is None


def best(settings: Settings) -> Image | None:
    """The image for ``settings`` if it is built and undamaged, the agent aside. Raises ImageError for a damaged one."""
    found = Store().find(recipe_of(settings))
    if found is not None:
        found.quick_check()
    return found


def _build(
    store: Store, recipe: Recipe, layer: str, line: BootLine, give_up: threading.Event, *, runtime: bool
) -> Image:
    def show(progress: Progress) -> None:
        line.note(f"image: {progress}")

    try:
        if layer != NO_LAYER:
            locate(recipe.layer(layer))  # before the minutes that the rest takes
        return build(store, recipe, (layer,), show, give_up, runtime=runtime)
    except BuildCancelled:
        raise
    except (ImageError, PrerequisiteError) as error:
        if layer == NO_LAYER:
            raise
        hint = f"{error.hint}; " if error.hint else ""
        raise type(error)(error.message, f"{hint}or open a shell instead: `ccvm-tui run --shell`") from error
