"""Decisions about the content of files: which rules apply, which problems are new, and whether they block."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final

from ccvm_tui.guard.checks import CONTENT_MAX, Subject, problems, version
from ccvm_tui.guard.places import Check, Match, matches
from ccvm_tui.guard.report import KEPT_MAX, Report
from ccvm_tui.share import evidence
from ccvm_tui.share.evidence import Found
from ccvm_tui.share.nodes import Node, failure, stale
from ccvm_tui.share.reporting import Send

ANYTHING: Final = "a new program"
"""The problem of a hook whose content is not known. If it is allowed, the guest may write the hook as it likes."""

TOO_LARGE: Final = f"it has more than {CONTENT_MAX >> 20} MiB"

_SPECIAL: Final = "it is not a regular file"
_OTHER_NAMES: Final = "it has other names (hard links)"

_TOO_DEEP: Final = (b"",)
"""The path of a file that no program can use by its path, because that is longer than PATH_MAX."""

Names = tuple[bytes, ...]
"""The names on the way from the shared directory to a file."""


def link_to(target: bytes) -> str:
    """Return the problem of a symbolic link."""
    return f"a link to {target.decode('utf-8', 'backslashreplace')}"


def special(directory: int, name: bytes) -> tuple[str, bytes]:
    """Return the problem of a link or another special file on the disk, and the target of a link."""
    try:
        target = os.readlink(name, dir_fd=directory)
    except OSError:
        return _SPECIAL, b""
    return link_to(target), target


def _real_path(fd: int) -> bytes:
    return os.readlink(b"/proc/self/fd/%d" % fd)


class Judge:
    """Finds and decides about problems of files in the directory ``project``.

    ``root`` is its node, and ``directory_fd`` returns the descriptor of a directory. If ``blocking`` is false, problems
    are only reported to ``report``.
    """

    def __init__(
        self, project: bytes, root: Node, directory_fd: Callable[[Node], int], report: Send, *, blocking: bool
    ) -> None:
        self._project = project
        self._prefix = project.rstrip(b"/") + b"/"
        self._root = root
        self._directory_fd = directory_fd
        self._report = report
        self._blocking = blocking
        self._trusted: set[tuple[Names, str]] = set()
        self._known: dict[Names, tuple[str, ...]] = {}

    # --- rules --------------------------------------------------------------------------------------------------

    def names_of(self, fd: int) -> Names:
        """Return the path of an open file or directory on the host, below the shared directory.

        The places of nodes are those that the guest knows, and a hostile guest can make them outdated. Raises OSError
        (ESTALE) if the path is elsewhere.
        """
        try:
            path = _real_path(fd)
        except OSError as error:
            if error.errno != errno.ENAMETOOLONG:
                raise
            return _TOO_DEEP
        if not path.startswith(self._prefix):
            self._prefix = _real_path(self._directory_fd(self._root)) + b"/"
        if path.startswith(self._prefix):
            return tuple(path[len(self._prefix) :].split(b"/"))
        if path + b"/" == self._prefix:
            return ()
        raise stale()

    def path(self, parent: Node, name: bytes) -> Names:
        """Return the path of ``name`` in ``parent``."""
        return (*self.names_of(self._directory_fd(parent)), name)

    def matches(
        self, parent: Node, name: bytes, find: Callable[..., tuple[Match, ...]] = matches
    ) -> tuple[Names, tuple[Match, ...]]:
        """Return the path of ``name`` in ``parent``, and the rules that apply to it."""
        path = self.path(parent, name)
        return path, find(path, lambda depth: self.has_directory(path[:depth]))

    def matches_of(self, node: Node) -> Iterator[tuple[Names, Match]]:
        """Yield the rules for all known places of a file."""
        fd, paths = node.any_fd(), []
        if fd >= 0:
            try:
                paths.append(self.names_of(fd))
            except OSError:  # it is a file in memory
                return
        if fd < 0 or node.aliases:
            for parent, name in ((node.parent, node.name), *node.aliases):
                if parent is not None:
                    with contextlib.suppress(OSError):  # the directory was moved on the host
                        paths.append(self.path(parent, name))
        for path in paths:
            for match in matches(path, lambda depth, path=path: self.has_directory(path[:depth])):  # type: ignore[misc]
                yield path, match

    def is_early(self, match: Match) -> bool:
        """Return whether a change is checked before it is made. Others are checked when the file is closed."""
        return self._blocking and match.rule.blocking

    def has_directory(self, path: Sequence[bytes]) -> bool:
        """Return whether ``path`` is a directory with the parts of a Git directory."""
        try:
            fd = evidence.open_directory(self._directory_fd(self._root), path)
        except OSError:
            return False
        try:
            return evidence.is_git_directory(fd)
        finally:
            os.close(fd)

    # --- problems -----------------------------------------------------------------------------------------------

    def problems(self, path: Names, match: Match, content: bytes, *, executable: bool) -> tuple[str, ...]:
        """Return the problems of a content."""
        return problems(Subject(path, match, content, executable, self._project, self.has_directory))

    def problems_of(self, path: Names, match: Match, found: Found | None) -> tuple[str, ...]:
        """Return the problems of a file on the disk. One that is too large to be compared has none."""
        if found is None or found.content is None or found.oversized:
            return ()
        return self.problems(path, match, found.content, executable=found.executable)

    def problems_arriving(self, path: Names, match: Match, found: Found, names: int) -> tuple[str, ...]:
        """Return the problems of a file that gets a place, also those that do not depend on its content.

        The file has had ``names`` names before.
        """
        if found.content is None:
            return (_SPECIAL,)
        texts = (TOO_LARGE,) if found.oversized else self.problems_of(path, match, found)
        harmless_sample = match.rule.check is Check.HOOK and not texts
        single = harmless_sample or match.rule.check is Check.TOOL or found.info.st_nlink <= names
        return texts if single else (*texts, _OTHER_NAMES)

    # --- decisions ----------------------------------------------------------------------------------------------

    def trust(self, path: Names, allowed: Iterable[str]) -> None:
        """Accept the problems ``allowed`` of the file ``path`` from now on."""
        self._trusted.update((path, problem) for problem in allowed)

    def accepts(self, path: Names, problem: str) -> bool:
        """Return whether a problem of the file ``path`` is trusted."""
        return (path, problem) in self._trusted

    def remember(self, path: Names, match: Match, found: Found | None) -> None:
        """Remember the problems of a file on the disk, which may be about to change."""
        known = self.problems_of(path, match, found)
        if self.is_early(match):
            self.trust(path, known)
        else:
            self._known.setdefault(path, known)

    def decide(
        self, path: Names, match: Match, found: Iterable[str], known: Iterable[str] = (), *,
        content: bytes | None = None, executable: bool = False, link: bool = False, before: Found | None = None,
    ) -> None:  # fmt: skip
        """Report the problems ``found`` that are neither ``known`` nor trusted. Raises OSError (EPERM) if they block.

        ``content`` is the file with the problems, ``before`` the one that it replaces.
        """
        if (path, ANYTHING) in self._trusted:
            return
        new = tuple(problem for problem in found if problem not in known and (path, problem) not in self._trusted)
        if not new:
            return
        blocked = self.is_early(match)
        self._report(
            Report(
                path=os.fsdecode(b"/".join(path)),
                check=match.rule.check.value,
                reason=match.rule.reason,
                problems=new,
                blocked=blocked,
                content=(content or b"")[:KEPT_MAX],
                complete=content is not None and len(content) <= KEPT_MAX,
                executable=executable,
                link=link,
                before=version(before.content) if before is not None and before.content is not None else "",
            )
        )
        if blocked:
            raise failure(errno.EPERM)

    def decide_late(self, path: Names, match: Match, found: Found, texts: tuple[str, ...]) -> None:
        """Report those of the problems ``texts`` that the file did not have at the last call, or of ``remember``."""
        known = self._known.get(path, ())
        self._known[path] = texts
        self.decide(path, match, texts, known, content=found.content, executable=found.executable)
