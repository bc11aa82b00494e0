"""The real program on a terminal: its output, the state of the terminal after it, and its last messages."""

from __future__ import annotations

import base64
import hashlib
import re
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from ccvm_tui.client import connection, listing
from ccvm_tui.terminal.cells import Style, Underline
from tests.terminals import Cell
from tests.tui.conftest import start_guest
from tests.tui.outer import OuterTerminal

LEADER = "\x1c"


async def test_vim_is_used_left_and_found_again(home: Path) -> None:
    await start_guest(home, "work", "/bin/sh", sessions=2, title="sh")
    async with OuterTerminal(home) as outer:
        await outer.until("2 sessions")
        await outer.type(LEADER + "1")
        await outer.until("Ctrl+\\ then")
        await outer.type("vim -u NONE -N note.txt\r")
        await outer.until(lambda: outer.text.count("~") > 10)
        await outer.type("ihello from vim\x1b")
        await outer.until("hello from vim")
        outer.resize(120, 40)
        await outer.type("yyp")
        await outer.until(lambda: outer.text.count("hello from vim") == 2)
        await outer.type(LEADER + "2")
        await outer.until(lambda: "hello from vim" not in outer.text)
        await outer.type("echo second-$((1+1))\r")
        await outer.until("second-2")
        await outer.type(LEADER + "\t")
        await outer.until("hello from vim")
        await outer.type(":w\r")
        await outer.until("written")
        await outer.type(LEADER + "d")
        await outer.until("q quit")
        await outer.type("q")
        assert await outer.ended() == 0
        assert outer.attributes == outer.before
        assert "1 guest keeps running: work" in outer.text
    assert (home / "work" / "note.txt").read_text() == "hello from vim\n" * 2
    async with OuterTerminal(home, 120, 40) as outer:
        await outer.until("2 sessions")
        await outer.type(LEADER + "1")
        await outer.until("hello from vim")


async def test_styles_reach_the_outer_terminal(home: Path) -> None:
    script = r"printf '\033[4:3;58:2::255:0:0mcurly\033[m \033[38;5;208mpalette\033[m \033[5;9;53mmore\033[m'; cat"
    await start_guest(home, "styles", "sh", "-c", script, title="program")
    async with OuterTerminal(home) as outer:
        await outer.until("more")
        styles = {text: style for row in outer.cells() for text, style in _words(row)}
        assert styles["curly"].underline == Underline.CURLY
        assert styles["curly"].underline_colour == 0x1FF0000
        assert styles["palette"].foreground == 208
        assert styles["more"].attributes == 8 | 64 | 128
        assert b"4:3;58:2::255:0:0" in outer.received


def _words(row: list[Cell]) -> Iterator[tuple[str, Style]]:
    text = "".join(char for char, _ in row)
    for match in re.finditer(r"[a-z]+", text):
        yield match[0], row[match.start()][1]


async def test_every_key_arrives_as_it_was_pressed(home: Path) -> None:
    await start_guest(home, "keys", "sh", "-c", r"stty raw -echo; printf '\033[>1uready'; cat -v", title="program")
    async with OuterTerminal(home) as outer:
        await outer.until("ready")
        await outer.type(LEADER + "1")
        await outer.until("Ctrl+\\ then")
        await outer.type("\x1b[13;2u\x1b[13;5u\x1b[27u\x1b[97;7u\x1b[1;5C")
        await outer.until("^[[13;2u^[[13;5u^[[27u^[[97;7u^[[1;5C")
        assert b"\x1b[=5;1u" in outer.received or b"\x1b[>5u" in outer.received


async def test_a_lone_escape_arrives_at_once_and_alone(home: Path) -> None:
    await start_guest(home, "escape", "sh", "-c", "stty raw -echo; printf ready; cat -v", title="program")
    async with OuterTerminal(home) as outer:
        await outer.until("ready")
        await outer.type(LEADER + "1")
        await outer.until("Ctrl+\\ then")
        await outer.type("\x1b")
        await outer.until("ready^[")
        await outer.type("j")
        await outer.until("ready^[j")


