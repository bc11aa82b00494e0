"""The files of the guest that this package contains, and their paths in a guest."""

from __future__ import annotations

import io
import stat
import tarfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from ccvm_tui.image.recipe import ExtraFile

GUEST = Path(__file__).with_name("guest")
"""The directory of the guest's files."""

INITRD_INIT = GUEST / "initrd" / "init"
"""The initrd's ``/init``."""

_EXECUTABLE = 0o755
_PLAIN = 0o644


@dataclass(frozen=True)
class GuestFile:
    """A file at ``path`` in the guest."""

    path: str
    data: bytes
    mode: int


def guest_files() -> list[GuestFile]:
    """Return all files of ``guest/root``, and the agent's modules under ``/usr/lib/ccvm``, sorted by path."""
    root = GUEST / "root"
    files = [GuestFile("/" + str(path.relative_to(root)), *_read(path)) for path in _below(root)]
    agent = GUEST / "agent"
    files += [
        GuestFile(str(PurePosixPath("/usr/lib/ccvm/agent", path.relative_to(agent))), *_read(path))
        for path in _below(agent)
    ]
    return sorted(files, key=lambda file: file.path)


def _below(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.rglob("*")):
        if path.is_file() and "__pycache__" not in path.parts:
            yield path


def _read(path: Path) -> tuple[bytes, int]:
    # Package installers do not reliably preserve the executable bit, so the mode depends on the content.
    data = path.read_bytes()
    return data, _EXECUTABLE if data.startswith(b"#!") else _PLAIN


def as_tar(files: Iterable[GuestFile | ExtraFile]) -> bytes:
    """Return a tar archive of ``files`` and their parent directories, owned by root."""
    buffer = io.BytesIO()
    made: set[PurePosixPath] = {PurePosixPath(".")}
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for file in files:
            name = PurePosixPath(file.path.lstrip("/"))
            for parent in reversed(name.parents):
                if parent not in made:
                    made.add(parent)
                    archive.addfile(_member(parent, tarfile.DIRTYPE, stat.S_IFDIR | 0o755))
            member = _member(name, tarfile.REGTYPE, file.mode)
            member.size = len(file.data)
            archive.addfile(member, io.BytesIO(file.data))
    return buffer.getvalue()


def _member(name: PurePosixPath, kind: bytes, mode: int) -> tarfile.TarInfo:
    member = tarfile.TarInfo(str(name))
    member.type = kind
    member.mode = stat.S_IMODE(mode)
    member.uname = member.gname = "root"
    return member
