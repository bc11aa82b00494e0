"""``ccvm-tui ls``: list running guests and their sessions.

The verb is used all the time, so it imports little and only from the standard library.
"""

from __future__ import annotations

import argparse
import json
import time
from typing import Any

GUEST_FIELDS = (
    "name", "project", "state", "started", "accel", "machine", "memory_mib", "cores", "read_only", "network",
    "agent", "version", "keeper_pid", "qemu_pid", "reason",
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


def _as_json(guest: dict[str, Any]) -> dict[str, Any]:
    chosen = {field: guest.get(field) for field in GUEST_FIELDS}
    sessions = guest.get("sessions", [])
    chosen["sessions"] = [{field: session.get(field) for field in SESSION_FIELDS} for session in sessions]
    return chosen


def _as_table(guests: list[dict[str, Any]]) -> str:
    from ccvm_tui.cli.table import table
    from ccvm_tui.text import time_text

    rows = [["GUEST", "STATE", "AGE", "SESSION", "PROGRAM", "PROJECT"]]
    now = time.time()
    for guest in guests:
        age = time_text(now - guest["started"]) if "started" in guest else "-"
        sessions = [(session["id"], _program(session)) for session in guest.get("sessions", [])] or [("-", "-")]
        for number, (id_, program) in enumerate(sessions):
            first = [guest["name"], str(guest["state"]), age] if number == 0 else ["", "", ""]
            rows.append([*first, id_, program, str(guest.get("project", "-")) if number == 0 else ""])
    return table(rows)


def _program(session: dict[str, Any]) -> str:
    """Return the kind and the title of a session, and whether it is waiting for the user or attached."""
    title = session.get("name") or session.get("title") or " ".join(session.get("argv", ()))
    parts = [str(session.get("kind", "")), title[:40]]
    if session.get("activity") == "waiting":
        parts.append("(waiting for you)")
    if session.get("clients"):
        parts.append("(attached)")
    return " ".join(part for part in parts if part)
