"""What a session tells its surroundings beside its cells: titles, bells, notifications, prompt marks and the like.

Strings are the program's own words, decoded and cut to a bounded length but not judged: whoever shows one must
treat it as hostile text.
"""

import msgspec


class Title(msgspec.Struct, frozen=True, tag="title"):
    """The window title changed (OSC 0, 2)."""

    text: str


class Bell(msgspec.Struct, frozen=True, tag="bell"):
    """BEL rang, `count` times since the last report."""

    count: int = 1


class Notification(msgspec.Struct, frozen=True, tag="notification"):
    """A desktop notification. `source` is the OSC number it came by: 9, 777 or 99."""

    title: str
    body: str
    source: int


class Progress(msgspec.Struct, frozen=True, tag="progress"):
    """OSC 9;4. `state` is "none", "normal", "error", "busy" or "paused"; `percent` is -1 when it was not told."""

    state: str
    percent: int = -1


class Cwd(msgspec.Struct, frozen=True, tag="cwd"):
    """The working directory as the program reports it (OSC 7): usually a file:// address."""

    url: str


class PromptMark(msgspec.Struct, frozen=True, tag="prompt"):
    """A mark of OSC 133: `kind` A (prompt starts), B (input starts), C (output starts), D (command ended).

    `status` is the exit status that came with D, or None.
    """

    kind: str
    status: int | None = None


class ClipboardWrite(msgspec.Struct, frozen=True, tag="copy"):
    """The program wants `data` on the clipboard (OSC 52). `selection` is "clipboard" or "primary"."""

    selection: str
    data: bytes


class ClipboardRead(msgspec.Struct, frozen=True, tag="paste"):
    """The program asked for the clipboard's content (OSC 52). It was not answered, and never will be."""

    selection: str


class LinksDropped(msgspec.Struct, frozen=True, tag="links"):
    """The session prints hyperlinks more densely than the emulator survives; its links are now left out."""


TermEvent = Title | Bell | Notification | Progress | Cwd | PromptMark | ClipboardWrite | ClipboardRead | LinksDropped
