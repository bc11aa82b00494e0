"""``ccvm-tui image``: build, list, describe, verify and remove guest images."""

from __future__ import annotations

import argparse
import json
import os
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ccvm_tui.config import Settings
    from ccvm_tui.image import Image, Layer, Progress, Recipe, Runtime


def configure(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(metavar="ACTION", dest="action", required=True)
    build = actions.add_parser("build", help="build what is missing of the image, the agent's layer and the runtime")
    build.add_argument("--agent", metavar="NAME", help='the agent\'s layer, or "none" (default: as configured)')
    build.add_argument("--recipe", metavar="FILE", help="default: as configured")
    build.add_argument("--update", action="store_true", help="fetch the runtime's QEMU anew")
    build.add_argument("--force", action="store_true", help="build all of it again")
    actions.add_parser("ls", help="list images, layers and runtimes").add_argument("--json", action="store_true")
    show = actions.add_parser("show", help="describe an image")
    show.add_argument("digest", nargs="?", metavar="DIGEST", help="or the beginning of it (default: the one in use)")
    verify = actions.add_parser("verify", help="compare every byte with what was built")
    verify.add_argument("digest", nargs="?", metavar="DIGEST", help="default: all images and runtimes")
    actions.add_parser("rm", help="remove images, layers or runtimes").add_argument(
        "digest", nargs="+", metavar="DIGEST"
    )


def run(args: argparse.Namespace) -> int:
    actions = {"build": _build, "ls": _ls, "show": _show, "verify": _verify, "rm": _rm}
    return actions[args.action](args)


def _recipe(file: str | None) -> tuple[Recipe, Settings]:
    """The recipe that holds here, and the settings."""
    from ccvm_tui import config
    from ccvm_tui.image import load_recipe

    settings = config.resolve(Path.cwd(), os.environ).settings
    path = file or settings.image
    return load_recipe(Path(path) if path else None), settings


def _build(args: argparse.Namespace) -> int:
    from ccvm_tui.boot import images
    from ccvm_tui.errors import ConfigError
    from ccvm_tui.image import Store, build

    recipe, settings = _recipe(args.recipe)
    layers = [args.agent if args.agent is not None else settings.agent]
    runtime = images.uses_runtime(settings)
    if args.update and not runtime:
        raise ConfigError(
            "there is no runtime to update: the host's QEMU runs guests", '`CCVM_RUNTIME=own`, or runtime = "own"'
        )
    line = _Line()
    give_up = threading.Event()
    try:
        image = build(
            Store(), recipe, layers, line.show, give_up, force=args.force, runtime=runtime, update=args.update
        )
    finally:
        line.clear()
    print(image.directory)
    return 0


class _Line:
    """Progress on one line of a terminal; elsewhere a line for each phase."""

    def __init__(self) -> None:
        self._live = sys.stderr.isatty()
        self._phase = ""

    def show(self, progress: Progress) -> None:
        if self._live:
            width = os.get_terminal_size(sys.stderr.fileno()).columns or 80
            print(f"\r{str(progress)[: width - 1]}\x1b[K", end="", file=sys.stderr, flush=True)
        elif progress.phase != self._phase:
            self._phase = progress.phase
            print(progress, file=sys.stderr, flush=True)

    def clear(self) -> None:
        if self._live:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)


def _ls(args: argparse.Namespace) -> int:
    from ccvm_tui.cli.table import table
    from ccvm_tui.image import Store
    from ccvm_tui.text import size_text

    store = Store()
    images, layers, runtimes = store.list(), store.layers(), store.runtimes()
    if args.json:
        told = {
            "images": [_image_json(image) for image in images],
            "layers": [_layer_json(layer) for layer in layers],
            "runtimes": [_runtime_json(runtime) for runtime in runtimes],
        }
        print(json.dumps(told, indent=2))
        return 0
    if not images and not runtimes:
        print("no image is built yet; `ccvm-tui image build` does it", file=sys.stderr)
        return 0
    rows = [["DIGEST", "WHAT", "CREATED", "SIZE"]]
    for image in images:
        known = image.manifest
        rows.append([image.digest[:12], f"{known.recipe} ({known.suite})", known.created[:19], size_text(image.size)])
    for layer in layers:
        what = f"agent {layer.name} {layer.version}"
        rows.append([layer.digest[:12], what, layer.manifest.created[:19], size_text(layer.size)])
    for runtime in runtimes:
        what = f"runtime QEMU {runtime.version}"
        rows.append([runtime.digest[:12], what, runtime.manifest.created[:19], size_text(runtime.size)])
    print(table(rows))
    return 0


def _show(args: argparse.Namespace) -> int:
    image = _chosen(args.digest)
    print(json.dumps(_image_json(image), indent=2))
    return 0


def _verify(args: argparse.Namespace) -> int:
    from ccvm_tui.image import Store, verify

    store = Store()
    runtimes = [one for one in store.runtimes() if not args.digest or one.digest.startswith(args.digest)]
    images = store.list() if not args.digest else [] if runtimes else [_chosen(args.digest)]
    status = 0
    for digest, problems in [
        *((image.digest, verify(image)) for image in images),
        *((runtime.digest, runtime.verify()) for runtime in runtimes),
    ]:
        for problem in problems:
            status = 1
            print(f"{problem}\n  → `{problem.fix}`", file=sys.stderr)
        if not problems:
            print(f"{digest[:12]} is as it was built")
    return status


def _rm(args: argparse.Namespace) -> int:
    from ccvm_tui.image import Store

    for digest in args.digest:
        Store().remove(digest)
    return 0


def _chosen(digest: str | None) -> Image:
    """Raises ImageError when there is no such image, or more than one."""
    from ccvm_tui.errors import ImageError
    from ccvm_tui.image import Store

    if digest is None:
        recipe, _ = _recipe(None)
        image = Store().find(recipe)
        if image is None:
            raise ImageError("the image is not built yet", "`ccvm-tui image build`")
        return image
    found = [image for image in Store().list() if image.digest.startswith(digest)]
    if len(found) != 1:
        what = "no image" if not found else f"more than one image ({len(found)})"
        raise ImageError(f"{what} has a digest that begins with {digest!r}", "`ccvm-tui image ls` lists them")
    return found[0]


def _image_json(image: Image) -> dict[str, object]:
    known = image.manifest
    return {
        "digest": image.digest,
        "directory": str(image.directory),
        "recipe": known.recipe,
        "suite": known.suite,
        "created": known.created,
        "kernel_release": known.kernel_release,
        "cmdline": image.cmdline,
        "size": image.size,
        "files": {name: {"size": file.size, "sha256": file.sha256} for name, file in known.files.items()},
        "layers": [_layer_json(layer) for layer in image.layers],
    }


def _layer_json(layer: Layer) -> dict[str, object]:
    return {
        "name": layer.name,
        "version": layer.version,
        "digest": layer.digest,
        "directory": str(layer.directory),
        "origin": layer.manifest.origin,
        "agent": layer.agent,
        "created": layer.manifest.created,
        "size": layer.size,
    }


def _runtime_json(runtime: Runtime) -> dict[str, object]:
    return {
        "digest": runtime.digest,
        "directory": str(runtime.directory),
        "suite": runtime.manifest.suite,
        "version": runtime.version,
        "created": runtime.manifest.created,
        "size": runtime.size,
    }
