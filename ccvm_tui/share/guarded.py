"""A writable host directory in which the guest can leave nothing that the host would run; see ``ccvm_tui.guard``.

Each change is checked before it is made, so there is no moment at which a program of the host could find it. What is on
the disk is the baseline: a change is refused only for problems that the file in that place does not have already.
Nothing is scanned in advance. Problems of files that leave their place are remembered, so that they can return.

A file whose content decides has one name only: it could otherwise be changed through another. A directory becomes a Git
directory by its name or by its parts, and is then checked as a whole.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import functools
import os
import stat
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence

from ccvm_tui.guard.checks import CONTENT_MAX, Subject, problems, version
from ccvm_tui.guard.places import PARTS, Check, Match, below, link_matches, matches
from ccvm_tui.guard.report import KEPT_MAX, Report
from ccvm_tui.share import evidence
from ccvm_tui.share.evidence import Found
from ccvm_tui.share.host import Change, HostTree
from ccvm_tui.share.nodes import Handle, Node, failure
from ccvm_tui.share.reporting import Send

ANYTHING = "a new program"
"""The problem of a hook whose content is not known yet. If it is allowed, the guest may write the hook."""

_SPECIAL = "it is not a regular file"
_OTHER_NAMES = "it has other names (hard links)"
_TOO_MANY = "it has too many files to check"
_WRITING = os.O_WRONLY | os.O_RDWR

Names = tuple[bytes, ...]


class GuardedTree(HostTree):
    """The directory ``path``, in which changes are checked.

    If ``blocking`` is false, all of them are made, and only reported to ``report``.
    """

    def __init__(
        self,
        path: str,
        fds_max: int,
        on_directory: Callable[[Node, int], None],
        on_forgotten: Callable[[Node], None],
        *,
        blocking: bool,
        report: Send,
    ) -> None:
        super().__init__(path, fds_max, on_directory, on_forgotten)
        self._project = os.fsencode(path)
        self._blocking = blocking
        self._report = report
        self._trusted: set[tuple[Names, str]] = set()
        self._known: dict[Names, tuple[str, ...]] = {}
        self._copies: Counter[Node] = Counter()

    def trust(self, path: str, allowed: Iterable[str]) -> None:
        """Accept the problems ``allowed`` of the file ``path`` from now on."""
        names = tuple(os.fsencode(path).split(b"/"))
        self._trusted.update((names, problem) for problem in allowed)

    # --- places -------------------------------------------------------------------------------------------------

    @staticmethod
    def _chain(parent: Node) -> list[Node]:
        """Return the directories from the shared directory to ``parent``."""
        chain = [parent]
        while chain[-1].parent is not None:
            chain.append(chain[-1].parent)
        chain.reverse()
        return chain

    def _matches(
        self, parent: Node, name: bytes, find: Callable[..., tuple[Match, ...]] = matches
    ) -> tuple[Names, tuple[Match, ...]]:
        """Return the path of ``name`` in ``parent`` below the shared directory, and the rules that apply to it."""
        chain = self._chain(parent)
        path = (*(node.name for node in chain[1:]), name)
        return path, find(path, lambda depth: evidence.is_git_directory(self.directory_fd(chain[depth])))

    def _matches_of(self, node: Node) -> Iterator[tuple[Names, Match]]:
        """Yield the rules for all known places of a file."""
        for parent, name in ((node.parent, node.name), *node.aliases):
            if parent is not None:
                path, found = self._matches(parent, name)
                yield from ((path, match) for match in found)

    def _is_early(self, match: Match) -> bool:
        """Return whether a change is checked before it is made. Others are checked when the file is closed."""
        return self._blocking and match.rule.blocking

    def _has_directory(self, path: Sequence[bytes]) -> bool:
        try:
            fd = evidence.open_directory(self.directory_fd(self.nodes.root), path)
        except OSError:
            return False
        try:
            return evidence.is_git_directory(fd)
        finally:
            os.close(fd)

    # --- decisions ----------------------------------------------------------------------------------------------

    def _problems(self, path: Names, match: Match, content: bytes, *, executable: bool) -> tuple[str, ...]:
        return problems(Subject(path, match, content, executable, self._project, self._has_directory))

    def _problems_of(self, path: Names, match: Match, found: Found | None) -> tuple[str, ...]:
        """Return the problems of a file on the disk. One that is too large for a comparison has none."""
        if found is None or found.content is None or found.oversized:
            return ()
        return self._problems(path, match, found.content, executable=found.executable)

    def _decide(
        self, path: Names, match: Match, found: Iterable[str], known: Iterable[str] = (), *,
        content: bytes | None = None, executable: bool = False, link: bool = False, before: Found | None = None,
    ) -> None:  # fmt: skip
        """Report the problems ``found`` that are neither ``known`` nor trusted, and raise OSError if they block."""
        if (path, ANYTHING) in self._trusted:
            return
        new = tuple(problem for problem in found if problem not in known and (path, problem) not in self._trusted)
        if not new:
            return
        blocked = self._is_early(match)
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

    def _remember(self, parent: Node, name: bytes) -> None:
        """Remember the problems of a file, or of the files in a directory, that is about to lose its place."""
        fd = self.directory_fd(parent)
        try:
            kind = stat.S_IFMT(os.stat(name, dir_fd=fd, follow_symlinks=False).st_mode)
        except FileNotFoundError:
            return
        if kind == stat.S_IFDIR:
            with contextlib.suppress(evidence.TooMuch):
                for path, match, inner in self._files_below(parent, name):
                    self._trusted.update((path, problem) for problem in self._all_problems(path, match, inner))
            return
        if kind != stat.S_IFREG:
            path, applying = self._matches(parent, name, link_matches)
            if applying:
                self._trusted.add((path, _special(fd, name)[0]))
            return
        path, applying = self._matches(parent, name)
        found = evidence.read(self.directory_fd(parent), name) if applying else None
        for match in applying:
            if self._is_early(match):
                self._trusted.update((path, problem) for problem in self._problems_of(path, match, found))
            else:
                self._known.setdefault(path, self._problems_of(path, match, found))

    # --- directories --------------------------------------------------------------------------------------------

    def _files_below(
        self, parent: Node, name: bytes, at: tuple[Node, bytes] | None = None
    ) -> Iterator[tuple[Names, Match, Found]]:
        """Yield the files in the directory ``name`` to which rules of Git apply, as if the directory were ``at``.

        Raises TooMuch if there are too many.
        """
        fd = os.open(name, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=self.directory_fd(parent))
        try:
            place, place_name = at or (parent, name)
            chain = self._chain(place)
            path = (*(node.name for node in chain[1:]), place_name)

            @functools.cache
            def is_git_directory(depth: int) -> bool:
                inside = depth == len(chain)
                return evidence.is_git_directory(fd if inside else self.directory_fd(chain[depth]))

            yield from self._found_below(fd, path, below(path, is_git_directory))
        finally:
            os.close(fd)

    @staticmethod
    def _found_below(fd: int, path: Names, rules: list[tuple[Match, Names]]) -> Iterator[tuple[Names, Match, Found]]:
        for match, rest in rules:
            for inner, found in evidence.files(fd, rest):
                yield (*path, *inner), match, found

    def _check_moved_directory(self, parent: Node, name: bytes, new_parent: Node, new_name: bytes) -> None:
        known: set[tuple[Names, str]] = set()
        old_length = len(self._chain(parent))
        new_length = len(self._chain(new_parent))
        try:
            for path, match, found in self._files_below(parent, name):
                texts = self._all_problems(path, match, found)
                known.update((path[old_length:], problem) for problem in texts)
            for path, match, found in self._files_below(parent, name, (new_parent, new_name)):
                self._require_unused(parent, name)
                texts = self._all_problems(path, match, found)
                new = [problem for problem in texts if (path[new_length:], problem) not in known]
                self._decide(path, match, new, content=found.content, executable=found.executable)
        except evidence.TooMuch:
            path, _ = self._matches(new_parent, new_name)
            self._decide(path, _git_match(path), (_TOO_MANY,))

    def _all_problems(self, path: Names, match: Match, found: Found) -> tuple[str, ...]:
        """Return the problems of a file, also those that do not depend on its content."""
        if found.content is None:
            return (_SPECIAL,)
        texts = self._problems(path, match, found.content, executable=found.executable)
        sample = match.rule.check is Check.HOOK and not texts
        return texts if sample or found.info.st_nlink == 1 else (*texts, _OTHER_NAMES)

    def _require_unused(self, parent: Node, name: bytes) -> None:
        """Raise OSError (EBUSY) if a file in a directory is being changed in ways that are not checked."""
        moved = parent.children.get(name)
        for node in (*self._copies, *self.nodes.mapped()):
            if moved is not None and node.is_within(moved):
                raise failure(errno.EBUSY)

    def _check_part(self, parent: Node, name: bytes) -> None:
        """Check a directory that becomes a Git directory because it gets the name ``name``."""
        if name.lower() not in PARTS or parent.name.lower() == b".git":
            return
        fd = self.directory_fd(parent)
        if evidence.is_git_directory(fd) or not evidence.is_git_directory(fd, also=name):
            return
        chain = self._chain(parent)
        path = tuple(node.name for node in chain[1:])
        rules = [
            (match, rest) for match, rest in below(path, lambda depth: depth == len(path)) if match.depth == len(path)
        ]
        try:
            for inner, match, found in self._found_below(fd, path, rules):
                texts = self._all_problems(inner, match, found)
                self._decide(inner, match, texts, content=found.content, executable=found.executable)
        except evidence.TooMuch:
            self._decide(path, _git_match(path), (_TOO_MANY,))

    # --- names --------------------------------------------------------------------------------------------------

    def create(self, parent: Node, name: bytes, flags: int, mode: int) -> int:
        """Create and open a regular file, and return its descriptor. Raises OSError (EEXIST) if the name exists."""
        self._check_new_file(parent, name)
        return super().create(parent, name, flags, mode)

    def _check_new_file(self, parent: Node, name: bytes) -> None:
        path, applying = self._matches(parent, name)
        for match in applying:
            if match.rule.check is Check.HOOK and self._is_early(match) and not name.endswith(b".sample"):
                if not evidence.exists(self.directory_fd(parent), name):
                    self._decide(path, match, (ANYTHING,))
            elif not self._is_early(match):
                self._known.setdefault(path, ())
        self._check_part(parent, name)

    def make_directory(self, parent: Node, name: bytes, mode: int) -> None:
        """Create a directory."""
        self._check_part(parent, name)
        super().make_directory(parent, name, mode)

    def make_node(self, parent: Node, name: bytes, mode: int) -> None:
        """Create a regular file, a FIFO or a socket. Raises OSError (EPERM) for a device node."""
        if stat.S_IFMT(mode) in (0, stat.S_IFREG):
            self._check_new_file(parent, name)
        else:
            self._check_special(parent, name, _SPECIAL)
        super().make_node(parent, name, mode)

    def make_link(self, parent: Node, name: bytes, target: bytes) -> None:
        """Create a symbolic link."""
        self._check_special(parent, name, _link_to(target), target)
        super().make_link(parent, name, target)

    def _check_special(self, parent: Node, name: bytes, problem: str, target: bytes = b"") -> None:
        path, applying = self._matches(parent, name, link_matches)
        for match in applying:
            if match.rule.check is not Check.HOOK or not name.endswith(b".sample"):
                self._decide(path, match, (problem,), content=target, link=bool(target))
        self._check_part(parent, name)

    def link(self, node: Node, parent: Node, name: bytes) -> None:
        """Create another name for ``node``. A file whose content decides may have one name only."""
        for path, match in self._matches_of(node):
            if match.rule.check is not Check.TOOL:
                self._decide(path, match, (_OTHER_NAMES,))
        path, applying = self._matches(parent, name)
        if applying:
            fd = self.open(node, os.O_RDONLY)
            try:
                self._check_arriving(path, applying, Found(os.fstat(fd), evidence.read_open(fd)), node, None, 0)
            finally:
                os.close(fd)
        self._check_part(parent, name)
        super().link(node, parent, name)

    def rename(self, parent: Node, name: bytes, new_parent: Node, new_name: bytes, flags: int) -> None:
        """Rename a file; ``flags`` as in renameat2(2)."""
        moves = [(parent, name, new_parent, new_name)]
        if flags & 2:  # RENAME_EXCHANGE
            moves.append((new_parent, new_name, parent, name))
        for move in moves:
            self._check_move(*move)
        for source, source_name, _, _ in moves:
            self._leaving(source, source_name)
        super().rename(parent, name, new_parent, new_name, flags)

    def _check_move(self, parent: Node, name: bytes, new_parent: Node, new_name: bytes) -> None:
        fd = self.directory_fd(parent)
        try:
            info = os.stat(name, dir_fd=fd, follow_symlinks=False)
        except FileNotFoundError:
            return  # the rename fails
        if stat.S_ISDIR(info.st_mode):
            self._check_moved_directory(parent, name, new_parent, new_name)
            self._check_part(new_parent, new_name)
            return
        if not stat.S_ISREG(info.st_mode):
            self._check_special(new_parent, new_name, *_special(fd, name))
            return
        path, applying = self._matches(new_parent, new_name)
        if applying and (found := evidence.read(self.directory_fd(parent), name)) is not None:
            before = evidence.read(self.directory_fd(new_parent), new_name)
            node = self.nodes.by_key((info.st_dev, info.st_ino))
            self._check_arriving(path, applying, found, node, before, 1)
        self._check_part(new_parent, new_name)

    def _check_arriving(
        self, path: Names, applying: Iterable[Match], found: Found, node: Node | None, before: Found | None, names: int
    ) -> None:
        """Check a file that gets the name ``path`` and has ``names`` names before."""
        for match in applying:
            known = self._problems_of(path, match, before)
            texts = (
                self._problems_of(path, match, found) if not found.oversized else (f"more than {CONTENT_MAX} bytes",)
            )
            if match.rule.check is Check.TOOL:
                known = (*known, *self._known.get(path, ()))
                self._known[path] = texts
            elif node is not None and (node.index is not None or self._copies[node]):
                raise failure(errno.EBUSY)
            elif found.info.st_nlink > names and not (match.rule.check is Check.HOOK and not texts):
                texts = (*texts, _OTHER_NAMES)
            self._decide(path, match, texts, known, content=found.content, executable=found.executable, before=before)

    def _leaving(self, parent: Node, name: bytes) -> None:
        """Remember what ``name`` is, before it is moved or deleted."""
        self._remember(parent, name)
        if name.lower() in PARTS and evidence.is_git_directory(self.directory_fd(parent)) and parent.parent is not None:
            self._remember(parent.parent, parent.name)

    def remove(self, parent: Node, name: bytes, *, directory: bool) -> None:
        """Delete a file, or an empty directory if ``directory`` is true."""
        if not directory or name.lower() in PARTS:
            self._leaving(parent, name)
        super().remove(parent, name, directory=directory)

    # --- contents and attributes --------------------------------------------------------------------------------

    def open(self, node: Node, flags: int) -> int:
        """Open a regular file, and return its descriptor. With O_TRUNC, only the verified file is truncated."""
        if flags & (_WRITING | os.O_TRUNC) and node.is_regular:
            for path, match in self._matches_of(node):
                self._before_writing(node, path, match)
        return super().open(node, flags)

    def _before_writing(self, node: Node, path: Names, match: Match) -> None:
        fd = super().open(node, os.O_RDONLY)
        try:
            found = Found(os.fstat(fd), evidence.read_open(fd))
        finally:
            os.close(fd)
        known = self._problems_of(path, match, found)
        if not self._is_early(match):
            self._known.setdefault(path, known)
        elif match.rule.check is Check.HOOK:
            if not path[-1].endswith(b".sample"):
                self._decide(path, match, ("a change of the program",))
        else:
            self._trusted.update((path, problem) for problem in known)

    def check_write(self, handle: Handle, segments: Sequence[memoryview], offset: int, *, cached: bool) -> None:
        """Raise OSError (EPERM) if the file must not have the content that a write results in.

        ``cached`` is true for pages of the guest's cache, which are never appended.
        """
        for path, match in self._matches_of(handle.node):
            if self._is_early(match):
                content = self._content(handle.node)
                append = not cached and fcntl.fcntl(handle.fd, fcntl.F_GETFL) & os.O_APPEND
                at = len(content) if append else offset
                data = b"".join(segments)
                if max(len(content), at + len(data)) > CONTENT_MAX:
                    self._decide(path, match, (f"more than {CONTENT_MAX} bytes",))
                    continue
                result = content[:at].ljust(at, b"\0") + data + content[at + len(data) :]
                self._check_content(handle.node, path, match, content, result)

    def _content(self, node: Node) -> bytes:
        fd = super().open(node, os.O_RDONLY)
        try:
            return evidence.read_open(fd)
        finally:
            os.close(fd)

    def _check_content(self, node: Node, path: Names, match: Match, content: bytes, result: bytes) -> None:
        executable = bool(self.stat(node).st_mode & 0o111)
        known = self._problems(path, match, content, executable=executable)
        found = self._problems(path, match, result, executable=executable)
        before = Found(self.stat(node), content)
        self._decide(path, match, found, known, content=result, executable=executable, before=before)

    def check_resize(self, node: Node) -> None:
        """Raise OSError (EOPNOTSUPP) if the content of the file decides, so that programs write the data instead."""
        for _, match in self._matches_of(node):
            if self._is_early(match):
                raise failure(errno.EOPNOTSUPP)

    def copying(self, node: Node, change: int) -> None:
        """Count a copy to ``node`` that another thread makes: 1 at its start, -1 at its end."""
        if change > 0:
            self.check_resize(node)
        self._copies[node] += change
        if not self._copies[node]:
            del self._copies[node]

    def change(self, node: Node, change: Change, handle: Handle | None) -> None:
        """Set attributes. ``handle`` is the handle with which the guest truncates the file, if any."""
        if node.is_regular and (change.size is not None or change.mode is not None):
            for path, match in self._matches_of(node):
                content = self._content(node)
                if change.size is not None:
                    size = min(change.size, CONTENT_MAX + 1)
                    self._before_writing(node, path, match)
                    if self._is_early(match):
                        self._check_content(node, path, match, content, content[:size].ljust(size, b"\0"))
                if change.mode is not None and match.rule.check is Check.HOOK:
                    known = self._problems(path, match, content, executable=bool(self.stat(node).st_mode & 0o111))
                    found = self._problems(path, match, content, executable=bool(change.mode & 0o111))
                    self._decide(path, match, found, known, content=content, executable=bool(change.mode & 0o111))
        super().change(node, change, handle)

    def closing(self, handle: Handle) -> None:
        """Report a change of a file that is checked when it is closed."""
        super().closing(handle)
        node = handle.node
        if not handle.writable or not node.is_regular:
            return
        for path, match in self._matches_of(node):
            if self._is_early(match):
                continue
            content = evidence.read_open(fd) if (fd := self._readable(handle)) >= 0 else b""
            os.close(fd)
            executable = bool(os.fstat(handle.fd).st_mode & 0o111)
            found = self._problems(path, match, content, executable=executable)
            self._decide(path, match, found, self._known.get(path, ()), content=content, executable=executable)
            self._known[path] = found

    @staticmethod
    def _readable(handle: Handle) -> int:
        return os.open(f"/proc/self/fd/{handle.fd}", os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)


def _git_match(path: Names) -> Match:
    """Return a rule for a Git directory as a whole."""
    return next(match for match, _ in below((*path, b".git"), lambda _: False))


def _link_to(target: bytes) -> str:
    return f"a link to {target.decode('utf-8', 'backslashreplace')}"


def _special(directory: int, name: bytes) -> tuple[str, bytes]:
    """Return the problem of a link or another special file, and the target of a link."""
    try:
        target = os.readlink(name, dir_fd=directory)
    except OSError:
        return _SPECIAL, b""
    return _link_to(target), target
