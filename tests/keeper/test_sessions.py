"""Sessions and their clients, through a real keeper and a real screen process; only the guest is missing."""

from __future__ import annotations

import asyncio

import pytest

from ccvm_tui.client import connection, listing
from ccvm_tui.errors import NoSuchGuest, NoSuchSession
from ccvm_tui.guest import Activity, GuestInfo, GuestState, SessionKind, TermSize
from ccvm_tui.protocol import Ack, Exited, FrameData, Happened, Info, Input, SessionSpec
from ccvm_tui.terminal import cells
from tests.conftest import Launch
from tests.programs import running
from tests.terminals import attached, eventually

SHELL = ("bash", "--norc", "--noprofile")


async def test_a_shell_echoes_and_ends_with_its_status(local: Launch) -> None:
    keeper = await local(*SHELL)
    async with attached(keeper.name) as terminal:
        terminal.type("echo one$((1+1))three\r")
        await terminal.until("one2three")
        terminal.type("exit 7\r")
        assert (await terminal.ended()).status == 7


async def test_the_guest_ends_with_its_last_session(local: Launch) -> None:
    keeper = await local("true")
    await eventually(lambda: keeper.name not in listing.names())


async def test_a_stopped_guest_says_so_to_who_is_attached(local: Launch) -> None:
    keeper = await local(*SHELL)
    async with attached(keeper.name) as terminal:
        await terminal.until("$")
        await keeper.stop()
        assert (await terminal.ended()).reason == "stopped"


async def test_the_last_words_come_before_the_end_however_slow_a_view_is(local: Launch) -> None:
    keeper = await local("sh", "-c", "read go; echo before; read go; echo last words; exit 3", linger=True)
    stream = await connection.view(keeper.name, "s1", TermSize(80, 24))
    async with stream, asyncio.timeout(20):
        stream.send(Input(b"\n\n"))  # and no frame is acknowledged
        shown = ""
        while isinstance(message := await stream.receive(), FrameData):
            shown += "".join(run.text for line in cells.decode_frame(message.frame).lines for run in line.runs)
        assert message == Exited(3)
        assert "last words" in shown


async def test_an_exec_outlives_the_last_session(local: Launch) -> None:
    keeper = await local(*SHELL)
    async with running(keeper.name, "cat") as program:
        async with attached(keeper.name) as terminal:
            terminal.type("exit\r")
            await terminal.ended()
        program.type(b"still here")
        await program.until(b"still here")
        program.type(b"")
        assert await program.ended() == 0
    await eventually(lambda: keeper.name not in listing.names())


async def test_a_lingering_guest_outlives_its_sessions(local: Launch) -> None:
    keeper = await local("true", linger=True)
    async for event in keeper.events():
        if isinstance(event, Info) and event.guest.state is GuestState.RUNNING and not event.guest.sessions:
            break
    assert (await keeper.info()).state is GuestState.RUNNING


async def test_who_comes_back_finds_screen_modes_and_title(local: Launch) -> None:
    keeper = await local(*SHELL)
    async with attached(keeper.name) as terminal:
        terminal.type(r"printf '\e]2;the title\a\e[?2004h\e[31mred\n'; for i in {1..100}; do echo line $i; done" "\r")
        await terminal.until("line 100")
    async with attached(keeper.name) as again:
        await again.until("line 100")
        assert again.emulator.history >= 70
        assert again.emulator.title == "the title"
        assert again.emulator.modes().has(cells.Mode.BRACKETED_PASTE)
        assert "line 99" in again.text
    assert (await keeper.info()).sessions[0].title == "the title"


async def test_the_size_follows_who_typed_last_and_others_see_a_window(local: Launch) -> None:
    keeper = await local(*SHELL)
    async with attached(keeper.name, cols=100, rows=30) as big, attached(keeper.name, cols=40, rows=10) as small:
        small.type("stty size\r")
        await small.until("10 40")
        await big.until("10 40")  # drawn into a corner of the larger terminal
        big.type("clear; stty size\r")
        await big.until("30 100")
        await small.until(lambda: "30 100" in small.text)
        assert (await keeper.info()).sessions[0].size == TermSize(100, 30)


