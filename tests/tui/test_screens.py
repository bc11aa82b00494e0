"""Every screen in three sizes, in the dark theme, and the main ones in the light one."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from ccvm_tui.client import connection
from ccvm_tui.client.ends import End
from ccvm_tui.guest import Activity, GuestInfo, GuestState, Phase, SessionKind, TermSize, Usage
from ccvm_tui.outbound import EgressAttempt
from ccvm_tui.project.history import History
from ccvm_tui.protocol import Happened, SessionSpec
from ccvm_tui.tui.model.guests import Contact, Guest
from ccvm_tui.tui.model.welcome import Tour
from tests.tui.conftest import WITHIN, Drive, Driven, start_guest
from tests.tui.preparation import FINDINGS, MISSING, SetPreparation
from tests.tui.snapshot import WRITING, check, kept, picture
from tests.tui.test_egress import with_questions

SIZES = {"80x24": (80, 24), "120x36": (120, 36), "200x60": (200, 60)}
in_each_size = pytest.mark.parametrize(
    "size", ["80x24", *(pytest.param(size, marks=pytest.mark.unmeasured) for size in ("120x36", "200x60"))]
)
"""Runs a test in each size. Coverage is measured in one, because the others execute the same code."""

LINES = r"for n in 1 2 3 4 5 6 7 8 9; do printf 'line %s of \033[3%smcolour\033[m and words\r\n' $n $((n % 8)); done; exec cat"


class Album:
    """The pictures of the screens in one size."""

    def __init__(self, dashboard: Driven, home: Path, size: str) -> None:
        self.dashboard = dashboard
        self.home = home
        self.size = size
        self.different: list[str] = []

    async def take(self, name: str) -> None:
        dashboard = self.dashboard
        dashboard.app.clear_notifications()
        dashboard.main.header.freeze_load("load 1.0  cpu 10%  mem 2.0G/8.0G ")
        try:
            check(f"{name}-{self.size}", await self._settled(f"{name}-{self.size}"))
        except AssertionError as error:
            self.different.append(str(error))

    async def _settled(self, name: str) -> str:
        """Return the picture as soon as it equals the stored one, or the picture at the deadline."""
        deadline = time.monotonic() + WITHIN
        while True:
            await self.dashboard.pilot.pause(0.1)
            now = picture(self.dashboard.app, self.home)
            if now == kept(name) or WRITING or time.monotonic() > deadline:
                return now


def _booting(project: str) -> Guest:
    now = time.time()
    phases = (Phase("machine", 0.0, 0.4), Phase("kernel", 0.4, 4.2), Phase("sshd", 4.2, 5.0))
    info = GuestInfo(
        "boots-1a2b", project, GuestState.BOOTING, 1, 2, now - 7530, "tcg", "KVM showed no life within 4 s", "microvm", 4096,
        4, True, "user", "0123456789abcdef", "claude", "0.1.0", phases=phases,
        usage=Usage(187.0, 512 << 20, 4 << 30, 3 << 30, 1.25, 7530.0), warnings=("less memory than asked for",),
    )  # fmt: skip
    guest = Guest("boots-1a2b", Contact.CONNECTED, info, project=project, version="0.1.0")
    guest.console = "[    0.0] Linux version 6.12\n[    3.1] overlayfs: stacked\n"
    guest.cpu.extend(range(0, 200, 9))
    guest.memory.extend(float(n << 20) for n in range(10, 500, 20))
    guest.events.append(Happened(now, "warning", "less memory than asked for"))
    return guest


@in_each_size
async def test_screens(drive: Drive, home: Path, size: str) -> None:
    await start_guest(home, "shop", "sh", "-c", LINES, title="server")
    async with await connection.connect("shop") as keeper:
        spec = SessionSpec(SessionKind.COMMAND, ("cat",), size=TermSize(80, 24), name="second")
        await keeper.start_session(spec)
    (home / "rests").mkdir()
    (home / "died").mkdir()
    History().remember(str(home / "rests"), "rests-0", time.time() - 90_000)
    async with drive(size=SIZES[size]) as dashboard:
        main = dashboard.main
        main.body.want_details(False)
        album = Album(dashboard, home, size)
        death = End(
            "died-9f9f",
            str(home / "died"),
            True,
            "the guest's kernel panicked",
            "Kernel panic\nlast line",
            time.time() - 7530,
        )
        main.model.fleet.ends[death.guest] = death
        await dashboard.shows("2 sessions")
        await dashboard.until(lambda: _at_rest(dashboard), "both at rest")
        await dashboard.shows("line 9")
        await album.take("tree")
        await _pages(dashboard, album, home)
        await dashboard.into("server")
        await dashboard.shows("line 9")
        await album.take("session")
        await _above(dashboard, album)
        await _tiles_and_themes(dashboard, album)
    assert not album.different, "\n\n".join(album.different)


def _at_rest(dashboard: Driven) -> bool:
    return {info.activity for info in dashboard.main.model.sessions.values()} == {Activity.IDLE}


async def _pages(dashboard: Driven, album: Album, home: Path) -> None:
    main = dashboard.main
    for name, kind in (("rests", "project"), ("died", "project")):
        main.tree_view.move_to(f"{kind}:{home / name}::")
        await dashboard.shows("start again" if name == "died" else "start with a shell")
        await album.take(name)
    await dashboard.press("e")
    await dashboard.shows("Settings of died")
    await album.take("settings")
    await dashboard.press("escape", "slash")
    await dashboard.type("res")
    await dashboard.until(lambda: main.model.tree.row is not None and main.model.tree.row.label == "rests")
    await dashboard.shows("start with a shell")
    await dashboard.hides("start again")
    await album.take("filter")
    await dashboard.press("escape", "plus")
    await dashboard.shows("Add a project")
    await dashboard.type(str(home / "no"))
    await album.take("add")
    await dashboard.press("escape")
    main.model.fleet.guests["boots-1a2b"] = _booting(str(home / "rests"))
    main.refresh_all()
    main.tree_view.move_to(f"guest:{home / 'rests'}:boots-1a2b:")
    await dashboard.shows("overlayfs: stacked")
    main.tree_view.freeze_boot_sign()
    await album.take("boot")
    await dashboard.press("i")
    await dashboard.shows("load in guest")
    await album.take("details")
    await dashboard.press("i")
    for contact, words in ((Contact.FOREIGN, "v0.1.0"), (Contact.HUNG, "no answer")):
        main.model.fleet.guests["boots-1a2b"].contact = contact
        main.refresh_all()
        await dashboard.shows(words)
        await album.take(contact.value)
    del main.model.fleet.guests["boots-1a2b"]
    main.body.want_details(False)
    main.refresh_all()


async def _above(dashboard: Driven, album: Album) -> None:
    for key, words, name in (("question_mark", "Keys", "help"), ("x", "End this session?", "confirm"),
                             ("space", "Sessions", "switcher"), ("colon", "type a few letters of a command", "palette")):  # fmt: skip
        await dashboard.leader(key)
        await dashboard.shows(words)
        if name == "switcher":
            await dashboard.until(lambda: dashboard.text().count("line 9") >= 1, "the preview")
        await album.take(name)
        await dashboard.press("escape")
        await dashboard.hides(words)
    await dashboard.press("ctrl+backslash")
    await dashboard.shows("Send it to the program")
    await album.take("which-key")
    await dashboard.press("escape")
    await dashboard.hides("Send it to the program")
    await dashboard.leader("left_square_bracket")
    await dashboard.press("slash")
    await dashboard.type("colour")
    await dashboard.press("enter")
    await dashboard.shows("of 9")
    await dashboard.press("v", "w", "w")
    await album.take("copy-mode")
    await dashboard.press("escape", "q")
    await dashboard.hides("copy mode")


async def _tiles_and_themes(dashboard: Driven, album: Album) -> None:
    await dashboard.leader("t")
    await dashboard.until(lambda: len(dashboard.main.main_area.panes()) == 2)
    await dashboard.until(lambda: dashboard.text().count("line 9") == 1)
    await dashboard.until(lambda: _at_rest(dashboard), "all at rest")
    await album.take("tiles")
    await dashboard.leader("d")
    dashboard.app.theme = "ccvm-light"
    await album.take("light")


@in_each_size
async def test_the_first_screen_of_all(drive: Drive, home: Path, size: str) -> None:
    async with drive(size=SIZES[size]) as dashboard:
        await dashboard.shows("No projects yet")
        album = Album(dashboard, home, size)
        await album.take("welcome")
    assert not album.different, "\n\n".join(album.different)


@in_each_size
async def test_the_welcome_tour(drive: Drive, home: Path, size: str, monkeypatch: pytest.MonkeyPatch) -> None:
    (home / "shop").mkdir()
    monkeypatch.chdir(home / "shop")
    for name in ("ANTHROPIC_API_KEY", "CLAUDE_CODE_OAUTH_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    host = SetPreparation(*FINDINGS, MISSING)
    async with drive(size=SIZES[size], tour=Tour(), preparation=host) as dashboard:
        album = Album(dashboard, home, size)
        await dashboard.shows("squashfs-tools")
        await album.take("tour-machine")
        await dashboard.press("s")
        await dashboard.shows("build it")
        await dashboard.press("enter")
        await dashboard.shows("42%")
        await album.take("tour-image")
        host.finish.set()
        for name, words in (("project", "shop?"), ("agent", "/usr/local/bin/claude"), ("login", "export"),
                            ("guest", "start it with claude")):  # fmt: skip
            await dashboard.shows(words)
            await album.take(f"tour-{name}")
            if name != "guest":
                await dashboard.press("enter")
    assert not album.different, "\n\n".join(album.different)


@in_each_size
async def test_the_egress_of_a_guest(drive: Drive, home: Path, size: str) -> None:
    async with drive(size=SIZES[size]) as dashboard:
        album = Album(dashboard, home, size)
        keeper = with_questions(dashboard, home)
        keeper.attempts = [
            EgressAttempt(number, 1_800_000_000 + number, "tcp", *target, outcome, "", reason, "", "s1", 900, 5_000_000)
            for number, (target, outcome, reason) in enumerate(
                [
                    (("registry.example", 443), "closed", ""),
                    (("telemetry.example", 443), "refused", "it is not on the allowlist"),
                    (("registry.example", 443), "open", ""),
                    (("gone.example", 80), "failed", "gone.example does not exist"),
                ],
                1,
            )
        ]
        dashboard.main.tree_view.move_to(f"guest:{home / 'shop'}:shop:")
        await dashboard.press("w")
        await dashboard.shows("telemetry.example:443")
        await album.take("egress")
        await dashboard.press("t")
        await dashboard.shows("1 refused")
        await album.take("egress-totals")
        await dashboard.press("escape")
        await dashboard.hides("Egress of shop")
        with_questions(dashboard, home, "new.example:443")
        await dashboard.shows("wants to connect to")
        await album.take("egress-question")
    assert not album.different, "\n\n".join(album.different)
