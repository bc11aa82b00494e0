"""The files of the user's configuration for a guest, read and sanitized in memory. Nothing is written on the host.

The keeper reads the files, and not the client that starts it, so that only the client's choices are sent to the keeper
and not megabytes of files. The choices are the client's, because they depend on its environment (HOME,
CLAUDE_CONFIG_DIR and others), which the keeper does not inherit.
"""

from __future__ import annotations

import base64
import os
import posixpath
import subprocess
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ccvm_tui.agents import AGENTS, Agent, Facts, Item, context, gitconfig
from ccvm_tui.errors import UserError
from ccvm_tui.guard import git
from ccvm_tui.keeper.tree import Budget, Tree, TreeFile, is_below
from ccvm_tui.project.history import History
from ccvm_tui.protocol import Sharing

GIT_TIMEOUT = 10.0
"""Seconds within which Git must print its configuration."""

BATCH = 1 << 20
"""Bytes of files in one message, unless it has a single file. Longer messages would approach the limit of the control
port (``control.FRAME_MAX``), and are held in memory by both sides as a whole."""

_GIT_TARGET = ".config/git"


@dataclass(frozen=True, slots=True)
class GuestFile:
    """A file for the guest. ``path`` is below the home directory of the guest's user, or absolute: then root owns it.

    If the program ``needs`` is not in the guest, the file is omitted. With ``append``, the data is added to the file.
    """

    path: str
    data: bytes
    mode: int = 0o644
    needs: str = ""
    append: bool = False


@dataclass(frozen=True, slots=True)
class Staged:
    """The files for a guest, and warnings about those that do not cross."""

    files: list[GuestFile] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def stage(sharing: Sharing, project: str, replaced_ending: str = "") -> Staged:
    """Read and sanitize the configuration for a guest. Blocks. Errors with single files become warnings.

    ``replaced_ending`` is the end of the placeholder for API keys; see ``Facts``.
    """
    writable = writable_roots(project)
    staged = Staged()
    if (agent := AGENTS.get(sharing.agent)) is not None:
        _Agent(agent, sharing, project, writable, staged, replaced_ending).stage()
    if sharing.git:
        _stage_git(sharing, writable, staged)
    return staged


def messages(files: Iterable[GuestFile]) -> Iterator[dict[str, Any]]:
    """Yield messages with ``files``, in their order, which precede the message ``configure``."""
    batch: list[dict[str, Any]] = []
    size = 0
    for file in files:
        if batch and size + len(file.data) > BATCH:
            yield {"type": "files", "files": batch}
            batch, size = [], 0
        batch.append(
            {
                "path": file.path if file.path.startswith("/") else f"~/{file.path}",
                "data": base64.b64encode(file.data).decode(),
                "mode": file.mode,
                "needs": file.needs,
                "append": file.append,
            }
        )
        size += len(file.data)
    if batch:
        yield {"type": "files", "files": batch}


def history_directory(sharing: Sharing, project: str) -> str:
    """Return the resolved directory of the agent's conversations, which is created if it is missing. Blocks.

    Raises UserError if it cannot be shared.
    """
    hint = "or start the guest with CCVM_PERSIST_PROJECTS=0"
    path = Path(sharing.history)
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        resolved = os.path.realpath(path)
    except OSError as error:
        raise UserError(f"cannot create {path}: {error.strerror}", f"check its permissions, {hint}") from error
    for root in writable_roots(project):
        if is_below(os.path.realpath(path.parent), root) and not is_below(resolved, root):
            # the guest could write to any directory that a link leads to
            raise UserError(f"{path} leads out of {root}, to which guests can write", f"remove the link, {hint}")
    if is_below(os.path.realpath(sharing.home), resolved):
        raise UserError(f"{path} leads to the home directory, or above it", f"correct the link, {hint}")
    return resolved


def writable_roots(project: str) -> list[str]:
    """Return the directories to which guests can write: this project, and all others that are known."""
    return [os.path.realpath(path) for path in (project, *(known.path for known in History().list()))]


