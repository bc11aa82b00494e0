"""Draw the pictures of the README with the real dashboard: ``python -m assets.make [DIRECTORY]``.

Two guests are running, a third is booting. The agent is a script, because a real one would need an account. The PNG
files are made by rsvg-convert.
"""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import msgspec
from textual.pilot import Pilot

from ccvm_tui.client import connection, listing, spawn
from ccvm_tui.config import Settings
from ccvm_tui.guest import Activity, GuestState, SessionKind, TermSize
from ccvm_tui.project.history import History
from ccvm_tui.protocol import Info, SessionSpec
from ccvm_tui.tui.actions.starter import UserStarter
from ccvm_tui.tui.app import Dashboard
from ccvm_tui.tui.model.tree_rows import project_row_id
from ccvm_tui.tui.screens.main import MainScreen

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
SIZE = (128, 36)

CODE = '''"""Baskets: what a customer has picked and not paid yet."""

from dataclasses import dataclass, field
from decimal import Decimal


@dataclass(frozen=True)
class Line:
    article: str
    count: int
    price: Decimal

    @property
    def total(self) -> Decimal:
        return self.count * self.price


@dataclass
class Basket:
    customer: int
    lines: list[Line] = field(default_factory=list)

    def add(self, article: str, count: int, price: Decimal) -> None:
        """Put ``count`` of an article in; the same article again only raises its count."""
        for number, line in enumerate(self.lines):
            if line.article == article:
                self.lines[number] = Line(article, line.count + count, price)
                return
        self.lines.append(Line(article, count, price))
'''

TESTS = r"""
printf '\033[1m$ pytest -q\033[m\r\n'
printf '\033[32m........................................\033[m [ 57%%]\r\n'
printf '\033[32m..................\033[31mF\033[32m...........\033[m [100%%]\r\n'
printf '\033[1;31mFAILED\033[m tests/test_basket.py::\033[1mtest_the_same_article_again\033[m\r\n'
printf '\033[31m1 failed\033[m, \033[32m69 passed\033[m in 4.12s\r\n\r\n'
printf '\033[1m$ \033[m'; cat
"""

AGENT = r"""
printf '\033[38;5;173m  ◆\033[m \033[1mAgent\033[m\r\n\r\n'
printf '\033[38;5;245m> the same article twice should raise its count\033[m\r\n\r\n'
printf '\033[38;5;173m◆\033[m I changed \033[1mbasket.py\033[m: adding an article that is\r\n'
printf '  there already raises its count.\r\n\r\n'
printf '\033[38;5;245m  21 \033[32m+        for number, line in enumerate(self.lines):\033[m\r\n'
printf '\033[38;5;245m  22 \033[32m+            if line.article == article:\033[m\r\n'
printf '\033[38;5;245m  23 \033[31m-        self.lines.append(line)\033[m\r\n\r\n'
printf '\033[38;5;173m◆\033[m May I run \033[1mpytest -q\033[m now?\r\n\r\n'
printf '  \033[7m 1. Yes \033[m  2. No, tell me what to do instead\r\n'
sleep 1; printf '\033]9;May I run pytest -q now?\033\\'; cat
"""

BUILD = r"""
printf '\033[1m$ cargo build --release\033[m\r\n'
for crate in libc cfg-if memchr bitflags embedded-hal cortex-m heapless firmware; do
  printf '\033[1;32m   Compiling\033[m %s v0.%s.1\r\n' $crate $((${#crate} % 7)); done
printf '\033[1;36m    Building\033[m [=====================>   ] 214/231: firmware\r\n'
cat
"""


_WEB_FONT = re.compile(r"@font-face \{.*?\}\s*", re.DOTALL)


def _svg_to_png(svg: Path) -> None:
    """Convert one of Rich's pictures, after changing two things in it.

    Its blanks must stay, which an attribute says to converters that would trim them. Its fonts would be loaded from
    another host; without them, a font of the system is used.
    """
    text = _WEB_FONT.sub("", svg.read_text(encoding="utf-8")).replace("<text ", '<text xml:space="preserve" ')
    svg.write_text(text, encoding="utf-8")
    if shutil.which("rsvg-convert"):
        subprocess.run(["rsvg-convert", "-w", "1600", "-o", svg.with_suffix(".png"), svg], check=True)


async def _start(root: Path, name: str, *sessions: tuple[str, tuple[str, ...]]) -> None:
    """Start a guest for the project ``root/name`` with ``sessions``, which are names and commands."""
    specs = [
        SessionSpec(SessionKind.COMMAND, argv, {}, term="xterm-256color", size=TermSize(94, 33), name=title)
        for title, argv in sessions
    ]
    launch = UserStarter().launch(str(root / name), SessionKind.SHELL, specs[0].size, print, threading.Event())
    await spawn.launch(msgspec.structs.replace(launch, session=specs[0], linger=True, warnings=()))
    History().remember(str(root / name), launch.name)
    async with await connection.connect(launch.name, events=True) as keeper:
        async for event in keeper.events():
            if isinstance(event, Info) and event.guest.state is GuestState.RUNNING:
                break
        for spec in specs[1:]:
            await keeper.start_session(spec)


