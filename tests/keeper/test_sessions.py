"""Sessions and their clients with a real keeper and a real screen process, but without a virtual machine."""

from __future__ import annotations

import asyncio

import pytest

from ccvm_tui.client import connection, listing
from ccvm_tui.errors import KeeperLost, NoSuchGuest, NoSuchSession
from ccvm_tui.guest import Activity, GuestInfo, GuestState, SessionKind, TermSize
from ccvm_tui.protocol import Ack, Exited, FrameData, Happened, Info, Input, SessionSpec
from ccvm_tui.terminal import cells
from tests.conftest import Launch
from tests.programs import running
from tests.terminals import attached
from tests.waiting import eventually

SHELL = ("bash", "--norc", "--noprofile")


async def test_a_shell_echoes_and_ends_with_its_status(local: Launch) -> None:
    keeper = await local(*SHELL)
    async with attached(keeper.name) as terminal:
        terminal.type("echo one$((1+1))three\r")
        await terminal.until("one2three")
        terminal.type("exit 7\r")
        assert (await terminal.ended()).status == 7


async def test_the_guest_ends_with_its_last_session(local: Launch) -> None:
    keeper = await local("true", detached=True)
    await eventually(lambda: keeper.name not in listing.names())


async def test_attached_clients_receive_the_reason_of_a_guests_end(local: Launch) -> None:
    keeper = await local(*SHELL)
    async with attached(keeper.name) as terminal:
        await terminal.until("$")
        await keeper.stop()
        assert (await terminal.ended()).reason == "stopped"


async def test_a_stopped_keeper_closes_the_connections_of_its_clients(local: Launch) -> None:
    keeper = await local(*SHELL)
    async with await connection.connect(keeper.name, events=True) as other, asyncio.timeout(20):
        await keeper.stop(force=True)
        async for _ in other.events():
            pass
    assert isinstance(other.lost, KeeperLost)


async def test_a_slow_view_receives_the_last_output_before_the_end(local: Launch) -> None:
    keeper = await local("sh", "-c", "read go; echo before; read go; echo last output; exit 3", linger=True)
    stream = await connection.view(keeper.name, "s1", TermSize(80, 24))
    async with stream, asyncio.timeout(20):
        stream.send(Input(b"\n\n"))  # no frame is acknowledged
        shown = ""
        while isinstance(message := await stream.receive(), FrameData):
            shown += "".join(run.text for line in cells.decode_frame(message.frame).lines for run in line.runs)
        assert message == Exited(3)
        assert "last output" in shown


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
    keeper = await local("true", linger=True, detached=True)
    async for event in keeper.events():
        if isinstance(event, Info) and event.guest.state is GuestState.RUNNING and not event.guest.sessions:
            break
    assert (await keeper.info()).state is GuestState.RUNNING


async def test_a_new_client_receives_screen_modes_and_title(local: Launch) -> None:
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


async def test_the_size_is_that_of_the_client_that_typed_last_and_others_see_a_window(local: Launch) -> None:
    keeper = await local(*SHELL)
    async with attached(keeper.name, cols=100, rows=30) as big, attached(keeper.name, cols=40, rows=10) as small:
        small.type("stty size\r")
        await small.until("10 40")
        await big.until("10 40")  # drawn into a corner of the larger terminal
        big.type("clear; stty size\r")
        await big.until("30 100")
        await small.until(lambda: "30 100" in small.text)
        assert (await keeper.info()).sessions[0].size == TermSize(100, 30)


async def test_a_terminal_that_only_sends_reports_does_not_become_the_active_client(local: Launch) -> None:
    keeper = await local(*SHELL)
    async with attached(keeper.name, cols=90, rows=20) as other, attached(keeper.name, cols=80, rows=24) as active:
        active.type("echo leading\r")
        await active.until("leading")
        other.type(b"\x1b[?62;22c\x1b[I\x1b[12;40R")
        active.type("stty size\r")
        await active.until("24 80")
        assert "62;22c" not in active.text


