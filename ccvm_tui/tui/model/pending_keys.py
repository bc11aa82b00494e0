"""Keys and pastes that are held back while the focus or the layout is changing.

What the user types after opening a session is meant for that session, although the session is shown a moment later.
What they type after changing the size of the host terminal is meant for the new size. Both are therefore held, and
delivered when the focus and the layout have settled.
"""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterator

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
        self._opening = 0
        self._left = False
        self._held: list[Typed] = []

    def hold(self, typed: Typed) -> bool:
        """Hold ``typed`` back if the focus or the layout is changing. Return whether it was held."""
        if not self._holding or self._left:
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
        return self.focus is not None or self.layout or self._opening > 0

    @contextlib.contextmanager
    def opening(self) -> Iterator[None]:
        """While the block starts a session, and makes the focus expected, hold back what is typed for that session.

        It is discarded if the session is not opened: it must not reach the session that had the focus before.
        """
        self._opening += 1
        try:
            yield
        finally:
            self._opening -= 1
            if not self._holding:
                self._held.clear()

    def expect_focus(self, key: SessionKey | None, shown: Collection[SessionKey]) -> None:
        """Expect the focus on ``key``. With None, an earlier expectation remains if its session is in ``shown``."""
        if key is not None or self.focus not in shown:
            self.focus = key
            self._left = False

    def leave(self) -> None:
        """Record that the user has moved on to the tree, if the focus is still on its way to a session."""
        self._left = self.focus is not None

    def focus_arrived(self) -> bool:
        """End the expectation: the session can have the focus. Return False if the user has left it meanwhile."""
        stays, self.focus, self._left = not self._left, None, False
        return stays

    def focus_cancelled(self) -> None:
        """End the expectation: the session will not be shown. What was typed for it is discarded."""
        self.focus, self._left = None, False
        if not self.layout:
            self._held.clear()

    def expect_layout(self) -> bool:
        """Expect another layout. Return False if one is expected already."""
        before, self.layout = self.layout, True
        return not before

    def layout_arrived(self) -> None:
        """End the expectation: the layout has followed the size."""
        self.layout = False
