"""The files that matter, as data, and the functions that find the rules for a path.

Paths are tuples of names below the shared directory. Names are compared without regard to case, because the host's file
system may ignore it.

A directory is a *Git directory* if it is called ``.git``, or if it has the parts by which Git recognizes one (HEAD, and
either objects and refs, or commondir; ``is_git_directory`` in ``setup.c``): Git uses such a directory if it is started
in it. Submodules, worktrees and bare repositories are found by their parts, wherever they are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

Path = tuple[bytes, ...]
"""The names on the way from the shared directory to a file."""


class Check(StrEnum):
    """The way in which the content of a file is checked; see ``checks``."""

    HOOK = "hook"
    CONFIG = "config"
    GIT_FILE = "gitfile"
    COMMON = "commondir"
    ALTERNATES = "alternates"
    TODO = "todo"
    LINK = "link"
    TOOL = "tool"


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule for the files that match ``pattern``, in which ``*`` is any name and ``**`` all files below.

    ``reason`` completes the sentence "PATH was blocked: …". Only rules of Git's own metadata can be ``blocking``.
    """

    pattern: str
    check: Check
    reason: str
    blocking: bool = True

    @property
    def parts(self) -> tuple[bytes, ...]:
        """The names of the pattern."""
        return tuple(self.pattern.encode().split(b"/"))


_COMMON: Final = "it makes Git use the configuration and the hooks of another repository"
_CONFIG: Final = "Git runs programs that its configuration names"

GIT_RULES: Final = (
    Rule("config", Check.CONFIG, _CONFIG),
    Rule("config.worktree", Check.CONFIG, _CONFIG),
    Rule("worktrees/*/config.worktree", Check.CONFIG, _CONFIG),
    Rule("hooks/**", Check.HOOK, "Git runs hooks"),
    Rule("commondir", Check.COMMON, _COMMON),
    Rule("worktrees/*/commondir", Check.COMMON, _COMMON),
    Rule("objects/info/alternates", Check.ALTERNATES, "it makes Git read objects outside of the project"),
    Rule("rebase-merge/git-rebase-todo", Check.TODO, "`git rebase --continue` runs its commands", blocking=False),
)  # fmt: skip
"""The files in a Git directory."""

GIT_FILE: Final = Rule(".git", Check.GIT_FILE, "it makes Git use another repository")
"""A file or link in the place of a Git directory."""

GIT_LINK: Final = Rule("", Check.LINK, "it puts another directory in the place of a part of the repository")
"""A link in the place of a directory that a rule of ``GIT_RULES`` names, or of ``GIT_DIRECTORIES``."""

GIT_DIRECTORIES: Final = ("refs", "info", "modules", "modules/*", "worktrees", "worktrees/*", "objects", "objects/info")
"""The directories in a Git directory in whose place a link is a problem, besides those that the rules name."""

_EDITOR: Final = "editors run the tasks and the programs that it names"
_SHELL: Final = "a shell of yours may run it when you enter the directory"
_HOOKS: Final = "a manager of Git hooks runs the commands in it"
_AGENT: Final = "a coding agent on the host runs the hooks and servers in it"
_VCS: Final = "the version control system runs the hooks in it"

TOOL_RULES: Final = tuple(
    Rule(pattern, Check.TOOL, reason, blocking=False)
    for reason, patterns in (
        (_SHELL, ".envrc .direnv/** .autoenv .autoenv.zsh .in .out"),
        ("mise runs its hooks and tasks when you enter the directory",
         ".mise.toml mise.toml .mise.local.toml mise.local.toml .mise/** mise/config.toml .config/mise.toml"
         " .config/mise/** .rtx.toml .tool-versions"),
        (_EDITOR, ".vscode/tasks.json .vscode/settings.json .vscode/launch.json .vscode/mcp.json .idea/** .fleet/**"
         " .zed/tasks.json .zed/settings.json .exrc .nvimrc .nvim.lua .vimrc .dir-locals.el .dir-locals-2.el"
         " .gdbinit .lldbinit .devcontainer.json .devcontainer/**"),
        (_HOOKS, ".pre-commit-config.yaml .pre-commit-config.yml .husky/** .lefthook.yml .lefthook.yaml lefthook.yml"
         " lefthook.yaml .lefthook/** .githooks/** .overcommit.yml .huskyrc .huskyrc.json .lintstagedrc"),
        (_AGENT, ".claude/settings.json .claude/settings.local.json .mcp.json .gemini/settings.json"
         " .codex/config.toml opencode.json opencode.jsonc .opencode/** .cursor/mcp.json .cursor/hooks.json"),
        (_VCS, ".hg/hgrc .jj/repo/config.toml .svn/hooks/**"),
    )
    for pattern in patterns.split()
)  # fmt: skip
"""Files of other programs, anywhere in the project. They are noticed, and never blocked."""

PARTS: Final = frozenset({b"head", b"objects", b"refs", b"commondir"})
"""The names by whose creation a directory can become a Git directory."""

_DIRECTORY: Final = b".git"


@dataclass(frozen=True, slots=True)
class Match:
    """A rule that applies to a path. ``depth`` is the number of names on the way to the Git directory, or -1."""

    rule: Rule
    depth: int = -1


IsGitDirectory = Callable[[int], bool]
"""Returns whether the directory with the first N names of a path has the parts of a Git directory."""