async def test_a_paste_of_a_megabyte_arrives_whole_and_in_brackets(home: Path) -> None:
    script = "stty raw -echo; printf '\\033[?2004hready'; head -c 1000012 | md5sum; cat"
    await start_guest(home, "paste", "sh", "-c", script, title="program")
    body = b"".join(b"%07d;" % number for number in range(125_000))
    wanted = hashlib.md5(b"\x1b[200~" + body + b"\x1b[201~").hexdigest()
    async with OuterTerminal(home) as outer:
        await outer.until("ready")
        await outer.type(LEADER + "1")
        await outer.until("Ctrl+\\ then")
        await outer.type(b"\x1b[200~" + body + b"\x1b[201~")
        await outer.until(wanted)


async def test_the_mouse_reaches_a_program_that_asked_for_it(home: Path) -> None:
    await start_guest(
        home, "mouse", "sh", "-c", "stty raw -echo; printf '\\033[?1002h\\033[?1006hready'; cat -v", title="program"
    )
    async with OuterTerminal(home) as outer:
        await outer.until("ready")
        await outer.type(LEADER + "1")
        await outer.until("Ctrl+\\ then")
        column = outer.text.split("\n")[2].index("ready")
        await outer.type(f"\x1b[<0;{column + 5};6M\x1b[<0;{column + 5};6m\x1b[<64;{column + 1};3M")
        await outer.until("^[[<0;5;4M^[[<0;5;4m^[[<64;1;1M")
        await outer.type("\x1b[<65;")
        await outer.quiet(0.1)
        await outer.type(f"{column + 2};3M")
        await outer.until("^[[<64;1;1M^[[<65;2;1M")


async def test_the_cursor_is_the_real_one_with_the_programs_shape(home: Path) -> None:
    await start_guest(home, "cursor", "sh", "-c", r"stty raw -echo; printf '\033[5 qready'; cat", title="program")
    async with OuterTerminal(home) as outer:
        await outer.until("ready")
        await outer.type(LEADER + "1")
        await outer.until("Ctrl+\\ then")
        await outer.until(lambda: outer.cursor.visible)
        cursor = outer.cursor
        line = outer.text.split("\n")[cursor.y]
        assert line[: cursor.x].endswith("ready")
        assert (cursor.shape, cursor.blink) == (2, True)
        await outer.type(LEADER + "d")
        await outer.until(lambda: not outer.cursor.visible)


async def test_zoom_hands_over_the_whole_terminal_and_comes_back(home: Path) -> None:
    await start_guest(
        home, "zooms", "sh", "-c", "stty raw -echo; printf 'ready\\033Ptmux-like;raw\\033\\\\'; cat -v", title="z"
    )
    async with OuterTerminal(home) as outer:
        await outer.until("ready")
        await outer.type(LEADER + "1")
        await outer.until("Ctrl+\\ then")
        await outer.type("before")
        await outer.until("readybefore")
        for back in ("z", "d"):
            await outer.type(LEADER + "z")
            await outer.until(lambda: "Ctrl+\\ then" not in outer.text and "readybefore" in outer.text)
            await outer.type("+")
            await outer.until("readybefore+")
            await outer.type(LEADER + back)
            await outer.until("Ctrl+\\ then")
            await outer.until("readybefore+")
        await outer.type("!")
        await outer.until("readybefore++!")


@pytest.mark.parametrize("policy", ["allow", "refuse", "ask"])
async def test_the_settings_decide_whether_a_guest_may_copy(home: Path, policy: str) -> None:
    config = home / "config" / "ccvm"
    config.mkdir(parents=True)
    (config / "config.toml").write_text(f'osc52 = "{policy}"\n')
    first, secret = (base64.b64encode(text) for text in (b"copied text", b"copied later"))
    codes = "".join(f"\\033]52;c;{code.decode()}\\007" for code in (first, secret))
    script = f"read x; printf '{codes}done'; read y; cat"
    await start_guest(home, "copies", "sh", "-c", script, title="program")
    async with OuterTerminal(home) as outer:
        await outer.until("program")
        await outer.type(LEADER + "1")
        await outer.until("Ctrl+\\ then")
        await outer.type("\r")
        await outer.until("done")
        if policy == "ask":
            await outer.until("Allow it to use your clipboard?")
            await outer.until("  copied ")
            await outer.type("y\x1b\r")  # meant for the program, the question is only just there
            await outer.quiet(0.8)
            assert "Allow it to use your clipboard?" in outer.text
            assert b"\x1b]52" not in outer.received
            await outer.type("y")
        if policy == "refuse":
            await outer.quiet()
            assert b"\x1b]52" not in outer.received
        else:
            await outer.until(lambda: b"\x1b]52;c;" + secret in outer.received)


