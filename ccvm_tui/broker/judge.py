"""Decisions about a request of a guest, as a pure function: what goes in, and what is refused.

The credential goes into a header whose whole value is a placeholder of this guest, and only if the place is listed.
A request that could be read in two ways, or that has a placeholder where none belongs, is refused.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from ccvm_tui.agents.logins import BEARER, Subscription
from ccvm_tui.broker.git import GitLogins, repository_of
from ccvm_tui.broker.sentinels import Entry, Sentinels, is_placeholder

Headers = Sequence[tuple[bytes, bytes]]
"""Headers with names in lower case, as h11 returns them."""

METHODS = frozenset({b"GET", b"HEAD", b"POST", b"PUT", b"PATCH", b"DELETE", b"OPTIONS"})
"""The methods that are forwarded. TRACE would send the credential back."""

CREDENTIALS = frozenset({"authorization", "x-api-key", "x-goog-api-key"})
"""Headers with credentials, each of which may occur only once."""

_PATH = re.compile(r"/[A-Za-z0-9_.~!$&'()*+,;=:@/%-]*")
_AMBIGUOUS = re.compile(r"//|/\.{1,2}(/|$)|%(2e|2f|5c|25|00)", re.IGNORECASE)
"""Parts of paths that servers read differently."""


class Denied(Exception):
    """The request is refused. ``status`` is the code of the response, the text its reason."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


@dataclass(frozen=True, slots=True)
class Plain:
    """The request is forwarded as it is, because it has no placeholder."""


@dataclass(frozen=True, slots=True)
class Inject:
    """The credential of ``entry`` goes into the header with the number ``index``."""

    index: int
    entry: Entry


@dataclass(frozen=True, slots=True)
class Git:
    """The request gets a login for a repository of Git."""

    repository: str


@dataclass(frozen=True, slots=True)
class Exchange:
    """The request is for tokens: the broker reads it and its response as a whole."""


@dataclass(frozen=True, slots=True)
class Mint:
    """The response has a new API key: the broker reads it as a whole. ``inject`` is the login that requests it."""

    inject: Inject | Plain


Plan = Plain | Inject | Git | Exchange | Mint


def judge(
    host: str,
    port: int,
    method: bytes,
    target: bytes,
    headers: Headers,
    sentinels: Sentinels,
    subscription: Subscription | None = None,
    git: GitLogins | None = None,
) -> Plan:
    """Return what to do with a request to a host. Raises Denied."""
    if method not in METHODS:
        raise Denied(405, "this method is not forwarded to hosts with logins")
    path = path_of(target)
    _check_host(host, port, headers)
    if any(name == b"upgrade" for name, _ in headers):
        raise Denied(501, "connections to hosts with logins cannot be upgraded (WebSocket); use plain requests")
    if is_placeholder(target.decode("latin-1")):
        raise Denied(403, "a placeholder of a login belongs in a header, not in a URL")
    if subscription is not None:
        lower = path.lower()  # in case the host ignores it
        if any(place.covers(host, port, lower) for place in subscription.endpoints):
            return Exchange()
        if subscription.minting.covers(host, port, lower):
            return Mint(_injection(host, port, path, headers, sentinels, minting=True))
    plan = _injection(host, port, path, headers, sentinels)
    if git is not None and isinstance(plan, Plain) and not any(name == b"authorization" for name, _ in headers):
        repository = repository_of(target.decode("latin-1"))
        if repository is not None and git.is_listed(host, port, repository):
            return Git(repository)
    return plan


def path_of(target: bytes) -> str:
    """Return the path of a request's target. Raises Denied if it is not a path in its one canonical form."""
    path = target.decode("latin-1").partition("?")[0]
    if not _PATH.fullmatch(path) or _AMBIGUOUS.search(path):
        raise Denied(400, "the path is not in canonical form")
    return path


def _check_host(host: str, port: int, headers: Headers) -> None:
    names = [value.decode("latin-1").lower() for name, value in headers if name == b"host"]
    if len(names) != 1 or names[0] not in (host, f"{host}:{port}"):
        raise Denied(421, "the host in the request is not the one of the connection")


def _injection(
    host: str, port: int, path: str, headers: Headers, sentinels: Sentinels, *, minting: bool = False
) -> Inject | Plain:
    found: Inject | None = None
    seen: set[str] = set()
    for index, (raw_name, raw_value) in enumerate(headers):
        name, value = raw_name.decode("latin-1"), raw_value.decode("latin-1")
        if name in CREDENTIALS and name in seen:
            raise Denied(400, f"the header {name} occurs twice")
        seen.add(name)
        if not is_placeholder(value):
            continue
        entry = sentinels.find(_credential(name, value))
        if entry is None:
            raise Denied(401, "the placeholder is not one of this guest's logins")
        if name not in entry.headers:
            raise Denied(403, f"the login is not used in the header {name}")
        listed = entry.is_used_on(host, port) if minting else entry.is_used_at(host, port, path)
        if not listed:
            raise Denied(403, f"the login is not used for {path[:200]} of {host}")
        if found is not None:
            raise Denied(400, "there are two logins in one request")
        found = Inject(index, entry)
    return found or Plain()


def _credential(name: str, value: str) -> str:
    """Return the credential in a header, or an empty text if the form is another one."""
    if name != BEARER:
        return value
    scheme, _, credential = value.partition(" ")
    return credential if scheme.lower() == "bearer" else ""


def with_credential(headers: Headers, inject: Inject, credential: str) -> list[tuple[bytes, bytes]]:
    """Return the headers with the credential in place of its placeholder."""
    name = headers[inject.index][0]
    value = f"Bearer {credential}" if name == BEARER.encode() else credential
    replaced = list(headers)
    replaced[inject.index] = (name, value.encode("latin-1"))
    return replaced
