"""The tree in the sidebar: it draws the rows of a ``Tree``, moves its cursor, and requests actions."""

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
from textual.timer import Timer

from ccvm_tui.tui.actions.table import BY_TREE_KEY, OPEN, Action
from ccvm_tui.tui.model.signs import BOOT_FRAMES
from ccvm_tui.tui.model.tree_rows import RowKind, Tree, TreeRow
from ccvm_tui.tui.terminal_io.app import inks_of
from ccvm_tui.tui.terminal_io.strips import fit
from ccvm_tui.tui.widgets.controls import ActionRequested

BOOT_FRAME_INTERVAL = 0.25
"""Seconds between two frames of the sign of booting guests."""


class TreeView(ScrollView, can_focus=True):
    """The view of a ``Tree``, whose cursor it moves."""

    DEFAULT_CSS = """
    TreeView { height: 1fr; scrollbar-size-vertical: 1; scrollbar-size-horizontal: 0; overflow-x: hidden; }
    """

    @dataclass
    class Highlighted(Message):
        """The cursor is on another row."""

    @dataclass
    class Animated(Message):
        """The sign of booting guests has changed. Nothing on the screen moves if no guest is booting."""

    @dataclass
    class Folded(Message):
        """The user has folded or unfolded a row: the rows must be updated."""

    def __init__(self, tree: Tree, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._tree = tree
        self._current_session = ""
        self._boot_frame = 0
        self._boot_timer: Timer | None = None

    # --- rows ----------------------------------------------------------------------------------------------

    def update_rows(self, rows: Sequence[TreeRow], current_session: str) -> None:
        """Show rows in place of those before, and mark the current session."""
        tree = self._tree
        if list(rows) == tree.rows and current_session == self._current_session:
            return
        moved = tree.update(rows)
        self._current_session = current_session
        self.virtual_size = Size(self.size.width, len(rows))
        if moved:
            self.post_message(self.Highlighted())
        if tree.booting and self._boot_timer is None:
            self._boot_timer = self.set_interval(BOOT_FRAME_INTERVAL, self._turn_boot_sign)
        elif not tree.booting:
            self.freeze_boot_sign()
        self.refresh()

    def move_to(self, id: str) -> bool:
        """Move the cursor to the row with an id. Return whether there is such a row."""
        index = self._tree.find(id)
        if index is None:
            return False
        if index != self._tree.index:
            self._move(index)
        return True

    def _move(self, index: int) -> None:
        tree = self._tree
        tree.move(index)
        if tree.rows:
            self.scroll_to_region(Region(0, tree.index, 1, 1), animate=False, force=True)
            self.post_message(self.Highlighted())
            self.refresh()

    def _turn_boot_sign(self) -> None:
        self._boot_frame += 1
        self.refresh()
        self.post_message(self.Animated())

    def freeze_boot_sign(self) -> None:
        """Stop the animation and show its first frame. It begins again when the rows change."""
        if self._boot_timer is not None:
            self._boot_timer.stop()
            self._boot_timer = None
        self._boot_frame = 0
        self.refresh()

    # --- keys and mouse ------------------------------------------------------------------------------------

    def on_key(self, event: events.Key) -> None:
        """Move the cursor, fold and unfold, or request the action of a key."""
        index, row, page = self._tree.index, self._tree.row, max(1, self.size.height - 1)
        match event.key:
            case "down" | "j":
                self._move(index + 1)
            case "up" | "k":
                self._move(index - 1)
            case "home":
                self._move(0)
            case "end" | "G" | "upper_g":
                self._move(len(self._tree.rows) - 1)
            case "pagedown" | "ctrl+d":
                self._move(index + page)
            case "pageup" | "ctrl+u":
                self._move(index - page)
            case "right":
                self._unfold_or_open()
            case "l" if row is not None and row.children and not row.open:
                self._unfold_or_open()
            case "left" | "h":
                self._fold_or_leave()
            case key if action := self._action(key, event.character):
                self.post_message(ActionRequested(action))
            case _:
                return
        event.stop()
        event.prevent_default()

    def _action(self, key: str, character: str | None) -> Action | None:
        return BY_TREE_KEY.get(character or "") or BY_TREE_KEY.get(key)

    def _unfold_or_open(self) -> None:
        row = self._tree.row
        if row is None:
            return
        if row.children and not row.open:
            self._tree.unfold(row)
            self.post_message(self.Folded())
        elif row.children:
            self._move(self._tree.index + 1)
        elif row.kind is RowKind.SESSION:
            self.post_message(ActionRequested(OPEN))

    def _fold_or_leave(self) -> None:
        row = self._tree.row
        if row is not None and row.children and row.open:
            self._tree.fold(row)
            self.post_message(self.Folded())
        elif (parent := self._tree.parent()) is not None:
            self._move(parent)

    def on_click(self, event: events.Click) -> None:
        """Move the cursor to a row, and open, fold or unfold it."""
        index = int(event.y) + self.scroll_offset.y
        if not 0 <= index < len(self._tree.rows):
            return
        event.stop()
        self._move(index)
        row = self._tree.rows[index]
        if row.kind is RowKind.SESSION or event.chain == 2:
            self.post_message(ActionRequested(OPEN))
        elif row.children and int(event.x) <= row.depth * 2 + 1:
            (self._tree.fold if row.open else self._tree.unfold)(row)
            self.post_message(self.Folded())

    # --- drawing -------------------------------------------------------------------------------------------

    def on_resize(self) -> None:
        """Adapt the width that can be scrolled."""
        self.virtual_size = Size(self.size.width, len(self._tree.rows))

    def on_focus(self) -> None:
        """Draw the cursor of a focused tree."""
        self.refresh()

    def on_blur(self) -> None:
        """Draw the cursor of a tree without focus."""
        self.refresh()

    def render_line(self, y: int) -> Strip:
        """Draw a row."""
        tree = self._tree
        index = y + self.scroll_offset.y
        width = self.size.width
        if not 0 <= index < len(tree.rows):
            return Strip([Segment(" " * width, inks_of(self).on("surface"))], width)
        here = index == tree.index
        ground = "cursor-row" if here and self.has_focus else "panel" if here else "surface"
        return Strip(self._segments(tree.rows[index], width, ground, here), width)

    def _segments(self, row: TreeRow, width: int, ground: str, here: bool) -> list[Segment]:
        ink = inks_of(self).ink
        shown = row.session is not None and str(row.session) == self._current_session
        bar = "▎" if shown else "▸" if here and self.has_focus else " "
        out = [Segment(bar, ink("primary" if shown else "accent", ground, bold=True))]
        sign = row.sign
        shape = sign.shape if sign is not None else ""
        if row.booting:
            shape = BOOT_FRAMES[self._boot_frame % len(BOOT_FRAMES)]
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
                out.append(Segment(f"{shape} ", ink(colour, ground, bold=row.needs_user)))
                name, bold = "foreground", row.needs_user or shown
        self._add_labels(out, row, width - 1 - len(lead), ground, name, bold, colour)
        return out

    def _add_labels(
        self, out: list[Segment], row: TreeRow, width: int, ground: str, name: str, bold: bool, colour: str
    ) -> None:
        """Add the label on the left and the note on the right. The note is shortened first."""
        ink = inks_of(self).ink
        note = row.note
        if row.kind is RowKind.PROJECT and row.children and not row.open:
            note = f"{row.children} hidden"
        if row.muted:
            note = f"muted {note}".strip()
        label_width = min(cell_len(row.label), max(8, width - 11))
        note_width = max(0, width - label_width - 2)
        if cell_len(note) > note_width and not row.needs_user:  # one whole word is better than a part of several
            note = note.partition(" ")[0]
        shown_note = fit(note, min(note_width, cell_len(note))) if note_width >= 4 else ""
        label_width = max(0, width - cell_len(shown_note) - (2 if shown_note else 1))
        out.append(Segment(fit(row.label, label_width), ink(name, ground, bold=bold)))
        gap = width - label_width - cell_len(shown_note) - 1
        urgent = row.needs_user or row.kind is not RowKind.SESSION
        note_ink = ink(colour if urgent else "muted", ground, bold=row.needs_user)
        out.append(Segment(" " * max(0, gap) + shown_note + " ", note_ink))
