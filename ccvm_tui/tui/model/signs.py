"""A sign, a word and a colour for every state of a guest and of a session.

Each state can be recognized by its sign and by its word alone, so that it is visible with NO_COLOR, with 16 colours,
and to colour-blind users.
"""

from __future__ import annotations

from dataclasses import dataclass

from ccvm_tui.guest import Activity, GuestState, SessionInfo
from ccvm_tui.tui.model.guests import Contact, Guest


@dataclass(frozen=True, slots=True)
class Sign:
    """The appearance of a state. ``colour`` is a variable of the theme."""

    shape: str
    word: str
    colour: str


BOOT_FRAMES = "◐◓◑◒"
"""The frames of the sign of a booting guest, the only animation on the screen."""

GUEST_SIGNS = {
    GuestState.BOOTING: Sign("◐", "booting", "warning"),
    GuestState.RUNNING: Sign("●", "running", "success"),
    GuestState.PAUSED: Sign("‖", "paused", "secondary"),
    GuestState.STOPPING: Sign("◌", "stopping", "warning"),
    GuestState.STOPPED: Sign("○", "stopped", "muted"),
    GuestState.FAILED: Sign("✗", "failed", "error"),
}
HUNG = Sign("?", "no answer", "error")
FOREIGN = Sign("≠", "other version", "warning")
CONNECTING = Sign("…", "connecting", "muted")
DIED = Sign("✗", "died", "error")
STOPPED = GUEST_SIGNS[GuestState.STOPPED]

ACTIVITY_SIGNS = {
    Activity.WORKING: Sign("▸", "working", "primary"),
    Activity.WAITING: Sign("!", "waiting", "accent"),
    Activity.DONE: Sign("✓", "done", "success"),
    Activity.IDLE: Sign("·", "idle", "muted"),
    Activity.FAILED: Sign("✗", "failed", "error"),
}


def guest_sign(guest: Guest) -> Sign:
    """Return the sign of a guest."""
    match guest.contact:
        case Contact.HUNG:
            return HUNG
        case Contact.FOREIGN:
            return FOREIGN
        case Contact.CONNECTING if guest.info is None:
            return CONNECTING
    return GUEST_SIGNS[guest.info.state if guest.info is not None else GuestState.BOOTING]


def session_sign(info: SessionInfo) -> Sign:
    """Return the sign of a session. One that is waiting, but has been looked at, is muted."""
    if info.exit_status is not None:
        return Sign("✗" if info.exit_status else "○", f"ended {info.exit_status}", "muted")
    if info.activity is Activity.WAITING and not info.attention:
        return Sign("!", "waiting", "muted")
    return ACTIVITY_SIGNS[info.activity]