async def test_a_terminal_that_only_answers_does_not_lead(local: Launch) -> None:
    keeper = await local(*SHELL)
    async with attached(keeper.name, cols=90, rows=20) as looker, attached(keeper.name, cols=80, rows=24) as leader:
        leader.type("echo leading\r")
        await leader.until("leading")
        looker.type(b"\x1b[?62;22c\x1b[I\x1b[12;40R")
        leader.type("stty size\r")
        await leader.until("24 80")
        assert "62;22c" not in leader.text


async def test_a_report_in_two_pieces_makes_nobody_the_leader_and_a_lone_escape_does(local: Launch) -> None:
    keeper = await local(*SHELL)
    async with attached(keeper.name, cols=90, rows=20) as looker, attached(keeper.name, cols=80, rows=24) as leader:
        leader.type("stty -echo -icanon; printf ready; cat -v\r")
        await leader.until("ready")
        looker.type(b"\x1b[?6")
        looker.type(b"2;22c")
        leader.type("x")
        await leader.until("readyx")
        assert keeper_size(await keeper.info()) == (80, 24)
        looker.type(b"\x1b")
        await leader.until("readyx^[")
        assert keeper_size(await keeper.info()) == (90, 20)


def keeper_size(info: GuestInfo) -> tuple[int, int]:
    return info.sessions[0].size.cols, info.sessions[0].size.rows


async def test_queries_are_answered_once_by_the_leader_or_else_by_the_screen(local: Launch) -> None:
    keeper = await local(*SHELL)
    ask = r"printf '\e[5n'; IFS= read -rs -d n -t 5 answer; printf '%q\n' \"$answer\"; cat -v" "\r"
    view = await connection.view(keeper.name, "s1", TermSize(80, 24))
    view.send(Input(ask.encode()))
    text = ""
    async with asyncio.timeout(10):
        while "E[0" not in text:
            message = await view.receive()
            assert isinstance(message, FrameData)
            frame = cells.decode_frame(message.frame)
            text += "".join(run.text for row in frame.lines for run in row.runs)
            view.send(Ack())
    await view.close()


@pytest.mark.parametrize(("kind", "column"), [(SessionKind.AGENT, 5), (SessionKind.COMMAND, 8)])
async def test_an_agents_emoji_are_as_wide_as_they_look(local: Launch, kind: SessionKind, column: int) -> None:
    """Agents lay out their text by what looks like one character, other programs count as wcwidth(3) does."""
    keeper = await local(*SHELL)
    ask = "printf '⚠️👩‍👩‍👧\\e[6n'; IFS= read -rs -d R -t 5 answer; printf '\\n%q\\n' \"$answer\"; exec cat"
    size = TermSize(80, 24)
    started = await keeper.start_session(SessionSpec(kind, ("bash", "-c", ask), size=size))
    text = ""
    async with await connection.view(keeper.name, started.id, size) as view, asyncio.timeout(10):
        while f"[1;{column}" not in text:
            message = await view.receive()
            assert isinstance(message, FrameData)
            text += "".join(run.text for row in cells.decode_frame(message.frame).lines for run in row.runs)
            view.send(Ack())


async def test_watching_changes_nothing(local: Launch) -> None:
    keeper = await local(*SHELL)
    async with attached(keeper.name) as terminal, attached(keeper.name, cols=30, rows=5, watch_only=True) as watcher:
        watcher.type("echo intruder\r")
        terminal.type("echo mine; stty size\r")
        await terminal.until("24 80")
        assert "intruder" not in terminal.text


async def test_several_sessions_live_and_end_apart(local: Launch) -> None:
    keeper = await local(*SHELL)
    second = await keeper.start_session(SessionSpec(SessionKind.COMMAND, ("sh", "-c", "echo second; cat")))
    assert second.id == "s2"
    async with attached(keeper.name, "s2") as terminal:
        await terminal.until("second")
        await keeper.end_session("s2")
        await terminal.ended()
    await eventually(lambda: listing.ask_once(keeper.name)["sessions"][-1]["id"] == "s1")
    with pytest.raises(NoSuchSession, match="s1"):
        stream = await connection.attach(keeper.name, "s2", TermSize())
        await stream.receive()


