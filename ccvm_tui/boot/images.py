"""The image and the runtime that a guest needs, built or downloaded if they are missing."""

from __future__ import annotations

import os
import platform
import shutil
import threading
from collections.abc import Callable
from pathlib import Path

import msgspec

from ccvm_tui.config import Settings
from ccvm_tui.errors import ImageError, PrerequisiteError
from ccvm_tui.image import NO_LAYER, BuildCancelled, Image, Progress, Recipe, Store, agent_layer, build, load_recipe
from ccvm_tui.image.origin import Origin, origin
from ccvm_tui.protocol import LaunchSpec

DEFAULT_IMAGE_VARIABLE = "CCVM_DEFAULT_IMAGE"
"""The variable with which a package sets the recipe or the prebuilt image that is used if ``image`` is not set."""


def recipe_of(settings: Settings) -> Recipe:
    """Return the configured recipe. Raises ImageError if it cannot be read or is invalid.

    A prebuilt image is used with the default recipe's agent layers and runtime.
    """
    path = _source(settings)
    return load_recipe(None if path is None or path.is_dir() else path)


def prebuilt(settings: Settings) -> Path | None:
    """Return the directory of the image that was built elsewhere, if the setting ``image`` is a directory."""
    path = _source(settings)
    return path if path is not None and path.is_dir() else None


def _source(settings: Settings) -> Path | None:
    configured = settings.image or os.environ.get(DEFAULT_IMAGE_VARIABLE, "")
    return Path(configured) if configured else None


def directory_of(store: Store, settings: Settings) -> Path:
    """Return the directory of the configured image in the store. Unless it is prebuilt, the image need not exist."""
    directory = prebuilt(settings)
    return store.directory_of(recipe_of(settings)) if directory is None else store.adopt(directory).directory


def find(store: Store, settings: Settings, layer: str = NO_LAYER) -> Image | None:
    """Return the configured image, or None if it or the agent layer has not been built.

    Raises ImageError if the image's manifest is missing or damaged.
    """
    directory = prebuilt(settings)
    if directory is None:
        return store.find(recipe_of(settings), layer)
    image = store.adopt(directory)
    return image if image.has_layer(layer) else None


def origin_of(settings: Settings) -> Origin | None:
    """Return from where the image is downloaded, or None if it is built. Raises ConfigError if the key is invalid."""
    return origin(settings.image_url, settings.image_key) if settings.image_url else None


def provide(
    spec: LaunchSpec,
    settings: Settings,
    report: Callable[[Progress], None],
    cancel: threading.Event,
    *,
    agent_wanted: bool,
) -> LaunchSpec:
    """Return ``spec`` with the image and the runtime to use, and build or download what is missing. Blocks.

    The agent's layer is built only if ``agent_wanted``. ``report`` receives the progress of the build. Raises
    BuildCancelled soon after ``cancel`` is set, PrerequisiteError if a program for the build is not installed,
    ImageError if the build fails or the image is damaged.
    """
    store, recipe = Store(), recipe_of(settings)
    layer = settings.agent
    if not agent_wanted and find(store, settings, layer) is None:
        layer = NO_LAYER
    image = complete_image(settings, layer) or build_missing(settings, layer, report, cancel)
    runtime = store.runtime(recipe) if uses_runtime(settings) else None
    return msgspec.structs.replace(
        spec, image=str(image.directory), layer=layer, runtime=str(runtime.directory) if runtime else ""
    )


def complete_image(settings: Settings, layer: str) -> Image | None:
    """Return the image with an agent's layer, or None if it, its layer or a runtime that guests use is not built.

    Raises ImageError if the image is damaged.
    """
    store, recipe = Store(), recipe_of(settings)
    image = find(store, settings, layer)
    if image is None or (uses_runtime(settings) and store.runtime(recipe) is None):
        return None
    image.quick_check(layer)
    return image


def build_missing(settings: Settings, layer: str, report: Callable[[Progress], None], cancel: threading.Event) -> Image:
    """Build the image, an agent's layer and the runtime as far as they are missing, and return the image. Blocks.

    Raises the same errors as ``provide``.
    """
    image = _build(settings, Store(), recipe_of(settings), layer, report, cancel, runtime=uses_runtime(settings))
    image.quick_check(layer)
    return image


def agent_source(settings: Settings) -> Path | str:
    """Return the source of the layer of the configured agent: the path of its program, or its npm package.

    Raises PrerequisiteError if the agent is neither installed on this host nor available from npm, ImageError if the
    recipe does not contain the agent.
    """
    return agent_layer.find(recipe_of(settings).layer(settings.agent))


def host_qemu() -> str | None:
    """Return the path of the host's QEMU, or None if it is not installed."""
    return shutil.which(f"qemu-system-{platform.machine()}")


def uses_runtime(settings: Settings) -> bool:
    """Return whether the QEMU of a runtime runs guests: if that is configured, or if the host has no QEMU."""
    return settings.runtime == "own" or host_qemu() is None


def built_image(settings: Settings) -> Image | None:
    """Return the image for ``settings``, with or without the agent's layer, or None if it is not built.

    Raises ImageError if the image is damaged.
    """
    image = find(Store(), settings)
    if image is not None:
        image.quick_check()
    return image


def _build(
    settings: Settings,
    store: Store,
    recipe: Recipe,
    layer: str,
    report: Callable[[Progress], None],
    cancel: threading.Event,
    *,
    runtime: bool,
) -> Image:
    try:
        if layer != NO_LAYER:
            agent_layer.locate(
                recipe.layer(layer)
            )  # a missing agent is reported before the minutes that the rest takes
        return build(
            store, recipe, (layer,), report, cancel,
            base=prebuilt(settings), runtime=runtime, origin=origin_of(settings),
        )  # fmt: skip
    except BuildCancelled:
        raise
    except (ImageError, PrerequisiteError) as error:
        if layer == NO_LAYER:
            raise
        hint = f"{error.hint}; " if error.hint else ""
        raise type(error)(error.message, f"{hint}or open a shell instead: `ccvm-tui run --shell`") from error
