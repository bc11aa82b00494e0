"""Sessions that are waiting for the user: their order, and the notifications of the host terminal."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from ccvm_tui.guest import Activity, SessionInfo
from ccvm_tui.text import plain
from ccvm_tui.tui.model.sessions import SessionKey

URGENCY = {Activity.WAITING: 0, Activity.FAILED: 1, Activity.DONE: 2}
"""The order in which sessions that need the user are offered, lowest first."""


def needs_user(info: SessionInfo) -> bool:
    """Return whether the session has a reason to need the user that the user has not seen."""
    return bool(info.attention) and info.activity in URGENCY


def queue(sessions: Iterable[tuple[SessionKey, SessionInfo]]) -> list[SessionKey]:
    """Return the sessions that need the user, by urgency, those that have waited longest first."""
    waiting = [
        (URGENCY[info.activity], info.last_output, index, key)
        for index, (key, info) in enumerate(sessions)
        if needs_user(info)
    ]
    return [key for *_, key in sorted(waiting, key=lambda entry: entry[:3])]


def following(order: list[SessionKey], current: SessionKey | None) -> SessionKey | None:
    """Return the session after ``current`` in the queue, or else the first one; None if the queue is empty."""
    if not order:
        return None
    if current in order:
        return order[(order.index(current) + 1) % len(order)]
    return order[0]


def reason(info: SessionInfo) -> str:
    """Return why a session needs the user, in one safe line."""
    return plain(info.attention, 160) or info.activity.value


@dataclass(frozen=True, slots=True)
class Change:
    """A session has begun to need the user, or needs the user for another reason."""

    key: SessionKey
    text: str


def changes(before: Mapping[SessionKey, SessionInfo], after: Mapping[SessionKey, SessionInfo]) -> list[Change]:
    """Return the changes between two states of the sessions."""
    found = []
    for key, info in after.items():
        old = before.get(key)
        if not needs_user(info):
            continue
        if old is None or not needs_user(old) or (old.activity, old.attention) != (info.activity, info.attention):
            found.append(Change(key, f"{info.activity.value}: {reason(info)}"))
    return found


def notification(title: str, body: str) -> str:
    """Return the sequence that makes the host terminal show a notification, and BEL.

    The sequence is OSC 99 for kitty, OSC 777 for terminals that are known to support it, and OSC 9 for all others. Only
    one is sent, because some terminals support several and would show the notification more than once.
    """
    title, body = plain(title, 80).replace(";", ","), plain(body, 200).replace(";", ",")
    term, program = os.environ.get("TERM", "").lower(), os.environ.get("TERM_PROGRAM", "").lower()
    if "kitty" in term:
        return f"\x1b]99;i=ccvm:d=0;{title}\x1b\\\x1b]99;i=ccvm:d=1:p=body;{body}\x1b\\\x07"
    if "rxvt" in term or "foot" in term or "ghostty" in term or program in ("ghostty", "wezterm"):
        return f"\x1b]777;notify;{title};{body}\x1b\\\x07"
    return f"\x1b]9;{title}: {body}\x1b\\\x07"
