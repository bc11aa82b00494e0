"""The examination of a project before an attempt is started: where it begins, and which files it receives."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

from ccvm_tui.attempt import host, names
from ccvm_tui.attempt.spec import AttemptSpec
from ccvm_tui.errors import UserError
from ccvm_tui.project.git import PrivateRepository

INCLUDE_FILE: Final = ".worktreeinclude"
"""The file in a project with the patterns of untracked files that attempts receive, in the syntax of .gitignore."""

COPIED_MAX: Final = 5_000
"""Maximum number of files that are copied into an attempt."""

_INCLUDE_MAX: Final = 1 << 16
_POINTER_MAX: Final = 4096


@dataclass(frozen=True, slots=True)
class Plan:
    """An attempt that can be started, and notes for the user about it."""

    attempt: AttemptSpec
    notes: tuple[str, ...] = ()


def plan(project: str, wanted: AttemptSpec, patterns: Sequence[str]) -> Plan:
    """Examine a project. ``patterns`` select untracked files to copy, besides those in the project's ``INCLUDE_FILE``.

    Raises UserError if no attempt can be started in this project.
    """
    names.check(wanted.name)
    _require_repository(project, wanted.name)
    with host.opened(project) as repository:
        head = host.commit_of(repository, "HEAD")
        if not head:
            raise UserError(
                f"{project} has no commit yet, so an attempt has nothing to start from",
                "`git commit --allow-empty -m Start` makes one, or run without --attempt",
            )
        start, note = _start(repository, wanted.name, head)
        changed = _uncommitted(repository, head)
        wanted_files = _untracked(repository, patterns)
        notes = [note] if note else []
        left = [path for path in changed if path not in set(wanted_files)]
        if left and not wanted.with_changes:
            notes.append(
                f"{_count(left, 'uncommitted change')} in {project} {'is' if len(left) == 1 else 'are'} not in the "
                f"attempt ({_some(left)}): --with-changes copies them, {INCLUDE_FILE} lists untracked files to copy"
            )
        taken = left if wanted.with_changes else []
        present = [path for path in taken if os.path.lexists(repository.project / path)]
        return Plan(
            msgspec.structs.replace(
                wanted,
                base=host.merge_base(repository, head, start) or head,
                start=start,
                copied=(*wanted_files, *present),
                removed=tuple(path for path in taken if path not in set(present)),
                excluded=tuple(_escaped(path) for path in wanted_files if path in set(changed)),
            ),
            tuple(notes),
        )


def _start(repository: PrivateRepository, name: str, head: str) -> tuple[str, str]:
    """Return the commit at which the attempt begins, and a note if that is not the project's current commit."""
    fetched = host.commit_of(repository, names.reference(name, name))
    own = host.commit_of(repository, f"refs/heads/{name}")
    if fetched and own and not host.is_ancestor(repository, own, fetched):
        if not host.is_ancestor(repository, fetched, own):
            raise UserError(
                f"the project's branch {name} and the commits that were fetched from the attempt {name} have diverged",
                f"use another name, or merge them: `git merge {names.reference(name, name)}`",
            )
        fetched = ""
    if fetched:
        return fetched, "" if fetched == head else f"{name} continues at {fetched[:10]}, which was fetched before"
    if own:
        return own, "" if own == head else f"{name} continues the project's branch of this name, at {own[:10]}"
    return head, ""


def _uncommitted(repository: PrivateRepository, head: str) -> list[str]:
    """Return the paths of files that differ from the commit ``head``, and of untracked files that are not ignored."""
    staged = repository.run("diff-index", "--cached", "--name-only", "-z", "--ignore-submodules=all", head, "--")
    others = repository.run(
        "ls-files", "-z", "--modified", "--deleted", "--others", "--exclude-standard", "--deduplicate"
    )
    found = {name for name in (staged + others).split(b"\0") if name and not name.endswith(b"/")}
    root = os.fsencode(repository.project)
    paths = sorted(os.fsdecode(name) for name in found if not os.path.isdir(root + b"/" + name))  # noqa: PTH112 - bytes
    return _limited(paths, "uncommitted changes")


def _untracked(repository: PrivateRepository, patterns: Sequence[str]) -> list[str]:
    """Return the paths of untracked files, ignored ones included, that the user's patterns select."""
    lines = [*patterns, *_lines(repository.project / INCLUDE_FILE)]
    if not lines:
        return []
    options = [f"--exclude={line}" for line in lines]
    listing = repository.run("ls-files", "-z", "--others", "--ignored", *options)
    paths = [os.fsdecode(name) for name in listing.split(b"\0") if name and not name.endswith(b"/")]
    return _limited(sorted(paths), f"files that {INCLUDE_FILE} and the setting attempt_include select")


def _escaped(path: str) -> str:
    """Return the pattern of .gitignore that matches only ``path``."""
    return "/" + re.sub(r"([][*?\\!#])", r"\\\1", path) + "\n"


def _lines(path: Path) -> list[str]:
    """Return the patterns in a file. A guest can have written it, but can read the files that it selects anyway."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return []
    with os.fdopen(fd, "rb") as file:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            return []
        text = file.read(_INCLUDE_MAX).decode("utf-8", "surrogateescape")
    return [line for line in text.replace("\0", "").splitlines() if line.strip() and not line.startswith("#")]


def _limited(paths: list[str], what: str) -> list[str]:
    if len(paths) > COPIED_MAX:
        raise UserError(f"there are {len(paths):,} {what}; at most {COPIED_MAX:,} are copied", "use narrower patterns")
    return paths


def _require_repository(project: str, name: str) -> None:
    """Raise UserError unless the project is the top of an ordinary repository, whose objects the guest can read."""
    directory = Path(project, ".git")
    try:
        kind = stat.S_IFMT(directory.lstat().st_mode)
    except OSError:
        kind = 0
    if kind == stat.S_IFDIR:
        return
    if kind == stat.S_IFREG:
        main = _main_checkout(directory)
        raise UserError(
            f"{project} is a linked worktree or a submodule, whose objects are elsewhere",
            f"`ccvm-tui run --attempt {name} {main}`" if main else "use the repository to which it belongs",
        )
    for parent in Path(project).parents:
        if (parent / ".git").exists():
            raise UserError(
                f"{project} is a part of the repository {parent}; an attempt is a clone of a whole repository",
                f"`ccvm-tui run --attempt {name} {parent}`",
            )
    raise UserError(
        f"{project} is not a Git repository, so there is nothing to clone for an attempt",
        "`git init && git add -A && git commit -m Start` makes it one, or run without --attempt",
    )


def _main_checkout(pointer: Path) -> str:
    """Return the checkout to which a linked worktree or a submodule belongs, or an empty string if that is unknown."""
    try:
        with pointer.open("rb") as file:
            text = os.fsdecode(file.read(_POINTER_MAX))
    except OSError:
        return ""
    target = Path(os.path.normpath(pointer.parent / text.removeprefix("gitdir:").strip()))
    metadata = next((parent for parent in target.parents if parent.name == ".git"), None)
    return str(metadata.parent) if metadata is not None and metadata.parent != pointer.parent else ""


def _count(paths: Sequence[str], what: str) -> str:
    return f"{len(paths)} {what}{'' if len(paths) == 1 else 's'}"


def _some(paths: Sequence[str]) -> str:
    return ", ".join(paths[:3]) + (", …" if len(paths) > 3 else "")
