"""Safe extraction of regular files from untrusted archives."""

from __future__ import annotations

import shutil
import tarfile
from pathlib import Path, PurePosixPath

from ccvm_tui.errors import ImageError


def unpack(archive: Path, into: Path) -> None:
    """Extract the regular files of a tar ``archive`` with their executable bits. Links and devices are skipped.

    The filters of ``tarfile`` are not used: Python has them only since 3.11.4. Raises ImageError if the archive is
    damaged or has a member outside ``into``.
    """
    try:
        with tarfile.open(archive) as members:
            for member in members:
                if member.isreg():
                    _file(members, member, into)
    except tarfile.TarError as error:
        raise ImageError(f"{archive.name} is damaged: {error}") from error


def _file(members: tarfile.TarFile, member: tarfile.TarInfo, into: Path) -> None:
    name = PurePosixPath(member.name)
    if name.is_absolute() or ".." in name.parts:
        raise ImageError(f"{members.name!r} has a member outside its own directory: {member.name}")
    target = into / name
    target.parent.mkdir(parents=True, exist_ok=True)
    content = members.extractfile(member)
    assert content is not None
    with content, target.open("wb") as file:
        shutil.copyfileobj(content, file, 1 << 20)
    target.chmod(0o755 if member.mode & 0o100 else 0o644)
