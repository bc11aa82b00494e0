"""The link and a real, confined screen process: frames, flow control, and crashes."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

import psutil
import pytest

from ccvm_tui.guest import TermSize
from ccvm_tui.screen.link import ScreenError, ScreenLink
from ccvm_tui.terminal.cells import Frame, decode_frame, row_text
from ccvm_tui.terminal.emulator import Emulator
from ccvm_tui.terminal.events import Bell, TermEvent, Title
from tests.waiting import eventually

SIZE = TermSize(80, 24)
DEADLINE = 20.0

LINK = b"\x1b]8;;http://x/\x1b\\"
KILLER = b"".join((LINK + b"x" * n + b"\x1b[H\x1b[3M") * 60 for n in (3000, 5000, 10000, 20000))
"""Output that aborts an unfiltered emulator: links on nearly every cell, then deleted lines."""


class Recorder:
    """The arguments of the link's callbacks."""

    def __init__(self) -> None:
        self.replies: list[tuple[str, bytes]] = []
        self.events: list[tuple[str, TermEvent]] = []
        self.lost: list[str] = []
        self.failed: list[str] = []

    def link(self) -> ScreenLink:
        return ScreenLink(
            lambda session, data: self.replies.append((session, data)),
            lambda session, event: self.events.append((session, event)),
            self.lost.extend,
            self.failed.append,
        )


class Watcher:
    """A view that keeps every frame, and acknowledges it unless ``acknowledge`` is false."""

    def __init__(self, link: ScreenLink, session: str, name: str, *, acknowledge: bool = True) -> None:
        self.frames: list[Frame] = []
        self.rows: dict[int, str] = {}
        self._link, self._session, self._name, self._acknowledge = link, session, name, acknowledge
        link.open_view(session, name, self._take)

    def _take(self, data: bytes) -> None:
        frame = decode_frame(data)
        if frame.full:
            self.rows = {}
        self.rows.update({row.y: row_text(row).rstrip() for row in frame.lines})
        self.frames.append(frame)
        if self._acknowledge:
            self.acknowledge()

    def acknowledge(self) -> None:
        self._link.ack_view(self._name)


@pytest.fixture
def recorder() -> Recorder:
    return Recorder()


@pytest.fixture
async def link(recorder: Recorder) -> AsyncIterator[ScreenLink]:
    link = recorder.link()
    await link.start()
    yield link
    await link.close()


async def test_output_is_sent_as_frames(link: ScreenLink) -> None:
    link.open("s1", SIZE)
    view = Watcher(link, "s1", "v")
    link.feed("s1", "a\x1b[31mb\x1b[0m漢\r\nc".encode())
    await eventually(lambda: view.rows.get(1) == "c")
    first = view.frames[0]
    assert first.full
    assert (first.cols, first.rows) == (80, 24)
    assert view.rows[0] == "ab漢"
    link.feed("s1", b"d")
    await eventually(lambda: view.rows[1] == "cd")
    assert not view.frames[-1].full
    assert [row.y for row in view.frames[-1].lines] == [1]
    assert view.frames[-1].cursor.x == 2


async def test_replies_and_events_are_reported(link: ScreenLink, recorder: Recorder) -> None:
    link.open("s1", SIZE)
    link.feed("s1", b"\x1b[6n\x1b]2;hello\x07\x07\x07\x1b]52;c;?\x07")
    await link.sync()
    assert recorder.replies == [("s1", b"\x1b[1;1R")]
    assert ("s1", Title("hello")) in recorder.events
    assert ("s1", Bell(2)) in recorder.events


async def test_a_slow_view_gets_the_newest_state_after_it_acknowledges(link: ScreenLink) -> None:
    link.open("s1", SIZE)
    view = Watcher(link, "s1", "slow", acknowledge=False)
    await eventually(lambda: view.frames)
    for number in range(500):
        link.feed("s1", b"\x1b[2;1Hline %d\x1b[K" % number)
    await link.sync()
    link.feed("s1", b"\x1b[5;1Hlast")
    await link.sync()
    assert len(view.frames) == 1
    view.acknowledge()
    await eventually(lambda: len(view.frames) == 2)
    frame = view.frames[1]
    assert not frame.full
    assert {row.y: row_text(row) for row in frame.lines if row_text(row)} == {1: "line 499", 4: "last"}
    await link.sync()
    assert len(view.frames) == 2


