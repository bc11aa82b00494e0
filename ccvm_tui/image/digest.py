"""What identifies an image: everything that goes into it, and how it is put together."""

from __future__ import annotations

import hashlib
import json
import platform
from dataclasses import asdict

from ccvm_tui.image.guestfiles import INITRD_INIT, guest_files
from ccvm_tui.image.recipe import Recipe

BUILDER_FORMAT = 3
"""Raised whenever the builder makes something else out of the same recipe and guest files."""


def image_digest(recipe: Recipe) -> str:
    """Hex digest of the base image that ``recipe`` describes. The recipe's name and its agents do not count."""
    content = asdict(recipe)
    del content["name"], content["layers"], content["files"]
    content["packages"] = sorted(content["packages"])
    content["modules"] = sorted(content["modules"])
    content["format"] = BUILDER_FORMAT
    content["machine"] = platform.machine()
    digest = hashlib.sha256(json.dumps(content, sort_keys=True).encode())
    for path, mode, data in [
        *((file.path, file.mode, file.data) for file in guest_files()),
        *((file.path, file.mode, file.data) for file in recipe.files),
        ("initrd", 0, INITRD_INIT.read_bytes()),
    ]:
        digest.update(b"\0%s\0%o\0%d\0" % (path.encode(), mode, len(data)))
        digest.update(data)
    return digest.hexdigest()
