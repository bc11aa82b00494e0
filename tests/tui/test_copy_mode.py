"""Copy mode: scrolling, searching, selecting, copying and saving. New output does not move the lines in view."""

from __future__ import annotations

from pathlib import Path

import pytest
from textual.events import MouseDown, MouseMove, MouseScrollDown, MouseUp

from tests.tui.conftest import Drive, Driven, start_guest

PRINTS = (
    "for n in $(seq 1 300); do echo \"line $n of it\"; done; printf '%0200d\\n' 7; echo end; read x; echo more; "
    "seq 1 50; cat"
)


async def _into(dashboard: Driven) -> None:
    await dashboard.shows("end")
    await dashboard.leader("1")
    await dashboard.until(lambda: dashboard.main.main_area.focused_terminal is not None)


async def test_new_output_does_not_move_the_lines_in_view(drive: Drive, home: Path) -> None:
    await start_guest(home, "reads", "sh", "-c", PRINTS, title="prints")
    async with drive() as dashboard:
        await _into(dashboard)
        await dashboard.leader("left_square_bracket")
        await dashboard.press("g")
        await dashboard.shows("line 1 of it")
        before = dashboard.lines()[2:-1]
        dashboard.terminal.send(b"\n")
        await dashboard.until(lambda: dashboard.terminal.grid.history > 300)
        dashboard.terminal.refresh()
        await dashboard.pilot.pause()
        assert [line[33:] for line in dashboard.lines()[2:-1]] == [line[33:] for line in before]
        await dashboard.press("q")
        await dashboard.shows("│50")


async def test_typing_leaves_the_scrollback_and_goes_to_the_program(drive: Drive, home: Path) -> None:
    await start_guest(home, "glances", "sh", "-c", "seq 1 300; cat", title="prints")
    async with drive() as dashboard:
        await dashboard.shows("300")
        await dashboard.leader("1")
        await dashboard.until(lambda: dashboard.main.main_area.focused_terminal is not None)
        dashboard.terminal.enter_copy_mode(scroll=-50, passive=True)
        await dashboard.shows("or just type")
        await dashboard.press("pageup")
        await dashboard.until(lambda: dashboard.terminal.copy_mode is not None and "scrollback" in dashboard.text())
        await dashboard.type("so")  # keys of an active copy mode
        await dashboard.shows("│so")
        assert dashboard.terminal.copy_mode is None


async def test_search_counts_goes_both_ways_and_marks(drive: Drive, home: Path) -> None:
    await start_guest(home, "seeks", "sh", "-c", PRINTS, title="prints")
    async with drive() as dashboard:
        await _into(dashboard)
        await dashboard.leader("left_square_bracket")
        await dashboard.press("question_mark")
        await dashboard.type("line 12")
        await dashboard.press("enter")
        await dashboard.shows("11 of 11")
        await dashboard.shows("line 129 of it")
        await dashboard.press("n")
        await dashboard.shows("10 of 11")
        await dashboard.press("N", "N")
        await dashboard.shows("1 of 11")
        await dashboard.shows("line 12 of it")


async def test_lines_are_copied_and_soft_wraps_joined(drive: Drive, home: Path) -> None:
    await start_guest(home, "copies", "sh", "-c", PRINTS, title="prints")
    async with drive(size=(100, 30)) as dashboard:
        await _into(dashboard)
        await dashboard.leader("left_square_bracket")
        await dashboard.press("question_mark")
        await dashboard.type("line 300")
        await dashboard.press("enter")
        await dashboard.shows("1 of 1")
        await dashboard.press("V", "j", "j", "j", "j", "y")
        await dashboard.shows("Copied")
        assert dashboard.app.clipboard == "line 300 of it\n" + "7".zfill(200) + "\nend\n"


async def test_a_block_and_words_by_keyboard_and_mouse(drive: Drive, home: Path) -> None:
    await start_guest(home, "blocks", "sh", "-c", "printf 'one two\\r\\nsix ten\\r\\n'; cat", title="prints")
    async with drive() as dashboard:
        await dashboard.shows("six ten")
        await dashboard.leader("1")
        await dashboard.until(lambda: dashboard.main.main_area.focused_terminal is not None)
        terminal = dashboard.terminal
        for kind, x, y in ((MouseDown, 4, 0), (MouseMove, 6, 1), (MouseUp, 6, 1)):
            terminal.post_message(_mouse(kind, x, y, meta=True))
        await dashboard.until(lambda: dashboard.app.clipboard == "two\nten", "the block copied")
        assert await dashboard.pilot.click(terminal, offset=(1, 1), times=2)
        await dashboard.until(lambda: dashboard.app.clipboard == "six", "the word copied")
        assert await dashboard.pilot.click(terminal, offset=(1, 1), times=3)
        await dashboard.until(lambda: dashboard.app.clipboard == "six ten\n", "the line copied")


def _mouse(kind, x: int, y: int, *, meta: bool = False, shift: bool = False):  # type: ignore[no-untyped-def]
    return kind(None, x, y, 0, 0, 1, shift, meta, False, screen_x=x, screen_y=y)


def _wheel_down() -> MouseScrollDown:
    return MouseScrollDown(None, 1, 1, 0, 0, 0, False, False, False)


async def test_the_wheel_goes_back_and_forth(drive: Drive, home: Path) -> None:
    await start_guest(home, "wheels", "sh", "-c", PRINTS, title="prints")
    async with drive() as dashboard:
        await _into(dashboard)
        terminal = dashboard.terminal
        terminal.enter_copy_mode(scroll=-6)
        await dashboard.shows("copy mode")
        for _ in range(4):
            terminal.post_message(_wheel_down())
        await dashboard.hides("copy mode")


