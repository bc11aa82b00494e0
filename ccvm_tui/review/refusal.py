"""The rules by which an edit is not applied to the host."""

from __future__ import annotations

import os
import posixpath
import stat

from ccvm_tui.guard import places
from ccvm_tui.guard.checks import Subject, problems
from ccvm_tui.review.model import Change, Kind, Review, Standing, Version


def is_git_metadata(path: str) -> bool:
    """Return whether ``path`` is a ``.git`` or in one, also on file systems that ignore case."""
    return any(part.lower().rstrip(" .") == ".git" for part in path.split("/"))


def refusal(change: Change, review: Review) -> str:
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
    if guest.kind is Kind.SYMLINK and (target := _outside(change.place, guest, review.project)):
        return f"it is a symbolic link that leads out of the project, to {target}"
    kinds = {change.host.kind, guest.kind}
    if Kind.DIRECTORY in kinds and not change.origin and kinds - {Kind.DIRECTORY, Kind.ABSENT}:
        return f"it is a {change.host.kind} on the host; delete that first"
    return _guarded(change, review)


def _guarded(change: Change, review: Review) -> str:
    """Return why the guard of a writable project would not let a change happen, or an empty string.

    Files of other programs than Git are not refused, as they are not in a writable project.
    """
    if is_git_metadata(change.place) or is_git_metadata(change.origin):
        return "it belongs to Git's metadata, from which Git runs programs"
    if change.guest.kind is Kind.ABSENT:
        return ""
    parts = change.place.split("/")
    above = ["/".join(parts[:depth]) for depth in range(len(parts))]
    for directory, name in zip(above, parts, strict=True):
        if directory in review.becoming_repositories and name.lower().encode() in places.PARTS:
            return f"it would make {directory or 'the project'} a repository of Git"
    path = tuple(os.fsencode(change.place).split(b"/"))

    def is_git_directory(depth: int) -> bool:
        return above[depth] in review.repositories

    match change.guest.kind:
        case Kind.FILE:
            matches = [match for match in places.matches(path, is_git_directory) if match.rule.blocking]
            return next((reason for match in matches if (reason := _harm(change, path, match, review.project))), "")
        case Kind.SYMLINK:
            links = [match for match in places.link_matches(path, is_git_directory) if match.rule.blocking]
            return links[0].rule.reason if links else ""
    inner = places.below(path, lambda depth: depth < len(above) and is_git_directory(depth)) if change.origin else []
    return inner[0][0].rule.reason if inner else ""


def _harm(change: Change, path: places.Path, match: places.Match, project: str) -> str:
    """Return why a file in a Git directory is a problem, unless the host's file is the same problem."""
    found = _problems(change.guest, path, match, project)
    known = () if change.origin else _problems(change.host, path, match, project)
    new = [problem for problem in found if problem not in known]
    return f"{match.rule.reason} ({new[0]})" if new else ""


def _problems(version: Version, path: places.Path, match: places.Match, project: str) -> tuple[str, ...]:
    if version.kind is not Kind.FILE:
        return ()
    if version.data is None:
        return ("its content cannot be checked",)
    executable = bool(version.mode & 0o111)
    return problems(Subject(path, match, version.data, executable, os.fsencode(project)))


def _outside(place: str, link: Version, project: str) -> str:
    """Return the target of a symbolic link if it leads out of the project, else an empty string."""
    target = (link.data or b"").decode("utf-8", "surrogateescape")
    path = posixpath.normpath(posixpath.join(project, posixpath.dirname(place), target))
    return "" if path == project or path.startswith(project.rstrip("/") + "/") else target
