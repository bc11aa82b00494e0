"""Images in the clipboard of the user's desktop, for programs in guests. Text is never read."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Mapping

from ccvm_tui.bridging import ClipboardImage, ClipboardWanted
from ccvm_tui.client.connection import Stream

IMAGE_MAX = 32 << 20
"""Maximum length of an image in bytes."""

READ_TIMEOUT = 3.0
"""Seconds within which the desktop must provide the clipboard."""

SIGNATURES: dict[str, tuple[bytes, ...]] = {
    "image/png": (b"\x89PNG\r\n\x1a\n",),
    "image/jpeg": (b"\xff\xd8\xff",),
    "image/gif": (b"GIF87a", b"GIF89a"),
    "image/webp": (b"RIFF",),
    "image/bmp": (b"BM",),
    "image/tiff": (b"II*\0", b"MM\0*"),
}
"""The types of images that are available, and how their data begins. Other data with such a type is not an image."""


async def types(environ: Mapping[str, str] = os.environ) -> tuple[str, ...]:
    """Return the types in which the clipboard has an image, none if it has no image or there is no desktop."""
    if environ.get("WAYLAND_DISPLAY") and (tool := shutil.which("wl-paste")):
        argv = [tool, "--list-types"]
    elif environ.get("DISPLAY") and (tool := shutil.which("xclip")):
        argv = [tool, "-selection", "clipboard", "-t", "TARGETS", "-o"]
    else:
        return ()
    listed = (await _output(argv, 1 << 16)).decode("ascii", "replace").split()
    return tuple(kind for kind in SIGNATURES if kind in listed)


async def read(kind: str, environ: Mapping[str, str] = os.environ) -> bytes:
    """Return the image in the clipboard with the type ``kind``, or nothing if there is none."""
    if kind not in await types(environ):
        return b""
    if environ.get("WAYLAND_DISPLAY") and (tool := shutil.which("wl-paste")):
        argv = [tool, "--no-newline", "--type", kind]
    else:
        argv = [shutil.which("xclip") or "xclip", "-selection", "clipboard", "-t", kind, "-o"]
    data = await _output(argv, IMAGE_MAX)
    return data if is_image(kind, data) else b""


async def send(stream: Stream, wanted: ClipboardWanted) -> None:
    """Answer a request of the keeper for an image, or for the types of the image."""
    if wanted.kind:
        stream.send(ClipboardImage(wanted.id, data=await read(wanted.kind)))
    else:
        stream.send(ClipboardImage(wanted.id, types=await types()))


def is_image(kind: str, data: bytes) -> bool:
    """Return whether ``data`` begins like an image of the type ``kind``."""
    if kind == "image/webp" and data[8:12] != b"WEBP":
        return False
    return data.startswith(SIGNATURES.get(kind, ()))


async def _output(argv: list[str], limit: int) -> bytes:
    """Return what a tool prints, or nothing if it fails, prints more than ``limit`` bytes, or takes too long."""
    null = asyncio.subprocess.DEVNULL
    try:
        process = await asyncio.create_subprocess_exec(
            *argv, stdin=null, stdout=asyncio.subprocess.PIPE, stderr=null, start_new_session=True, limit=1 << 20
        )
    except OSError:
        return b""
    assert process.stdout is not None
    received = bytearray()
    try:
        async with asyncio.timeout(READ_TIMEOUT):
            while len(received) <= limit and (data := await process.stdout.read(1 << 18)):
                received += data
            complete = len(received) <= limit and await process.wait() == 0
    except TimeoutError:
        complete = False
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return bytes(received) if complete else b""
