"""``ccvm-tui ls``: guests and their sessions. Typed all day, so standard library only."""

from __future__ import annotations

import argparse
import json
import time
from typing import Any

GUEST_FIELDS = (
    "name", "project", "state", "started", "accel", "machine", "memory_mib", "cores", "read_only", "network",
    "agent", "version", "keeper_pid", "qemu_pid", "reason",
)  # fmt: skip
"""What ``--json`` has for each guest, with its sessions. Fields may be added, never renamed or removed."""

SESSION_FIELDS = (
    "id", "name", "kind", "title", "argv", "size", "created", "activity", "attention", "clients", "last_output", "cwd",
)  # fmt: skip


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print JSON, as documented in docs/commands.md")


def run(args: argparse.Namespace) -> int:
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
    chosen["sessions"] = [{field: one.get(field) for field in SESSION_FIELDS} for one in guest.get("sessions", [])]
    return chosen


def _as_table(guests: list[dict[str, Any]]) -> str:
    from ccvm_tui.cli.table import table
    from ccvm_tui.text import time_text

    rows = [["GUEST", "STATE", "AGE", "SESSION", "WHAT", "PROJECT"]]
    now = time.time()
    for guest in guests:
        age = time_text(now - guest["started"]) if "started" in guest else "-"
        sessions = [(one["id"], _what(one)) for one in guest.get("sessions", [])] or [("-", "-")]
        for number, (id_, what) in enumerate(sessions):
            first = [guest["name"], str(guest["state"]), age] if number == 0 else ["", "", ""]
            rows.append([*first, id_, what, str(guest.get("project", "-")) if number == 0 else ""])
    return table(rows)


def _what(session: dict[str, Any]) -> str:
    """Kind and title of a session, and whether it waits for somebody."""
    title = session.get("name") or session.get("title") or " ".join(session.get("argv", ()))
    words = [str(session.get("kind", "")), title[:40]]
    if session.get("activity") == "waiting":
        words.append("(waits for you)")
    if session.get("clients"):
        words.append("(attached)")
    return " ".join(word for word in words if word)
