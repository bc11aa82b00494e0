"""The user's file with the tokens of a login, which the agent on the host uses too.

Refresh tokens change with each use, so that only one process at a time may use one. It holds a lock of ours, by which
keepers exclude each other, and then the locks of the agent's own program. Within them, the file is read again, and
replaced at once when new tokens have arrived. A process that is killed between the response and the replacement loses
them; that cannot be avoided. If it is killed between writing the new file and renaming it, the next process does that.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import fcntl
import json
import os
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

from ccvm_tui.agents.logins import Subscription
from ccvm_tui.broker.tokens import Grant

LOCK = ".ccvm-login.lock"
"""The name of the lock file, beside the credentials file. The lock is a flock, which the kernel releases."""

LOCK_TIMEOUT = 60.0
"""Seconds for which the locks are waited for."""

STALE_AFTER = 10.0
"""Seconds without a change after which a lock of the agent's program has been left behind by a killed process."""

_TOUCH_EVERY = 3.0
_POLL = 0.05  # neither flock nor a directory reports that it has become free, other than to a blocked thread
_PENDING = ".ccvm-new"
_SIZE_MAX = 1 << 20


class Locked(Exception):
    """Another process has held the locks for too long."""


@dataclass(frozen=True, slots=True)
class Tokens:
    """The tokens of a login. ``expires_at`` is in seconds since 1970. ``facts`` are the members that are not secret."""

    access: str = field(repr=False)
    refresh: str = field(repr=False)
    expires_at: float
    facts: dict[str, Any] = field(default_factory=dict)

    @property
    def scopes(self) -> list[str]:
        """The scopes, which are empty if they are not known."""
        scopes = self.facts.get("scopes")
        return [scope for scope in scopes if isinstance(scope, str)] if isinstance(scopes, list) else []

    def renewed(self, grant: Grant, now: float) -> Tokens:
        """Return the tokens of ``grant``, with the facts of these."""
        facts = {**self.facts, **({"scopes": grant.scope.split()} if grant.scope else {})}
        return replace(self, access=grant.access, refresh=grant.refresh, expires_at=now + grant.expires_in, facts=facts)


class Store(Protocol):
    """The place of tokens."""

    def read(self) -> Tokens | None:
        """Return the current tokens, or None if there are none."""

    def write(self, tokens: Tokens) -> None:
        """Replace the tokens. The caller holds the lock. Raises OSError."""

    def locked(self) -> contextlib.AbstractAsyncContextManager[None]:
        """Exclude all others who refresh these tokens while the block runs. Raises Locked or OSError."""


class Memory:
    """Tokens that only this process knows."""

    def __init__(self, tokens: Tokens) -> None:
        self._tokens = tokens
        self._lock = asyncio.Lock()

    def read(self) -> Tokens | None:
        """Return the tokens."""
        return self._tokens

    def write(self, tokens: Tokens) -> None:
        """Replace the tokens."""
        self._tokens = tokens

    @contextlib.asynccontextmanager
    async def locked(self) -> AsyncIterator[None]:
        """Exclude other tasks."""
        async with self._lock:
            yield