async def test_an_escape_key_changes_the_active_client_but_a_report_in_two_parts_does_not(local: Launch) -> None:
    keeper = await local(*SHELL)
    async with attached(keeper.name, cols=90, rows=20) as other, attached(keeper.name, cols=80, rows=24) as active:
        active.type("stty -echo -icanon; printf ready; cat -v\r")
        await active.until("ready")
        other.type(b"\x1b[?6")
        other.type(b"2;22c")
        active.type("x")
        await active.until("readyx")
        assert keeper_size(await keeper.info()) == (80, 24)
        other.type(b"\x1b")
        await active.until("readyx^[")
        assert keeper_size(await keeper.info()) == (90, 20)


def keeper_size(info: GuestInfo) -> tuple[int, int]:
    return info.sessions[0].size.cols, info.sessions[0].size.rows


async def test_the_screen_answers_queries_if_the_active_client_is_a_view(local: Launch) -> None:
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
async def test_the_width_of_emoji_depends_on_the_kind_of_session(local: Launch, kind: SessionKind, column: int) -> None:
    """Agents lay out their text by grapheme clusters, other programs by wcwidth(3)."""
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


async def test_a_watching_client_changes_neither_input_nor_size(local: Launch) -> None:
    keeper = await local(*SHELL)
    async with attached(keeper.name) as terminal, attached(keeper.name, cols=30, rows=5, watch_only=True) as watcher:
        watcher.type("echo intruder\r")
        terminal.type("echo mine; stty size\r")
        await terminal.until("24 80")
        assert "intruder" not in terminal.text


async def test_sessions_are_independent(local: Launch) -> None:
    keeper = await local(*SHELL)
    second = await keeper.start_session(SessionSpec(SessionKind.COMMAND, ("sh", "-c", "echo second; cat")))
    assert second.id == "s2"
    async with attached(keeper.name, "s2") as terminal:
        await terminal.until("second")
        await keeper.end_session("s2")
        await terminal.ended()
    await eventually(lambda: listing.ask_once(keeper.name)["sessions"][-1]["id"] == "s1")

    async def attach_to_ended_session() -> None:
        stream = await connection.attach(keeper.name, "s2", TermSize())
        await stream.receive()

    with pytest.raises(NoSuchSession, match="s1"):
        await attach_to_ended_session()


async def test_a_view_receives_only_the_newest_frames(local: Launch) -> None:
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


async def test_a_client_that_does_not_read_delays_no_other_and_gets_the_newest_screen(local: Launch) -> None:
    """Of 20 MB of output for a client that does not read, the keeper queues only a part, and does not wait."""
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


async def test_text_and_search_include_the_scrollback(local: Launch) -> None:
    keeper = await local("bash", "-c", "for i in {1..200}; do echo needle $i; done; printf '%.0sx' {1..100}; cat")
    async with attached(keeper.name) as terminal:
        await terminal.until("xxxx")
    matches = await keeper.find_text("s1", "needle 7", 100)
    assert matches.total == 11  # 7, 70..79
    line = matches.found[0][0]
    assert "needle 7" in await keeper.text("s1", line, line)
    assert "x" * 100 in (await keeper.text("s1", line + 190, line + 196))


async def test_exec_separates_the_streams_and_returns_the_status(local: Launch) -> None:
    keeper = await local(*SHELL)
    data = bytes(range(256)) * 4096
    async with running(keeper.name, "sh", "-c", "cat; echo problem >&2; exit 9") as program:
        program.type(data)
        program.type(b"")
        assert await program.ended() == 9
    assert program.printed == {1: data, 2: b"problem\n"}


async def test_a_notification_asks_for_attention_until_the_user_types(local: Launch) -> None:
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


@pytest.mark.usefixtures("home")
async def test_an_unknown_guest_is_named_in_the_error() -> None:
    with pytest.raises(NoSuchGuest, match="nothing"):
        await connection.connect("nothing")


async def test_the_output_of_a_short_program_is_shown(local: Launch) -> None:
    keeper = await local("echo", "short")
    await eventually(lambda: listing.ask_once(keeper.name)["sessions"][0]["exit_status"] == 0)
    async with attached(keeper.name) as terminal:
        await terminal.until("short")
        assert (await terminal.ended()).status == 0


async def test_a_missing_program_is_reported_in_its_session(local: Launch) -> None:
    keeper = await local(*SHELL)
    started = await keeper.start_session(SessionSpec(SessionKind.COMMAND, ("/no/such/program",)))
    async with attached(keeper.name, started.id) as terminal:
        await terminal.until("no/such/program")
        assert (await terminal.ended()).status != 0
