"""``ccvm-tui gc``: remove the leftovers of dead guests, of interrupted builds and of old images."""

from __future__ import annotations

import argparse
import fcntl
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

KEPT_DAYS = 30
"""Days for which crash reports, records of ended guests and items of guards are kept."""


@dataclass(frozen=True, slots=True)
class Leftover:
    """Files that are no longer used. ``size`` is in bytes; ``remove`` deletes them."""

    what: str
    path: Path
    size: int
    remove: Callable[[], object]


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument("--dry-run", action="store_true", help="print what would be removed, but remove nothing")
    parser.add_argument("--images", action="store_true", help="also remove the images and runtimes of other recipes")


def run(args: argparse.Namespace) -> int:
    """Remove the leftovers and print them."""
    from ccvm_tui.text import size_text

    leftovers = [*dead_guests(), *_old_records(time.time()), *_scratch_files(), *_images(all_others=args.images)]
    verb = "would remove" if args.dry_run else "removed"
    for leftover in leftovers:
        if not args.dry_run:
            leftover.remove()
        print(f"{verb} {leftover.what}: {leftover.path} ({size_text(leftover.size)})")
    total = size_text(sum(leftover.size for leftover in leftovers))
    print(f"{verb} {total} in total" if leftovers else "nothing to remove")
    return 0


def dead_guests() -> list[Leftover]:
    """Return the runtime directories whose keeper is dead."""
    from ccvm_tui import claim
    from ccvm_tui.paths import runtime_dir

    return [
        Leftover("a dead guest", directory, _size(directory), partial(claim.remove_if_dead, directory))
        for directory in sorted(runtime_dir().iterdir())
        if directory.is_dir() and not claim.alive(directory / "lock")
    ]


def _old_records(now: float) -> list[Leftover]:
    """Return the crash reports, the records of ended guests, and what their guards have kept, that are too old."""
    from ccvm_tui import crash
    from ccvm_tui.paths import state_dir

    found = []
    kept = (
        (crash.directory(), "*", "an old crash report"),
        (state_dir() / "last", "*", "an old record"),
        (state_dir() / "guard", "*/*", "an old item of a guard"),
    )
    for directory, pattern, what in kept:
        for file in sorted(directory.glob(pattern)):
            info = file.lstat()
            if now - info.st_mtime > KEPT_DAYS * 86400:
                found.append(Leftover(what, file, info.st_size, file.unlink))
    return found


def _scratch_files() -> list[Leftover]:
    """Return files of scratch disks that have a name, because their keeper died before it could remove the name."""
    from ccvm_tui.paths import scratch_dir

    return [
        Leftover("a scratch disk", file, file.lstat().st_blocks * 512, file.unlink)
        for file in sorted(scratch_dir().glob("disk-*"))
    ]


def _images(*, all_others: bool) -> list[Leftover]:
    """Return replaced layers and runtimes, leftovers of builds, and with ``all_others`` those of other recipes."""
    from ccvm_tui import config
    from ccvm_tui.boot import images
    from ccvm_tui.image import Store
    from ccvm_tui.image.images import current_layers

    store = Store()
    current = {layer.directory for layer in current_layers(store.root)}
    found = [
        Leftover(
            f"layer {layer.name} {layer.version}", layer.directory, layer.size, partial(store.remove, layer.digest)
        )
        for layer in store.layers()
        if layer.directory not in current
    ]
    if not _building(store.root / ".lock"):
        if stale := sum(_size(path) for path in store.root.glob(".building-*")):
            found.append(Leftover("the leftovers of interrupted builds", store.root, stale, store.clean_stale))
        found += [
            Leftover("an interrupted download", path, path.stat().st_size, path.unlink) for path in store.partials()
        ]
    settings = [config.resolve(None, os.environ).settings] if all_others else []
    recipes = [images.recipe_of(configured) for configured in settings]
    found += [
        Leftover(f"runtime {runtime.version}", runtime.directory, runtime.size, partial(store.remove, runtime.digest))
        for runtime in store.outdated_runtimes(*recipes)
    ]
    for configured in settings:
        wanted = images.directory_of(store, configured)
        for image in store.list():
            if image.directory != wanted:
                what = f"image {image.digest[:12]} of {image.manifest.recipe}"
                found.append(Leftover(what, image.directory, image.size, partial(store.remove, image.digest)))
    return found


def _building(lock: Path) -> bool:
    """Return whether a running build holds the store's lock. What looks like a leftover then belongs to it."""
    try:
        with lock.open() as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except FileNotFoundError:
        pass
    return False


def _size(directory: Path) -> int:
    return sum(file.lstat().st_size for file in directory.rglob("*") if file.is_file())
