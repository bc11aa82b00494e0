"""Which guest and session an argument means.

``NAME`` or an unambiguous beginning of it; a path (with a slash in front, or ``.``) means that project's
guest; nothing means this directory's, or the only one there is. After a name ``/SESSION`` picks a session.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from ccvm_tui.client import listing
from ccvm_tui.client.ends import End, all_ends
from ccvm_tui.errors import NoSuchGuest, NoSuchSession

_PATH_BEGINS = ("/", "./", "../", "~")


def guest(wanted: str | None) -> str:
    """The name of the running guest that ``wanted`` means. Raises NoSuchGuest, which lists what there is."""
    if wanted is None:
        return _here_or_only()
    if _is_path(wanted):
        path = _real(wanted)
        found = [info["name"] for info in listing.running() if info.get("project") == path]
        return _one(found, f"no guest runs for {path}", f"`ccvm-tui run {wanted}` starts one")
    return listing.find(wanted)


def ended(wanted: str | None) -> End | None:
    """How the guest that ``wanted`` means ended last, now that it does not run; None when that is not known."""
    ends = sorted(all_ends(), key=lambda end: end.ended, reverse=True)
    if wanted is None or _is_path(wanted):
        path = _real(wanted or ".")
        return next((end for end in ends if end.project == path), None)
    names = {end.guest for end in ends if end.guest.startswith(wanted)}
    name = wanted if wanted in names or len(names) != 1 else names.pop()
    return next((end for end in ends if end.guest == name), None)


def session(wanted: str | None) -> tuple[str, str]:
    """(guest, session id) for ``GUEST[/SESSION]``. Raises NoSuchGuest, NoSuchSession, KeeperLost."""
    name, chosen = wanted, ""
    if wanted is not None and not wanted.startswith(_PATH_BEGINS):
        name, _, chosen = wanted.partition("/")
    found = guest(name or None)
    return found, pick_session(listing.ask_once(found), chosen)


def pick_session(info: dict[str, Any], wanted: str) -> str:
    """The id of the session with that id or name; without one, of the session that was active last.

    Raises NoSuchSession.
    """
    sessions = info.get("sessions", [])
    if wanted:
        for key in ("id", "name"):
            for one in sessions:
                if one.get(key) == wanted:
                    return str(one["id"])
    elif sessions:
        return str(max(sessions, key=_recent)["id"])
    have = ", ".join(str(one["id"]) for one in sessions) or "none"
    what = f"no session {wanted!r}" if wanted else "no session"
    guest = info.get("name")
    raise NoSuchSession(f"{guest} has {what} (there are: {have})", "`ccvm-tui run --shell` in its project starts one")


def _recent(session: dict[str, Any]) -> tuple[bool, float, float]:
    alive = session.get("exit_status") is None
    return (alive, session.get("last_output", 0.0), session.get("created", 0.0))


def _here_or_only() -> str:
    infos = listing.running()
    here = _real(".")
    found = [info["name"] for info in infos if info.get("project") == here] or [info["name"] for info in infos]
    return _one(found, "no guest is running", "`ccvm-tui run` starts one here")


def _is_path(wanted: str) -> bool:
    return wanted in (".", "..") or wanted.startswith(_PATH_BEGINS)


def _real(path: str) -> str:
    return os.path.realpath(Path(path).expanduser())


def _one(names: list[str], none: str, hint: str) -> str:
    if not names:
        raise NoSuchGuest(none, hint)
    if len(names) > 1:
        raise NoSuchGuest(f"which guest? There are: {', '.join(sorted(names))}", "name one of them")
    return str(names[0])
