"""The dashboard's app: its theme, and the routing of input and reports from the host terminal."""

from __future__ import annotations

import contextlib
import difflib
import gc
from dataclasses import replace
from pathlib import Path
from typing import Any

from textual import events
from textual.app import ScreenStackError
from textual.screen import Screen
from textual.worker import WorkerFailed

from ccvm_tui import crash
from ccvm_tui.config import Settings
from ccvm_tui.terminal.keys import Stroke
from ccvm_tui.terminal.leader import Verdict
from ccvm_tui.text import foreign_encoding
from ccvm_tui.tui import theme
from ccvm_tui.tui.actions.starter import Starter
from ccvm_tui.tui.actions.table import BY_NAME, shown_key
from ccvm_tui.tui.actions.welcome import HostPreparation, Preparation
from ccvm_tui.tui.dialogs.welcome import Welcome
from ccvm_tui.tui.dialogs.welcome_pages import FirstGuest
from ccvm_tui.tui.model.key_names import stroke_of
from ccvm_tui.tui.model.tree_rows import project_row_id
from ccvm_tui.tui.model.welcome import Tour
from ccvm_tui.tui.screens.main import MainScreen
from ccvm_tui.tui.terminal_io.app import TerminalApp
from ccvm_tui.tui.widgets.main_area import MainArea

GC_THRESHOLDS = (10_000, 20, 20)
"""The garbage collector's thresholds. Frames create many objects, but hardly any cycles."""