class HostFile:
    """The credentials file ``path``, which need not exist."""

    def __init__(self, path: Path, subscription: Subscription) -> None:
        self._path = Path(os.path.realpath(path))
        self._subscription = subscription
        self._seen: tuple[int, ...] = ()
        self._tokens: Tokens | None = None

    def read(self) -> Tokens | None:
        """Return the tokens in the file, which is only read again if it has changed."""
        try:
            info = self._path.stat()
        except OSError:
            return None
        seen = info.st_dev, info.st_ino, info.st_mtime_ns, info.st_size
        if seen != self._seen:
            self._tokens = self._parse(self._content())
            self._seen = seen
        return self._tokens

    def _content(self) -> dict[str, Any]:
        return _content(self._path)

    def _parse(self, content: dict[str, Any]) -> Tokens | None:
        member = content.get(self._subscription.member)
        if not isinstance(member, dict):
            return None
        access, refresh, expires = (member.get(name) for name in ("accessToken", "refreshToken", "expiresAt"))
        if not isinstance(access, str) or not access:
            return None
        facts = {name: member[name] for name in self._subscription.facts if name in member}
        return Tokens(
            access,
            refresh if isinstance(refresh, str) else "",
            expires / 1000 if isinstance(expires, int | float) else 0.0,
            facts,
        )

    def write(self, tokens: Tokens) -> None:
        """Replace the tokens in the file atomically. Everything else in it is kept.

        Raises OSError, also for a file that is not a JSON object: it is left unchanged.
        """
        content = _existing(self._path)
        member = content.get(self._subscription.member)
        content[self._subscription.member] = {
            **(member if isinstance(member, dict) else {}),
            **tokens.facts,
            "accessToken": tokens.access,
            "refreshToken": tokens.refresh,
            "expiresAt": int(tokens.expires_at * 1000),
        }
        pending = self._pending
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
        fd = os.open(pending, flags, 0o600)
        with os.fdopen(fd, "wb") as file:
            os.fchmod(fd, 0o600)
            file.write(json.dumps(content, indent=2).encode())
            file.flush()
            os.fsync(fd)
        pending.rename(self._path)
        _sync_directory(self._path.parent)

    @property
    def _pending(self) -> Path:
        return self._path.with_name(self._path.name + _PENDING)

    def _recover(self) -> None:
        """Complete, or remove, what a killed process has left behind."""
        if not self._pending.exists():
            return
        left, current = self._parse(_content(self._pending)), self._parse(self._content())
        if left is not None and (current is None or left.expires_at > current.expires_at):
            self._pending.rename(self._path)
        else:
            self._pending.unlink()

    @contextlib.asynccontextmanager
    async def locked(self) -> AsyncIterator[None]:
        """Exclude all other keepers, and the agent on the host. Raises Locked or OSError."""
        deadline = time.monotonic() + LOCK_TIMEOUT
        directory = self._path.parent
        async with contextlib.AsyncExitStack() as held:
            fd = os.open(directory / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
            held.callback(os.close, fd)
            while not _try_flock(fd):
                await _pause(deadline)
            _remove_left_behind(fd)
            for name in self._subscription.locks:
                path = Path(os.path.normpath(directory / name.format(name=directory.name)))
                await held.enter_async_context(_directory_lock(path, deadline))
                os.write(fd, f"{path.stat().st_ino} {path}\n".encode())
            held.callback(os.ftruncate, fd, 0)
            self._recover()
            yield


def _content(path: Path) -> dict[str, Any]:
    """Return the object in a JSON file, which is empty if there is none."""
    try:
        with path.open("rb") as file:
            parsed = json.loads(file.read(_SIZE_MAX))
    except (OSError, ValueError, RecursionError):
        return {}
    return parsed if isinstance(parsed, dict) else {}


def _existing(path: Path) -> dict[str, Any]:
    """Return the object in a JSON file, or an empty one if there is no file. Raises OSError for anything else."""
    try:
        text = path.read_text()
        parsed = json.loads(text) if text.strip() else {}
    except FileNotFoundError:
        return {}
    except (ValueError, RecursionError):
        parsed = None
    if not isinstance(parsed, dict):
        raise OSError(errno.EINVAL, "the file of the login is not a JSON object, and was not changed", str(path))
    return parsed


def _try_flock(fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _remove_left_behind(fd: int) -> None:
    """Remove the locks of a killed keeper, which has listed them in the lock file ``fd``."""
    for line in os.pread(fd, _SIZE_MAX, 0).decode("utf-8", "replace").splitlines():
        number, _, name = line.partition(" ")
        with contextlib.suppress(OSError):
            if str(Path(name).lstat().st_ino) == number:
                Path(name).rmdir()
    os.ftruncate(fd, 0)


async def _pause(deadline: float) -> None:
    """Wait a moment. Raises Locked after the deadline."""
    if time.monotonic() > deadline:
        raise Locked("another process has been refreshing the login for too long")
    await asyncio.sleep(_POLL)


@contextlib.asynccontextmanager
async def _directory_lock(path: Path, deadline: float) -> AsyncIterator[None]:
    """Hold a lock in the form of a directory, whose time of change shows that its owner is alive. Raises Locked."""
    while not _try_directory(path):
        await _pause(deadline)
    touching = asyncio.ensure_future(_touch(path))
    try:
        yield
    finally:
        touching.cancel()
        with contextlib.suppress(OSError):
            path.rmdir()


def _try_directory(path: Path) -> bool:
    try:
        path.mkdir(mode=0o700)
    except FileExistsError:
        with contextlib.suppress(OSError):
            if time.time() - path.stat().st_mtime > STALE_AFTER:
                path.rmdir()
        return False
    return True


async def _touch(path: Path) -> None:
    while True:
        await asyncio.sleep(_TOUCH_EVERY)
        with contextlib.suppress(OSError):
            os.utime(path)


def _sync_directory(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
