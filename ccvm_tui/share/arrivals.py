"""Checks of names: files and directories that are created, moved or linked to a place, and those that leave one."""

from __future__ import annotations

import contextlib
import errno
import functools
import os
import stat
from collections.abc import Callable, Iterable, Iterator
from typing import Final

from ccvm_tui.guard.places import PARTS, Check, Match, below, link_matches
from ccvm_tui.share import evidence
from ccvm_tui.share.evidence import Found
from ccvm_tui.share.judge import ANYTHING, Judge, Names, special
from ccvm_tui.share.nodes import Node, Nodes, failure

_TOO_MANY: Final = "it has too many files to check"
_PATH: Final = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class Arrivals:
    """The checks, with the decisions of ``judge``. They raise OSError if a change must not be made.

    ``directory_fd`` returns the descriptor of a directory, ``copied`` the files that another thread writes.
    """

    def __init__(
        self, judge: Judge, nodes: Nodes, directory_fd: Callable[[Node], int], copied: Callable[[], Iterable[Node]]
    ) -> None:
        self._judge = judge
        self._nodes = nodes
        self._directory_fd = directory_fd
        self._copied = copied

    # --- single files -------------------------------------------------------------------------------------------

    def new_hook(self, parent: Node, name: bytes) -> tuple[Names, Match] | None:
        """Return the rule against a hook that would be created and blocked, or None."""
        path, applying = self._judge.matches(parent, name)
        return next(((path, match) for match in applying if self._is_new_hook(parent, name, match)), None)

    def _is_new_hook(self, parent: Node, name: bytes, match: Match) -> bool:
        is_hook = match.rule.check is Check.HOOK and not name.endswith(b".sample")
        return is_hook and self._judge.is_early(match) and not evidence.exists(self._directory_fd(parent), name)

    def created(self, parent: Node, name: bytes) -> None:
        """Check a regular file, still empty, that is created."""
        path, applying = self._judge.matches(parent, name)
        for match in applying:
            self._judge.remember(path, match, None)
            if self._is_new_hook(parent, name, match):
                self._judge.decide(path, match, (ANYTHING,))
        self.part(parent, name)

    def special(self, parent: Node, name: bytes, problem: str, target: bytes = b"") -> None:
        """Check a link to ``target``, or another special file, that gets a place."""
        path, applying = self._judge.matches(parent, name, link_matches)
        for match in applying:
            if match.rule.check is not Check.HOOK or not name.endswith(b".sample"):
                self._judge.decide(path, match, (problem,), content=target or None, link=bool(target))
        self.part(parent, name)

    def linked(self, node: Node, parent: Node, name: bytes, read: Callable[[], Found]) -> None:
        """Check another name for ``node``. A file whose content decides may have one name only."""
        for path, match in self._judge.matches_of(node):
            if match.rule.check is not Check.TOOL:
                self._judge.decide(path, match, ("another name (a hard link)",))
        path, applying = self._judge.matches(parent, name)
        if applying:
            self._arriving(path, applying, read(), node, None, 0)
        self.part(parent, name)

    def moved(self, parent: Node, name: bytes, new_parent: Node, new_name: bytes) -> None:
        """Check a file or a directory that is renamed."""
        try:
            info = os.stat(name, dir_fd=self._directory_fd(parent), follow_symlinks=False)
        except FileNotFoundError:
            return  # the rename fails
        if stat.S_ISDIR(info.st_mode):
            self._moved_directory(parent, name, new_parent, new_name)
        elif not stat.S_ISREG(info.st_mode):
            self.special(new_parent, new_name, *special(self._directory_fd(parent), name))
        else:
            path, applying = self._judge.matches(new_parent, new_name)
            if applying and (found := evidence.read(self._directory_fd(parent), name)) is not None:
                before = evidence.read(self._directory_fd(new_parent), new_name)
                self._arriving(path, applying, found, self._nodes.by_key((info.st_dev, info.st_ino)), before, 1)
        self.part(new_parent, new_name)

    def _arriving(
        self, path: Names, applying: Iterable[Match], found: Found, node: Node | None, before: Found | None, names: int
    ) -> None:
        for match in applying:
            texts = self._judge.problems_arriving(path, match, found, names)
            if not self._judge.is_early(match):
                self._judge.remember(path, match, before)
                self._judge.decide_late(path, match, found, texts)
                continue
            if node is not None and (node.index is not None or node in self._copied()):
                raise failure(errno.EBUSY)
            known = self._judge.problems_of(path, match, before)
            self._judge.decide(
                path, match, texts, known, content=found.content, executable=found.executable, before=before
            )

    # --- directories --------------------------------------------------------------------------------------------

    def _files_below(self, parent: Node, name: bytes, at: Names) -> Iterator[tuple[Names, Match, Found]]:
        """Yield the files in the directory ``name`` to which rules of Git apply, as if the directory were ``at``.

        Raises TooMuch if there are too many.
        """
        fd = os.open(name, _PATH, dir_fd=self._directory_fd(parent))
        try:

            @functools.cache
            def is_git_directory(depth: int) -> bool:
                return evidence.is_git_directory(fd) if depth == len(at) else self._judge.has_directory(at[:depth])

            yield from self._found_below(fd, at, below(at, is_git_directory))
        finally:
            os.close(fd)

    @staticmethod
    def _found_below(fd: int, path: Names, rules: list[tuple[Match, Names]]) -> Iterator[tuple[Names, Match, Found]]:
        for match, rest in rules:
            for inner, found in evidence.files(fd, rest):
                yield (*path, *inner), match, found

    def _moved_directory(self, parent: Node, name: bytes, new_parent: Node, new_name: bytes) -> None:
        """Check the files for which rules apply in the new place that do not apply, or differ, in the old one."""
        old, new = self._judge.path(parent, name), self._judge.path(new_parent, new_name)
        known: set[tuple[Names, str]] = set()
        try:
            for path, match, found in self._files_below(parent, name, old):
                texts = self._judge.problems_arriving(path, match, found, 1)
                known.update((path[len(old) :], problem) for problem in texts)
            for path, match, found in self._files_below(parent, name, new):
                if self._judge.is_early(match):
                    self._require_unused(old)
                texts = self._judge.problems_arriving(path, match, found, 1)
                others = [problem for problem in texts if (path[len(new) :], problem) not in known]
                self._judge.decide(path, match, others, content=found.content, executable=found.executable)
        except evidence.TooMuch:
            self._judge.decide(new, _rule_for(new), (_TOO_MANY,))

    def _require_unused(self, directory: Names) -> None:
        """Raise OSError (EBUSY) if a file in a directory is being written in ways that are not checked."""
        for node in (*self._copied(), *self._nodes.mapped()):
            if self._judge.names_of(node.any_fd())[: len(directory)] == directory:
                raise failure(errno.EBUSY)

    def part(self, parent: Node, name: bytes) -> None:
        """Check a directory that becomes a Git directory because it gets the name ``name``."""
        if name.lower() not in PARTS:
            return
        fd = self._directory_fd(parent)
        path = self._judge.names_of(fd)
        if path and path[-1].lower() == b".git":
            return
        if evidence.is_git_directory(fd) or not evidence.is_git_directory(fd, also=name):
            return
        rules = [rule for rule in below(path, lambda depth: depth == len(path)) if rule[0].depth == len(path)]
        if any(self._judge.is_early(match) for match, _ in rules):
            self._require_unused(path)
        try:
            for inner, match, found in self._found_below(fd, path, rules):
                texts = self._judge.problems_arriving(inner, match, found, 1)
                self._judge.decide(inner, match, texts, content=found.content, executable=found.executable)
        except evidence.TooMuch:
            self._judge.decide(path, _rule_for(path), (_TOO_MANY,))

    # --- names that are lost ------------------------------------------------------------------------------------

    def leaving(self, parent: Node, name: bytes) -> None:
        """Remember the problems of what is about to lose its place, so that it can return."""
        self._remember(parent, name)
        above = parent.parent if name.lower() in PARTS else None
        if above is not None and evidence.is_git_directory(self._directory_fd(parent)):
            self._remember(above, parent.name)

    def _remember(self, parent: Node, name: bytes) -> None:
        fd = self._directory_fd(parent)
        try:
            kind = stat.S_IFMT(os.stat(name, dir_fd=fd, follow_symlinks=False).st_mode)
        except FileNotFoundError:
            return
        if kind == stat.S_IFDIR:
            with contextlib.suppress(evidence.TooMuch):
                for path, match, found in self._files_below(parent, name, self._judge.path(parent, name)):
                    self._judge.trust(path, self._judge.problems_arriving(path, match, found, 1))
            return
        path, applying = self._judge.matches(parent, name, link_matches)
        if applying and kind == stat.S_IFLNK:
            self._judge.trust(path, (special(self._directory_fd(parent), name)[0],))
        elif applying:
            found_here = evidence.read(self._directory_fd(parent), name)
            for match in applying:
                self._judge.remember(path, match, found_here)


def _rule_for(path: Names) -> Match:
    """Return a rule for a Git directory as a whole."""
    return next(match for match, _ in below((*path, b".git"), lambda _: False))
