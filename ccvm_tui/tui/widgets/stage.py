"""The main area: one session or up to four side by side, or a page about what is selected."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence

from textual.app import ComposeResult
from textual.containers import Container
from textual.css.query import NoMatches

from ccvm_tui.guest import SessionInfo
from ccvm_tui.tui.attention import SessionKey
from ccvm_tui.tui.widgets.panes import Pane
from ccvm_tui.tui.widgets.session_pane import SessionPane
from ccvm_tui.tui.widgets.terminal import Terminal

TILES_MAX = 4


class Tiles(Container):
    DEFAULT_CSS = """
    Tiles { layout: grid; grid-size: 1 1; width: 1fr; height: 1fr; }
    Tiles.-two { grid-size: 2 1; grid-gutter: 0 1; background: $line; }
    Tiles.-three { grid-size: 3 1; grid-gutter: 0 1; background: $line; }
    Tiles.-four { grid-size: 2 2; grid-gutter: 0 1; background: $line; }
    """

    def shape_for(self, count: int, width: int) -> None:
        """Three stand side by side only where each gets 60 columns."""
        shape = {2: "-two", 3: "-three" if width >= 180 else "-four", 4: "-four"}.get(count, "")
        for name in ("-two", "-three", "-four"):
            self.set_class(name == shape, name)


class Stage(Container):
    """``keys`` are the sessions shown, in the order of their tiles."""

    DEFAULT_CSS = """
    Stage { width: 1fr; height: 1fr; }
    Stage > Pane { display: none; }
    Stage.-page > Tiles { display: none; }
    Stage.-page > Pane { display: block; }
    """

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.keys: list[SessionKey] = []
        self._tiles = Tiles()
        self.page = Pane()
        self._settling = asyncio.Lock()

    def compose(self) -> ComposeResult:
        yield self._tiles
        yield self.page

    def on_mount(self) -> None:
        self.add_class("-page")

    def on_resize(self) -> None:
        self._tiles.shape_for(len(self.keys), self.size.width)

    @property
    def showing_page(self) -> bool:
        return self.has_class("-page")

    def show_page(self, fill: Callable[[Pane], None]) -> None:
        """A page in place of the sessions; they stay connected behind it."""
        self.add_class("-page")
        fill(self.page)

    def want(self, keys: Sequence[SessionKey]) -> None:
        """These sessions are to be shown; ``settle`` makes it so."""
        self.keys = list(keys)[:TILES_MAX]
        self.set_class(not self.keys, "-page")

    async def settle(self) -> None:
        """Bring the panes to what is wanted now; those shown already are left alone."""
        async with self._settling:
            have = {pane.key: pane for pane in self.panes()}
            if list(have) == self.keys:
                return
            with self.app.batch_update():
                for key, pane in have.items():
                    if key not in self.keys:
                        await pane.remove()
                before: SessionPane | None = None
                for key in self.keys:
                    wanted = have.get(key)
                    if wanted is None:
                        wanted = SessionPane(key)
                        if before is not None:
                            await self._tiles.mount(wanted, after=before)
                        else:
                            await self._tiles.mount(wanted, before=0 if self._tiles.children else None)
                    before = wanted
                self._tiles.shape_for(len(self.keys), self.size.width)

    def panes(self) -> list[SessionPane]:
        return list(self._tiles.query(SessionPane))

    def pane(self, key: SessionKey) -> SessionPane | None:
        return next((pane for pane in self.panes() if pane.key == key), None)

    def terminal(self, key: SessionKey) -> Terminal | None:
        pane = self.pane(key)
        return pane.terminal if pane is not None else None

    def refresh_titles(self, infos: Mapping[SessionKey, SessionInfo], paused: Collection[str]) -> None:
        """``paused`` are the names of guests."""
        for pane in self.panes():
            try:
                pane.show(infos.get(pane.key), paused=pane.key.guest in paused)
            except NoMatches:
                continue
