"""The review screen: the files that a guest has edited, their diffs, and what is to be applied to the host."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from functools import partial
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.containers import Container
from textual.screen import ModalScreen

from ccvm_tui.guest import SessionInfo
from ccvm_tui.text import plain
from ccvm_tui.tui.actions import review
from ccvm_tui.tui.actions.table import review_hints, unread_hints
from ccvm_tui.tui.dialogs.comment import Comment
from ccvm_tui.tui.dialogs.confirm import Confirm
from ccvm_tui.tui.model.edits import Edits, Mark, failure_rows
from ccvm_tui.tui.model.sessions import session_title
from ccvm_tui.tui.widgets.bars import FooterBar, Piece, TitleBar
from ccvm_tui.tui.widgets.controls import SHOWN_ERRORS, described, start
from ccvm_tui.tui.widgets.edit_views import DiffView, FileList

WIDE = 110
"""Columns from which the list is beside the diff, and not above it."""

COLUMNS = 8
"""Columns by which the diff is scrolled sideways."""

RESTORED_SHOWN = 8
"""The number of files that are named before something is undone."""


DRAW_INTERVAL = 0.2
"""Seconds after which the list is drawn again while files are compared."""


class ReviewScreen(ModalScreen[None]):
    """The screen. ``load`` reads the edits, ``sessions`` returns the sessions of the guest, which receive comments."""

    DEFAULT_CSS = """
    ReviewScreen { background: $background; }
    ReviewScreen #edits { layout: vertical; height: 1fr; }
    ReviewScreen FileList { height: auto; max-height: 40%; background: $surface; }
    ReviewScreen DiffView { height: 1fr; background: $background; }
    ReviewScreen.wide #edits { layout: horizontal; }
    ReviewScreen.wide FileList { width: 40%; max-width: 60; height: 1fr; max-height: 100%; }
    ReviewScreen.wide DiffView { width: 1fr; }
    """
    BINDINGS: ClassVar = [
        ("escape,q", "leave"), ("down,j", "file(1)"), ("up,k", "file(-1)"), ("n,tab", "hunk(1)"),
        ("p,N,shift+tab", "hunk(-1)"), ("space", "skip"), ("x", "skip_hunk"), ("A", "skip_all"), ("a", "apply"),
        ("u", "undo"), ("c", "comment"), ("r", "reload"), ("pagedown,ctrl+d", "page(1)"), ("pageup,ctrl+u", "page(-1)"),
        ("left", "shift(-1)"), ("right", "shift(1)"), ("g,home", "file(-1000000)"), ("G,end", "file(1000000)"),
    ]  # fmt: skip

    def __init__(
        self, guest: str, load: Callable[[], Awaitable[Edits]], sessions: Callable[[], Sequence[SessionInfo]]
    ) -> None:
        super().__init__()
        self._guest = guest
        self._load = load
        self._sessions = sessions
        self._edits: Edits | None = None
        self._shown = ""
        self._busy = False
        self._title = TitleBar()
        self._files = FileList()
        self._diff = DiffView()
        self._footer = FooterBar()

    def compose(self) -> ComposeResult:
        """Yield the parts from top to bottom."""
        yield self._title
        yield Container(self._files, self._diff, id="edits")
        yield self._footer

    def on_mount(self) -> None:
        """Read the edits."""
        self.action_reload()

    def on_resize(self) -> None:
        """Arrange the parts for the width."""
        self.set_class(self.size.width >= WIDE, "wide")
        self._arrange()

    def _arrange(self) -> None:
        count = len(self._edits.changes) if self._edits is not None else 0
        self._files.styles.height = "1fr" if self.has_class("wide") else max(1, count)

    # --- showing --------------------------------------------------------------------------------------------

    def _show(self) -> None:
        edits = self._edits
        if edits is None:
            self._title.show([self._heading(), Piece("  reading …", "muted")])
            self._footer.show_keys(unread_hints())
            return
        marks = [edits.mark(change) for change in edits.changes]
        chosen = sum(mark in (Mark.APPLY, Mark.SOME) for mark in marks)
        left = [self._heading(), Piece(f"  {_files(len(marks))}", "muted")]
        if chosen:
            left.append(Piece(f"  {chosen} chosen", "success"))
        if refused := marks.count(Mark.REFUSED):
            left.append(Piece(f"  {refused} refused", "error"))
        for count, what in ((edits.review.git, "in .git"), (edits.review.ignored, "ignored")):
            if count:
                left.append(Piece(f"  {count} {what}", "faint"))
        self._title.show(left)
        self._footer.show_keys(review_hints(applicable=chosen > 0, applied=edits.review.applied))
        self._arrange()
        self._files.show(edits.rows(), edits.index)
        self._show_diff(edits)

    def _heading(self) -> Piece:
        return Piece(f" Changes in {plain(self._guest, 60)}", "primary", True)

    def _show_diff(self, edits: Edits) -> None:
        change = edits.current
        path = change.path if change is not None else ""
        hunks = edits.hunks_of(change) or [] if change is not None else []
        skipped = frozenset(
            index for index in range(len(hunks)) if change is not None and edits.is_skipped(change, index)
        )
        mark = edits.mark(change) if change is not None else Mark.SHOWN
        chosen = mark if mark in (Mark.REFUSED, Mark.SHOWN) else Mark.APPLY
        self._diff.show(edits.diff(), edits.hunk, skipped, chosen, other_file=path != self._shown)
        self._shown = path
        if change is not None and edits.hunks_of(change) is None:
            start(self, partial(self._compare, edits, edits.index), "compare", exclusive=True)

    def _show_failure(self, error: Exception) -> None:
        self._title.show([self._heading(), Piece("  not read", "error")])
        self._diff.show(failure_rows(*described(error)), 0, frozenset(), Mark.SHOWN, other_file=True)

    async def _read(self) -> None:
        try:
            edits = await self._load()
        except SHOWN_ERRORS as error:
            if self._edits is not None:  # the edits that were read before remain on the screen
                raise
            self._show_failure(error)
            return
        if self._edits is not None:
            edits.index = min(self._edits.index, max(0, len(edits.changes) - 1))
        self._edits, self._shown = edits, ""
        self._show()

    async def _compare(self, edits: Edits, first: int) -> None:
        """Compare all files, beginning with the one that is shown. The list is drawn again now and then."""
        drawn = 0.0
        for index in [*range(first, len(edits.changes)), *range(first)]:
            await review.compare(edits, edits.changes[index])
            if edits is not self._edits:
                return
            if index == edits.index:
                self._show_diff(edits)
            if time.monotonic() - drawn > DRAW_INTERVAL:
                self._files.show(edits.rows(), edits.index)
                drawn = time.monotonic()
        self._files.show(edits.rows(), edits.index)

    # --- messages ---------------------------------------------------------------------------------------------

    @on(FileList.Clicked)
    def _file_clicked(self, event: FileList.Clicked) -> None:
        if self._edits is not None:
            self._edits.move(event.index - self._edits.index)
            if event.on_mark:
                self._edits.toggle()
            self._show()

    @on(DiffView.HunkClicked)
    def _hunk_clicked(self, event: DiffView.HunkClicked) -> None:
        if self._edits is not None:
            self._edits.move_hunk(event.index - self._edits.hunk)
            self._show()

    # --- actions ----------------------------------------------------------------------------------------------

    def action_leave(self) -> None:
        """Return to the main screen."""
        self.dismiss(None)

    def action_reload(self) -> None:
        """Read the edits again."""
        if self._edits is None:
            self._show()
        start(self, self._read, "read the edits", exclusive=True)

    def action_file(self, step: int) -> None:
        """Move to another file."""
        if self._edits is not None and self._edits.move(step):
            self._show()

    def action_hunk(self, step: int) -> None:
        """Move to another hunk."""
        if self._edits is not None:
            self._edits.move_hunk(step)
            self._show()
            self._diff.show_hunk()

    def action_page(self, step: int) -> None:
        """Scroll the diff by a page."""
        self._diff.scroll_relative(y=step * max(1, self._diff.size.height - 1), animate=False)

    def action_shift(self, step: int) -> None:
        """Scroll the diff sideways."""
        self._diff.shift(step * COLUMNS)

    def action_skip(self) -> None:
        """Apply or skip the file, and move to the next one."""
        if self._edits is not None:
            self._edits.toggle()
            self._edits.move(1)
            self._show()

    def action_skip_hunk(self) -> None:
        """Apply or skip the hunk, and move to the next one."""
        if self._edits is not None:
            self._edits.toggle_hunk()
            self.action_hunk(1)

    def action_skip_all(self) -> None:
        """Apply or skip all files."""
        if self._edits is not None:
            self._edits.toggle_all()
            self._show()

    def action_apply(self) -> None:
        """Apply what is chosen."""
        if self._edits is not None:
            start(self, partial(self._apply, self._edits), "apply")

    async def _apply(self, edits: Edits) -> None:
        with self._writing("applying …") as free:
            if free:
                self._report(await review.apply_chosen(edits))
                await self._read()

    @contextlib.contextmanager
    def _writing(self, what: str) -> Iterator[bool]:
        """Yield whether the host's files can be changed: only one change is possible at a time."""
        if self._busy:
            yield False
            return
        self._busy = True
        self._title.show([self._heading(), Piece(f"  {what}", "warning")])
        try:
            yield True
        finally:
            self._busy = False
            self._show()

    def action_undo(self) -> None:
        """Undo what was applied last, after a question."""
        start(self, self._undo, "undo")

    async def _undo(self) -> None:
        record = review.last_applied(self._guest)
        if record is None:
            self._report("Nothing was applied from this guest")
            return
        places = [plain(place, 70) for place in review.restored(record)]
        more = [f"… and {len(places) - RESTORED_SHOWN} more"] if len(places) > RESTORED_SHOWN else []
        question = Confirm("Restore these files on the host?", [*places[:RESTORED_SHOWN], *more], "restore them")
        if await self.app.push_screen_wait(question):
            with self._writing("restoring …") as free:
                if free:
                    self._report(await review.undo(record))
                    await self._read()

    def action_comment(self) -> None:
        """Write a comment on the hunk for the agent."""
        if self._edits is not None and self._edits.current is not None:
            start(self, partial(self._comment, self._edits), "comment", exclusive=True)

    async def _comment(self, edits: Edits) -> None:
        session = review.commented_session(self._sessions())
        if session is None:
            self._report("There is no agent in this guest that could receive a comment")
            return
        title = session_title(session)
        text = await self.app.push_screen_wait(Comment(edits.place(), title))
        if text:
            await review.send_comment(self._guest, session, edits.comment(text))
            self._report(f"The comment is in the prompt of {title}; Enter there sends it")

    def _report(self, text: str) -> None:
        self.notify(text, timeout=5, markup=False)


def _files(count: int) -> str:
    return f"{count} file{'' if count == 1 else 's'}"
