"""Placeholders for credentials, and the entries with the credential for each.

A placeholder is a random text in the form of the credential, so that programs accept it. It is valid for one guest.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Protocol

from ccvm_tui.agents.logins import Place

MARK = "ccvm-placeholder-"
"""The text in each placeholder, by which users, and keepers of other guests, recognize it."""

_MARKED = re.compile(r"\S*" + re.escape(MARK) + r"\S*")
_RANDOM_BYTES = 48


def make(form: str) -> str:
    """Return a new placeholder that begins with ``form``."""
    return f"{form}{MARK}{secrets.token_urlsafe(_RANDOM_BYTES)}"


def is_placeholder(text: str) -> bool:
    """Return whether ``text`` contains a placeholder of any guest."""
    return _MARKED.search(text) is not None


class NoCredential(Exception):
    """There is no credential at the moment. The text says what the user can do."""


class Source(Protocol):
    """The holder of a credential."""

    async def current(self) -> str:
        """Return the credential. Raises NoCredential."""

    async def after_rejection(self, rejected: str) -> str | None:
        """Return another credential, after the host has rejected one, or None if there is none."""


@dataclass(frozen=True, slots=True)
class Fixed:
    """A credential that does not change."""

    value: str = field(repr=False)

    async def current(self) -> str:
        """Return the credential."""
        return self.value

    async def after_rejection(self, rejected: str) -> str | None:  # noqa: ARG002 - the interface of a source
        """Return None: there is no other one."""
        return None


@dataclass(frozen=True, slots=True, eq=False)
class Entry:
    """A placeholder, the source of its credential, and the places and headers in which the credential goes in."""

    sentinel: str
    source: Source
    places: tuple[Place, ...]
    headers: tuple[str, ...]

    def is_used_at(self, host: str, port: int, path: str) -> bool:
        """Return whether the credential is used at this path of the host."""
        return any(place.covers(host, port, path) for place in self.places)

    def is_used_on(self, host: str, port: int) -> bool:
        """Return whether the credential is used at any path of the host."""
        return any((place.host, place.port) == (host, port) for place in self.places)


class Sentinels:
    """The placeholders of one guest."""

    def __init__(self) -> None:
        self._entries: dict[str, Entry] = {}

    def add(self, entry: Entry) -> None:
        """Add an entry."""
        self._entries[entry.sentinel] = entry

    def find(self, text: str) -> Entry | None:
        """Return the entry whose placeholder is ``text``."""
        return self._entries.get(text)

    def __iter__(self) -> Iterator[Entry]:
        return iter(self._entries.values())
