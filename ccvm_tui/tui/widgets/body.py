"""The body of the main screen: sidebar, main area and details, and how they share the width."""

from __future__ import annotations

from textual import on
from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.widgets import Input

from ccvm_tui.tui.widgets.bars import Divider
from ccvm_tui.tui.widgets.controls import CancellableInput
from ccvm_tui.tui.widgets.details import Details
from ccvm_tui.tui.widgets.main_area import MainArea
from ccvm_tui.tui.widgets.tree import TreeView

SIDEBAR_MIN, SIDEBAR_MAX = 18, 70
"""Minimum and maximum width of the sidebar in cells."""

SIDEBAR, SIDEBAR_SMALL, SMALL = 32, 26, 100
"""The width of the sidebar unless the user changes it, its width on a small screen, and the width of a larger one."""

SIDEBAR_STEP = 4
"""The number of columns by which the sidebar is made wider or narrower."""

WIDE = 150
"""The width in cells from which the details are shown unless the user hides them."""

NARROW = 110
"""The width in cells below which the details take the place of the main area."""


class Body(Horizontal):
    """The sidebar with tree and filter, the main area, and the details."""

    def __init__(self, tree: TreeView, main_area: MainArea, details: Details, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.filter = CancellableInput(placeholder="filter", id="filter")
        self._tree_view = tree
        self._main_area = main_area
        self._details = details
        self._sidebar = Vertical(self.filter, tree, id="sidebar")
        self._divider = Divider(id="divider")
        self._sidebar_width = 0
        self._details_wanted: bool | None = None

    def compose(self) -> ComposeResult:
        """Yield the parts from left to right."""
        yield self._sidebar
        yield self._divider
        yield self._main_area
        yield self._details

    # --- the sidebar ---------------------------------------------------------------------------------------

    @property
    def sidebar_hidden(self) -> bool:
        """True if the user has hidden the sidebar."""
        return self._sidebar.has_class("-hidden")

    def hide_sidebar(self, hidden: bool) -> None:
        """Hide or show the sidebar."""
        self._sidebar.set_class(hidden, "-hidden")
        self._divider.set_class(hidden, "-hidden")

    def action_narrower(self) -> None:
        """Make the sidebar narrower."""
        self._widen_sidebar(-SIDEBAR_STEP)

    def action_wider(self) -> None:
        """Make the sidebar wider."""
        self._widen_sidebar(SIDEBAR_STEP)

    def _widen_sidebar(self, columns: int) -> None:
        self._sidebar_width = self._sidebar.size.width + columns
        self.arrange_sidebar()

    def on_divider_dragged(self, event: Divider.Dragged) -> None:
        """Make the sidebar as wide as the user drags its edge."""
        event.stop()
        self._sidebar_width = event.x
        self.arrange_sidebar()

    def arrange_sidebar(self) -> None:
        """Adapt the sidebar to the width of the screen."""
        width = self.screen.size.width  # the body itself gets its new width later
        wanted = self._sidebar_width or (SIDEBAR_SMALL if width < SMALL else SIDEBAR)
        self._sidebar.styles.width = max(SIDEBAR_MIN, min(wanted, SIDEBAR_MAX, width // 2))

    def action_filter(self) -> None:
        """Show the line for filtering the tree, and move the focus into it."""
        self.filter.add_class("-shown")
        self.filter.focus()

    @on(Input.Submitted, "#filter")
    def _filter_entered(self) -> None:
        self._tree_view.focus()

    @on(CancellableInput.Cancelled, "#filter")
    def _filter_cancelled(self) -> None:
        self.filter.value = ""
        self.filter.remove_class("-shown")
        self._tree_view.focus()

    # --- the details ---------------------------------------------------------------------------------------

    def want_details(self, wanted: bool | None) -> None:
        """Show or hide the details, or let the width decide (None). ``arrange_details`` must follow."""
        self._details_wanted = wanted

    @property
    def details_shown(self) -> bool:
        """True if the details are shown."""
        return self._details.has_class("-shown")

    def arrange_details(self, *, in_session: bool) -> bool:
        """Adapt the details to the width of the screen, and return whether they are shown.

        On a narrow screen they take the place of the main area, unless the focus is in a session.
        """
        width = self.screen.size.width
        wanted = width >= WIDE if self._details_wanted is None else self._details_wanted
        narrow = width < NARROW
        shown = wanted and not (narrow and in_session)
        self._details.set_class(shown, "-shown")
        self._details.set_class(shown and narrow, "-whole")
        self._main_area.set_class(shown and narrow, "-away")
        return shown
