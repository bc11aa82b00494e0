"""The commands with which this program runs Git. Nothing else in it runs Git (``tests/guard/test_git.py``).

A repository in a project is input from a guest: its configuration names programs, its hooks are programs, and its
attributes select filters. No option of Git ignores a repository's configuration. So Git never uses the repository
itself, but a *view* of it: an empty directory of ours with a configuration of ours, which borrows nothing but the
objects, and copies of the references and of the index. Snapshots (``project.snapshots``) are in a repository of ours.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ccvm_tui.errors import UserError
from ccvm_tui.guard.config_file import parse

_READ: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_COPIED_MAX: Final = 256 << 20
_HASHES: Final = frozenset({b"sha1", b"sha256"})

_OPTIONS: Final = (
    "core.fsmonitor=false", "core.hooksPath=/dev/null", "core.attributesFile=/dev/null", "core.pager=cat",
    "core.untrackedCache=false", "core.preloadIndex=true", "diff.ignoreSubmodules=all",
    "protocol.allow=never", "credential.helper=", "gc.auto=0", "maintenance.auto=false", "submodule.recurse=false",
    "status.submoduleSummary=false", "core.quotePath=false",
)  # fmt: skip
"""Settings for each command. They repeat what an empty configuration means, in case a later version of Git differs."""


_OF_SESSION: Final = (
    "XDG_RUNTIME_DIR",
    "XDG_CONFIG_HOME",
    "XDG_CACHE_HOME",
    "DBUS_SESSION_BUS_ADDRESS",
    "USER",
    "LOGNAME",
)
"""Variables by which credential helpers find keyrings."""

_ENTERS_SUBMODULES: Final = ("status", "diff", "diff-files", "diff-index", "commit")
"""Subcommands that run Git in submodules, with their configuration, unless an option says no. ``.gitmodules`` overrides
the setting."""


@dataclass(frozen=True, slots=True)
class Command:
    """A command and its whole environment. Run it with ``stdin`` closed, or with the command's input."""

    argv: tuple[str, ...]
    environment: Mapping[str, str]
    directory: str = "/"


def command(*arguments: str, home: str = "/nonexistent") -> Command:
    """Return the command ``git ARGUMENTS`` outside of any repository, without the settings of user and system.

    ``~`` in paths of configuration files means ``home``.
    """
    return Command(("git", *arguments), _environment(home, os.devnull))


def credential_command(entries: Sequence[tuple[str, str]], home: str) -> Command:
    """Return the command that asks credential helpers, with a description as its input (git-credential(1)).

    ``entries`` are the settings that name the helpers; no other ones are used, and the user is asked nothing.
    """
    made = command("credential", "fill", home=home)
    settings = {"GIT_CONFIG_COUNT": str(len(entries)), "GIT_ASKPASS": "false", "SSH_ASKPASS": "false"}
    for number, (key, value) in enumerate(entries):
        settings |= {f"GIT_CONFIG_KEY_{number}": key, f"GIT_CONFIG_VALUE_{number}": value}
    session = {name: os.environ[name] for name in _OF_SESSION if name in os.environ}
    return Command(made.argv, {**session, **made.environment, **settings}, home)


def command_with(repository: str, worktree: str, *arguments: str, objects: str = "", borrowed: str = "") -> Command:
    """Return the command ``git ARGUMENTS`` in ``worktree``, with ``repository``, a directory that no guest can change.

    ``objects`` is the directory of the objects, if it is elsewhere, ``borrowed`` another one from which Git only reads.
    """
    options = [part for option in _OPTIONS for part in ("-c", option)]
    if arguments[0] in _ENTERS_SUBMODULES:
        arguments = (arguments[0], "--ignore-submodules=all", *arguments[1:])
    environment = {
        **_environment(repository, repository),
        "GIT_WORK_TREE": worktree,
        "GIT_INDEX_FILE": f"{repository}/index",
        **({"GIT_OBJECT_DIRECTORY": objects} if objects else {}),
        **({"GIT_ALTERNATE_OBJECT_DIRECTORIES": borrowed} if borrowed else {}),
    }
    return Command(("git", *options, *arguments), environment, worktree)


def _environment(home: str, git_directory: str) -> dict[str, str]:
    return {
        "PATH": os.environ.get("PATH", os.defpath),
        "HOME": home,
        "GIT_DIR": git_directory,
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_ATTR_NOSYSTEM": "1",
        "GIT_OPTIONAL_LOCKS": "0",
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_NO_REPLACE_OBJECTS": "1",
        "GIT_NO_LAZY_FETCH": "1",
        "GIT_PAGER": "cat",
        "GIT_EDITOR": "false",
        "LC_ALL": "C",
    }


