"""The parts of a file's content that are a problem, as short texts.

A text is the same for the same problem, so that the problems of two versions of a file can be compared: what the user
already has is no problem of the guest's.
"""

from __future__ import annotations

import hashlib
import posixpath
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from ccvm_tui.guard.config_file import Entry, parse
from ccvm_tui.guard.config_keys import WORKTREE, harmful
from ccvm_tui.guard.places import Check, Match

CONTENT_MAX: Final = 1 << 20
"""Maximum size in bytes of a file whose content decides. A larger one is a problem."""

_SHOWN: Final = 120
_GIT_FILE: Final = b"gitdir: "
_COMMANDS: Final = re.compile(rb"^[ \t]*(?:x|exec)[ \t]+(.*)$", re.MULTILINE)
_MODULES: Final = (b".git", b"modules")


@dataclass(frozen=True, slots=True)
class Subject:
    """A file: its place, its content, and whether it is executable.

    ``project`` is the shared directory. ``has_directory`` returns whether a path below it is a Git directory.
    """

    path: tuple[bytes, ...]
    match: Match
    content: bytes
    executable: bool = False
    project: bytes = b"/"
    has_directory: Callable[[Sequence[bytes]], bool] = lambda _: False

    @property
    def git_directory(self) -> tuple[bytes, ...]:
        """The path of the Git directory that the file is in."""
        return self.path[: self.match.depth]


def problems(subject: Subject) -> tuple[str, ...]:
    """Return the problems of a file's content, none if it is harmless."""
    if len(subject.content) > CONTENT_MAX and subject.match.rule.check is not Check.HOOK:
        return (f"it has more than {CONTENT_MAX >> 20} MiB",)
    return _CHECKS[subject.match.rule.check](subject)


def version(content: bytes) -> str:
    """Return a text that identifies a content."""
    return hashlib.sha256(content).hexdigest()[:16]


def _hook(subject: Subject) -> tuple[str, ...]:
    """Return the hook's version. Git never runs samples, and ``git init`` creates them."""
    if subject.path[-1].endswith(b".sample"):
        return ()
    return (f"program {version(subject.content)}{'' if subject.executable else ', not executable'}",)


def _config(subject: Subject) -> tuple[str, ...]:
    parsed = parse(subject.content)
    found = [_shown(entry) for entry in harmful(parsed.entries) if not _is_own_worktree(entry, subject)]
    if parsed.error and not parsed.truncated:
        found.append(f"it is not a configuration file: {parsed.error}")
    return tuple(dict.fromkeys(found))


def _shown(entry: Entry) -> str:
    text = entry.key if entry.value is None else entry.key + b" = " + entry.value
    shown = text.decode("utf-8", "backslashreplace")
    return shown if len(shown) <= _SHOWN else f"{shown[:_SHOWN]}… ({version(text)})"


def _is_own_worktree(entry: Entry, subject: Subject) -> bool:
    """Return whether ``entry`` is the worktree that Git configures for a submodule: within its superproject."""
    if entry.key != WORKTREE or not entry.value:
        return False
    directory = subject.git_directory
    names = tuple(name.lower() for name in directory)
    for at in range(len(names) - 2):
        if names[at : at + 2] == _MODULES:
            root = posixpath.join(subject.project, *directory[:at])
            target = posixpath.normpath(posixpath.join(subject.project, *directory, entry.value))
            return target.startswith(root.rstrip(b"/") + b"/")
    return False


def _inside(subject: Subject, base: Sequence[bytes], target: bytes) -> tuple[bytes, ...] | None:
    """Return the path below the project to which ``target`` leads from ``base``, or None if it leads elsewhere."""
    project = subject.project.rstrip(b"/")
    resolved = posixpath.normpath(posixpath.join(project, *base, target))
    if not resolved.startswith(project + b"/"):
        return None
    return tuple(resolved[len(project) + 1 :].split(b"/"))


def _git_file(subject: Subject) -> tuple[str, ...]:
    """Return the target unless it is a worktree or a submodule of a repository in the project."""
    content = subject.content.rstrip(b"\r\n")
    if _GIT_FILE.startswith(content):
        return ()  # it is being written
    if not content.startswith(_GIT_FILE):
        return ("it is not a file of Git",)
    target = content[len(_GIT_FILE) :]
    path = _inside(subject, subject.path[:-1], target)
    if path is not None and (_is_part(path, subject) or subject.has_directory(path)):
        return ()
    return (f"gitdir: {target.decode('utf-8', 'backslashreplace')}",)


def _is_part(path: tuple[bytes, ...], subject: Subject) -> bool:
    """Return whether ``path`` is the place of a worktree or a submodule, which may not exist yet."""
    for at in range(1, len(path) - 1):
        inner = tuple(name.lower() for name in path[at:])
        is_part = inner[0] == b"modules" or (inner[0] == b"worktrees" and len(inner) == 2)
        if is_part and (path[at - 1].lower() == b".git" or subject.has_directory(path[:at])):
            return True
    return False


def _common(subject: Subject) -> tuple[str, ...]:
    """Return the target unless it is that of a worktree, two levels above."""
    target = subject.content.rstrip(b"\r\n")
    directory = subject.path[:-1]
    own = len(directory) >= 2 and directory[-2].lower() == b"worktrees"
    if not target or (own and target == b"../.."):
        return ()
    return (f"commondir: {target.decode('utf-8', 'backslashreplace')}",)


def _alternates(subject: Subject) -> tuple[str, ...]:
    """Return the directories outside of the project. Relative ones start at ``objects``."""
    lines = (line for line in subject.content.split(b"\n") if line and not line.startswith(b"#"))
    base = subject.path[:-2]
    return tuple(
        f"objects in {line.decode('utf-8', 'backslashreplace')}"
        for line in lines
        if line.startswith(b'"') or _inside(subject, base, line) is None
    )


def _todo(subject: Subject) -> tuple[str, ...]:
    commands = dict.fromkeys(_COMMANDS.findall(subject.content))
    return tuple(f"exec {command.decode('utf-8', 'backslashreplace')[:_SHOWN]}" for command in commands)


def _link(_: Subject) -> tuple[str, ...]:
    return ("it is not a directory",)


def _tool(subject: Subject) -> tuple[str, ...]:
    return (f"version {version(subject.content)}",)


_CHECKS: Final[dict[Check, Callable[[Subject], tuple[str, ...]]]] = {
    Check.HOOK: _hook,
    Check.CONFIG: _config,
    Check.GIT_FILE: _git_file,
    Check.COMMON: _common,
    Check.ALTERNATES: _alternates,
    Check.TODO: _todo,
    Check.LINK: _link,
    Check.TOOL: _tool,
}
