"""The index of a published image: a signed JSON document with the digests of the archives next to it.

``ccvm-tui image export`` writes it. It is signed with Ed25519 (RFC 8032); the signature, 64 bytes, is in a file of the
same name with the suffix ``.sig``. The archives need no signatures, because the index contains their SHA-256.
"""

from __future__ import annotations

from typing import Annotated

import msgspec

from ccvm_tui import __version__
from ccvm_tui.errors import ImageError

FORMAT = 1
"""The version of the format."""

SUFFIX = ".index.json"
"""The end of the name of an index."""

SIGNATURE = ".sig"
"""The suffix of the signature's file."""

SIZE_MAX = 1 << 20
"""The maximum size of an index in bytes."""

_Name = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._+-]{0,199}$")]
_Sha256 = Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")]


class Archive(msgspec.Struct, frozen=True):
    """A tar archive, compressed with gzip, of the files of an image or a runtime and their manifest.

    ``file`` is its name in the directory of the index, ``size`` is in bytes, ``digest`` is that of the manifest.
    """

    file: _Name
    size: Annotated[int, msgspec.Meta(gt=0, lt=1 << 40)]
    sha256: _Sha256
    digest: _Sha256


class Index(msgspec.Struct, frozen=True, omit_defaults=True):
    """The index of an image for one architecture. ``version`` is that of the program that exported it."""

    format: int
    version: str
    machine: str
    image: Archive
    runtime: Archive | None = None


class _Any(msgspec.Struct):
    format: int


def encode(index: Index) -> bytes:
    """Return the document."""
    return msgspec.json.format(msgspec.json.encode(index), indent=1) + b"\n"


def decode(document: bytes, signature: bytes, key: bytes, url: str) -> Index:
    """Return the index in ``document`` after a check of its signature.

    Raises ImageError, which names ``url``, if the signature is not that of ``key``, or if the document is not an index
    of a known format.
    """
    _authenticate(document, signature, key, url)
    try:
        found = msgspec.json.decode(document, type=_Any).format
        if found != FORMAT:
            raise ImageError(
                f"{url} has the format {found}, and ccvm-tui {__version__} reads the format {FORMAT}",
                "update ccvm-tui, or use an image of the same version",
            )
        return msgspec.json.decode(document, type=Index)
    except msgspec.DecodeError as error:
        raise ImageError(f"{url} is not the index of an image: {error}") from error


def _authenticate(document: bytes, signature: bytes, key: bytes, url: str) -> None:
    # It takes a tenth of a second to import, which only downloads shall pay.
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    try:
        Ed25519PublicKey.from_public_bytes(key).verify(signature, document)
    except InvalidSignature as error:
        raise ImageError(
            f"{url} is not signed with the key in image_key: it may have been tampered with",
            "compare image_key with the key that the image's publisher announces",
        ) from error
