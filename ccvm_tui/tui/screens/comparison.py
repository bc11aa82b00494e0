"""Two attempts side by side: the files that they have changed, and the lines in which they differ."""

from __future__ import annotations

from functools import partial
from typing import ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.containers import VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import OptionList, Static
from textual.widgets.option_list import Option

from ccvm_tui.attempt.losses import counted
from ccvm_tui.review import columns
from ccvm_tui.review.comparing import Comparison, Row, Side
from ccvm_tui.review.hunks import Hunk, Line
from ccvm_tui.text import plain
from ccvm_tui.tui.actions import attempts
from ccvm_tui.tui.actions.table import KeyHint
from ccvm_tui.tui.terminal_io.app import inks_of
from ccvm_tui.tui.terminal_io.strips import fit
from ccvm_tui.tui.widgets.bars import FooterBar, Piece, TitleBar
from ccvm_tui.tui.widgets.controls import SHOWN_ERRORS, error_text, start

COUNTS = 16
"""Columns for what an attempt has done to a file."""

LINES_MAX = 5_000
"""The number of lines of a file that are shown."""

_HINTS = [
    KeyHint("q", "back"), KeyHint("↑ ↓", "files"), KeyHint("PageUp PageDown", "scroll"), KeyHint("r", "read again"),
]  # fmt: skip


