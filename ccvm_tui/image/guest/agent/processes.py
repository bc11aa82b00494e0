"""Statistics of the guest's processes, and the foreground processes of sessions."""

from __future__ import annotations

import os
import signal

_SESSIONS = "/run/ccvm/sessions"
_PROC = "/proc"


class Process:
    """Fields of ``/proc/PID/stat`` (proc(5)).

    ``foreground`` is the foreground process group of the process's terminal, or -1 without a terminal.
    """

    def __init__(self, pid: int, command: str, group: int, foreground: int) -> None:
        self.pid, self.command, self.group, self.foreground = pid, command, group, foreground


def parse_stat(text: str) -> Process:
    """Parse the content of ``/proc/PID/stat``, in which the command may contain parentheses and spaces.

    Raises ValueError if the text is malformed.
    """
    opening, closing = text.index("("), text.rindex(")")
    fields = text[closing + 2 :].split()
    if len(fields) < 6:
        raise ValueError("cut short")
    return Process(
        pid=int(text[:opening]),
        command=text[opening + 1 : closing],
        group=int(fields[2]),
        foreground=int(fields[5]),
    )


def stats(proc: str = _PROC) -> dict[str, object]:
    """Return memory in bytes, the one-minute load, the uptime in seconds, and the number of processes."""
    memory = {}
    for line in _read(f"{proc}/meminfo").splitlines():
        key, _, value = line.partition(":")
        memory[key] = value
    return {
        "memory_total": _kibibytes(memory["MemTotal"]),
        "memory_available": _kibibytes(memory["MemAvailable"]),
        "load1": float(_read(f"{proc}/loadavg").split()[0]),
        "uptime_s": float(_read(f"{proc}/uptime").split()[0]),
        "processes": sum(name.isdigit() for name in os.listdir(proc)),
    }


def of_session(session: str) -> dict[str, object]:
    """Return whether a program other than the session's own is in the foreground, and that program's name."""
    leader = _process(_leader(session))
    if leader is None or leader.foreground in (-1, leader.group):
        return {"busy": False, "command": ""}
    foreground = _process(leader.foreground)
    return {"busy": True, "command": foreground.command if foreground else ""}


def signal_session(session: str, name: str) -> None:
    """Send a signal to the foreground process group of a session.

    Raises ValueError if the signal or the session's name is not valid, ProcessLookupError if there is no such session.
    """
    number = getattr(signal, f"SIG{name}", None)
    if not isinstance(number, signal.Signals):
        raise ValueError(f"no signal {name}")
    leader = _process(_leader(session))
    if leader is None:
        raise ProcessLookupError(f"no session {session}")
    os.killpg(leader.foreground if leader.foreground > 0 else leader.group, number)


def _leader(session: str) -> int:
    if not session.isalnum():
        raise ValueError(f"no session {session}")
    try:
        return int(_read(f"{_SESSIONS}/{session}"))
    except (OSError, ValueError):
        return 0


def _process(pid: int) -> Process | None:
    try:
        return parse_stat(_read(f"{_PROC}/{pid}/stat")) if pid > 0 else None
    except (OSError, ValueError):
        return None


def _kibibytes(text: str) -> int:
    return int(text.split()[0]) << 10


def _read(path: str) -> str:
    with open(path, errors="replace") as file:
        return file.read()