@dataclass(frozen=True, slots=True)
class Repository:
    """A view of the repository of ``worktree``, in the directory ``view``."""

    worktree: str
    view: str
    objects: str

    def command(self, *arguments: str) -> Command:
        """Return the command ``git ARGUMENTS`` in the worktree."""
        return command_with(self.view, self.worktree, *arguments, objects=self.objects)


@contextlib.contextmanager
def repository(worktree: str) -> Iterator[Repository]:
    """Yield a view of the repository in ``worktree``, which exists within the context. Git must only read with it.

    Raises UserError if there is no repository, or one that is not supported: a linked worktree, reftable, alternates.
    """
    with tempfile.TemporaryDirectory(prefix="ccvm-git") as view, contextlib.ExitStack() as opened:
        directory = _open(worktree, ".git", worktree)
        opened.callback(os.close, directory)
        _write(view, "config", _config(_read(directory, "config"), worktree))
        for name in ("HEAD", "packed-refs", "index", "shallow"):
            if (content := _read(directory, name)) is not None:
                _write(view, name, content)
        _copy_references(directory, view, worktree)
        objects = _open_at(directory, "objects", worktree)
        opened.callback(os.close, objects)
        if _read(_open_info(objects, opened), "alternates") is not None:
            raise _unsupported(worktree, "it borrows objects from another repository")
        yield Repository(worktree, view, f"/proc/{os.getpid()}/fd/{objects}")


def _unsupported(worktree: str, reason: str) -> UserError:
    return UserError(f"cannot read the repository in {worktree}: {reason}", "use Git in the guest")


def _open(parent: str, name: str, worktree: str) -> int:
    try:
        fd = os.open(parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise _unsupported(worktree, str(error.strerror)) from error
    try:
        return _open_at(fd, name, worktree)
    finally:
        os.close(fd)


def _open_at(directory: int, name: str, worktree: str) -> int:
    try:
        return os.open(name, _READ | os.O_DIRECTORY, dir_fd=directory)
    except OSError as error:
        raise _unsupported(worktree, f"{name} is not a directory") from error


def _open_info(objects: int, opened: contextlib.ExitStack) -> int:
    """Return a descriptor of ``objects/info``, or of ``objects`` if it does not exist."""
    try:
        info = os.open("info", _READ | os.O_DIRECTORY, dir_fd=objects)
    except OSError:
        return objects
    opened.callback(os.close, info)
    return info


def _read(directory: int, name: str) -> bytes | None:
    """Return the content of a regular file, or None if there is none."""
    try:
        fd = os.open(name, _READ, dir_fd=directory)
    except OSError:
        return None
    with os.fdopen(fd, "rb") as file:
        return file.read(_COPIED_MAX) if stat.S_ISREG(os.fstat(fd).st_mode) else None


def _write(view: str, name: str, content: bytes) -> None:
    path = Path(view, name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def _copy_references(directory: int, view: str, worktree: str) -> None:
    refs = _open_at(directory, "refs", worktree)
    try:
        for above, _, names, fd in os.fwalk(".", dir_fd=refs, follow_symlinks=False):
            for name in names:
                if (content := _read(fd, name)) is not None:
                    _write(view, f"refs/{above}/{name}", content)
    finally:
        os.close(refs)
    Path(view, "refs").mkdir(exist_ok=True)


def _config(content: bytes | None, worktree: str) -> bytes:
    """Return the configuration of the view: only what is needed to read the objects. Values are checked, not copied."""
    values = {entry.key: entry.value or b"" for entry in parse(content or b"").entries}
    if b"extensions.refstorage" in values and values[b"extensions.refstorage"] != b"files":
        raise _unsupported(worktree, "its references are in another format")
    hash_name = values.get(b"extensions.objectformat", b"sha1").lower()
    if hash_name not in _HASHES:
        raise _unsupported(worktree, "its objects are in another format")
    modes = b"false" if values.get(b"core.filemode", b"true").lower() == b"false" else b"true"
    text = b"[core]\n\trepositoryformatversion = 1\n\tbare = false\n\tfilemode = " + modes + b"\n"
    return text + b"[extensions]\n\tobjectformat = " + hash_name + b"\n"


def output(made: Command, timeout: float) -> bytes:
    """Return the output of a command, which is empty if it fails or takes longer than ``timeout`` seconds. Blocks."""
    try:
        done = subprocess.run(
            made.argv, env=made.environment, cwd=made.directory, stdin=subprocess.DEVNULL, capture_output=True,
            timeout=timeout, check=False,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired):
        return b""
    return b"" if done.returncode else done.stdout


def available() -> bool:
    """Return whether Git is installed on this machine."""
    return shutil.which("git") is not None
