"""The two parts of the review: the list of files, and the diff of the one under the cursor."""

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

from ccvm_tui.tui.model.edits import DiffRow, FileRow, Mark
from ccvm_tui.tui.terminal_io.app import inks_of
from ccvm_tui.tui.terminal_io.strips import fit

_MARK_COLOURS = {Mark.APPLY: "success", Mark.SOME: "warning", Mark.SKIP: "muted", Mark.REFUSED: "error",
                 Mark.SHOWN: "muted"}  # fmt: skip
_LETTER_COLOURS = {"A": "success", "D": "error", "R": "secondary", "T": "warning"}
_LINE_COLOURS = {"+": "success", "-": "error", "header": "primary", "problem": "error", "note": "muted"}
_GUTTER = 6
"""The columns of the line numbers."""


class FileList(ScrollView):
    """The files with their decisions and numbers of lines."""

    DEFAULT_CSS = "FileList { scrollbar-size-vertical: 1; scrollbar-size-horizontal: 0; overflow-x: hidden; }"

    @dataclass
    class Clicked(Message):
        """The user has clicked the file ``index``, with ``on_mark`` its decision."""

        index: int
        on_mark: bool

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._rows: Sequence[FileRow] = ()
        self._index = 0

    def show(self, rows: Sequence[FileRow], index: int) -> None:
        """Show files, with the cursor on one of them."""
        self._rows, self._index = rows, index
        self.virtual_size = Size(self.size.width, len(rows))
        self.scroll_to_region(Region(0, index, 1, 1), animate=False, force=True)
        self.refresh()

    def on_resize(self) -> None:
        """Keep the cursor visible."""
        self.show(self._rows, self._index)

    def on_click(self, event: events.Click) -> None:
        """Report the file."""
        index = int(event.y) + self.scroll_offset.y
        if 0 <= index < len(self._rows):
            event.stop()
            self.post_message(self.Clicked(index, int(event.x) < 3))

    def render_line(self, y: int) -> Strip:
        """Draw a file."""
        index, width, ink = y + self.scroll_offset.y, self.size.width, inks_of(self).ink
        if not 0 <= index < len(self._rows):
            return Strip([Segment(" " * width, ink("foreground", "surface"))], width)
        row, here = self._rows[index], index == self._index
        ground = "cursor-row" if here else "surface"
        counts = [(f"+{row.added}", "success"), (f" -{row.removed}", "error")] if row.added >= 0 else []
        lead = f"{'▸' if here else ' '}{row.mark.value} {row.letter} "
        left = width - len(lead) - sum(len(text) for text, _ in counts) - 2
        name = "muted" if row.mark in (Mark.SKIP, Mark.REFUSED) else "foreground"
        segments = [
            Segment(lead[0], ink("accent", ground, bold=True)),
            Segment(f"{row.mark.value} ", ink(_MARK_COLOURS[row.mark], ground, bold=True)),
            Segment(f"{row.letter} ", ink(_LETTER_COLOURS.get(row.letter, "foreground"), ground)),
            Segment(_fit_path(row.name, left), ink(name, ground)),
            Segment(" ", ink(name, ground)),
            *(Segment(text, ink(colour, ground)) for text, colour in counts),
            Segment(" ", ink(name, ground)),
        ]
        return Strip(segments, width)


def _fit_path(path: str, width: int) -> str:
    """Return a path in exactly ``width`` cells. Its end is kept, because it distinguishes files."""
    if cell_len(path) <= width:
        return fit(path, width)
    while path and cell_len(path) > width - 1:
        path = path[1:]
    return fit("…" + path, width) if width > 0 else ""


class DiffView(ScrollView):
    """The lines of one diff."""

    DEFAULT_CSS = "DiffView { scrollbar-size-vertical: 1; scrollbar-size-horizontal: 0; overflow-x: hidden; }"

    @dataclass
    class HunkClicked(Message):
        """The user has clicked a line of the hunk ``index``."""

        index: int

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._rows: Sequence[DiffRow] = ()
        self._hunk = 0
        self._skipped: frozenset[int] = frozenset()
        self._chosen = Mark.APPLY
        self._column = 0

    def show(
        self, rows: Sequence[DiffRow], hunk: int, skipped: frozenset[int], chosen: Mark, *, other_file: bool
    ) -> None:
        """Show a diff, with the cursor on the hunk ``hunk``. Skipped hunks are faint, and others marked ``chosen``."""
        self._rows, self._hunk, self._skipped, self._chosen = rows, hunk, skipped, chosen
        self.virtual_size = Size(self.size.width, len(rows))
        if other_file:
            self._column = 0
            self.scroll_home(animate=False)
        self.refresh()

    def show_hunk(self) -> None:
        """Scroll to the hunk under the cursor, unless it is visible as a whole."""
        lines = [index for index, row in enumerate(self._rows) if row.hunk == self._hunk]
        if lines:
            region = Region(0, lines[0], 1, min(len(lines), max(1, self.size.height)))
            self.scroll_to_region(region, animate=False, force=True, top=len(lines) >= self.size.height)

    def shift(self, columns: int) -> None:
        """Scroll sideways."""
        self._column = max(0, self._column + columns)
        self.refresh()

    def on_resize(self) -> None:
        """Adapt the width that can be scrolled."""
        self.virtual_size = Size(self.size.width, len(self._rows))

    def on_click(self, event: events.Click) -> None:
        """Report the hunk."""
        index = int(event.y) + self.scroll_offset.y
        if 0 <= index < len(self._rows) and self._rows[index].hunk >= 0:
            event.stop()
            self.post_message(self.HunkClicked(self._rows[index].hunk))

    def render_line(self, y: int) -> Strip:
        """Draw a line."""
        index, width, ink = y + self.scroll_offset.y, self.size.width, inks_of(self).ink
        if not 0 <= index < len(self._rows):
            return Strip([Segment(" " * width, ink("foreground"))], width)
        row = self._rows[index]
        here, skipped = row.hunk >= 0 and row.hunk == self._hunk, row.hunk in self._skipped
        bar = Segment("▎" if here else " ", ink("accent", bold=True))
        if row.kind in ("note", "problem"):
            return Strip([bar, Segment(fit(row.text, width - 1), ink(_LINE_COLOURS[row.kind]))], width)
        if row.kind == "header" and row.hunk < 0:
            return Strip([bar, Segment(fit(f"  {row.text}", width - 1), ink("muted"))], width)
        if row.kind == "header":
            mark = Mark.SKIP if skipped else self._chosen
            text = fit(f" {row.text}", width - 2)
            style = ink("faint" if skipped else "primary", bold=here)
            return Strip([bar, Segment(mark.value, ink(_MARK_COLOURS[mark])), Segment(text, style)], width)
        number = f"{row.number:>{_GUTTER - 2}} "
        colour = "faint" if skipped else _LINE_COLOURS.get(row.kind, "foreground")
        text = fit(f"{row.kind}{row.text[self._column :]}", width - 1 - len(number))
        return Strip([bar, Segment(number, ink("faint")), Segment(text, ink(colour))], width)