class ComparisonScreen(ModalScreen[None]):
    """The screen. ``one`` and ``other`` are the names of the guests."""

    DEFAULT_CSS = """
    ComparisonScreen { background: $background; }
    ComparisonScreen OptionList { height: auto; max-height: 40%; border: none; background: $surface; padding: 0;
        scrollbar-size-vertical: 1; }
    ComparisonScreen OptionList > .option-list--option-highlighted { background: $cursor-row; text-style: none; }
    ComparisonScreen OptionList:focus { border: none; }
    ComparisonScreen VerticalScroll { height: 1fr; background: $background; scrollbar-size-vertical: 1; }
    ComparisonScreen VerticalScroll Static { width: 1fr; height: auto; }
    """
    BINDINGS: ClassVar = [
        ("escape,q", "leave"), ("r", "reload"), ("pagedown,ctrl+d", "page(1)"), ("pageup,ctrl+u", "page(-1)"),
        ("j", "file(1)"), ("k", "file(-1)"),
    ]  # fmt: skip

    def __init__(self, one: str, other: str) -> None:
        super().__init__()
        self._guests = (one, other)
        self._comparison: Comparison | None = None
        self._title = TitleBar()
        self._files = OptionList(markup=False)
        self._lines = Static("", markup=False)
        self._area = VerticalScroll(self._lines, can_focus=False)
        self._footer = FooterBar()

    def compose(self) -> ComposeResult:
        """Yield the parts from top to bottom."""
        yield self._title
        yield self._files
        yield self._area
        yield self._footer

    def on_mount(self) -> None:
        """Compare the attempts."""
        self._files.focus()
        self._footer.show_keys(_HINTS)
        self.action_reload()

    def on_resize(self) -> None:
        """Draw everything in the new width."""
        if self._comparison is not None:
            self._show(self._comparison)

    # --- showing --------------------------------------------------------------------------------------------

    async def _read(self) -> None:
        self._comparison = None
        names = " and ".join(plain(name, 60) for name in self._guests)
        self._title.show([Piece(f" {names}", "primary", True), Piece("  reading …", "muted")])
        try:
            self._comparison = await attempts.compare(*self._guests)
        except SHOWN_ERRORS as error:
            self._title.show([Piece(f" {names}", "primary", True), Piece("  not read", "error")])
            self._files.clear_options()
            self._lines.update(error_text(error))
            return
        self._show(self._comparison)

    def _show(self, comparison: Comparison) -> None:
        same = sum(row.same for row in comparison.rows)
        self._title.show(
            [
                Piece(f" {self._heading(comparison, 0)}", "primary", True),
                Piece("  │  ", "faint"),
                Piece(self._heading(comparison, 1), "primary", True),
                Piece(f"   {counted(len(comparison.rows), 'file')}, {same} the same", "muted"),
            ]
        )
        highlighted = self._files.highlighted or 0
        self._files.clear_options()
        self._files.add_options([Option(self._row(row)) for row in comparison.rows])
        if comparison.rows:
            self._files.highlighted = min(highlighted, len(comparison.rows) - 1)
        else:
            self._lines.update("neither attempt has changed anything")

    def _heading(self, comparison: Comparison, side: int) -> str:
        received = (comparison.one, comparison.other)[side]
        uncommitted = f", {received.state.uncommitted} uncommitted" if received.state.uncommitted else ""
        return plain(f"{received.attempt.name} ({counted(comparison.ahead[side], 'commit')}{uncommitted})", 80)

    def _row(self, row: Row) -> Text:
        inks = inks_of(self)
        width = max(10, self.size.width - 2 * COUNTS - 10)
        text = Text(no_wrap=True, overflow="ellipsis", end="")
        text.append(" " + fit(plain(row.path, 300), width), inks.ink("foreground", ""))
        for side in (row.one, row.other):
            text.append(f" {_counts(side):<{COUNTS}}", inks.ink("muted" if side is None else "primary", ""))
        text.append("same" if row.same else "", inks.ink("success", ""))
        return text

    async def _show_lines(self, comparison: Comparison, row: Row) -> None:
        hunks = await attempts.compared(comparison, row)
        if hunks is None:
            self._lines.update("binary or large files differ")
        elif row.same:
            self._lines.update("both attempts have the same file")
        else:
            self._lines.update(self._columns(hunks) if hunks else "only the permissions differ")
        self._area.scroll_home(animate=False)

    def _columns(self, hunks: list[Hunk]) -> Text:
        inks = inks_of(self)
        half = max(10, (self.size.width - 5) // 2)
        text, count = Text(no_wrap=True, overflow="crop"), 0
        for hunk in hunks:
            text.append(f"{'─' * half}─┼─{'─' * half}\n", inks.ink("faint", "background"))
            for left, right in columns.pairs(hunk):
                same = left is right
                shown = inks.ink("muted" if same else "error", "background")
                text.append(fit(_text(left), half), shown)
                text.append(" │ ", inks.ink("faint", "background"))
                text.append(fit(_text(right), half) + "\n", shown if same else inks.ink("success", "background"))
                count += 1
                if count >= LINES_MAX:
                    text.append("…\n", inks.ink("faint", "background"))
                    return text
        return text

    # --- keys -----------------------------------------------------------------------------------------------

    def on_option_list_option_highlighted(self, event: OptionList.OptionHighlighted) -> None:
        """Show the lines of the file under the cursor."""
        comparison = self._comparison
        if comparison is not None and event.option_index < len(comparison.rows):
            row = comparison.rows[event.option_index]
            start(self, partial(self._show_lines, comparison, row), "lines", exclusive=True)

    def action_leave(self) -> None:
        """Return to the main screen."""
        self.dismiss(None)

    def action_reload(self) -> None:
        """Compare the attempts again."""
        start(self, self._read, "compare attempts", exclusive=True)

    def action_file(self, step: int) -> None:
        """Move to another file."""
        (self._files.action_cursor_down if step > 0 else self._files.action_cursor_up)()

    def action_page(self, step: int) -> None:
        """Scroll the lines by a page."""
        self._area.scroll_relative(y=step * max(1, self._area.size.height - 1), animate=False)


def _counts(side: Side | None) -> str:
    if side is None:
        return "-"
    return f"{side.letter} binary" if side.added < 0 else f"{side.letter} +{side.added} -{side.removed}"


def _text(line: Line | None) -> str:
    return "" if line is None else plain(line.text.rstrip(b"\n").decode("utf-8", "replace").expandtabs(), 1000)
