"""What identifies an image: everything that goes into it, and how it is put together."""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path

from ccvm_tui.image.guestfiles import INITRD_INIT, guest_files
from ccvm_tui.image.recipe import Recipe

BUILDER = ("bootstrap", "cmdline", "cpio", "guestfiles", "initrd", "kernel", "modules", "unpack")
"""Modules of this package that decide what an image holds. Their source counts as it is, like the guest's files: no
constant or step of theirs can change without a new digest."""

BUILD_SCRIPTS = Path(__file__).with_name("guest") / "build"

Part = tuple[str, int, bytes]


def image_digest(recipe: Recipe) -> str:
    """Hex digest of the base image that ``recipe`` describes. The recipe's name and its agents do not count."""
    content = asdict(recipe)
    del content["name"], content["layers"], content["files"]
    content["packages"] = sorted(content["packages"])
    content["modules"] = sorted(content["modules"])
    content["machine"] = platform.machine()
    return digest_of(
        content,
        [
            *((file.path, file.mode, file.data) for file in guest_files()),
            *((file.path, file.mode, file.data) for file in recipe.files),
            ("initrd", 0, INITRD_INIT.read_bytes()),
            *((path.name, 0, path.read_bytes()) for path in sorted(BUILD_SCRIPTS.iterdir()) if path.is_file()),
            *builder_parts(BUILDER),
        ],
    )


def builder_parts(modules: Iterable[str], folder: Path | None = None) -> list[Part]:
    """The source of ``modules``, in ``folder`` or of this package."""
    folder = Path(__file__).parent if folder is None else folder
    return [(f"builder {name}", 0, (folder / f"{name}.py").read_bytes()) for name in modules]


def digest_of(content: object, parts: Iterable[Part]) -> str:
    """Hex digest of ``content``, which JSON can hold, and of named ``parts``: name, file mode and data."""
    digest = hashlib.sha256(json.dumps(content, sort_keys=True).encode())
    for path, mode, data in parts:
        digest.update(b"\0%s\0%o\0%d\0" % (path.encode(), mode, len(data)))
        digest.update(data)
    return digest.hexdigest()
