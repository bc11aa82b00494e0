"""The sidebar's tree. It draws rows and asks for what keys and clicks mean; it knows no keeper."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rich.cells import cell_len
from rich.segment import Segment
from textual import events
from textual.geometry import Region, Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip

from ccvm_tui.tui.inks import inks_of
from ccvm_tui.tui.plain import fit
from ccvm_tui.tui.theme import BOOT_FRAMES
from ccvm_tui.tui.tree_rows import RowKind, TreeRow

KEY_ACTIONS = {
    "r": "run", "S": "stop", "P": "pause", "x": "end", "l": "logs", "e": "settings", "m": "mute", "i": "details",
    "c": "shell", "g": "agent", "slash": "filter", "plus": "add", "minus": "forget", "space": "switch",
    "question_mark": "help", "q": "quit", "colon": "palette", "n": "next", "p": "previous", "a": "attention",
    "less_than_sign": "narrower", "greater_than_sign": "wider", "s": "sidebar", "t": "tile", "z": "zoom",
    "tab": "focus_content",
}  # fmt: skip


class FleetTree(ScrollView, can_focus=True):
    DEFAULT_CSS = """
    FleetTree { height: 1fr; scrollbar-size-vertical: 1; scrollbar-size-horizontal: 0; overflow-x: hidden; }
    """

    @dataclass
    class Highlighted(Message):
        """The cursor is on another row: show what it is about."""

        row: TreeRow | None

    @dataclass
    class Opened(Message):
        """Enter or a double click."""

        row: TreeRow

    @dataclass
    class Asked(Message):
        """A key of the tree; ``action`` names a method of the main screen."""

        action: str
        row: TreeRow | None

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.rows: list[TreeRow] = []
        self.current_session = ""
        self._cursor = ""
        self._index = 0
        self._was: TreeRow | None = None
        self._turn = 0
        self._moved = False
        self.start = ""
        """The id of the row on which the cursor begins, if there is such a row; else it begins on top."""
        self.folded: set[str] = set()

    # --- rows ----------------------------------------------------------------------------------------------

    def show(self, rows: Sequence[TreeRow], current_session: str) -> None:
        """New rows; the cursor stays on its row, or as near as can be when that is gone."""
        if list(rows) == self.rows and current_session == self.current_session:
            return
        self.rows = list(rows)
        self.current_session = current_session
        self.virtual_size = Size(self.size.width, len(self.rows))
        ids = [row.id for row in self.rows]
        start = ids.index(self.start) if self.start in ids else 0
        if self._cursor in ids and (self._moved or self._cursor == ids[start]):
            self._index = ids.index(self._cursor)
        else:  # until the user moves it, the cursor stays where it began; on top, what runs comes first
            self._index = self._nearest() if self._moved else start
            self._highlight()
        self.refresh()

    def _nearest(self) -> int:
        """Where the cursor goes when its row is gone: to what is left of its guest or project, else to its place."""
        was = self._was
        for guest in (was.guest, "") if was is not None else ():
            for index, row in enumerate(self.rows):
                if was is not None and row.project == was.project and row.guest == guest:
                    return index
        return max(0, min(self._index, len(self.rows) - 1))

    @property
    def row(self) -> TreeRow | None:
        return self.rows[self._index] if 0 <= self._index < len(self.rows) else None

    def move_to(self, id: str) -> bool:
        """Put the cursor on a row; False when there is no such row."""
        for index, row in enumerate(self.rows):
            if row.id == id:
                if index != self._index or self._cursor != id:
                    self._move(index)
                return True
        return False

    def _move(self, index: int) -> None:
        if not self.rows:
            return
        self._moved = True
        self._index = max(0, min(index, len(self.rows) - 1))
        self.scroll_to_region(Region(0, self._index, 1, 1), animate=False, force=True)
        self._highlight()
        self.refresh()

    def _highlight(self) -> None:
        row = self.row
        self._cursor = row.id if row is not None else ""
        self._was = row
        self.post_message(self.Highlighted(row))

    def turn(self) -> None:
        """The booting sign's next position."""
        self._turn += 1
        self.refresh()

    @property
    def booting(self) -> bool:
        return any(row.sign is not None and row.sign.word == "booting" for row in self.rows)

    # --- keys and mouse ------------------------------------------------------------------------------------

    def on_key(self, event: events.Key) -> None:
        row = self.row
        match event.key:
            case "down" | "j":
                self._move(self._index + 1)
            case "up" | "k":
                self._move(self._index - 1)
            case "home":
                self._move(0)
            case "end" | "G" | "upper_g":
                self._move(len(self.rows) - 1)
            case "pagedown" | "ctrl+d":
                self._move(self._index + max(1, self.size.height - 1))
            case "pageup" | "ctrl+u":
                self._move(self._index - max(1, self.size.height - 1))
            case "enter":
                if row is not None:
                    self.post_message(self.Opened(row))
            case "right" | "l" if event.key == "right" or (row is not None and row.children and not row.open):
                self._unfold()
            case "left" | "h":
                self._fold()
            case key if action := KEY_ACTIONS.get(event.character or "", KEY_ACTIONS.get(key)):
                self.post_message(self.Asked(action, row))
            case _:
                return
        event.stop()
        event.prevent_default()

    def _unfold(self) -> None:
        row = self.row
        if row is None:
            return
        if row.children and not row.open:
            self.folded.discard(row.id)
            self.post_message(self.Asked("refold", row))
        elif row.children:
            self._move(self._index + 1)
        elif row.kind is RowKind.SESSION:
            self.post_message(self.Opened(row))

    def _fold(self) -> None:
        row = self.row
        if row is None:
            return
        if row.children and row.open:
            self.folded.add(row.id)
            self.post_message(self.Asked("refold", row))
            return
        for index in range(self._index - 1, -1, -1):
            if self.rows[index].depth < row.depth:
                self._move(index)
                return

    def on_click(self, event: events.Click) -> None:
        index = int(event.y) + self.scroll_offset.y
        if not 0 <= index < len(self.rows):
            return
        event.stop()
        self._move(index)
        row = self.rows[index]
        if row.kind is RowKind.SESSION or event.chain == 2:
            self.post_message(self.Opened(row))
        elif row.children and int(event.x) <= row.depth * 2 + 1:
            (self.folded.add if row.open else self.folded.discard)(row.id)
            self.post_message(self.Asked("refold", row))

    # --- drawing -------------------------------------------------------------------------------------------

    def on_resize(self) -> None:
        self.virtual_size = Size(self.size.width, len(self.rows))

    def on_focus(self) -> None:
        self.refresh()

    def on_blur(self) -> None:
        self.refresh()

    def render_line(self, y: int) -> Strip:
        index = y + self.scroll_offset.y
        width = self.size.width
        inks = inks_of(self)
        if not 0 <= index < len(self.rows):
            return Strip([Segment(" " * width, inks.on("surface"))], width)
        row = self.rows[index]
        here = index == self._index
        ground = "cursor-row" if here and self.has_focus else "panel" if here else "surface"
        return Strip(self._segments(row, width, ground, here), width)

    def _segments(self, row: TreeRow, width: int, ground: str, here: bool) -> list[Segment]:
        ink = inks_of(self).ink
        shown = row.session is not None and str(row.session) == self.current_session
        bar = "▎" if shown else "▸" if here and self.has_focus else " "
        out = [Segment(bar, ink("primary" if shown else "accent", ground, bold=True))]
        sign = row.sign
        shape = sign.shape if sign is not None else ""
        if sign is not None and sign.word == "booting":
            shape = BOOT_FRAMES[self._turn % len(BOOT_FRAMES)]
        colour = sign.colour if sign is not None else "foreground"
        match row.kind:
            case RowKind.PROJECT:
                fold = ("▾" if row.open else "▸") if row.children else shape or "○"
                lead = f"{fold} "
                out.append(Segment(lead, ink("muted" if row.children else colour, ground)))
                name = "foreground" if row.children else "muted"
                bold = bool(row.children)
            case RowKind.GUEST:
                lead = f"  {shape} "
                out.append(Segment(lead, ink(colour, ground)))
                name, bold = "muted", False
            case _:
                number = str(row.number) if 0 < row.number < 10 else " "
                lead = f"   {number} {shape} "
                out.append(Segment(f"   {number} ", ink("faint", ground)))
                out.append(Segment(f"{shape} ", ink(colour, ground, bold=row.wants)))
                name, bold = "foreground", row.wants or shown
        self._labels(out, row, width - 1 - len(lead), ground, name, bold, colour)
        return out

    def _labels(
        self, out: list[Segment], row: TreeRow, room: int, ground: str, name: str, bold: bool, colour: str
    ) -> None:
        """The label on the left, the note on the right; the note gives way first."""
        ink = inks_of(self).ink
        note = row.note
        if row.kind is RowKind.PROJECT and row.children and not row.open:
            note = f"{row.children} inside"
        if row.muted:
            note = f"muted {note}".strip()
        label_wants = min(cell_len(row.label), max(8, room - 11))
        note_room = max(0, room - label_wants - 2)
        if cell_len(note) > note_room and not row.wants:  # rather fewer words than half of one
            note = note.partition(" ")[0]
        shown_note = fit(note, min(note_room, cell_len(note))) if note_room >= 4 else ""
        label_room = room - cell_len(shown_note) - (2 if shown_note else 1)
        out.append(Segment(fit(row.label, max(0, label_room)), ink(name, ground, bold=bold)))
        gap = room - max(0, label_room) - cell_len(shown_note) - 1
        note_ink = ink(colour if row.wants or row.kind is not RowKind.SESSION else "muted", ground, bold=row.wants)
        out.append(Segment(" " * max(0, gap) + shown_note + " ", note_ink))
