"""A dashboard without a terminal, over real keepers whose guests have no machine."""

from __future__ import annotations

import contextlib
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from textual.pilot import Pilot

from ccvm_tui import config
from ccvm_tui.client import connection, spawn
from ccvm_tui.guest import SessionKind, TermSize
from ccvm_tui.protocol import Info, LaunchSpec, SessionSpec
from ccvm_tui.tui.actions.starter import Starter
from ccvm_tui.tui.actions.welcome import Preparation
from ccvm_tui.tui.app import Dashboard
from ccvm_tui.tui.model.scrollback import CopyMode
from ccvm_tui.tui.model.welcome import Tour
from ccvm_tui.tui.screens.main import MainScreen
from ccvm_tui.tui.widgets.terminal import Terminal
from tests.tui.local import LocalStarter
from tests.tui.snapshot import visible_strips
from tests.waiting import eventually

WITHIN = 10.0
NAMES = {
    " ": "space",
    "\\": "backslash",
    "-": "minus",
    "/": "slash",
    ".": "full_stop",
    "\n": "enter",
    "'": "apostrophe",
}


class Driven:
    """The app under test, and common steps of tests."""

    def __init__(self, app: Dashboard, pilot: Pilot[int]) -> None:
        self.app = app
        self.pilot = pilot

    @property
    def main(self) -> MainScreen:
        return next(screen for screen in self.app.screen_stack if isinstance(screen, MainScreen))

    @property
    def terminal(self) -> Terminal:
        terminal = self.main.main_area.focused_terminal
        assert terminal is not None, f"the focus is in {self.app.focused}"
        return terminal

    @property
    def copy_mode(self) -> CopyMode:
        mode = self.terminal.copy_mode
        assert mode is not None, "the session in focus is not in copy mode"
        return mode

    @property
    def session(self) -> str:
        """The identifier of the current session."""
        current = self.main.model.selection.current
        assert current is not None, "no session is current"
        return current.session

    async def until(self, condition: Callable[[], object], what: str = "") -> None:
        """Wait until a condition is true."""
        await eventually(condition, lambda: f"did not happen: {what}\n{self.text()}")
        await self.pilot.pause()

    async def shows(self, text: str) -> None:
        await self.until(lambda: text in self.text(), f"{text!r} on the screen")

    async def hides(self, text: str) -> None:
        await self.until(lambda: text not in self.text(), f"{text!r} gone from the screen")

    async def press(self, *keys: str) -> None:
        await self.pilot.press(*keys)

    async def press_until(self, key: str, condition: Callable[[], object]) -> None:
        """Press ``key`` until the condition is true, because the key is ignored at first."""
        end = time.monotonic() + WITHIN
        while not condition():
            assert time.monotonic() < end, f"{key} did nothing\n{self.text()}"
            await self.pilot.press(key)
            await self.pilot.pause(0.05)

    async def type(self, text: str) -> None:
        for char in text:
            await self.pilot.press(NAMES.get(char, char))

    async def leader(self, *keys: str) -> None:
        await self.pilot.press("ctrl+backslash", *keys)

    def text(self) -> str:
        """Return the screen as text."""
        return "\n".join("".join(segment.text for segment in strip).rstrip() for strip in visible_strips(self.app))

    def lines(self) -> list[str]:
        return self.text().split("\n")

    async def into(self, title: str) -> None:
        """Open the session with that title in the switcher."""
        await self.leader("space")
        await self.shows("Sessions")
        await self.type(title)
        await self.press("enter")
        await self.until(lambda: self.main.main_area.focused_terminal is not None, "a session in focus")


Drive = Callable[..., contextlib.AbstractAsyncContextManager[Driven]]


async def start_guest(
    root: Path, name: str, *argv: str, sessions: int = 1, title: str = "", **settings: object
) -> None:
    """Start a keeper without a machine for the project ``root/name``, whose sessions run ``argv``."""
    project = root / name
    project.mkdir(exist_ok=True)
    session = SessionSpec(
        SessionKind.COMMAND, argv or ("/bin/sh",), {"PS1": "$ ", "ENV": "", "HOME": str(root)}, size=TermSize(80, 24),
        name=title,
    )  # fmt: skip
    spec = LaunchSpec(name=name, project=str(project), session=session, linger=True, **settings)  # type: ignore[arg-type]
    assert await spawn.launch(spec)
    async with await connection.connect(name, events=True) as keeper:
        async for event in keeper.events():
            if isinstance(event, Info) and event.guest.sessions:
                break
        for number in range(1, sessions):
            await keeper.start_session(
                SessionSpec(session.kind, session.argv, session.env, size=session.size, name=f"{title}{number + 1}")
            )


@pytest.fixture
def drive(home: Path) -> Drive:  # noqa: ARG001 - the runtime directory of the keepers
    """Return a function that opens the dashboard in an ``async with`` block and returns a ``Driven``."""

    @contextlib.asynccontextmanager
    async def run(
        size: tuple[int, int] = (120, 36),
        argv: tuple[str, ...] = ("/bin/sh",),
        starter: Starter | None = None,
        here: str = "",
        tour: Tour | None = None,
        preparation: Preparation | None = None,
    ) -> AsyncIterator[Driven]:
        effective = config.resolve(None, {})
        app = Dashboard(
            effective.settings,
            starter or LocalStarter(argv),
            configured=tuple(effective.file.projects),
            here=here,
            tour=tour,
            preparation=preparation,
        )
        async with app.run_test(size=size, notifications=True) as pilot:
            await pilot.pause()
            main = next(screen for screen in app.screen_stack if isinstance(screen, MainScreen))
            await main.model.fleet.scanned()
            yield Driven(app, pilot)
        if app._exception is not None:  # noqa: SLF001 - Textual has no public access
            raise app._exception  # noqa: SLF001 - Textual has no public access

    return run