class Dashboard(TerminalApp):
    """The app. ``crash_file`` is the file with the traceback if the app has crashed, or None.

    ``configured`` projects are listed whether they run or not, and so is ``here``, on which the tree's cursor begins.
    With a ``tour``, the dashboard begins with it. ``preparation`` is what a tour can do on this machine.
    """

    CSS_PATH = "app.tcss"
    TITLE = "ccvm"
    ENABLE_COMMAND_PALETTE = False  # the main screen has its own

    def __init__(
        self,
        settings: Settings,
        starter: Starter,
        *,
        configured: tuple[str, ...] = (),
        here: str = "",
        tour: Tour | None = None,
        preparation: Preparation | None = None,
    ) -> None:
        super().__init__()
        self.settings = settings
        self.crash_file: Path | None = None
        self._starter = starter
        self._configured = configured
        self._here = here
        self._tour = tour
        self._preparation = preparation or HostPreparation()
        self._follows_background = settings.theme.name == "ccvm"
        self.register_theme(theme.DARK)
        self.register_theme(theme.LIGHT)
        self.ansi_theme_dark = theme.PALETTE_DARK
        self.ansi_theme_light = theme.PALETTE_LIGHT

    def get_default_screen(self) -> Screen[Any]:
        """Return the main screen."""
        return MainScreen(self.settings, self._starter, self._configured, self._here)

    @property
    def main(self) -> MainScreen | None:
        """The main screen, unless a dialog covers it."""
        try:
            return self.screen if isinstance(self.screen, MainScreen) else None
        except ScreenStackError:  # before the first screen is pushed, and after the last one was removed
            return None

    def _main_screens(self) -> list[MainScreen]:
        return [screen for screen in self.screen_stack if isinstance(screen, MainScreen)]

    def on_ready(self) -> None:
        """Exclude everything that exists so far from garbage collection.

        A full collection over all of Textual takes 50 to 130 ms, and a flood of output causes one every two seconds.
        That is long enough to be felt between a key and its echo.
        """
        gc.collect()
        gc.freeze()
        gc.set_threshold(*GC_THRESHOLDS)
        gc.enable()
        if self._tour is not None:
            self._open_tour(self._tour)

    def action_help_quit(self) -> None:
        """Explain how to quit, because Ctrl+C was pressed where no program handles it."""
        self.notify("Press q in the tree to quit; guests keep running", timeout=4)

    # --- the welcome tour ----------------------------------------------------------------------------------

    def on_main_area_tour_requested(self, _: MainArea.TourRequested) -> None:
        """Open the tour again."""
        tour = Tour()
        tour.reopen()
        self._open_tour(tour)

    def _open_tour(self, tour: Tour) -> None:
        dialog = Welcome(tour, self._preparation, self.settings.leader, self.settings.keys)
        self.push_screen(dialog, self._tour_ended)

    def _tour_ended(self, first: FirstGuest | None) -> None:
        """Show the projects that were added, and start the first guest if the user wants it."""
        for main in self._main_screens():
            if first is not None:
                main.model.added.add(first.project)
            main.refresh_all()
            if first is not None:
                main.tree_view.move_to(project_row_id(first.project))
                main.start_guest(first.project, first.kind)

    # --- the theme -----------------------------------------------------------------------------------------

    def on_mount(self) -> None:
        """Use the theme of the settings."""
        wanted = self.settings.theme.name
        name = {"ccvm": theme.DARK.name, "dark": theme.DARK.name, "light": theme.LIGHT.name}.get(wanted, wanted)
        if name not in self.available_themes:
            near = difflib.get_close_matches(name, self.available_themes, 1)
            suggestion = f" (did you mean {near[0]}?)" if near else ""
            self.notify(f"There is no theme {wanted}{suggestion}", severity="warning", timeout=10, markup=False)
            name = theme.DARK.name
        self.theme = name
        if encoding := foreign_encoding():
            advice = "Characters may be wrong; with a UTF-8 terminal, set LANG=C.UTF-8"
            self.notify(f"The locale uses {encoding}, the dashboard UTF-8. {advice}", severity="warning", timeout=10)

    def get_theme_variable_defaults(self) -> dict[str, str]:
        """Return the variables that only this program's themes define, so that Textual's themes can be used too."""
        own = theme.DARK if self.current_theme.dark else theme.LIGHT
        return {name: own.variables[name] for name in theme.EXTRA}

    def on_main_screen_theme_chosen(self, event: MainScreen.ThemeChosen) -> None:
        """Use a theme that no longer follows the host terminal's background."""
        self._follows_background = False
        self.theme = event.name

    # --- input and reports of the host terminal (InputHandler) ---------------------------------------------

    def take_stroke(self, stroke: Stroke) -> bool:
        """Handle the leader and the key after it, and keys for the focused session. Return whether it was handled."""
        if (main := self.main) is None:
            return False
        decision = main.which_key.feed(stroke)
        match decision.verdict:
            case Verdict.NOT_OURS:
                return main.main_area.take_input(stroke)
            case Verdict.LITERAL:
                main.main_area.take_input(main.which_key.leader_stroke)
            case Verdict.ACTION if decision.number:
                main.open_numbered(decision.number)
            case Verdict.ACTION:
                main.perform(BY_NAME[decision.action])
            case Verdict.UNKNOWN:
                keys = f"{shown_key(self.settings.leader)} {shown_key(decision.action)}"
                self.notify(f"{keys} has no function", timeout=2, markup=False)
        return True

    def take_paste(self, data: bytes) -> bool:
        """Handle a paste for the focused session. Return whether it was handled."""
        return (main := self.main) is not None and main.main_area.take_input(data)

    async def on_event(self, event: events.Event) -> None:
        """Handle keys that arrive as events of Textual, from tests and from other drivers, like those of the driver."""
        if isinstance(event, events.Key) and not event.is_forwarded and self._takes(event):
            return
        await super().on_event(event)

    def _takes(self, event: events.Key) -> bool:
        try:
            return self.take_stroke(stroke_of(event.key, event.character))
        except ValueError:
            return False

    def host_focus(self, gained: bool) -> None:
        """Handle that the host terminal has gained or lost the focus."""
        for main in self._main_screens():
            main.host_focus(gained)

    def host_resized(self, cell: tuple[int, int]) -> None:
        """Handle another size of the host terminal. ``cell`` is the size of a cell in pixels, or zeros."""
        if self.host.set_cell(cell):
            self._host_changed()
        if (main := self.main) is not None:
            main.main_area.hold_keys()

    def host_report(self, kind: str, text: str) -> None:
        """Handle a report about colours or cells. The theme follows the background, unless one was chosen."""
        if not self.host.handle_report(kind, text):
            return
        self._host_changed()
        colours = self.host.colours
        if colours.background >= 0 and self._follows_background:
            self.theme = (theme.DARK if replace(colours, dark=None).is_dark else theme.LIGHT).name

    def _host_changed(self) -> None:
        for main in self._main_screens():
            main.main_area.host_changed()

    def crashed(self, error: Exception) -> None:
        """Write a crash report."""
        if self.crash_file is None:
            with contextlib.suppress(OSError):
                self.crash_file = crash.write_report(error.error if isinstance(error, WorkerFailed) else error)
