"""Hooks report through a named pipe: `STATE SESSION TEXT` in one line, written by /usr/lib/ccvm/notify."""

from __future__ import annotations

import os

from .jsontext import loads

PIPE = "/run/ccvm/notify"
STATES = ("waiting", "done", "working")
_TEXT_MAX = 500


def open_pipe(gid: int) -> int:
    """Make the pipe, writable for the user, and return our end. It is open both ways so that it never ends."""
    if not os.path.exists(PIPE):
        os.mkfifo(PIPE, 0o600)
    os.chown(PIPE, 0, gid)
    os.chmod(PIPE, 0o620)
    return os.open(PIPE, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)


def parse(line: str) -> dict[str, object] | None:
    """The event that a line reports; None for a line that reports none."""
    state, _, rest = line.strip().partition(" ")
    session, _, text = rest.partition(" ")
    if state not in STATES:
        return None
    return {
        "type": "event",
        "kind": "attention",
        "session": "" if session == "-" else session[:100],
        "state": state,
        "text": _text(text)[:_TEXT_MAX],
    }


def _text(text: str) -> str:
    """Claude Code's hooks get a JSON object, whose `message` is what it wants to say."""
    try:
        told = loads(text)
    except ValueError:
        return text
    if isinstance(told, dict):
        return str(told.get("message", ""))
    return text
