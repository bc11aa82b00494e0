"""Logins for Git over HTTPS, which credential helpers of the user provide.

Only requests of Git's own protocol get one (gitprotocol-http(5)), for listed hosts or repositories. The helpers are
those in the user's global configuration. A file that a guest can write to is ignored, since it could name any program.
"""

from __future__ import annotations

import asyncio
import base64
import logging
import os
import re
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from ccvm_tui.agents.logins import HTTPS
from ccvm_tui.broker.sentinels import NoCredential
from ccvm_tui.guard import git

log = logging.getLogger(__name__)

SYSTEM_CONFIG = "/etc/gitconfig"
"""The configuration of all users."""

HELPER_TIMEOUT = 30.0
"""Seconds within which the helpers must answer."""

KEPT = 300.0
"""Seconds for which a login is used again."""

_REQUEST = re.compile(r"(?P<repository>/[^?]+?)/(?P<service>info/refs|git-upload-pack|git-receive-pack)")
_SERVICE = re.compile(r"service=git-(upload|receive)-pack")


@dataclass(frozen=True, slots=True)
class GitPlace:
    """A host, or the repositories at or below a ``path`` of it."""

    host: str
    port: int = HTTPS
    path: str = ""

    @classmethod
    def parse(cls, text: str) -> GitPlace:
        """Return the place that an entry of the setting means: ``host``, ``host:port`` or either with a path."""
        address, slash, path = text.partition("/")
        host, _, port = address.partition(":")
        return cls(host, int(port or HTTPS), f"{slash}{path}".removesuffix(".git").rstrip("/"))

    def covers(self, host: str, port: int, repository: str) -> bool:
        """Return whether a repository is one of these."""
        name = repository.removesuffix(".git")
        return (host, port) == (self.host, self.port) and (name == self.path or name.startswith(f"{self.path}/"))


def repository_of(target: str) -> str | None:
    """Return the path of the repository that a request of Git is about, or None for other requests."""
    path, _, query = target.partition("?")
    found = _REQUEST.fullmatch(path)
    if found is None or (found["service"] == "info/refs" and not _SERVICE.fullmatch(query)):
        return None
    return found["repository"]


@dataclass(frozen=True, slots=True)
class GitLogin:
    """A user name and a password, or token."""

    user: str
    password: str = field(repr=False)

    @property
    def encoded(self) -> str:
        """The login as a header has it (RFC 7617)."""
        return base64.b64encode(f"{self.user}:{self.password}".encode()).decode()


class GitLogins:
    """The logins for Git of one guest.

    ``files`` are the user's global configuration, and ``writable`` returns the directories to which guests can write.
    """

    def __init__(
        self, places: Iterable[GitPlace], files: Iterable[str], home: str, writable: Callable[[], list[str]]
    ) -> None:
        self.places = tuple(places)
        self._files = (SYSTEM_CONFIG, *files)
        self._home = home
        self._writable = writable
        self._known: dict[tuple[str, int, str], tuple[float, GitLogin]] = {}

    def is_listed(self, host: str, port: int, repository: str) -> bool:
        """Return whether a repository is listed."""
        return any(place.covers(host, port, repository) for place in self.places)

    async def get(self, host: str, port: int, repository: str) -> GitLogin:
        """Return the login for a repository. Raises NoCredential if the helpers have none."""
        place = host, port, repository
        until, login = self._known.get(place, (0.0, None))
        if login is None or until < time.monotonic():
            login = await self._ask(*place)
            self._known[place] = time.monotonic() + KEPT, login
        return login

    async def after_rejection(self, host: str, port: int, repository: str, rejected: GitLogin) -> GitLogin | None:
        """Return another login than one that a host has rejected, or None if there is none."""
        self._known.pop((host, port, repository), None)
        try:
            login = await self.get(host, port, repository)
        except NoCredential:
            return None
        return login if login != rejected else None

    async def _ask(self, host: str, port: int, repository: str) -> GitLogin:
        entries = await asyncio.to_thread(self._helpers)
        name = host if port == HTTPS else f"{host}:{port}"
        question = f"protocol=https\nhost={name}\npath={repository.lstrip('/')}\n\n"
        try:
            answer = await _run(git.credential_command(entries, self._home), question.encode())
        except OSError as error:
            raise NoCredential(f"Git cannot be run on the host: {error.strerror}") from None
        given = dict(line.partition("=")[::2] for line in answer.decode("utf-8", "replace").splitlines())
        if not given.get("password"):
            raise NoCredential(f"no credential helper on the host has a login for {name}")
        return GitLogin(given.get("username", ""), given["password"])

    def _helpers(self) -> list[tuple[str, str]]:
        """Return the settings about credentials, of files that no guest can change. Blocks."""
        roots = self._writable()
        found = []
        for path in self._files:
            if not Path(path).exists():
                continue
            made = git.command(
                "config", "--file", path, "--includes", "--show-origin", "-z", "--get-regexp", r"^credential\.",
                home=self._home,
            )  # fmt: skip
            parts = git.output(made, HELPER_TIMEOUT).decode("utf-8", "surrogateescape").split("\0")
            for origin, entry in zip(parts[::2], parts[1::2], strict=False):
                key, _, value = entry.partition("\n")
                source = os.path.realpath(Path(self._home, origin.removeprefix("file:")))
                if any(source == root or source.startswith(f"{root}/") or root in value for root in roots):
                    log.warning("a setting of Git about credentials is ignored, because a guest can change it")
                else:
                    found.append((key, value))
        return found


async def _run(made: git.Command, question: bytes) -> bytes:
    """Return the output of a command, which is empty if it fails or takes too long. Raises OSError."""
    process = await asyncio.create_subprocess_exec(
        *made.argv, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
        env=dict(made.environment), cwd=made.directory,
    )  # fmt: skip
    try:
        async with asyncio.timeout(HELPER_TIMEOUT):
            output, _ = await process.communicate(question)
    except TimeoutError:
        return b""
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return output if process.returncode == 0 else b""