async def test_continuous_output_is_sent_at_no_more_than_sixty_frames_a_second(link: ScreenLink) -> None:
    link.open("s1", SIZE)
    view = Watcher(link, "s1", "v")
    loop = asyncio.get_running_loop()
    started = loop.time()
    number = 0
    while loop.time() - started < 0.5:
        number += 1
        link.feed("s1", b"x" * 2000 + b"\r\n%d" % number)
        await link.drain()
        await asyncio.sleep(0)
    await link.sync()
    elapsed = loop.time() - started
    assert len(view.frames) <= 60 * elapsed + 2
    await eventually(lambda: any(str(number) in row for row in view.rows.values()))


async def test_views_of_a_session_are_independent(link: ScreenLink) -> None:
    link.open("s1", SIZE)
    fast, slow = Watcher(link, "s1", "fast"), Watcher(link, "s1", "slow", acknowledge=False)
    await eventually(lambda: fast.frames and slow.frames)
    link.feed("s1", b"one")
    await eventually(lambda: fast.rows[0] == "one")
    link.feed("s1", b"\r\ntwo")
    await eventually(lambda: fast.rows[1] == "two")
    assert len(slow.frames) == 1
    slow.acknowledge()
    await eventually(lambda: slow.rows.get(0) == "one" and slow.rows.get(1) == "two")
    link.close_view("fast")
    seen = len(fast.frames)
    link.feed("s1", b"three")
    await link.sync()
    assert len(fast.frames) == seen


async def test_a_window_of_another_size_follows_the_cursor(link: ScreenLink) -> None:
    link.open("s1", SIZE)
    terminal = Emulator(TermSize(20, 5))

    def draw(data: bytes) -> None:
        terminal.feed(data)
        link.ack_view("w")

    link.open_window("s1", "w", terminal.size, draw)
    link.feed("s1", b"\x1b[24;70Hhere")

    def shown() -> bool:
        terminal.refresh(everything=True)
        return any("here" in row_text(row) for row in terminal.rows)

    await eventually(shown)
    cursor = terminal.cursor()
    assert (cursor.x, cursor.y, cursor.visible) == (19, 4, True)


async def test_restore_includes_all_output_fed_before(link: ScreenLink) -> None:
    link.open("s1", SIZE)
    for number in range(200):
        link.feed("s1", b"%d\r\n" % number)
    link.feed("s1", b"\x1b]2;title\x07\x1b[?2004hlast \x1b[3")
    terminal = Emulator(SIZE)
    terminal.feed(await link.restore("s1"))
    terminal.feed(b"1mred")
    terminal.refresh(everything=True)
    assert row_text(terminal.rows[-1]) == "last red"
    assert terminal.title == "title"
    assert "0\n1\n2\n" in terminal.text(0, 1000)


async def test_lines_search_and_text_use_absolute_line_numbers(link: ScreenLink) -> None:
    link.open("s1", TermSize(20, 5))
    link.feed("s1", b"".join(b"line %d\r\n" % number for number in range(1000)) + b"w" * 30)
    lines = await link.lines("s1", 500, 2)
    assert [(row.y, row_text(row)) for row in lines.rows] == [(500, "line 500"), (501, "line 501")]
    matches, total = await link.search("s1", "LINE 99", limit=3)
    assert total == 11
    assert [match.line for match in matches] == [999, 998, 997]
    assert await link.text("s1", 998, 2000) == "line 998\nline 999\n" + "w" * 30
    with pytest.raises(ScreenError):
        await link.lines("unknown", 0, 1)


async def test_the_filter_prevents_the_abort(link: ScreenLink, recorder: Recorder) -> None:
    link.open("s1", SIZE)
    for start in range(0, len(KILLER), 65536):
        link.feed("s1", KILLER[start : start + 65536])
        await link.drain()
    await link.sync()
    assert link.restarts == 0
    assert any(type(event).__name__ == "LinksDropped" for _, event in recorder.events)