async def test_a_view_gets_frames_and_the_newest_only(local: Launch) -> None:
    keeper = await local("bash", "-c", "for i in {1..20000}; do echo $i; done; cat")
    stream = await connection.view(keeper.name, "s1", TermSize())
    frames = 0
    async with stream, asyncio.timeout(20):
        while True:
            message = await stream.receive()
            assert isinstance(message, FrameData)
            frames += 1
            frame = cells.decode_frame(message.frame)
            if any("20000" in "".join(run.text for run in row.runs) for row in frame.lines):
                break
            stream.send(Ack())
    assert frames < 2000


async def test_who_never_reads_delays_nobody_and_gets_the_newest_screen(local: Launch) -> None:
    """20 MB for a client that sleeps: the keeper does not wait for it, and does not keep it all either."""
    keeper = await local(*SHELL)
    sleeper = await connection.attach(keeper.name, "s1", TermSize())
    async with attached(keeper.name) as terminal:
        terminal.type("yes 0123456789012345678901234567890123456789 | head -c 20000000; echo; echo fin''ished\r")
        await terminal.until("finished", within=60)
    received = b""
    async with sleeper, asyncio.timeout(20):
        while b"finished" not in received[-20_000:]:
            received += (await sleeper.receive()).data  # type: ignore[union-attr]
    assert len(received) < 12_000_000


async def test_rows_text_and_search_reach_into_the_scrollback(local: Launch) -> None:
    keeper = await local("bash", "-c", "for i in {1..200}; do echo needle $i; done; printf '%.0sx' {1..100}; cat")
    async with attached(keeper.name) as terminal:
        await terminal.until("xxxx")
    matches = await keeper.find_text("s1", "needle 7", 100)
    assert matches.total == 11  # 7, 70..79
    line = matches.found[0][0]
    assert "needle 7" in await keeper.text("s1", line, line)
    assert "x" * 100 in (await keeper.text("s1", line + 190, line + 196))


async def test_exec_keeps_the_streams_apart_and_passes_the_status(local: Launch) -> None:
    keeper = await local(*SHELL)
    data = bytes(range(256)) * 4096
    async with running(keeper.name, "sh", "-c", "cat; echo problem >&2; exit 9") as program:
        program.type(data)
        program.type(b"")
        assert await program.ended() == 9
    assert program.printed == {1: data, 2: b"problem\n"}


async def test_attention_by_notification_until_somebody_answers(local: Launch) -> None:
    keeper = await local(*SHELL)
    async with attached(keeper.name) as terminal:
        terminal.type(r"printf '\e]9;please look\a'" "\r")
        async for event in keeper.events():
            if isinstance(event, Happened) and event.kind == "notify":
                assert event.text == "please look"
                break
        session = (await keeper.info()).sessions[0]
        assert (session.activity, session.attention) == (Activity.WAITING, "please look")
        terminal.type("x")
        await eventually(lambda: not listing.ask_once(keeper.name)["sessions"][0]["attention"])


async def test_an_unknown_guest_is_named(local: Launch) -> None:
    with pytest.raises(NoSuchGuest, match="nothing"):
        await connection.connect("nothing")


async def test_the_shortest_program_is_seen(local: Launch) -> None:
    keeper = await local("echo", "short")
    await eventually(lambda: listing.ask_once(keeper.name)["sessions"][0]["exit_status"] == 0)
    async with attached(keeper.name) as terminal:
        await terminal.until("short")
        assert (await terminal.ended()).status == 0


async def test_a_program_that_does_not_exist_is_said_to_whoever_asked(local: Launch) -> None:
    keeper = await local(*SHELL)
    started = await keeper.start_session(SessionSpec(SessionKind.COMMAND, ("/no/such/program",)))
    async with attached(keeper.name, started.id) as terminal:
        await terminal.until("no/such/program")
        assert (await terminal.ended()).status != 0
