"""Digests that identify images by their content and by the code that builds them."""

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
"""Modules of this package that affect the content of an image. Their source is part of the digest, like the guest's
files, so that every change of a constant or step gives a new digest."""

BUILD_SCRIPTS = Path(__file__).with_name("guest") / "build"
"""The directory of the scripts that run during the bootstrap."""

Part = tuple[str, int, bytes]
"""Name, file mode and data."""


def image_digest(recipe: Recipe) -> str:
    """Return the hex digest of the base image of ``recipe``. The recipe's name and its agents have no influence."""
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
    """Return the source of ``modules``, which are in ``folder`` or in this package."""
    folder = Path(__file__).parent if folder is None else folder
    return [(f"builder {name}", 0, (folder / f"{name}.py").read_bytes()) for name in modules]


def digest_of(content: object, parts: Iterable[Part]) -> str:
    """Return the hex digest of ``content``, which must be serializable as JSON, and of ``parts``."""
    digest = hashlib.sha256(json.dumps(content, sort_keys=True).encode())
    for path, mode, data in parts:
        digest.update(b"\0%s\0%o\0%d\0" % (path.encode(), mode, len(data)))
        digest.update(data)
    return digest.hexdigest()