async def test_the_scrollback_is_saved(drive: Drive, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(home))
    await start_guest(home, "saves", "sh", "-c", PRINTS, title="prints")
    async with drive() as dashboard:
        await _into(dashboard)
        await dashboard.leader("left_square_bracket")
        await dashboard.press("s")
        await dashboard.shows("Saved to")
    (file,) = home.glob("ccvm-saves-s1-*.txt")
    text = file.read_text()
    assert text.startswith("line 1 of it\n")
    assert "7".zfill(200) + "\nend" in text


async def test_a_selection_is_copied_even_if_the_session_has_dropped_it(drive: Drive, home: Path) -> None:
    script = "seq 1 11000; echo end; read x; seq 20001 45000; echo over; cat"
    await start_guest(home, "forgets", "sh", "-c", script, title="prints")
    async with drive() as dashboard:
        await _into(dashboard)
        await dashboard.leader("left_square_bracket")
        await dashboard.press("g")
        await dashboard.until(lambda: dashboard.copy_mode.line(dashboard.copy_mode.top).runs)
        first = dashboard.copy_mode.line(dashboard.copy_mode.top).runs[0][0]
        await dashboard.press("V", "j")
        dashboard.terminal.send(b"\n")
        await dashboard.until(lambda: dashboard.terminal.grid.top > 30000)
        await dashboard.press("y")
        await dashboard.shows("Copied 2 lines")
        assert dashboard.app.clipboard == f"{first}\n{int(first) + 1}\n"


async def test_dragging_above_the_screen_scrolls_back_and_selects(drive: Drive, home: Path) -> None:
    await start_guest(home, "drags", "sh", "-c", "seq 1 300; printf end; cat", title="prints")
    async with drive() as dashboard:
        await _into(dashboard)
        terminal = dashboard.terminal
        terminal.post_message(_mouse(MouseDown, 0, 1))
        terminal.post_message(_mouse(MouseMove, 0, -1))
        await dashboard.until(
            lambda: terminal.copy_mode and terminal.copy_mode.top <= terminal.grid.top - 20, "scrolled"
        )
        terminal.post_message(_mouse(MouseUp, 0, -1))
        await dashboard.shows("Copied")
        top = dashboard.copy_mode.top
        copied = dashboard.app.clipboard.split("\n")
        assert len(copied) > 20
        assert [int(line) for line in copied[:-1]] == list(range(int(copied[0]), int(copied[0]) + len(copied) - 1))
        await dashboard.pilot.pause(0.2)
        assert dashboard.copy_mode.top == top, "it scrolls after the button was released"


async def test_a_program_that_received_a_press_receives_the_release(drive: Drive, home: Path) -> None:
    script = "stty raw -echo; printf '\\033[?1002h\\033[?1006hready'; cat -v"
    await start_guest(home, "shifts", "sh", "-c", script, title="prints")
    async with drive() as dashboard:
        await dashboard.shows("ready")
        await dashboard.leader("1")
        await dashboard.until(lambda: dashboard.main.main_area.focused_terminal is not None)
        terminal = dashboard.terminal
        terminal.post_message(_mouse(MouseDown, 4, 0))
        terminal.post_message(_mouse(MouseUp, 6, 1, shift=True))
        await dashboard.shows("^[[<0;5;1M^[[<4;7;2m")


async def test_words_are_selected_in_copy_mode_even_if_the_program_uses_the_mouse(drive: Drive, home: Path) -> None:
    await start_guest(home, "mouses", "sh", "-c", "seq 1 99; printf 'one two\\033[?1002hend'; cat", title="prints")
    async with drive() as dashboard:
        await _into(dashboard)
        await dashboard.leader("left_square_bracket")
        await dashboard.shows("copy mode")
        row = next(row for row, line in enumerate(dashboard.lines()) if "one two" in line) - 2
        assert await dashboard.pilot.click(dashboard.terminal, offset=(1, row), times=2)
        await dashboard.until(lambda: dashboard.app.clipboard == "one", "the word copied")


async def test_another_width_keeps_the_lines_in_view(drive: Drive, home: Path) -> None:
    script = "for n in $(seq 1 300); do echo \"line $n\"; printf '%0150d\\n' $n; done; echo end; cat"
    await start_guest(home, "reflows", "sh", "-c", script, title="prints")
    async with drive(size=(140, 30)) as dashboard:
        await _into(dashboard)
        await dashboard.leader("left_square_bracket")
        await dashboard.press("question_mark")
        await dashboard.type("line 150")
        await dashboard.press("enter")
        await dashboard.shows("1 of 1")
        mode = dashboard.copy_mode

        def first() -> str:
            return next(line for line in dashboard.lines()[2:] if "line " in line).split("│")[1].strip()

        was = first()
        columns: list[int] = []
        for width in (90, 118, 80, 140):
            columns.append(dashboard.terminal.grid.cols)
            await dashboard.pilot.resize_terminal(width, 30)
            await dashboard.until(lambda: dashboard.terminal.grid.cols != columns[-1], "another width")
            await dashboard.until(lambda: not mode.finding_place, "the place found again")
            await dashboard.until(lambda: first() == was, "the same line on top")
        await dashboard.press("G")
        await dashboard.shows("end")


async def test_a_paste_in_copy_mode_is_refused_with_an_explanation(drive: Drive, home: Path) -> None:
    await start_guest(home, "pastes", "sh", "-c", PRINTS, title="prints")
    async with drive() as dashboard:
        await _into(dashboard)
        await dashboard.leader("left_square_bracket")
        await dashboard.shows("copy mode")
        assert dashboard.app.take_paste(b"text")
        await dashboard.shows("Cannot paste in copy mode")
