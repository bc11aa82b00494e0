"""The records of ended guests, which their keepers stored."""

from __future__ import annotations

import contextlib
import json
from dataclasses import dataclass

from ccvm_tui.paths import check_guest_name, state_dir


@dataclass(frozen=True, slots=True)
class End:
    """The record of a guest's end. ``failed`` is true if no user requested it; ``ended`` is in seconds since 1970."""

    guest: str
    project: str
    failed: bool
    reason: str
    console_tail: str
    ended: float


def end_of(guest: str) -> End | None:
    """Return the last end of a guest, or None if there is no readable record."""
    try:
        record = json.loads((state_dir() / "last" / f"{check_guest_name(guest)}.json").read_text(encoding="utf-8"))
        return End(
            str(record["name"]),
            str(record["project"]),
            bool(record["failed"]),
            str(record["reason"]),
            str(record["console_tail"]),
            float(record["ended"]),
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None


def all_ends() -> list[End]:
    """Return the last end of every guest that has a record."""
    try:
        names = [file.stem for file in (state_dir() / "last").glob("*.json")]
    except OSError:
        return []
    return [end for name in names if (end := end_of(name)) is not None]


def forget_end(guest: str) -> None:
    """Remove the record of a guest's end."""
    with contextlib.suppress(OSError):
        (state_dir() / "last" / f"{check_guest_name(guest)}.json").unlink()
