"""The dialogs that the main screen opens, and what comes of their answers."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from functools import partial
from typing import TYPE_CHECKING

from textual.app import SuspendNotSupported
from textual.widgets import Input

from ccvm_tui import project as projects
from ccvm_tui.errors import CcvmError, ConfigError, UserError
from ccvm_tui.guest import SessionKind
from ccvm_tui.text import plain
from ccvm_tui.tui import workers
from ccvm_tui.tui.attention import SessionKey
from ccvm_tui.tui.dialogs.add_project import AddProject
from ccvm_tui.tui.dialogs.help import Help
from ccvm_tui.tui.dialogs.logs import Logs
from ccvm_tui.tui.dialogs.palette import Palette
from ccvm_tui.tui.dialogs.settings import ProjectSettings
from ccvm_tui.tui.dialogs.switcher import Candidate, Switcher
from ccvm_tui.tui.fleet import Guest
from ccvm_tui.tui.palette import Command, commands
from ccvm_tui.tui.screens.pages import settings_of
from ccvm_tui.tui.tree_rows import project_row_id, session_sign, session_title

if TYPE_CHECKING:
    from ccvm_tui.tui.screens.main import MainScreen


class Questions:
    def __init__(self, screen: MainScreen) -> None:
        self._screen = screen

    def default_kind(self, project: str) -> SessionKind:
        try:
            return SessionKind.SHELL if settings_of(project).agent == "none" else SessionKind.AGENT
        except ConfigError:
            return SessionKind.SHELL

    def filter(self) -> None:
        line = self._screen.query_one("#filter", Input)
        line.add_class("-shown")
        line.focus()

    def close_filter(self) -> None:
        line = self._screen.query_one("#filter", Input)
        line.value = ""
        line.remove_class("-shown")
        self._screen.fleet_tree.focus()

    def switch(self) -> None:
        screen = self._screen
        candidates = [
            Candidate(
                key,
                session_title(info),
                screen.guest_project(key.guest),
                session_sign(info),
                plain(info.attention, 80),
                info.size,
            )
            for key, info in screen.fleet.sessions()
        ]
        recent = [key for key in (screen.before, screen.current) if key is not None]
        candidates.sort(key=lambda one: recent.index(one.key) if one.key in recent else len(recent))

        def chosen(one: Candidate | None) -> None:
            if one is not None and one.key in screen.infos:
                screen.deeds.go(one.key)

        screen.app.push_screen(Switcher(candidates), chosen)

    def palette(self) -> None:
        def chosen(command: Command | None) -> None:
            if command is not None:
                command.run()

        self._screen.app.push_screen(Palette(list(commands(self._screen))), chosen)

    def help(self) -> None:
        screen = self._screen

        def chosen(action: str | None) -> None:
            if action:
                screen.deeds.do(action)

        screen.app.push_screen(Help(screen.leader), chosen)

    def add_project(self) -> None:
        screen = self._screen

        def added(path: str | None) -> None:
            if not path:
                return
            try:
                found = projects.resolve(path)
                screen.history.remember(str(found.path), found.name, now=0.0)  # it has not run yet
            except UserError as error:
                screen.acts.trouble(error.message, error.hint)
                return
            except OSError as error:
                screen.acts.trouble(f"the project could not be remembered: {error}")
                screen.added.add(str(found.path))
            screen.refresh_all()
            screen.fleet_tree.move_to(project_row_id(str(found.path)))

        screen.app.push_screen(AddProject(), added)

    def forget_project(self) -> None:
        screen = self._screen
        row = screen.fleet_tree.row
        if row is None or any(guest.project == row.project for guest in screen.fleet.guests.values()):
            return
        if row.project in screen.configured:
            screen.notify("It stands in config.toml; take its section out there", timeout=4)
            return
        with contextlib.suppress(OSError):
            screen.history.forget(row.project)
        screen.added.discard(row.project)
        screen.fleet.forget_ends(row.project)
        screen.refresh_all()

    def logs(self, guest: Guest | None) -> None:
        if guest is not None:
            self._screen.app.push_screen(Logs(guest))

    def settings(self, project: str) -> None:
        self._screen.app.push_screen(ProjectSettings(project))

    # --- zoom ----------------------------------------------------------------------------------------------

    def zoom(self, key: SessionKey) -> None:
        workers.start(self._screen, partial(self._zoom, key), f"zoom {key}", "zoom", exclusive=True)

    async def _zoom(self, key: SessionKey) -> None:
        """Give the real terminal to `attach` until it detaches: bytes pass unfiltered, pictures included."""
        screen = self._screen
        app = screen.app
        program = "from ccvm_tui.cli import main; raise SystemExit(main())"
        argv = [sys.executable, "-P", "-c", program, "attach", str(key)]
        try:
            with app.suspend():
                process = await asyncio.create_subprocess_exec(*argv)
                await process.wait()
        except SuspendNotSupported:
            screen.notify("There is no terminal to zoom into", timeout=3)
            return
        except (OSError, CcvmError) as error:
            screen.acts.trouble(str(error))
        screen.dashboard.outer.forget()
        screen.refresh_titles()
        app.refresh(layout=True)
        if key in screen.infos:
            screen.deeds.go(key)
