"""The rules by which an edit is not applied to the host."""

from __future__ import annotations

import posixpath
import stat
from collections.abc import Callable

from ccvm_tui.review.model import Change, Kind, Standing, Version

Guard = Callable[[str, Version], str]
"""Return why a file with this path may not be written to the host, or an empty string."""


def git_metadata(path: str, _: Version) -> str:
    """Return why ``path`` is refused if it belongs to Git's metadata, which makes Git on the host run programs."""
    return "it belongs to Git's metadata, from which Git runs programs" if is_git_metadata(path) else ""


def is_git_metadata(path: str) -> bool:
    """Return whether ``path`` is a ``.git`` or in one, also on file systems that ignore case."""
    return any(part.lower().rstrip(" .") == ".git" for part in path.split("/"))


def refusal(change: Change, project: str, guard: Guard = git_metadata) -> str:
    """Return why a change cannot be applied, as the end of a sentence about the file, or an empty string."""
    guest = change.guest
    if change.trouble:
        return change.trouble
    if Kind.OTHER in (guest.kind, change.host.kind):
        return "it is a device, a FIFO or a socket"
    if guest.mode & (stat.S_ISUID | stat.S_ISGID) and guest.kind is Kind.FILE:
        return "it would run with the rights of its owner (set-user-ID)"
    if change.standing is Standing.CONFLICT:
        return f"both sides have changed it: {change.three_way}"
    if guest.kind is Kind.SYMLINK and (target := _outside(change.place, guest, project)):
        return f"it is a symbolic link that leads out of the project, to {target}"
    kinds = {change.host.kind, guest.kind}
    if Kind.DIRECTORY in kinds and not change.origin and kinds - {Kind.DIRECTORY, Kind.ABSENT}:
        return f"it is a {change.host.kind} on the host; delete that first"
    return guard(change.place, guest) or (guard(change.origin, guest) if change.origin else "")


def _outside(place: str, link: Version, project: str) -> str:
    """Return the target of a symbolic link if it leads out of the project, else an empty string."""
    target = (link.data or b"").decode("utf-8", "surrogateescape")
    path = posixpath.normpath(posixpath.join(project, posixpath.dirname(place), target))
    return "" if path == project or path.startswith(project.rstrip("/") + "/") else target
