"""The sessions of all guests: their keys and titles, and what happens to their screens when they end."""

from __future__ import annotations

import time
from dataclasses import dataclass

from ccvm_tui.guest import SessionInfo, SessionKind
from ccvm_tui.protocol import Exited
from ccvm_tui.text import plain, time_text


@dataclass(frozen=True, slots=True)
class SessionKey:
    """The name of a session among those of all guests."""

    guest: str
    session: str

    def __str__(self) -> str:
        return f"{self.guest}/{self.session}"


def session_title(info: SessionInfo) -> str:
    """Return the name that the user has given to a session, or else its own title, or what it runs."""
    if info.name:
        return plain(info.name, 60)
    if title := plain(info.title, 60):
        return title
    if info.kind is SessionKind.SHELL:
        return "shell"
    if info.argv:
        return plain(" ".join(info.argv), 60)
    return info.kind.value


# --- sessions that end while they are shown -----------------------------------------------------------------------

BRIEF = 5.0
"""Seconds. A session that ends earlier has probably printed why, and the user has not read it yet."""

STATUSES_BY_SIGNAL = (128 + 1, 128 + 2, 128 + 15)
"""Exit statuses of programs that the user has ended (SIGHUP, SIGINT, SIGTERM)."""


class RequestedEnds:
    """The sessions and guests that the user has ended, whose last screens need not be read."""

    def __init__(self) -> None:
        self._sessions: set[SessionKey] = set()
        self._guests: set[str] = set()

    def add_session(self, key: SessionKey) -> None:
        """Add a session."""
        self._sessions.add(key)

    def add_guest(self, name: str) -> None:
        """Add a guest with all its sessions."""
        self._guests.add(name)

    def forget_guest(self, name: str) -> None:
        """Forget a guest and its sessions, because a new guest of that name is started."""
        self._guests.discard(name)
        self._sessions = {key for key in self._sessions if key.guest != name}

    def __contains__(self, key: SessionKey) -> bool:
        return key in self._sessions or key.guest in self._guests


@dataclass(frozen=True, slots=True)
class LastScreen:
    """The last screen of a session that remains to be read.

    ``text`` describes the end. ``repeat`` is the kind of session that can be started again, or None.
    """

    text: str
    repeat: SessionKind | None


def last_screen(key: SessionKey, info: SessionInfo, end: Exited, requested: RequestedEnds) -> LastScreen | None:
    """Return the session's last screen if the user should read it, or None if the session can be closed."""
    age = time.time() - info.created
    guest_died = end.status < 0  # its page shows the reason
    if guest_died or key in requested or end.status in STATUSES_BY_SIGNAL or not _is_unexpected(info, end, age):
        return None
    text = f"{session_title(info)} {_outcome(end)} after {time_text(age)}"
    return LastScreen(text, info.kind if info.kind is not SessionKind.COMMAND else None)


def _is_unexpected(info: SessionInfo, end: Exited, age: float) -> bool:
    if info.kind is SessionKind.SHELL:  # its exit status is that of its last command, which the user has seen
        return age < BRIEF and end.status != 0
    return age < BRIEF or end.status != 0


def closing_notice(key: SessionKey, end: Exited, requested: RequestedEnds) -> str:
    """Return the message for the user about a session that is closed, or an empty string."""
    if key in requested or not (end.status or end.reason):
        return ""
    return plain(f"{key} {_outcome(end)}", 200)


def _outcome(end: Exited) -> str:
    return plain(end.reason, 100) or f"ended with status {end.status}"