def lowered(path: Sequence[bytes]) -> Path:
    """Return the path in lower case."""
    return tuple(name.lower() for name in path)


def _by_beginning(rules: Sequence[Rule]) -> dict[bytes, list[Rule]]:
    found: dict[bytes, list[Rule]] = {}
    for rule in rules:
        found.setdefault(rule.parts[0], []).append(rule)
    return found


_GIT_BY_NAME: Final = _by_beginning(GIT_RULES)
_TOOLS_BY_NAME: Final = _by_beginning(TOOL_RULES)
_LAST_OF_GIT: Final = frozenset(rule.parts[-1] for rule in GIT_RULES if rule.parts[-1] != b"**") | {_DIRECTORY}
_ABOVE_OF_GIT: Final = frozenset(rule.parts[0] for rule in GIT_RULES if rule.parts[-1] == b"**")
_NAMES: Final = _LAST_OF_GIT | _ABOVE_OF_GIT | frozenset(_TOOLS_BY_NAME)
"""One of these names is in each path to which a rule applies. Nearly all paths have none, which is found quickly."""


def matches(path: Sequence[bytes], is_git_directory: IsGitDirectory) -> tuple[Match, ...]:
    """Return the rules that apply to the file ``path``, those of Git first."""
    names = lowered(path)
    if _NAMES.isdisjoint(names):
        return ()
    found: list[Match] = []
    if names[-1] in _LAST_OF_GIT or not _ABOVE_OF_GIT.isdisjoint(names):
        found += _git_matches(names, is_git_directory)
    for at, name in enumerate(names):
        for rule in _TOOLS_BY_NAME.get(name, ()):
            if fits(rule.parts, names[at:]):
                found.append(Match(rule))
    return tuple(found)


def _git_matches(names: Path, is_git_directory: IsGitDirectory) -> Iterator[Match]:
    for depth in range(len(names)):
        for rule in _GIT_BY_NAME.get(names[depth], ()):
            if fits(rule.parts, names[depth:]) and is_directory_of_git(names, depth, is_git_directory):
                yield Match(rule, depth)
    if names[-1] == _DIRECTORY:
        yield Match(GIT_FILE, len(names) - 1)


def is_directory_of_git(names: Sequence[bytes], depth: int, is_git_directory: IsGitDirectory) -> bool:
    """Return whether the directory with the first ``depth`` names is a Git directory."""
    return bool(depth and names[depth - 1].lower() == _DIRECTORY) or is_git_directory(depth)


def fits(parts: Sequence[bytes], names: Sequence[bytes]) -> bool:
    """Return whether ``names`` match a pattern."""
    if parts[-1] == b"**":
        return len(names) >= len(parts) and _all_fit(parts[:-1], names)
    return len(names) == len(parts) and _all_fit(parts, names)


def _all_fit(parts: Sequence[bytes], names: Sequence[bytes]) -> bool:
    return all(part in (b"*", name) for part, name in zip(parts, names, strict=False))


def link_matches(path: Sequence[bytes], is_git_directory: IsGitDirectory) -> tuple[Match, ...]:
    """Return the rules against a link, or another special file, in the place ``path``."""
    names = lowered(path)
    found = list(matches(path, is_git_directory))
    for depth in range(len(names)):
        if names[depth] not in _DIRECTORY_NAMES:
            continue
        inner = names[depth:]
        if any(_is_above(parts, inner) for parts in _DIRECTORY_PATTERNS) and is_directory_of_git(
            names, depth, is_git_directory
        ):
            found.append(Match(GIT_LINK, depth))
    return tuple(found)


_DIRECTORY_PATTERNS: Final = (
    *(rule.parts[:length] for rule in GIT_RULES for length in range(1, len(rule.parts))),
    *(tuple(pattern.encode().split(b"/")) for pattern in GIT_DIRECTORIES),
)
_DIRECTORY_NAMES: Final = frozenset(parts[0] for parts in _DIRECTORY_PATTERNS)


def _is_above(parts: Sequence[bytes], names: Sequence[bytes]) -> bool:
    return len(parts) == len(names) and _all_fit(parts, names)


def below(path: Sequence[bytes], is_git_directory: IsGitDirectory) -> list[tuple[Match, tuple[bytes, ...]]]:
    """Return the rules of Git for files below the directory ``path``, each with the rest of its pattern.

    ``is_git_directory`` is also asked about the directory itself. The rest ``(b"**",)`` means all files below it.
    """
    names = lowered(path)
    found = []
    for depth in range(len(names) + 1):
        inner = names[depth:]
        if inner and inner[0] not in _DIRECTORY_NAMES:
            continue
        rests = [(rule, rest) for rule in GIT_RULES if (rest := _rest(rule.parts, inner))]
        if rests and is_directory_of_git(names, depth, is_git_directory):
            found += [(Match(rule, depth), rest) for rule, rest in rests]
    return found


def _rest(parts: tuple[bytes, ...], names: Sequence[bytes]) -> tuple[bytes, ...]:
    """Return what remains of a pattern below ``names``, or nothing if they do not match."""
    if parts[-1] == b"**" and len(names) >= len(parts) - 1:
        return (b"**",) if _all_fit(parts[:-1], names) else ()
    return parts[len(names) :] if len(names) < len(parts) and _all_fit(parts, names) else ()
