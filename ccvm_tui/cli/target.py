"""The guest and the session that an argument selects.

``NAME``, or an unambiguous prefix of it, selects a guest by its name. A path (``.``, ``..``, or an argument that starts
with ``/``, ``./``, ``../`` or ``~``) selects the guest of that project. Without an argument, the guest of the current
directory is selected, or the only running guest. ``/SESSION`` after a name selects a session. The guest of an attempt
is selected by its name or that of the attempt; a path selects it only if the project has no other guest.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from ccvm_tui.client import listing
from ccvm_tui.client.ends import End, all_ends
from ccvm_tui.errors import NoSuchGuest, NoSuchSession

_PATH_PREFIXES = ("/", "./", "../", "~")


def guest(wanted: str | None) -> str:
    """Return the name of the running guest that ``wanted`` selects.

    Raises NoSuchGuest, which lists the candidates, unless there is exactly one.
    """
    if wanted is None:
        return _here_or_only()
    if _is_path(wanted):
        path = _real(wanted)
        found = _preferred([info for info in listing.running() if info.get("project") == path])
        return _one(found, f"no guest is running for {path}", f"`ccvm-tui run {wanted}` starts one")
    return listing.find(wanted)


def attempt(wanted: str | None) -> str:
    """Return the name of the running guest that ``wanted`` selects. Without it, only attempts are considered.

    Raises NoSuchGuest, which lists the candidates, unless there is exactly one.
    """
    if wanted is not None and not _is_path(wanted):
        return listing.find(wanted)
    path = _real(wanted or ".")
    infos = [info for info in listing.running() if info.get("attempt")]
    found = [info["name"] for info in infos if info.get("project") == path]
    if wanted is None:
        found = found or [info["name"] for info in infos]
    return _one(found, "no attempt is running", "`ccvm-tui run --attempt NAME` starts one for this directory")


def ended(wanted: str | None) -> End | None:
    """Return the last end of the guest that ``wanted`` selects, or None if there is no record of it."""
    ends = sorted(all_ends(), key=lambda end: end.ended, reverse=True)
    if wanted is None or _is_path(wanted):
        path = _real(wanted or ".")
        return next((end for end in ends if end.project == path), None)
    names = {end.guest for end in ends if end.guest.startswith(wanted)}
    name = wanted if wanted in names or len(names) != 1 else names.pop()
    return next((end for end in ends if end.guest == name), None)


def session(wanted: str | None) -> tuple[str, str]:
    """Return the name of the guest and the id of the session for ``GUEST[/SESSION]``.

    Raises NoSuchGuest or NoSuchSession unless there is exactly one, KeeperLost if the keeper does not answer.
    """
    name, chosen = wanted, ""
    if wanted is not None and not wanted.startswith(_PATH_PREFIXES):
        name, _, chosen = wanted.partition("/")
    found = guest(name or None)
    return found, pick_session(listing.ask_once(found), chosen)


def pick_session(info: dict[str, Any], wanted: str) -> str:
    """Return the id of the session with the id or name ``wanted``, or if that is empty, of the most recent session.

    Raises NoSuchSession if there is none.
    """
    sessions = info.get("sessions", [])
    if wanted:
        for key in ("id", "name"):
            for session in sessions:
                if session.get(key) == wanted:
                    return str(session["id"])
    elif sessions:
        return str(max(sessions, key=_recent)["id"])
    existing = ", ".join(str(session["id"]) for session in sessions) or "none"
    missing = f"no session {wanted!r}" if wanted else "no session"
    raise NoSuchSession(
        f"{info.get('name')} has {missing} (sessions: {existing})", "`ccvm-tui run --shell` in its project starts one"
    )


def _recent(session: dict[str, Any]) -> tuple[bool, float, float]:
    alive = session.get("exit_status") is None
    return (alive, session.get("last_output", 0.0), session.get("created", 0.0))


def _here_or_only() -> str:
    infos = listing.running()
    here = _real(".")
    found = _preferred([info for info in infos if info.get("project") == here]) or _preferred(infos)
    return _one(found, "no guest is running", "`ccvm-tui run` starts one for this directory")


def _preferred(infos: list[dict[str, Any]]) -> list[str]:
    """Return the names of the projects' own guests, or those of attempts if there are no others."""
    return [info["name"] for info in infos if not info.get("attempt")] or [info["name"] for info in infos]


def _is_path(wanted: str) -> bool:
    return wanted in (".", "..") or wanted.startswith(_PATH_PREFIXES)


def project_path(wanted: str | None) -> str | None:
    """Return the project that ``wanted`` selects by its path, by default the working directory, or None for a name."""
    return _real(wanted or ".") if wanted is None or _is_path(wanted) else None


def _real(path: str) -> str:
    return os.path.realpath(Path(path).expanduser())


def _one(names: list[str], none: str, hint: str) -> str:
    if not names:
        raise NoSuchGuest(none, hint)
    if len(names) > 1:
        raise NoSuchGuest(f"several guests are running: {', '.join(sorted(names))}", "specify one of them")
    return str(names[0])
