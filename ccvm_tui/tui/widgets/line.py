"""A line to type in whose cursor stands still: nothing on the screen moves without a reason."""

from __future__ import annotations

from textual.widgets import Input


class Line(Input):
    def on_mount(self) -> None:
        self.cursor_blink = False
