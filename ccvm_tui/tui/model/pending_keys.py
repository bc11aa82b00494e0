"""Keys and pastes that are held back while the focus or the layout is changing.

What the user types after opening a session is meant for that session, although the session is shown a moment later.
What they type after changing the size of the host terminal is meant for the new size. Both are therefore held, and
delivered when the focus and the layout have settled.
"""

from __future__ import annotations

from collections.abc import Collection

from ccvm_tui.terminal.keys import Stroke
from ccvm_tui.tui.model.sessions import SessionKey

Typed = Stroke | bytes
"""A key, or the bytes of a paste."""


class PendingKeys:
    """Keys and pastes in the order in which they were typed.

    ``focus`` is the session that is about to have the focus, or None. ``layout`` is true while the layout follows a new
    size of the host terminal.
    """

    def __init__(self) -> None:
        self.focus: SessionKey | None = None
        self.layout = False
        self._held: list[Typed] = []

    def hold(self, typed: Typed) -> bool:
        """Hold ``typed`` back if the focus or the layout is changing. Return whether it was held."""
        if not self._holding:
            return False
        self._held.append(typed)
        return True

    def release(self) -> list[Typed]:
        """Return everything that was held, unless the focus or the layout is still changing."""
        if self._holding:
            return []
        held, self._held = self._held, []
        return held

    @property
    def _holding(self) -> bool:
        return self.focus is not None or self.layout

    def expect_focus(self, key: SessionKey | None, shown: Collection[SessionKey]) -> None:
        """Expect the focus on ``key``. With None, an earlier expectation remains if its session is in ``shown``."""
        if key is not None or self.focus not in shown:
            self.focus = key

    def focus_arrived(self) -> None:
        """End the expectation: the session has the focus."""
        self.focus = None

    def focus_cancelled(self) -> None:
        """End the expectation: the session will not be shown. What was typed for it is discarded."""
        self.focus = None
        if not self.layout:
            self._held.clear()

    def expect_layout(self) -> bool:
        """Expect another layout. Return False if one is expected already."""
        before, self.layout = self.layout, True
        return not before

    def layout_arrived(self) -> None:
        """End the expectation: the layout has followed the size."""
        self.layout = False
