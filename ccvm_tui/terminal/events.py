"""Events that a session reports besides its cells, such as titles, bells, notifications and prompt marks.

Strings come from the program. They are decoded and cut to a bounded length, but not sanitized: code that displays one
must treat it as hostile.
"""

import msgspec


class Title(msgspec.Struct, frozen=True, tag="title"):
    """The window title changed (OSC 0, 2)."""

    text: str


class Bell(msgspec.Struct, frozen=True, tag="bell"):
    """BEL was received ``count`` times since the last report."""

    count: int = 1


class Notification(msgspec.Struct, frozen=True, tag="notification"):
    """A desktop notification. ``source`` is the number of its OSC: 9, 777 or 99."""

    title: str
    body: str
    source: int


class Progress(msgspec.Struct, frozen=True, tag="progress"):
    """A progress report (OSC 9;4).

    ``state`` is "none", "normal", "error", "busy" or "paused". ``percent`` is -1 if it was not reported.
    """

    state: str
    percent: int = -1


class Cwd(msgspec.Struct, frozen=True, tag="cwd"):
    """The working directory that the program reported (OSC 7), usually as a file:// address."""

    url: str


class PromptMark(msgspec.Struct, frozen=True, tag="prompt"):
    """A mark of OSC 133: ``kind`` A (prompt starts), B (input starts), C (output starts), D (command ended).

    ``status`` is the exit status of D, or None.
    """

    kind: str
    status: int | None = None


class ClipboardWrite(msgspec.Struct, frozen=True, tag="copy"):
    """A request to copy ``data`` to the clipboard (OSC 52). ``selection`` is "clipboard" or "primary"."""

    selection: str
    data: bytes


class ClipboardRead(msgspec.Struct, frozen=True, tag="paste"):
    """A request for the clipboard's content (OSC 52), which is never answered."""

    selection: str


class LinksDropped(msgspec.Struct, frozen=True, tag="links"):
    """The session prints more hyperlinks than the emulator can handle, so its links are left out."""


TermEvent = Title | Bell | Notification | Progress | Cwd | PromptMark | ClipboardWrite | ClipboardRead | LinksDropped
"""Any event of a session."""
