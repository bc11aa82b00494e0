"""Guest images and runtimes: recipe → build → store. The files of the guest are in ``guest/``."""

from ccvm_tui.image.agent_layer import AGENT_LINK
from ccvm_tui.image.build import build
from ccvm_tui.image.digest import image_digest
from ccvm_tui.image.images import Image, Layer, Problem, load_image, quick_check, verify
from ccvm_tui.image.progress import Progress
from ccvm_tui.image.recipe import NO_LAYER, LayerRecipe, Recipe, load_recipe
from ccvm_tui.image.run import BuildCancelled
from ccvm_tui.image.runtime import Runtime, load_runtime
from ccvm_tui.image.store import Store

__all__ = [
    "AGENT_LINK",
    "NO_LAYER",
    "BuildCancelled",
    "Image",
    "Layer",
    "LayerRecipe",
    "Problem",
    "Progress",
    "Recipe",
    "Runtime",
    "Store",
    "build",
    "image_digest",
    "load_image",
    "load_recipe",
    "load_runtime",
    "quick_check",
    "verify",
]
