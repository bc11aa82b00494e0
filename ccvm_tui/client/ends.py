"""How guests ended: what their keepers wrote down for whoever comes when they are gone."""

from __future__ import annotations

import contextlib
import json
from dataclasses import dataclass

from ccvm_tui.paths import check_guest_name, state_dir


@dataclass(frozen=True, slots=True)
class End:
    """``ended`` in seconds since 1970; ``failed`` when the guest did not end because somebody wanted it."""

    guest: str
    project: str
    failed: bool
    reason: str
    console_tail: str
    ended: float


def end_of(guest: str) -> End | None:
    """The last end of the guest; None when nothing (readable) is known."""
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
    """The last end of every guest that is remembered."""
    try:
        names = [file.stem for file in (state_dir() / "last").glob("*.json")]
    except OSError:
        return []
    return [end for name in names if (end := end_of(name)) is not None]


def forget_end(guest: str) -> None:
    """Somebody has read it."""
    with contextlib.suppress(OSError):
        (state_dir() / "last" / f"{check_guest_name(guest)}.json").unlink()
