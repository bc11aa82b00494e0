"""Extraction of the ELF image from a distribution's vmlinuz.

QEMU boots the ELF image through its PVH entry point. This avoids the kernel's self-extraction, which under TCG takes
longer than the rest of the boot. As in the kernel's scripts/extract-vmlinux, the image is located by the magic numbers
of the compressors that the kernel build supports.
"""

from __future__ import annotations

import lzma
import shutil
import subprocess
import zlib
from collections.abc import Callable, Iterator

from ccvm_tui.errors import ImageError, PrerequisiteError

ELF_MAGIC = b"\x7fELF"
"""The first bytes of an ELF file."""


def extract_vmlinux(vmlinuz: bytes) -> bytes:
    """Return the uncompressed ELF kernel in ``vmlinuz``, or ``vmlinuz`` if it is one.

    Raises ImageError if there is none, PrerequisiteError if the program that decompresses it is missing.
    """
    if vmlinuz.startswith(ELF_MAGIC):
        return vmlinuz
    for magic, unpack in _FORMATS:
        for offset in _offsets(vmlinuz, magic):
            image = unpack(vmlinuz[offset:])
            if image.startswith(ELF_MAGIC):
                return image
    raise ImageError("the vmlinuz of the kernel package contains no kernel in a known compression format")


def _offsets(data: bytes, magic: bytes) -> Iterator[int]:
    offset = data.find(magic)
    while offset >= 0:
        yield offset
        offset = data.find(magic, offset + 1)


def _gzip(data: bytes) -> bytes:
    try:
        return zlib.decompressobj(wbits=31).decompress(data)
    except zlib.error:
        return b""


def _xz(data: bytes) -> bytes:
    try:
        return lzma.LZMADecompressor(format=lzma.FORMAT_XZ).decompress(data)
    except lzma.LZMAError:
        return b""


def _program(name: str) -> Callable[[bytes], bytes]:
    def unpack(data: bytes) -> bytes:
        if shutil.which(name) is None:
            raise PrerequisiteError(
                f"this kernel is compressed with {name}, which is not installed", f"sudo apt install {name}"
            )
        # The status is ignored: the program always fails on the data that follows the payload in vmlinuz.
        return subprocess.run([name, "-dcq"], input=data, capture_output=True, check=False).stdout

    return unpack


_FORMATS: tuple[tuple[bytes, Callable[[bytes], bytes]], ...] = (
    (b"\xfd7zXZ\x00", _xz),
    (b"\x28\xb5\x2f\xfd", _program("zstd")),
    (b"\x1f\x8b\x08", _gzip),
    (b"\x02\x21\x4c\x18", _program("lz4")),
)
