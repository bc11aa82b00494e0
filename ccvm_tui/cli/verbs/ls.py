"""``ccvm-tui ls``: list running guests and their sessions.

The verb is used all the time, so it imports little and only from the standard library.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

GuestDict = dict[str, Any]
"""A guest as its keeper describes it; see ``guest.GuestInfo``."""

GUEST_FIELDS = (
    "name", "project", "state", "started", "accel", "machine", "memory_mib", "cores", "read_only", "network",
    "agent", "version", "keeper_pid", "qemu_pid", "reason", "egress", "attempt",
)  # fmt: skip
"""The fields of a guest in ``--json``, besides its sessions. Fields can be added, but not renamed or removed."""

SESSION_FIELDS = (
    "id", "name", "kind", "title", "argv", "size", "created", "activity", "attention", "clients", "last_output", "cwd",
)  # fmt: skip
"""The fields of a session in ``--json``."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument("--json", action="store_true", help="print JSON, as documented in docs/commands.md")


def run(args: argparse.Namespace) -> int:
    """Print the guests."""
    from ccvm_tui.client import listing

    guests = listing.running()
    if args.json:
        print(json.dumps({"guests": [_as_json(guest) for guest in guests]}, indent=2))
    elif guests:
        print(_as_table(guests))
    else:
        import sys

        print("no guest is running; `ccvm-tui run` starts one for this directory", file=sys.stderr)
    return 0


def _as_json(guest: GuestDict) -> dict[str, Any]:
    chosen = {field: guest.get(field) for field in GUEST_FIELDS}
    sessions = guest.get("sessions", [])
    chosen["sessions"] = [{field: session.get(field) for field in SESSION_FIELDS} for session in sessions]
    return chosen


def _as_table(guests: list[GuestDict]) -> str:
    from ccvm_tui.cli.table import table

    columns = [column for column in COLUMNS if column is not ATTEMPTS or any(map(_attempt, guests))]
    rows = [[column.heading for column in columns]]
    for guest in guests:
        for number, session in enumerate(guest.get("sessions") or [None]):
            rows.append([column.cell(guest, session, first=number == 0) for column in columns])
    return table(rows)


def _age(guest: GuestDict) -> str:
    from ccvm_tui.text import time_text

    return time_text(time.time() - guest["started"]) if "started" in guest else "-"


def _attempt(guest: GuestDict) -> str:
    """Return the branch of an attempt with the numbers of commits ahead and behind, and of changed files."""
    attempt = guest.get("attempt")
    if not attempt:
        return ""
    shown = [f"{sign}{attempt[name]}" for sign, name in _COUNTS if attempt.get(name)]
    lost = "*" if attempt.get("unfetched") or attempt.get("uncommitted") else ""
    return " ".join([f"{attempt.get('branch') or '(no branch)'}{lost}", *shown])


def _program(session: dict[str, Any]) -> str:
    """Return the kind and the title of a session, and whether it is waiting for the user or attached."""
    title = session.get("name") or session.get("title") or " ".join(session.get("argv", ()))
    parts = [str(session.get("kind", "")), title[:40]]
    if session.get("activity") == "waiting":
        parts.append("(waiting for you)")
    if session.get("clients"):
        parts.append("(attached)")
    return " ".join(part for part in parts if part)


@dataclass(frozen=True)
class Column:
    """A column of the table, which describes guests or sessions. A guest that does not respond lacks most fields."""

    heading: str
    of_guest: Callable[[GuestDict], str] | None = None
    of_session: Callable[[dict[str, Any]], str] | None = None

    def cell(self, guest: GuestDict, session: dict[str, Any] | None, *, first: bool) -> str:
        """Return the cell in the row of a session. Cells about the guest are only in its ``first`` row."""
        if self.of_guest is not None:
            return self.of_guest(guest) if first else ""
        assert self.of_session is not None
        return self.of_session(session) if session is not None else "-"


_COUNTS = (("+", "ahead"), ("-", "behind"), ("~", "changed"))

ATTEMPTS = Column("ATTEMPT", _attempt)
"""The column of attempts, which is omitted if there are none."""

COLUMNS = (
    Column("GUEST", lambda guest: str(guest["name"])),
    Column("STATE", lambda guest: str(guest["state"])),
    Column("AGE", _age),
    Column("SESSION", of_session=lambda session: str(session["id"])),
    Column("PROGRAM", of_session=_program),
    ATTEMPTS,
    Column("PROJECT", lambda guest: str(guest.get("project", "-"))),
)
"""The columns of the table."""