class _Agent:
    """The files of one agent, by their paths below its directory in the guest."""

    def __init__(
        self, agent: Agent, sharing: Sharing, project: str, writable: list[str], staged: Staged, replaced_ending: str
    ) -> None:
        self._agent = agent
        self._sharing = sharing
        self._staged = staged
        self._budget = Budget()
        target = agent.directory.target
        self._facts = Facts(project, sharing.directory, target, sharing.key_endings, replaced_ending)
        private = [posixpath.join(sharing.directory, name) for name in sorted(agent.private)]
        self._tree = Tree(sharing.home, writable, private, staged.warnings.append)
        self._files: dict[str, GuestFile] = {}

    def stage(self) -> None:
        for item in self._agent.items:
            if item.setting in self._sharing.items:
                self._add_item(item)
        base = self._agent.directory.default
        for name, add in self._agent.additions.items():
            self._add_hooks(f"{base}/{name}", add)
        if self._sharing.context:
            path = f"{base}/{self._agent.instructions}"
            own = self._files.get(path)
            data = context.appended(own.data if own else None, self._sharing.context)
            self._files[path] = GuestFile(path, data)
        self._staged.files.extend(self._files.values())

    def _add_item(self, item: Item) -> None:
        beside = item.beside and not self._sharing.directory_chosen
        source = posixpath.join(self._sharing.home if beside else self._sharing.directory, item.source)
        target = item.source if item.beside else f"{self._agent.directory.default}/{item.source}"
        budget = replace(self._budget)
        try:
            found = self._tree.read(source, budget)
        except FileNotFoundError:
            return
        except OSError as error:
            self._warn(source, error.strerror or str(error))
            return
        self._budget = budget
        for file in found:
            self._add_file(item, file, source, target)

    def _add_file(self, item: Item, file: TreeFile, source: str, target: str) -> None:
        sanitizer = item.inner.get(posixpath.basename(file.path)) if file.path else item.sanitizer
        data = file.data
        if sanitizer is not None:
            try:
                data = sanitizer(data, self._facts)
            except ValueError as error:
                self._warn(posixpath.join(source, file.path) if file.path else source, str(error))
                return
        path = posixpath.join(target, file.path) if file.path else target
        self._files[path] = GuestFile(path, data, file.mode)

    def _add_hooks(self, path: str, add: Callable[[bytes | None], bytes | None]) -> None:
        own = self._files.get(path)
        data = add(own.data if own else None)
        if data is not None:
            self._files[path] = GuestFile(path, data, own.mode if own else 0o644)

    def _warn(self, path: str, reason: str) -> None:
        self._staged.warnings.append(f"{path} is not in the guest: {reason}")


def _stage_git(sharing: Sharing, writable: list[str], staged: Staged) -> None:
    entries: list[gitconfig.Entry] = []
    for path in sharing.git:
        if Path(path).exists():
            try:
                entries += _git_entries(path, sharing.home)
            except (OSError, subprocess.SubprocessError) as error:
                staged.warnings.append(f"{path} is not in the guest: {_git_reason(error)}")
    for fragment in gitconfig.fragments(entries) if entries else ():
        data = fragment.text.encode("utf-8", "surrogateescape")
        append = bool(fragment.needs)
        staged.files.append(GuestFile(f"{_GIT_TARGET}/config", data, 0o644, fragment.needs, append))
    tree = Tree(sharing.home, writable, [], staged.warnings.append)
    for key, default, name in (
        (gitconfig.EXCLUDES, sharing.git_ignore, "ignore"),
        (gitconfig.ATTRIBUTES, sharing.git_attributes, "attributes"),
    ):
        path = _expanded(gitconfig.last(entries, key), sharing.home) or default
        try:
            files = tree.read(path, Budget())
        except OSError:
            continue  # Git ignores a missing file, too
        staged.files.extend(GuestFile(f"{_GIT_TARGET}/{name}", file.data) for file in files if not file.path)


def _git_entries(path: str, home: str) -> list[gitconfig.Entry]:
    """Return the entries of a configuration file with its includes.

    Git runs outside of any repository and with this file only, so that nothing that a guest can write has an influence.
    """
    listing = git.command("config", "--file", path, "--includes", "--list", "-z", home=home)
    done = subprocess.run(
        listing.argv, stdin=subprocess.DEVNULL, capture_output=True, timeout=GIT_TIMEOUT, check=True,
        env=listing.environment, cwd=listing.directory,
    )  # fmt: skip
    return gitconfig.parse(done.stdout)


def _git_reason(error: Exception) -> str:
    match error:
        case FileNotFoundError():
            return "Git is not installed on this machine"
        case subprocess.CalledProcessError():
            lines = error.stderr.decode(errors="replace").strip().splitlines()
            return lines[0] if lines else f"Git ended with status {error.returncode}"
        case subprocess.TimeoutExpired():
            return f"Git did not answer within {GIT_TIMEOUT:.0f} s"
    return str(error)


def _expanded(path: str, home: str) -> str:
    """Return the path in a setting of Git, or an empty string if it is not absolute."""
    if path.startswith("~/"):
        path = posixpath.join(home, path[2:])
    return path if path.startswith("/") else ""