async def test_a_flood_of_copies_reaches_the_clipboard_now_and_then_and_at_last(home: Path) -> None:
    config = home / "config" / "ccvm"
    config.mkdir(parents=True)
    (config / "config.toml").write_text('osc52 = "allow"\n')
    last = base64.b64encode(b"the last").decode()
    flood = (
        f"while [ $n -lt 3000 ]; do n=$((n+1)); printf '\\033]52;c;eHh4\\007'; done; printf '\\033]52;c;{last}\\007'"
    )
    await start_guest(home, "floods", "sh", "-c", f"read x; n=0; {flood}; cat", title="program")
    async with OuterTerminal(home) as outer:
        await outer.until("program")
        await outer.type(LEADER + "1")
        await outer.until("Ctrl+\\ then")
        await outer.type("\r")
        await outer.until(lambda: last.encode() in outer.received)
        assert outer.received.count(b"\x1b]52;c;") < 10


async def test_attention_is_counted_marked_and_passed_on(home: Path) -> None:
    await start_guest(home, "first", "sh", "-c", "read x; printf '\\033]9;May I?\\007'; cat", title="program")
    await start_guest(home, "second", "cat", title="program")
    async with OuterTerminal(home) as outer:
        await outer.until("2 sessions")
        await outer.type(LEADER + "1")
        await outer.until("Ctrl+\\ then")
        await outer.type("\r" + LEADER + "2")
        await outer.until("! 1 waiting")
        await outer.until("May I?")
        await outer.until(lambda: re.search(rb"\x1b\]9;[^\x07\x1b]*May I\?", outer.received))
        await outer.until(lambda: b"\x1b]2;(1) ccvm" in outer.received)
        await outer.type(LEADER + "a")
        await outer.until(lambda: "waiting" not in outer.text.split("\n")[0])


async def test_killed_by_a_signal_it_leaves_the_terminal_as_it_was(home: Path) -> None:
    await start_guest(home, "goes-on", "cat", title="program")
    async with OuterTerminal(home) as outer:
        await outer.until("goes-on")
        outer.signal(signal.SIGTERM)
        await outer.ended()
        await outer.quiet(0.2)
        assert outer.attributes == outer.before
        assert not outer.emulator.alternate
        assert outer.cursor.visible
    assert listing.names() == ["goes-on"]


async def test_a_crash_names_the_file_with_the_traceback(home: Path) -> None:
    await start_guest(home, "goes-on", "cat", title="program")
    async with OuterTerminal(home, 100, 30, *_crashing()) as outer:
        await outer.until("goes-on")
        await outer.type("?")
        assert await outer.ended() == 70
        await outer.quiet(0.2)
        assert outer.attributes == outer.before
        assert not outer.emulator.alternate
        text = outer.text.replace("\n", "")
        found = re.search(r"the traceback is in (\S+?\.txt)", text)
        assert found is not None, outer.text
        assert "ZeroDivisionError" in Path(found[1]).read_text()
        assert "1 guest keeps running" in text
    async with await connection.connect("goes-on") as keeper:
        assert (await keeper.info()).sessions


def _crashing() -> tuple[str, ...]:
    code = (
        "from ccvm_tui.tui.dialogs.help import Help\n"
        "Help.on_mount = lambda self: 1 / 0\n"
        "import runpy; runpy.run_module('tests.tui.program', run_name='__main__')"
    )
    return (sys.executable, "-P", "-c", code)


async def test_colours_are_left_out_on_request_and_words_remain(home: Path) -> None:
    await start_guest(home, "plainly", "cat", title="program")
    async with OuterTerminal(home, env={"NO_COLOR": "1"}) as outer:
        await outer.until("● 1 running")
        colours = re.findall(rb"[34]8;2;(\d+);(\d+);(\d+)", outer.received)
        assert {colour for colour in colours if len(set(colour)) > 1} == set()  # shades of grey at most
