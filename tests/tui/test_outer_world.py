"""The properties of the outer terminal that a program in a session gets: pixels, colours, keys."""

from __future__ import annotations

import asyncio
import re
import signal
import sys
from pathlib import Path

import pytest

from ccvm_tui.guest import TermColours, TermSize
from tests.fidelity.tmux import Tmux, environment
from tests.leftovers import MESS, leftovers, state_of
from tests.tui.conftest import start_guest
from tests.tui.outer import OuterTerminal

LEADER = "\x1c"
PROBE = str(Path(__file__).with_name("probe.py"))
DARK = TermColours(0xDDEEFF, 0x101418, 0xFF8800)
LIGHT = TermColours(0x112233, 0xFFFEF8, 0x0088FF)


async def into_probe(outer: OuterTerminal) -> None:
    await outer.until("1 end")
    await outer.type(LEADER + "1")
    await outer.until("Ctrl+\\ then")


def seen(outer: OuterTerminal, number: int) -> dict[str, str]:
    """Return the report with that number, by the first word of its lines."""
    lines = [re.split(r"[│▕▏]", line)[-1].strip() for line in outer.text.split("\n")]
    start = next(at for at, line in enumerate(lines) if line.startswith(f"{number} size"))
    return dict(line.removeprefix(f"{number} ").partition(" ")[::2] for line in lines[start : start + 4])


def agreeing(cols: int, rows: int, cell: tuple[int, int]) -> tuple[str, str]:
    """Return the size that the device reports, and the terminal's answers."""
    width, height = cols * cell[0], rows * cell[1]
    return f"{cols}x{rows} {width}x{height}", f"4;{height};{width} 6;{cell[1]};{cell[0]} 8;{rows};{cols}"


def size_of(report: dict[str, str]) -> tuple[int, int]:
    cols, _, rows = report["size"].split()[0].partition("x")
    return int(cols), int(rows)


async def next_report(outer: OuterTerminal, after: int) -> tuple[int, dict[str, str]]:
    """Wait for a report after that number, and return the newest."""
    await outer.until(lambda: max(map(int, re.findall(r"(\d+) end", outer.text)), default=0) > after)
    await outer.quiet()
    number = max(map(int, re.findall(r"(\d+) end", outer.text)))
    return number, seen(outer, number)


@pytest.mark.parametrize("by_device", [True, False], ids=["TIOCGWINSZ", "CSI 16 t"])
async def test_pixels_are_the_outer_terminals(home: Path, by_device: bool) -> None:
    def cell(width: int, height: int) -> tuple[int, int]:
        return (width, height) if by_device else (0, 0)

    await start_guest(home, "pixels", sys.executable, PROBE, title="probe")
    colours = DARK
    async with OuterTerminal(home, 100, 30, cell=cell(9, 21), colours=colours) as outer:
        real = (9, 21) if by_device else (8, 16)
        await into_probe(outer)
        number, report = await next_report(outer, 1)
        assert (report["size"], report["reports"]) == agreeing(*size_of(report), real)
        outer.resize(130, 40, cell(9, 21))
        number, report = await next_report(outer, number)
        assert size_of(report)[0] > 80
        assert (report["size"], report["reports"]) == agreeing(*size_of(report), real)
        if by_device:  # another font: as many cells, of another size
            outer.resize(130, 40, (10, 24))
            number, report = await next_report(outer, number)
            assert (report["size"], report["reports"]) == agreeing(*size_of(report), (10, 24))


async def test_colours_are_the_outer_terminals_also_when_they_change(home: Path) -> None:
    await start_guest(home, "colours", sys.executable, PROBE, "\\x1b[?2031h", title="probe")
    async with OuterTerminal(home, colours=LIGHT) as outer:
        await into_probe(outer)
        number, report = await next_report(outer, 1)
        assert report["colours"] == "1111/2222/3333 ffff/fefe/f8f8 0000/8888/ffff"
        assert set(report["scheme"].split()) == {"997;2"}  # the answer, and perhaps a notice of what was there before
        outer.recolour(DARK)
        await outer.until("typed ^[[?997;1n")  # without a query
        number, report = await next_report(outer, number)
        assert report["colours"] == "dddd/eeee/ffff 1010/1414/1818 ffff/8888/0000"
        assert report["scheme"] == "997;1"
        await outer.type(LEADER + "d")
        await outer.until("q quit")
        assert b"\x1b[?2031h" in outer.received
        await outer.type("q")
        assert await outer.ended() == 0
        assert b"\x1b[?2031l" in outer.received


async def test_the_dashboard_itself_becomes_dark_and_light_with_it(home: Path) -> None:
    async with OuterTerminal(home, colours=LIGHT) as outer:
        light, dark = b"48;2;250;249;246", b"48;2;18;22;27"
        await outer.until(lambda: light in outer.received)
        outer.received.clear()
        outer.recolour(DARK)
        await outer.until(lambda: dark in outer.received)
        outer.received.clear()
        outer.recolour(LIGHT)
        await outer.until(lambda: light in outer.received)


