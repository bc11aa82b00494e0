"""Export of an image and a runtime as archives with an index, from which ``download`` reads them."""

from __future__ import annotations

import gzip
import os
import platform
import tarfile
import tempfile
from collections.abc import Iterable
from pathlib import Path

from ccvm_tui import __version__
from ccvm_tui.errors import ImageError
from ccvm_tui.image.images import Image
from ccvm_tui.image.index import FORMAT, SUFFIX, Archive, Index, encode
from ccvm_tui.image.manifest import FILENAME, sha256_of
from ccvm_tui.image.runtime import Runtime

_COMPRESSION = 6


def export(image: Image, runtime: Runtime | None, into: Path) -> Path:
    """Write the archives of ``image``, without agent, and of ``runtime`` to the directory ``into``, then the index.

    Return the path of the index. Files of the same names are replaced. Raises ImageError if the image or the runtime is
    damaged, or if a file cannot be written.
    """
    image.quick_check()
    if runtime is not None:
        runtime.quick_check()
    name = f"ccvm-tui-{__version__}-{platform.machine()}"
    try:
        into.mkdir(parents=True, exist_ok=True)
        packed = _archive(image.directory, image.manifest.files, image.digest, into / f"{name}.image.tar.gz")
        qemu = None
        if runtime is not None:
            target = into / f"{name}.runtime.tar.gz"
            qemu = _archive(runtime.directory, runtime.manifest.files, runtime.digest, target)
        path = into / f"{name}{SUFFIX}"
        path.write_bytes(encode(Index(FORMAT, __version__, platform.machine(), packed, qemu)))
    except OSError as error:
        raise ImageError(f"{error.filename or into} cannot be written: {error.strerror}") from error
    return path


def _archive(folder: Path, files: Iterable[str], digest: str, target: Path) -> Archive:
    fd, name = tempfile.mkstemp(prefix=".export-", dir=target.parent)
    unfinished = Path(name)
    try:
        with open(fd, "wb") as file:
            with (
                # without a name and a time in the header, the same files give the same archive
                gzip.GzipFile("", "wb", _COMPRESSION, file, mtime=0) as stream,
                # each link of a file becomes a copy, because only regular files are unpacked
                tarfile.open(fileobj=stream, mode="w", format=tarfile.PAX_FORMAT, dereference=True) as archive,
            ):
                for member in [FILENAME, *sorted(files)]:
                    archive.add(folder / member, member, recursive=False, filter=_anonymous)
            file.flush()
            os.fsync(file.fileno())
        unfinished.chmod(0o644)
        unfinished.rename(target)
    finally:
        unfinished.unlink(missing_ok=True)
    return Archive(target.name, target.stat().st_size, sha256_of(target), digest)


def _anonymous(member: tarfile.TarInfo) -> tarfile.TarInfo:
    member.uid = member.gid = 0
    member.uname = member.gname = ""
    return member