async def test_an_abort_does_not_affect_other_sessions(recorder: Recorder) -> None:
    """Without the filter, the process aborts and is restarted without the output that caused it."""
    link = recorder.link()
    link.filtered = False
    await link.start()
    link.open("good", SIZE)
    link.open("bad", SIZE)
    view = Watcher(link, "good", "v")
    link.feed("good", b"still here\r\n\x1b[?2004h")
    link.feed("bad", b"before")
    await link.sync(checkpoint=True)
    await eventually(lambda: view.rows.get(0) == "still here")
    seen = len(view.frames)
    link.feed("bad", b"\r\nKILLER" + KILLER)
    await eventually(lambda: link.restarts == 1 and not link.want_pause)
    await eventually(lambda: len(view.frames) > seen)
    assert view.frames[-1].full
    assert view.rows[0] == "still here"
    assert recorder.lost == ["bad"]
    text = await link.text("bad", 0, 100)
    assert text.startswith("before")
    assert "KILLER" not in text
    # The keeper makes the program redraw.
    link.feed("bad", b"\x1b[2J\x1b[Hdrawn again")
    assert "drawn again" in await link.text("bad", 0, 100)
    assert "still here" in await link.text("good", 0, 100)
    await link.close()


async def test_a_session_that_crashes_the_process_repeatedly_is_filtered_strictly(recorder: Recorder) -> None:
    link = recorder.link()
    link.filtered = False
    await link.start()
    link.open("good", SIZE)
    link.open("bad", SIZE)
    link.feed("good", b"safe")
    await link.sync(checkpoint=True)

    def restarted(times: int) -> bool:
        return link.restarts == times and not link.want_pause

    for crash in range(1, 4):
        link.feed("bad", KILLER)
        await eventually(partial(restarted, crash))
    # After the third crash, the session's links are dropped.
    link.feed("bad", KILLER + b"\x1b[H\x1b[2Jalive")
    assert "alive" in await link.text("bad", 0, 1 << 40)
    assert link.restarts == 3
    assert await link.text("good", 0, 5) == "safe"
    assert recorder.failed == []
    await link.close()


async def test_a_killed_process_is_restarted_from_the_checkpoint(link: ScreenLink, recorder: Recorder) -> None:
    link.open("s1", SIZE)
    view = Watcher(link, "s1", "v")
    link.feed("s1", b"saved")
    await link.sync(checkpoint=True)
    link.feed("s1", b" unsaved")
    await link.sync()
    os.kill(link.pid, signal.SIGKILL)
    await eventually(lambda: link.restarts == 1)
    assert await link.text("s1", 0, 0) == "saved"
    assert recorder.lost == ["s1"]
    link.feed("s1", b"!")
    await eventually(lambda: view.rows.get(0) == "saved!")


async def test_output_fed_while_no_process_runs_is_not_lost(link: ScreenLink, recorder: Recorder) -> None:
    link.open("s1", SIZE)
    link.feed("s1", b"saved")
    await link.sync(checkpoint=True)
    os.kill(link.pid, signal.SIGKILL)
    async with asyncio.timeout(DEADLINE):
        while not link.want_pause:  # in each iteration of the loop, because the next process starts in milliseconds
            await asyncio.sleep(0)
    link.feed("s1", b" and more")  # while no process runs
    await link.drain()
    assert await link.text("s1", 0, 0) == "saved and more"
    assert recorder.lost == []


async def test_the_process_is_confined_and_exits_when_the_link_is_closed(link: ScreenLink) -> None:
    link.open("s1", SIZE)
    await link.sync()
    assert {"files"} <= set(link.confined.split(","))
    status = Path(f"/proc/{link.pid}/status").read_text()
    assert "NoNewPrivs:\t1" in status
    process = psutil.Process(link.pid)
    await link.close()
    assert not process.is_running()


@pytest.mark.attack
async def test_memory_stays_bounded_under_hostile_output(link: ScreenLink) -> None:
    link.open("s1", SIZE)
    link.feed("s1", b"x" * 1000)
    await link.sync()
    process = psutil.Process(link.pid)
    chunk = (
        (b"\x1b]8;;http://%d\x1b\\x" % 7) * 500
        + b"\x1b]99;"
        + b"y" * 50_000
        + b"\x1b[c" * 3000
        + "e\u0301".encode() * 9000
    )
    for _ in range(60):
        link.feed("s1", chunk)
        await link.drain()
    await link.sync()
    settled = process.memory_info().rss
    for _ in range(120):
        link.feed("s1", chunk)
        await link.drain()
    await link.sync()
    assert process.memory_info().rss - settled < 48 << 20