async def test_a_terminal_that_tells_no_change_is_asked_when_it_gets_the_focus(home: Path) -> None:
    await start_guest(home, "focus", sys.executable, PROBE, title="probe")
    async with OuterTerminal(home, colours=LIGHT) as outer:
        outer.ignored = (b"\x1b[?2031h", b"\x1b[?2031$p")
        await into_probe(outer)
        number, report = await next_report(outer, 1)
        assert set(report["scheme"].split()) == {"997;2"}  # the answer, and perhaps a notice of what was there before
        outer.emulator.set_colours(DARK)
        await outer.type("\x1b[O\x1b[I")
        await outer.until(lambda: outer.received.count(b"\x1b]11;?") > 1)
        await outer.quiet()
        await outer.type("x")
        number, report = await next_report(outer, number)
        assert report["colours"] == "dddd/eeee/ffff 1010/1414/1818 ffff/8888/0000"
        assert report["scheme"] == "997;1"


# --- keys ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("asks", "outer_sends", "arrives"),
    [
        ("", "\x1b[27;2;13~", "^M"),
        ("\\x1b[>4;1m", "\x1b[27;2;13~", "^[[27;2;13~"),
        ("\\x1b[>4;2m", "\x1b[27;5;105~", "^[[27;5;105~"),
        ("\\x1b[>4;2m", "\x1b[13;2u", "^[[27;2;13~"),
        ("\\x1b[>1u", "\x1b[27;2;13~", "^[[13;2u"),
        ("\\x1b[>1u", "\x1b[27;5;105~", "^[[105;5u"),
        ("\\x1b[>1u", "\x1b[27;3;13~", "^[[13;3u"),
    ],
)
async def test_modified_keys_reach_a_program_in_the_language_it_asked_for(
    home: Path, asks: str, outer_sends: str, arrives: str
) -> None:
    await start_guest(home, "keys", sys.executable, PROBE, asks, title="probe")
    async with OuterTerminal(home) as outer:
        await into_probe(outer)
        number, _ = await next_report(outer, 1)
        await outer.type(outer_sends)
        await outer.until(f"{number} typed {arrives}")
        wanted = b"\x1b[>4;2m" if "2m" in asks or ">1u" in asks else b"\x1b[>4;1m"
        levels = re.findall(rb"\x1b\[>4;[12]m", outer.received)
        assert levels[-1] == wanted


async def test_shift_enter_in_a_terminal_that_knows_modify_other_keys_alone(home: Path) -> None:
    await start_guest(home, "keys", sys.executable, PROBE, "\\x1b[>4;2m", title="probe")
    tmux = Tmux(home, environment(home))
    try:
        program = (sys.executable, "-P", "-m", "tests.tui.program")
        pane = await asyncio.to_thread(tmux.open, program, TermSize(100, 30), Path.cwd())
        await asyncio.to_thread(pane.until, "1 end")
        pane.type(LEADER + "1")
        await asyncio.to_thread(pane.until, "Ctrl+\\ then")
        for key, arrives in (("S-Enter", "^[[27;2;13~"), ("C-Enter", "^[[27;5;13~"), ("M-Enter", "^[[27;3;13~")):
            pane.key(key)
            await asyncio.to_thread(pane.until, f"typed {arrives}")
    finally:
        tmux.close()


# --- a program that is killed -------------------------------------------------------------------------------------


async def test_nothing_of_a_killed_program_stays_in_the_outer_terminal(home: Path) -> None:
    # the key arrives as an escape sequence that ends with "u"; modes that report something when they are set precede it
    script = f'stty raw -echo; head -c 1 >/dev/null; {MESS}; until [ "$(head -c 1)" = u ]; do :; done; kill -9 $$'
    await start_guest(home, "messy", "sh", "-c", script, title="program", sessions=2)
    async with OuterTerminal(home, colours=DARK) as outer:
        await outer.until("2 sessions")
        await outer.quiet()
        before = state_of(outer.emulator)
        await outer.type(LEADER + "1")
        await outer.until("Ctrl+\\ then")
        await outer.type("x")
        await outer.until(lambda: outer.emulator.mode(1003) and outer.emulator.modes().kitty == 13)
        await outer.type(b"x")
        await outer.until("ended")
        await outer.type(LEADER + "d")
        await outer.until("q quit")
        await outer.until(lambda: state_of(outer.emulator) == before)
        await outer.type(LEADER + "1")
        await outer.until(lambda: "Ctrl+\\ then" in outer.text and "ended" not in outer.text)
        await outer.type("x")
        await outer.until(lambda: outer.emulator.modes().kitty == 13)
        outer.signal(signal.SIGTERM)
        assert await outer.ended() == 0
        assert leftovers(outer.emulator) == {}
