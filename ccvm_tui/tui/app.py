"""The dashboard's app: theme, outer terminal, crash handling. What is on the screen is the main screen's."""

from __future__ import annotations

import difflib
import gc
import os
import time
import traceback
from dataclasses import replace
from pathlib import Path
from typing import Any

from textual import events
from textual.app import App, ScreenStackError
from textual.screen import Screen
from textual.worker import WorkerFailed

from ccvm_tui.config import Settings
from ccvm_tui.paths import state_dir
from ccvm_tui.terminal.keys import Stroke
from ccvm_tui.tui import theme
from ccvm_tui.tui.driver import OuterDriver
from ccvm_tui.tui.outer_screen import OuterScreen
from ccvm_tui.tui.screens.main import MainScreen
from ccvm_tui.tui.starting import Starter
from ccvm_tui.tui.strokes import stroke_of

COLLECT_AFTER = (10_000, 20, 20)
"""The garbage collector's thresholds: frames make many objects, and hardly a cycle among them."""


class Dashboard(App[int]):
    """``crash_file`` names where the traceback went if the app came to a bad end.

    ``configured`` projects are listed whether they run or not, and so is ``here``, on which the cursor begins.
    """

    CSS_PATH = "app.tcss"
    TITLE = "ccvm"
    ENABLE_COMMAND_PALETTE = False  # the main screen has its own

    def __init__(
        self, settings: Settings, starter: Starter, *, configured: tuple[str, ...] = (), here: str = ""
    ) -> None:
        super().__init__(driver_class=OuterDriver)
        self.settings = settings
        self.starter = starter
        self.configured = configured
        self.here = here
        self.outer = OuterScreen(self)
        self.crash_file: Path | None = None
        self._follows = settings.theme.name == "ccvm"
        self.register_theme(theme.DARK)
        self.register_theme(theme.LIGHT)
        self.ansi_theme_dark = theme.PALETTE_DARK
        self.ansi_theme_light = theme.PALETTE_LIGHT

    def get_default_screen(self) -> Screen[Any]:
        return MainScreen(self.settings, self.starter, self.configured, self.here)

    def on_mount(self) -> None:
        wanted = self.settings.theme.name
        name = {"ccvm": theme.DARK.name, "dark": theme.DARK.name, "light": theme.LIGHT.name}.get(wanted, wanted)
        if name not in self.available_themes:
            near = difflib.get_close_matches(name, self.available_themes, 1)
            meant = f" (did you mean {near[0]}?)" if near else ""
            self.notify(f"there is no theme {wanted}{meant}", severity="warning", timeout=10, markup=False)
            name = theme.DARK.name
        self.theme = name

    def on_ready(self) -> None:
        """What was imported and built so far stays for good: the garbage collector need not look at it again.

        A full collection over all of Textual takes 50 to 130 ms, and a flood of output brings one every two
        seconds: long enough to be felt between a key and its echo.
        """
        gc.collect()
        gc.freeze()
        gc.set_threshold(*COLLECT_AFTER)
        gc.enable()

    def get_theme_variable_defaults(self) -> dict[str, str]:
        """Names that only our themes define, so that Textual's work too."""
        own = theme.DARK if self.current_theme.dark else theme.LIGHT
        return {name: own.variables[name] for name in theme.EXTRA}

    @property
    def main(self) -> MainScreen | None:
        """The main screen while nothing stands above it."""
        try:
            return self.screen if isinstance(self.screen, MainScreen) else None
        except ScreenStackError:  # before the first and after the last
            return None

    def action_help_quit(self) -> None:
        """Ctrl+C where no program has it: people who press it want out."""
        self.notify("q in the tree quits; guests go on", timeout=4)

    def use_theme(self, name: str) -> None:
        self._follows = False
        self.theme = name

    # --- what the driver offers ----------------------------------------------------------------------------

    def take_stroke(self, stroke: Stroke) -> bool:
        """Called for every key before Textual sees it; True takes it."""
        main = self.main
        return main is not None and main.take_stroke(stroke)

    async def on_event(self, event: events.Event) -> None:
        """Keys that come as Textual's events (from tests, from other drivers) take the same way as strokes."""
        if isinstance(event, events.Key) and not event.is_forwarded and self._took(event):
            return
        await super().on_event(event)

    def _took(self, event: events.Key) -> bool:
        try:
            return self.take_stroke(stroke_of(event.key, event.character))
        except ValueError:
            return False

    def take_paste(self, data: bytes) -> bool:
        main = self.main
        return main is not None and main.take_paste(data)

    def outer_focus(self, gained: bool) -> None:
        for screen in self.screen_stack:
            if isinstance(screen, MainScreen):
                screen.outer_focus(gained)

    def outer_resized(self, cell: tuple[int, int]) -> None:
        if self.outer.measured(cell):
            self._outer_changed()
        if (main := self.main) is not None:
            main.hold_keys()

    def outer_report(self, kind: str, text: str) -> None:
        """The outer terminal told of its colours or cells: sessions hear of it, and the theme follows its background
        unless one was chosen."""
        if not self.outer.told(kind, text):
            return
        self._outer_changed()
        colours = self.outer.colours
        if colours.background >= 0 and self._follows:
            self.theme = (theme.DARK if replace(colours, dark=None).is_dark else theme.LIGHT).name

    def _outer_changed(self) -> None:
        for screen in self.screen_stack:
            if isinstance(screen, MainScreen):
                screen.outer_changed()

    # --- the cursor stays out of the way while Textual draws -------------------------------------------------

    def _begin_update(self) -> None:
        super()._begin_update()
        self._tell_terminal(self.outer.hidden())

    def _end_update(self) -> None:
        self._tell_terminal(self.outer.restored())
        super()._end_update()

    def _tell_terminal(self, data: str) -> None:
        if data and self._driver is not None:
            self._driver.write(data)

    # --- when it goes wrong --------------------------------------------------------------------------------

    def _handle_exception(self, error: Exception) -> None:
        if self._exit and self._exception is None:  # the user has quit: what still works finds a screen half gone
            self.log.error(repr(error))
            return
        if self.crash_file is None:
            self.crash_file = write_crash(error)
        super()._handle_exception(error)

    def _fatal_error(self) -> None:
        """Textual would print the whole traceback over the shell; it stands in the file instead."""
        self._close_messages_no_wait()


def write_crash(error: BaseException) -> Path | None:
    """The traceback, in a file of its own in the state directory; None when that cannot be written."""
    directory = state_dir()
    path = directory / f"crash-{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}.log"
    try:
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        cause = error.error if isinstance(error, WorkerFailed) else error
        path.write_text("".join(traceback.format_exception(cause)), encoding="utf-8")
    except OSError:
        return None
    return path
