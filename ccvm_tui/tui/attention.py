"""Who waits for the user: counts, order, and what the outer terminal is told. Pure functions."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass

from ccvm_tui.guest import Activity, SessionInfo
from ccvm_tui.text import plain

URGENCY = {Activity.WAITING: 0, Activity.FAILED: 1, Activity.DONE: 2}
"""Lower is asked for first."""


@dataclass(frozen=True, slots=True)
class SessionKey:
    """A session among all guests."""

    guest: str
    session: str

    def __str__(self) -> str:
        return f"{self.guest}/{self.session}"


def wants(info: SessionInfo) -> bool:
    """Whether the session asks for the user: it has something to say and it has not been looked at."""
    return bool(info.attention) and info.activity in URGENCY


def queue(sessions: Iterable[tuple[SessionKey, SessionInfo]]) -> list[SessionKey]:
    """The sessions that want attention: waiting before failed before done, the one that waits longest first."""
    asking = [(URGENCY[info.activity], info.last_output, index, key)
              for index, (key, info) in enumerate(sessions) if wants(info)]  # fmt: skip
    return [key for *_, key in sorted(asking, key=lambda entry: entry[:3])]


def following(order: list[SessionKey], current: SessionKey | None) -> SessionKey | None:
    """The one to go to next: after ``current`` in the queue, or its first."""
    if not order:
        return None
    if current in order:
        return order[(order.index(current) + 1) % len(order)]
    return order[0]


def said(info: SessionInfo) -> str:
    """What a session that wants attention says, fit for the chrome."""
    return plain(info.attention, 160) or info.activity.value


@dataclass(frozen=True, slots=True)
class Change:
    """A session began to want attention, or wants it for another reason."""

    key: SessionKey
    text: str


def changes(before: dict[SessionKey, SessionInfo], after: dict[SessionKey, SessionInfo]) -> list[Change]:
    """What happened between two looks at the sessions."""
    found = []
    for key, info in after.items():
        old = before.get(key)
        if not wants(info):
            continue
        if old is None or not wants(old) or (old.activity, old.attention) != (info.activity, info.attention):
            found.append(Change(key, f"{info.activity.value}: {said(info)}"))
    return found


def notification(title: str, body: str) -> str:
    """What tells the outer terminal: OSC 99 to kitty, OSC 777 to those known to take it, else OSC 9; and BEL.

    Only one is sent: some terminals take several and would show each.
    """
    title, body = plain(title, 80).replace(";", ","), plain(body, 200).replace(";", ",")
    term, program = os.environ.get("TERM", "").lower(), os.environ.get("TERM_PROGRAM", "").lower()
    if "kitty" in term:
        return f"\x1b]99;i=ccvm:d=0;{title}\x1b\\\x1b]99;i=ccvm:d=1:p=body;{body}\x1b\\\x07"
    if "rxvt" in term or "foot" in term or "ghostty" in term or program in ("ghostty", "wezterm"):
        return f"\x1b]777;notify;{title};{body}\x1b\\\x07"
    return f"\x1b]9;{title}: {body}\x1b\\\x07"
