"""``ccvm-tui image``: build, list, show, verify, export and remove guest images."""

from __future__ import annotations

import argparse
import json
import os
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from ccvm_tui.cli import output

if TYPE_CHECKING:
    from ccvm_tui.config import Settings
    from ccvm_tui.image import Image, Layer, Progress, Runtime


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the verb's actions and their arguments."""
    actions = parser.add_subparsers(metavar="ACTION", dest="action", required=True)
    build = actions.add_parser("build", help="build the image, the agent's layer and the runtime, if they are missing")
    build.add_argument("--agent", metavar="NAME", help='the agent\'s layer, or "none" (default: as configured)')
    build.add_argument("--recipe", metavar="FILE", help="default: as configured")
    build.add_argument("--update", action="store_true", help="update the runtime's QEMU")
    build.add_argument("--force", action="store_true", help="rebuild all of them")
    build.add_argument("--local", action="store_true", help="build them here, even if image_url is set")
    ls = actions.add_parser("ls", help="list images, layers and runtimes")
    ls.add_argument("--json", action="store_true", help="print JSON, as documented in docs/commands.md")
    show = actions.add_parser("show", help="show an image as JSON")
    show.add_argument("digest", nargs="?", metavar="DIGEST", help="or a prefix of it (default: the configured image)")
    verify = actions.add_parser("verify", help="compare all files with those that were built")
    verify.add_argument("digest", nargs="?", metavar="DIGEST", help="default: all images and runtimes")
    export = actions.add_parser("export", help="write the image to archives, which image_url can refer to")
    export.add_argument("directory", metavar="DIRECTORY", help="where to write the archives and their index")
    export.add_argument("--runtime", action="store_true", help="include the runtime, whose QEMU runs guests")
    rm = actions.add_parser("rm", help="remove images, layers or runtimes")
    rm.add_argument("digest", nargs="+", metavar="DIGEST", help="or a prefix of it")


def run(args: argparse.Namespace) -> int:
    """Perform the action and return the exit status. Raises ImageError if it fails."""
    actions = {"build": _build, "ls": _ls, "show": _show, "verify": _verify, "export": _export, "rm": _rm}
    return actions[args.action](args)


def configured(file: str | None = None) -> Settings:
    """Return the settings, in which ``file`` replaces the image."""
    from ccvm_tui import config

    return config.resolve(Path.cwd(), os.environ, {"image": str(Path(file).absolute()) if file else None}).settings


def _build(args: argparse.Namespace) -> int:
    settings = configured(args.recipe)
    agent = args.agent if args.agent is not None else settings.agent
    image = build_image(settings, agent, force=args.force, update=args.update, local=args.local)
    print(image.directory)
    return 0


def build_image(
    settings: Settings, agent: str, *, force: bool = False, update: bool = False, local: bool = False
) -> Image:
    """Build or download what is missing, show the progress on standard error, and return the image.

    ``local`` prevents downloads. Raises ConfigError if there is nothing to ``update``, otherwise like ``image.build``.
    """
    from ccvm_tui.boot import images
    from ccvm_tui.errors import ConfigError
    from ccvm_tui.image import Store, build

    runtime = images.uses_runtime(settings)
    if update and not runtime:
        raise ConfigError(
            "there is no runtime to update: guests run on the host's QEMU", 'set CCVM_RUNTIME=own, or runtime = "own"'
        )
    origin = None if local else images.origin_of(settings)
    line = _ProgressLine()
    try:
        return build(
            Store(), images.recipe_of(settings), [agent], line.show, threading.Event(),
            base=images.prebuilt(settings), force=force, runtime=runtime, update=update, origin=origin,
        )  # fmt: skip
    finally:
        line.clear()


def _export(args: argparse.Namespace) -> int:
    from ccvm_tui.boot import images
    from ccvm_tui.errors import ImageError
    from ccvm_tui.image import Store
    from ccvm_tui.image.export import export

    image = _chosen(None)
    runtime = Store().runtime(images.recipe_of(configured())) if args.runtime else None
    if args.runtime and runtime is None:
        raise ImageError("there is no runtime yet", "`CCVM_RUNTIME=own ccvm-tui image build` unpacks it")
    print(export(image, runtime, Path(args.directory)))
    return 0


class _ProgressLine:
    """Progress on one line of a terminal, or elsewhere one line for each phase."""

    def __init__(self) -> None:
        self._live = output.can_redraw(sys.stderr)
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
        found = {
            "images": [_image_json(image) for image in images],
            "layers": [_layer_json(layer) for layer in layers],
            "runtimes": [_runtime_json(runtime) for runtime in runtimes],
        }
        print(json.dumps(found, indent=2))
        return 0
    if not images and not runtimes:
        print("no image has been built yet; `ccvm-tui image build` builds one", file=sys.stderr)
        return 0
    rows = [["DIGEST", "CONTENT", "CREATED", "SIZE"]]
    for image in images:
        manifest = image.manifest
        content = f"{manifest.recipe} ({manifest.suite})"
        rows.append([image.digest[:12], content, manifest.created[:19], size_text(image.size)])
    for layer in layers:
        content = f"agent {layer.name} {layer.version}"
        rows.append([layer.digest[:12], content, layer.manifest.created[:19], size_text(layer.size)])
    for runtime in runtimes:
        content = f"runtime QEMU {runtime.version}"
        rows.append([runtime.digest[:12], content, runtime.manifest.created[:19], size_text(runtime.size)])
    print(table(rows))
    return 0


def _show(args: argparse.Namespace) -> int:
    image = _chosen(args.digest)
    print(json.dumps(_image_json(image), indent=2))
    return 0


def _verify(args: argparse.Namespace) -> int:
    from ccvm_tui.image import Store, verify

    store = Store()
    runtimes = [item for item in store.runtimes() if not args.digest or item.digest.startswith(args.digest)]
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
            print(f"{digest[:12]} is unchanged since it was built")
    return status


def _rm(args: argparse.Namespace) -> int:
    from ccvm_tui.image import Store

    for digest in args.digest:
        Store().remove(digest)
    return 0


def _chosen(digest: str | None) -> Image:
    """Return the image with that digest, or the configured one. Raises ImageError unless there is exactly one."""
    from ccvm_tui.boot import images
    from ccvm_tui.errors import ImageError
    from ccvm_tui.image import Store

    if digest is None:
        image = images.find(Store(), configured())
        if image is None:
            raise ImageError("the image has not been built yet", "`ccvm-tui image build` builds it")
        return image
    found = [image for image in Store().list() if image.digest.startswith(digest)]
    if len(found) != 1:
        what = "no image" if not found else f"more than one image ({len(found)})"
        raise ImageError(f"{what} has a digest that begins with {digest!r}", "`ccvm-tui image ls` lists them")
    return found[0]


def _image_json(image: Image) -> dict[str, object]:
    manifest = image.manifest
    return {
        "digest": image.digest,
        "directory": str(image.directory),
        "recipe": manifest.recipe,
        "suite": manifest.suite,
        "created": manifest.created,
        "kernel_release": manifest.kernel_release,
        "cmdline": image.cmdline,
        "size": image.size,
        "files": {name: {"size": file.size, "sha256": file.sha256} for name, file in manifest.files.items()},
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
