"""The dashboard's own looks: two calm themes, and a sign and a word for every state.

A state is told three times, by the shape of its sign, by its word and by its colour, so that it survives
NO_COLOR, 16 colours and colour blindness.
"""

from __future__ import annotations

from dataclasses import dataclass

from rich.terminal_theme import TerminalTheme
from textual.theme import Theme

from ccvm_tui.guest import Activity, GuestState

DARK = Theme(
    name="ccvm-dark",
    primary="#7aa6c9",
    secondary="#9a8fb8",
    accent="#d3a15f",
    warning="#d8b45c",
    error="#dc7f72",
    success="#8dba78",
    foreground="#c8d0d9",
    background="#12161b",
    surface="#171c22",
    panel="#1e252d",
    dark=True,
    variables={
        "muted": "#7b8794",
        "faint": "#465260",
        "line": "#2a333d",
        "cursor-row": "#27333f",
        "mark": "#31526b",
        "scrollbar": "#3a4653",
        "scrollbar-hover": "#4a5866",
        "scrollbar-active": "#7aa6c9",
        "scrollbar-background": "#171c22",
        "scrollbar-background-hover": "#171c22",
        "scrollbar-background-active": "#171c22",
        "block-cursor-background": "#7aa6c9",
        "block-cursor-foreground": "#12161b",
        "input-selection-background": "#7aa6c9 35%",
        "footer-key-foreground": "#d3a15f",
    },
)

LIGHT = Theme(
    name="ccvm-light",
    primary="#2c6590",
    secondary="#6a5a8e",
    accent="#94631a",
    warning="#8a6500",
    error="#a93a2d",
    success="#3d7030",
    foreground="#2b323a",
    background="#faf9f6",
    surface="#f1efea",
    panel="#e7e4dd",
    dark=False,
    variables={
        "muted": "#66707a",
        "faint": "#a5aab0",
        "line": "#d3cfc6",
        "cursor-row": "#dae4ec",
        "mark": "#bcd3e3",
        "scrollbar": "#c3beb3",
        "scrollbar-hover": "#b0aa9d",
        "scrollbar-active": "#2c6590",
        "scrollbar-background": "#f1efea",
        "scrollbar-background-hover": "#f1efea",
        "scrollbar-background-active": "#f1efea",
        "block-cursor-background": "#2c6590",
        "block-cursor-foreground": "#faf9f6",
        "input-selection-background": "#2c6590 30%",
        "footer-key-foreground": "#94631a",
    },
)


def _palette(background: str, foreground: str, *colours: str) -> TerminalTheme:
    def rgb(text: str) -> tuple[int, int, int]:
        value = int(text, 16)
        return value >> 16, value >> 8 & 255, value & 255

    normal, bright = ([rgb(one) for one in half] for half in (colours[:8], colours[8:]))
    return TerminalTheme(rgb(background), rgb(foreground), normal, bright)


PALETTE_DARK = _palette(
    "12161b", "c8d0d9",
    "1e252d", "dc7f72", "8dba78", "d8b45c", "7aa6c9", "b092c4", "76b5b0", "c8d0d9",
    "5c6977", "e89a8e", "a5cd92", "e6c87c", "98bddb", "c5abd6", "95cbc6", "eef2f6",
)  # fmt: skip
PALETTE_LIGHT = _palette(
    "faf9f6", "2b323a",
    "2b323a", "a93a2d", "3d7030", "8a6500", "2c6590", "7a4a91", "1f6f6a", "b9b5ab",
    "66707a", "c25447", "548a46", "a37d12", "447fac", "9462ab", "37877f", "e7e4dd",
)  # fmt: skip
"""Colours 0 to 15 in pictures and dimmed screens; a real terminal draws its own."""

EXTRA = ("muted", "faint", "line", "cursor-row", "mark")
"""Variables that Textual's own themes do not have."""


@dataclass(frozen=True, slots=True)
class Sign:
    """``colour`` is a variable of the theme."""

    shape: str
    word: str
    colour: str


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

BOOT_FRAMES = "◐◓◑◒"
"""The booting sign turns; nothing else on the screen moves by itself."""