async def _guests(root: Path) -> None:
    for name in ("webshop", "firmware", "thesis", "dotfiles", "old-blog"):
        (root / name).mkdir(parents=True)
        History().remember(str(root / name), name, time.time() - 90_000 * len(name))
    (root / "webshop" / "basket.py").write_text(CODE)
    vim = ("vim", "-u", "NONE", "-c", "syntax on | set number ruler background=dark | normal 22G", "basket.py")
    shop = (("agent", ("sh", "-c", AGENT)), ("vim basket.py", vim), ("tests", ("sh", "-c", TESTS)))
    await _start(root, "webshop", *shop)
    await _start(root, "firmware", ("build", ("sh", "-c", BUILD)))


class Camera:
    """The running dashboard, of which pictures are saved in the directory ``where``."""

    def __init__(self, app: Dashboard, pilot: Pilot[int], where: Path) -> None:
        self.app = app
        self.pilot = pilot
        self.where = where

    @property
    def main(self) -> MainScreen:
        """The main screen."""
        return next(screen for screen in self.app.screen_stack if isinstance(screen, MainScreen))

    def still(self) -> None:
        """Show a fixed load, which would otherwise differ from picture to picture."""
        self.main.header.freeze_load("load 1.7  cpu 31%  mem 9.2G/31.1G ")

    async def keys(self, *keys: str, wait: float = 0.4) -> None:
        """Press keys, and wait for the display to follow."""
        await self.pilot.press(*keys)
        await asyncio.sleep(wait)

    async def into(self, title: str) -> None:
        """Open the session with this name."""
        key = next(key for key, info in self.main.model.sessions.items() if info.name == title)
        self.main.open_session(key)
        await asyncio.sleep(0.6)

    async def take(self, name: str) -> None:
        """Save the screen as ``name.svg`` and ``name.png``."""
        self.app.clear_notifications()
        await self.pilot.pause(0.3)
        svg = self.where / f"{name}.svg"
        svg.write_text(self.app.export_screenshot(title="ccvm-tui"), encoding="utf-8")
        _svg_to_png(svg)
        print(svg)


async def _boot(camera: Camera, project: Path) -> None:
    """Start a third guest and press the button while its kernel starts."""
    main = camera.main
    main.tree_view.move_to(project_row_id(str(project)))
    main.tree_view.focus()
    await camera.keys("c", wait=0)
    while not any(guest.project == str(project) and guest.console for guest in main.model.fleet.guests.values()):
        await main.model.fleet.change()
    await camera.take("boot")
    name = next(name for name, guest in main.model.fleet.guests.items() if guest.project == str(project))
    await asyncio.to_thread(listing.stop_any, name)


async def _pictures(root: Path, where: Path) -> None:
    await _guests(root)
    app = Dashboard(Settings(), UserStarter())
    async with app.run_test(size=SIZE) as pilot:
        camera = Camera(app, pilot, where)
        await camera.main.model.fleet.scanned()
        while not any(
            info.activity is Activity.WAITING and info.attention for info in camera.main.model.sessions.values()
        ):
            await camera.main.model.fleet.change()
        camera.still()
        camera.main.host_focus(False)  # sessions are not marked as seen
        await camera.into("agent")
        await camera.keys("ctrl+backslash", "d")
        await camera.take("tree")
        await camera.into("vim basket.py")
        await camera.take("vim")
        await camera.keys("ctrl+backslash", "space", wait=0.8)
        await camera.take("switcher")
        await camera.keys("escape")
        await camera.keys("ctrl+backslash", wait=0.8)
        await camera.take("keys")
        await camera.keys("escape")
        await camera.keys("ctrl+backslash", "d")
        await _boot(camera, root / "thesis")
    app = Dashboard(Settings(), UserStarter())
    async with app.run_test(size=(190, 48)) as pilot:
        camera = Camera(app, pilot, where)
        await camera.main.model.fleet.scanned()
        await asyncio.sleep(0.8)
        camera.still()
        await camera.into("vim basket.py")
        await camera.keys("ctrl+backslash", "t", wait=0.8)
        await camera.keys("ctrl+backslash", "t", wait=0.8)
        await camera.keys("ctrl+backslash", "t", wait=0.8)
        await asyncio.sleep(4)
        await camera.take("tiles")


def main() -> int:
    """Draw all pictures in a temporary home."""
    where = Path(sys.argv[1]).resolve() if len(sys.argv) > 1 else HERE
    root = Path(tempfile.gettempdir()) / "src"  # the pictures show this name
    if root.exists():
        sys.exit(f"{root} is in the way")
    hidden = Path(tempfile.mkdtemp(prefix="ccvm-p"))
    for name in ("XDG_RUNTIME_DIR", "XDG_CONFIG_HOME", "XDG_STATE_HOME"):
        path = hidden / name[4:7].lower()
        path.mkdir(mode=0o700)
        os.environ[name] = str(path)
    os.environ |= {"PYTHONPATH": str(ROOT), "CCVM_CORES": "2"}
    try:
        asyncio.run(_pictures(root, where))
    finally:
        for guest in listing.names():
            listing.stop_any(guest, force=True)
        for path in (root, hidden):
            shutil.rmtree(path, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
