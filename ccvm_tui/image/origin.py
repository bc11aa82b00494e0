"""The place from which an image is downloaded instead of being built."""

from __future__ import annotations

import base64
import binascii
import platform
from dataclasses import dataclass

from ccvm_tui import __version__
from ccvm_tui.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Origin:
    """The URL of an index (see ``index``), and the public Ed25519 key, 32 bytes, of its signature."""

    url: str
    key: bytes


def origin(url: str, key: str) -> Origin:
    """Return the origin for the values of the settings ``image_url`` and ``image_key``.

    In ``url``, ``{version}`` is replaced by the version of this program, and ``{machine}`` by the architecture that
    ``uname`` reports. ``key`` is in base64. Raises ConfigError if the key is missing or is not a key.
    """
    if not key:
        raise ConfigError(
            "image_url is set, but image_key is not",
            "set image_key to the public key of the image's publisher: without it, the image cannot be authenticated",
        )
    try:
        raw = base64.b64decode(key, validate=True)
    except binascii.Error:
        raw = b""
    if len(raw) != 32:
        raise ConfigError("image_key is not a public Ed25519 key: 32 bytes in base64, which are 44 characters")
    return Origin(url.replace("{version}", __version__).replace("{machine}", platform.machine()), raw)
