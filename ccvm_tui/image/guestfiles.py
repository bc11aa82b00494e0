"""The guest-side files that come with this package, and where in a guest they go."""

from __future__ import annotations

import io
import stat
import tarfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from ccvm_tui.image.recipe import ExtraFile

GUEST = Path(__file__).with_name("guest")
INITRD_INIT = GUEST / "initrd" / "init"

_EXECUTABLE = 0o755
_PLAIN = 0o644


@dataclass(frozen=True)
class GuestFile:
    path: str
    data: bytes
    mode: int


def guest_files() -> list[GuestFile]:
    """Everything under ``guest/root`` at its own path, and the agent's modules below /usr/lib/ccvm."""
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
    # Package installers keep or drop the executable bit as they please, so the content decides.
    data = path.read_bytes()
    return data, _EXECUTABLE if data.startswith(b"#!") else _PLAIN


def as_tar(files: Iterable[GuestFile | ExtraFile]) -> bytes:
    """A tar archive of ``files``, owned by root, with the directories they need."""
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
