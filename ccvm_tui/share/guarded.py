"""A writable host directory in which the guest can leave nothing that the host would run; see ``ccvm_tui.guard``.

Each change is checked before it is made, so there is no moment at which a program of the host could find it. What is on
the disk is the baseline: a change is refused only for problems that the file in that place does not have already.
Nothing is scanned in advance. Problems of files that leave their place are remembered, so that they can return.

A file whose content decides has one name only: it could otherwise be changed through another. A directory becomes a Git
directory by its name or by its parts, and is then checked as a whole. A new hook is written to memory and reported when
it is closed, so that the user can read what the guest wanted.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Final

from ccvm_tui.guard.checks import CONTENT_MAX
from ccvm_tui.guard.places import PARTS, Check, Match
from ccvm_tui.share import evidence
from ccvm_tui.share.arrivals import Arrivals
from ccvm_tui.share.evidence import Found
from ccvm_tui.share.host import Change, HostTree
from ccvm_tui.share.judge import ANYTHING, TOO_LARGE, Judge, Names, link_to
from ccvm_tui.share.nodes import Handle, Key, Node, failure
from ccvm_tui.share.reporting import Send

CAPTURED_MAX: Final = 16
"""The number of blocked hooks that can be open at the same time. The creation of others fails at once."""

_WRITING: Final = os.O_WRONLY | os.O_RDWR
_EXCHANGE: Final = 2


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
        root, directory_fd = self.nodes.root, self.directory_fd
        self._copies: Counter[Node] = Counter()
        self._judge = Judge(os.fsencode(path), root, directory_fd, report, blocking=blocking)
        self._arrivals = Arrivals(self._judge, self.nodes, directory_fd, lambda: self._copies)
        self._captured: dict[Key, tuple[Names, Match]] = {}

    def trust(self, path: str, allowed: Iterable[str]) -> None:
        """Accept the problems ``allowed`` of the file ``path`` from now on."""
        self._judge.trust(tuple(os.fsencode(path).split(b"/")), allowed)

    # --- names --------------------------------------------------------------------------------------------------

    def create(self, parent: Node, name: bytes, flags: int, mode: int) -> int:
        """Create and open a regular file, and return its descriptor. Raises OSError (EEXIST) if the name exists."""
        self._arrivals.created(parent, name)
        return super().create(parent, name, flags, mode)

    def capture(self, parent: Node, name: bytes, flags: int, mode: int) -> int:
        """Return a descriptor of a file in memory in place of a hook that must not be created, or -1 for others."""
        hook = self._arrivals.new_hook(parent, name)
        if hook is None or self._judge.accepts(hook[0], ANYTHING) or len(self._captured) >= CAPTURED_MAX:
            return -1
        fd = os.memfd_create("blocked hook", os.MFD_CLOEXEC)
        os.fchmod(fd, mode & 0o777)
        if flags & os.O_APPEND:
            fcntl.fcntl(fd, fcntl.F_SETFL, os.O_APPEND)
        info = os.fstat(fd)
        self._captured[info.st_dev, info.st_ino] = hook
        return fd

    def make_directory(self, parent: Node, name: bytes, mode: int) -> None:
        """Create a directory."""
        self._arrivals.part(parent, name)
        super().make_directory(parent, name, mode)

    def make_node(self, parent: Node, name: bytes, mode: int) -> None:
        """Create a regular file, a FIFO or a socket. Raises OSError (EPERM) for a device node."""
        if stat.S_IFMT(mode) in (0, stat.S_IFREG):
            self._arrivals.created(parent, name)
        else:
            self._arrivals.special(parent, name, "it is not a regular file")
        super().make_node(parent, name, mode)

    def make_link(self, parent: Node, name: bytes, target: bytes) -> None:
        """Create a symbolic link."""
        self._arrivals.special(parent, name, link_to(target), target)
        super().make_link(parent, name, target)

    def link(self, node: Node, parent: Node, name: bytes) -> None:
        """Create another name for ``node``."""
        self._arrivals.linked(node, parent, name, lambda: self._read(node))
        super().link(node, parent, name)

    def rename(self, parent: Node, name: bytes, new_parent: Node, new_name: bytes, flags: int) -> None:
        """Rename a file; ``flags`` as in renameat2(2)."""
        moves = [(parent, name, new_parent, new_name)]
        if flags & _EXCHANGE:
            moves.append((new_parent, new_name, parent, name))
        for move in moves:
            self._arrivals.moved(*move)
        for source, source_name, _, _ in moves:
            self._arrivals.leaving(source, source_name)
        super().rename(parent, name, new_parent, new_name, flags)

    def remove(self, parent: Node, name: bytes, *, directory: bool) -> None:
        """Delete a file, or an empty directory if ``directory`` is true."""
        if not directory or name.lower() in PARTS:
            self._arrivals.leaving(parent, name)
        super().remove(parent, name, directory=directory)

    # --- contents and attributes --------------------------------------------------------------------------------

    def _read(self, node: Node) -> Found:
        """Return the file as it is on the disk."""
        fd = super().open(node, os.O_RDONLY)
        try:
            return Found(os.fstat(fd), evidence.read_open(fd))
        finally:
            os.close(fd)

    def open(self, node: Node, flags: int) -> int:
        """Open a regular file, and return its descriptor. With O_TRUNC, only the verified file is truncated."""
        if flags & (_WRITING | os.O_TRUNC) and node.is_regular:
            for path, match in self._judge.matches_of(node):
                self._before_writing(node, path, match)
        return super().open(node, flags)

    def _before_writing(self, node: Node, path: Names, match: Match) -> None:
        if match.rule.check is not Check.HOOK or not self._judge.is_early(match):
            self._judge.remember(path, match, self._read(node))
        elif not path[-1].endswith(b".sample"):
            self._judge.decide(path, match, (ANYTHING,))

    def check_write(self, handle: Handle, segments: Sequence[memoryview], offset: int, *, cached: bool) -> None:
        """Raise OSError (EPERM) if the file must not have the content that a write results in.

        ``cached`` is true for pages of the guest's cache, which are never appended.
        """
        node = handle.node
        if node.key in self._captured and offset + sum(map(len, segments)) > CONTENT_MAX:
            raise failure(errno.EFBIG)
        for path, match in self._judge.matches_of(node):
            if not self._judge.is_early(match):
                continue
            found = self._read(node)
            before = found.content or b""
            append = not cached and fcntl.fcntl(handle.fd, fcntl.F_GETFL) & os.O_APPEND
            at = len(before) if append else offset
            data = b"".join(segments)
            if max(len(before), at + len(data)) > CONTENT_MAX:
                self._judge.decide(path, match, (TOO_LARGE,))
            else:
                self._check_content(path, match, found, before[:at].ljust(at, b"\0") + data + before[at + len(data) :])

    def _check_content(self, path: Names, match: Match, before: Found, content: bytes) -> None:
        texts = self._judge.problems(path, match, content, executable=before.executable)
        known = self._judge.problems_of(path, match, before)
        self._judge.decide(path, match, texts, known, content=content, executable=before.executable, before=before)

    def check_resize(self, node: Node) -> None:
        """Raise OSError (EOPNOTSUPP) if the content of the file decides, so that programs write the data instead."""
        if node.key in self._captured or any(self._judge.is_early(match) for _, match in self._judge.matches_of(node)):
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
        if change.size is not None and node.key in self._captured and change.size > CONTENT_MAX:
            raise failure(errno.EFBIG)
        if node.is_regular and (change.size is not None or change.mode is not None):
            for path, match in self._judge.matches_of(node):
                if change.size is not None:
                    self._check_truncation(node, path, match, change.size)
                if change.mode is not None and match.rule.check is Check.HOOK:
                    found = self._read(node)
                    self._judge.remember(path, match, found)
                    if not change.mode & 0o111:
                        continue  # Git does not run it
                    texts = self._judge.problems(path, match, found.content or b"", executable=True)
                    known = self._judge.problems_of(path, match, found)
                    self._judge.decide(path, match, texts, known, content=found.content, executable=True, before=found)
        super().change(node, change, handle)

    def _check_truncation(self, node: Node, path: Names, match: Match, size: int) -> None:
        self._before_writing(node, path, match)
        if self._judge.is_early(match):
            found, size = self._read(node), min(size, CONTENT_MAX + 1)
            self._check_content(path, match, found, (found.content or b"")[:size].ljust(size, b"\0"))

    def flushed(self, handle: Handle) -> None:
        """Raise OSError (EPERM) when a program closes a hook that is blocked."""
        if handle.node.key in self._captured:
            raise failure(errno.EPERM)

    def closing(self, handle: Handle) -> None:
        """Report a blocked hook, or the change of a file that is checked when it is closed."""
        super().closing(handle)
        node = handle.node
        if node.key in self._captured and len(node.handles) == 1:
            self._report_captured(handle, *self._captured.pop(node.key))
        if not handle.writable or not node.is_regular:
            return
        for path, match in self._judge.matches_of(node):
            if not self._judge.is_early(match):
                fd = os.open(f"/proc/self/fd/{handle.fd}", os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
                found = Found(os.fstat(fd), evidence.read_open(fd))
                os.close(fd)
                self._judge.decide_late(path, match, found, self._judge.problems_of(path, match, found))

    def _report_captured(self, handle: Handle, path: Names, match: Match) -> None:
        found = Found(os.fstat(handle.fd), evidence.read_open(handle.fd))
        try:
            texts = self._judge.problems_arriving(path, match, found, 0)
            self._judge.decide(path, match, texts, content=found.content, executable=found.executable)
        except PermissionError:
            pass  # the program was notified when it closed the file
