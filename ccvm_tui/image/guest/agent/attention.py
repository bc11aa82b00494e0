"""The named pipe for reports of programs: lines of ``STATE SESSION TEXT``, written by /usr/lib/ccvm/notify."""

from __future__ import annotations

import os

from .jsontext import loads

PIPE = "/run/ccvm/notify"
"""The path of the pipe."""

STATES = ("waiting", "done", "working")
"""The states that hooks can report."""

OPEN = "open"
"""The state with which ``xdg-open`` offers the address of a web page."""

_TEXT_MAX = 500
_ADDRESS_MAX = 2900


def open_pipe(gid: int) -> int:
    """Create the pipe, writable for the group ``gid``, and return a descriptor.

    The descriptor is open for reading and writing, so that it never reaches end-of-file.
    """
    if not os.path.exists(PIPE):
        os.mkfifo(PIPE, 0o600)
    os.chown(PIPE, 0, gid)
    os.chmod(PIPE, 0o620)
    return os.open(PIPE, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)


def split(beginning: bytes, data: bytes, size: int) -> tuple[list[bytes], bytes]:
    """Return the lines in ``data``, a read of up to ``size`` bytes, and the beginning of a line for the next call.

    Programs write whole lines at once (pipe(7), PIPE_BUF). If a read has emptied the pipe, the bytes after the last
    line are no report, and the next report must not be appended to them.
    """
    *lines, rest = (beginning + data).split(b"\n")
    return lines, rest if len(data) == size and len(rest) <= size else b""


def parse(line: str) -> dict[str, object] | None:
    """Return the event that a line reports, or None if the line is not valid."""
    state, _, rest = line.strip().partition(" ")
    session, _, text = rest.partition(" ")
    if state == OPEN:
        return {"type": "event", "kind": "link", "session": session[:100], "address": text[: _ADDRESS_MAX + 1]}
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
    """Return the ``message`` of the JSON object that Claude Code passes to its hooks, or else ``text``."""
    try:
        report = loads(text)
    except ValueError:
        return text
    if isinstance(report, dict):
        return str(report.get("message", ""))
    return text
