"""Scripts that drive common programs by keys in several terminals at once.

Each script starts and ends at a shell's prompt. ``Stage.look`` waits for its texts, so a text must not be on the screen
before.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace

from tests.fidelity.cells import Cell
from tests.fidelity.stage import Mask, Stage
from tests.fidelity.tmux import Screen

Script = Callable[[Stage], None]

ESCAPE = "\x1b"

MODES = (
    "?2004h", "?2004h ?1h", "?1000h ?1006h", "?1002h ?1006h", "?1003h ?1006h ?1004h", "?1000h", "?9h", ">4;2m",
)  # fmt: skip
"""The sets of modes in ``programs/inputs.py``: pastes, cursor keys, mouse, focus, modifyOtherKeys."""

STEPS = (
    "line 5",
    "www",
    "漢",
    "tabs:",
    "┌─┐",
    "insert before",
    "no cursor",
    "keys",
    "saved:",
    "above",
    "above",
    "text",
)
"""The text that each step of ``programs/modes.py`` shows in its first half."""


def zsh_editing(stage: Stage) -> None:
    """Edit in vi mode, and complete with a menu."""
    stage.type("ZDOTDIR=. zsh\r")
    stage.look("project", "[I]")
    stage.type("print one twoo three")
    stage.look("three")
    stage.type(ESCAPE)
    stage.look("[N]")
    stage.type("bbcwtwo")
    stage.look("[I]", "two three")
    stage.interrupt()
    stage.type(ESCAPE)
    stage.look("[N]")
    stage.type("0vee")
    stage.look()
    stage.interrupt()
    stage.type(ESCAPE + "\r")
    stage.look("\none two three")
    stage.type("ls pro\t")
    stage.look("ls programs/")
    stage.type("\t\t")
    stage.look("characters.py", "sizes.py")
    stage.interrupt()
    stage.key("Down")
    stage.look()
    stage.interrupt()


def zsh_leaving(stage: Stage) -> None:
    """Leave the menu, run a command that fails, interrupt a line of several rows, and leave the shell."""
    stage.type("\r")
    stage.look()
    stage.type("\x03")
    stage.look("130 %")
    stage.type("false\r")
    stage.look("project 1 %")
    stage.type("clear\r")
    stage.look()
    stage.type("print " + "long " * 30)
    stage.look()
    stage.interrupt()
    stage.type("\x03")
    stage.look("130 %")
    stage.type("exit\r")
    stage.prompt()


def zsh_in_one_size(stage: Stage) -> None:
    """Use zsh without a change of size."""
    zsh_editing(stage)
    zsh_leaving(stage)


def zsh(stage: Stage) -> None:
    """Use zsh, and change the size in the middle."""
    zsh_editing(stage)
    stage.resize(-7, 2)
    stage.look()
    # terminals differ in where a reflow leaves the cursor, and so in what zsh overwrites; redraw to make them equal
    stage.type("\x0c")
    stage.look()
    stage.interrupt()
    stage.resize(0, 0)
    stage.look()
    stage.type("\x0c")
    stage.look()
    zsh_leaving(stage)


def vim(stage: Stage) -> None:
    """Use insert mode, visual mode, search, splits and undo, and quit."""
    stage.type("vim -u vimrc code.py\r")
    stage.look("1,1")
    stage.type("ofirst änd 漢字\r\tsecond")
    stage.look("-- INSERT --", "second")
    stage.interrupt()
    stage.type(" typed after coming back")
    stage.look("typed after")
    stage.type(ESCAPE + "ggVjj")
    stage.look("-- VISUAL LINE --")
    stage.interrupt()
    stage.type(ESCAPE + "4G0\x16jjll")
    stage.look("-- VISUAL BLOCK --")
    # the remains of a command line depend on the timing of the keys; redraw to make them equal
    stage.type(ESCAPE + "/na\\w*e\r\x0c")
    stage.look("10,11")
    stage.interrupt()
    stage.type(":vsplit\r:split\r\x17l\x0c")
    stage.look("py [+]")
    stage.resize(-10, 3)
    stage.look("py [+]")
    stage.interrupt()
    stage.type("Gzb3uu")
    stage.look()
    stage.resize(0, 0)
    # tmux loses a line of the primary screen if the alternate one was entered in another size
    stage.interrupt()
    stage.type(":only\r:set list? nolist\rgg\x06")
    stage.look()
    stage.type(":qa!\r")
    stage.prompt()


def less(stage: Stage) -> None:
    """Page, search with highlights, cut and wrap long lines, and go to the end."""
    stage.type("python3 programs/lines.py 300 > lines\r")
    stage.prompt()
    stage.type("clear; less -R lines\r")
    stage.look("line 5")
    stage.type(" ")
    stage.look()
    stage.type("/line 12[0-9]\r")
    stage.look("line 120")
    stage.interrupt()
    stage.type("nn-S\r")
    stage.look()
    stage.resize(5, -3)
    stage.look()
    stage.interrupt()
    stage.key("Right")
    stage.look()
    stage.type("G")
    stage.look("(END)")
    stage.resize(0, 0)
    stage.look()
    stage.key("Left")
    stage.look()
    stage.type("100g")
    stage.look("ne 100")
    stage.type("q")
    stage.prompt()


def htop(stage: Stage) -> None:
    """Show the list of one process and the setup menu. Numbers, which change, are masked."""
    stage.type("HTOPRC=htoprc htop -p 1\r")
    stage.look("Setup", mask=without_numbers)
    stage.interrupt(mask=without_numbers)
    stage.key("F2")
    stage.look("Meters", mask=without_numbers)
    stage.key("Down")
    stage.resize(12, 2)
    stage.look(mask=without_numbers)
    stage.interrupt(mask=without_numbers)
    stage.resize(0, 0)
    stage.key("F10")
    stage.look("Setup", mask=without_numbers)
    stage.type("q")
    stage.prompt(without_numbers)


def top(stage: Stage) -> None:
    """Show the list of one process and the help. Numbers, which change, are masked."""
    # Not the full width: top erases to the end of a full row, which only tmux ignores.
    stage.type(f"top -p 1 -d 999 -w {stage.size.cols - 12}\r")
    stage.look("PID", mask=without_numbers)
    stage.type("z")
    stage.look(mask=without_numbers)
    stage.interrupt(mask=without_numbers)
    stage.resize(-3, 1)
    stage.look(mask=without_numbers)
    stage.type("h")
    stage.look("Toggle", mask=without_numbers)
    stage.interrupt(mask=without_numbers)
    stage.type("q")
    stage.look("PID", mask=without_numbers)
    stage.type("q")
    stage.prompt(without_numbers)


def colours(stage: Stage) -> None:
    """Print 16 colours, 256 colours, true colours and all renditions, erase in colour, and leave a rendition set."""
    stage.type("python3 programs/colours.py\r")
    stage.look("what comes next")
    stage.interrupt()
    stage.resize(9, 0)
    stage.type("tput sgr0; tput rev; tput setaf 2; echo done; tput op; tput sgr0\r")
    stage.look("\ndone")
    stage.interrupt()
    stage.resize(0, 0)


def characters(stage: Stage) -> None:
    """Print wide characters, combining characters and emoji, and type some; all columns must agree."""
    stage.type("clear; python3 programs/characters.py\r")
    stage.look("逆")
    stage.interrupt()
    stage.type("echo 'typed 漢字 e\u0301 👋 ü'\r")
    stage.look("\ntyped")
    stage.interrupt()


def characters_reflowed(stage: Stage) -> None:
    """Print and type such characters, and reflow them to other widths."""
    characters(stage)
    for wider, higher in ((-3, 1), (2, -2), (0, 0)):
        stage.resize(wider, higher)
        stage.look_reflowed()
        stage.interrupt_reflowed()


def emoji(stage: Stage, mask: Mask | None = None) -> None:
    """Print and type emoji of several code points, whose width depends on the terminal."""
    stage.type("clear; python3 programs/emoji.py\r")
    stage.look("done", mask=mask)
    stage.interrupt(mask=mask)
    stage.type("echo 'typed 👩‍👩‍👧 🇩🇪 ❤️ ü")
    stage.look("ü", mask=mask)
    stage.interrupt(mask=mask)
    stage.type("\x7fé'\r")
    stage.look("\ntyped", mask=mask)
    stage.interrupt(mask=mask)


def modes(stage: Stage) -> None:
    """Detach in the middle of margins, tab stops, character sets, pending wraps and the alternate screen."""
    stage.type("clear; python3 programs/modes.py\r")
    for text in STEPS:
        stage.look(text)
        stage.interrupt()
        stage.type(" ")
        stage.look()
        stage.type(" ")
    stage.look("done")


def inputs(stage: Stage) -> None:
    """Send bracketed pastes, application keys, and mouse and focus reports to a program that prints its input."""
    stage.type("clear; python3 programs/inputs.py\r")
    for on in MODES:
        stage.look(f"on: {on}")
        stage.interrupt(f"on: {on}")
        stage.key("Up", "Home", "F5", "M-x", "C-1")
        stage.paste("two\nlines ä" + "\x1b[200~" * on.startswith("?2004"))
        stage.type("\x1b[<0;10;5M\x1b[<0;10;5m\x1b[<35;11;6M\x1b[<64;1;1M\x1b[I\x1b[O")
        stage.type("\x00\x01\x03\x04\x11\x13\x1a\x7fé漢👋.")
        stage.look("<8b>.")
        if on == "?1002h ?1006h":
            stage.resize(8, -1)  # a width at which no line ends in the last column, where terminals reflow differently
            stage.look_reflowed()
            stage.interrupt_reflowed()
            stage.type("\x1b[<2;87;3M")
            stage.look_reflowed()
            stage.resize(0, 0)
        stage.type("Q")
    stage.look("done")


def inputs_inside(stage: Stage) -> None:
    """Send input to a program in a part of the terminal, where mouse positions are translated.

    Only reports that the program has requested are sent.
    """
    stage.type("clear; python3 programs/inputs.py\r")
    for on in MODES[:-1]:
        stage.look(f"on: {on}")
        stage.interrupt(f"on: {on}")
        stage.key("Up", "Home", "F5", "M-x")
        stage.look("x")
        stage.paste("two lines ä")  # unlike tmux, the dashboard removes escapes and sends Enter for line ends
        stage.look("<a4>")
        if "?1006h" in on:
            stage.point(0, 10, 5)
            stage.look("<0;10;5M")
            if "?1000h" not in on:
                stage.point(32, 11, 6)
                stage.look("<32;11;6M")
            stage.point(0, 11, 6, "m")
            stage.look("<0;11;6m")
            if "?1003h" in on:
                stage.point(35, 12, 6)
                stage.look("<35;12;6M")
            stage.point(64, 1, 1)
            stage.look("<64;1;1M")
        if "?1004h" in on:
            stage.type("\x1b[I")
            stage.look("[I")
            stage.type("\x1b[O")
            stage.look("[O")
        stage.type("\x00\x01\x03\x04\x11\x13\x1a\x7fé漢👋.")
        stage.look("<8b>.")
        stage.type("Q")
    stage.look(f"on: {MODES[-1]}")
    stage.type("Q")
    stage.look("done")


def settings(stage: Stage) -> None:
    """Print the settings of the line discipline, such as the control characters and IUTF8."""
    stage.type("clear; stty -a\r")
    stage.look("iutf8")
    stage.prompt()


def queries(stage: Stage) -> None:
    """Send queries, which must be answered once, with the replies of the host terminal."""
    stage.type("clear; python3 programs/queries.py\r")
    for _ in range(3):
        stage.look("CPR: ")
        stage.interrupt()
        stage.type(" ")
        stage.look("done")
        stage.type(" ")
    stage.prompt()


def sizes(stage: Stage) -> None:
    """Change the size, and expect one SIGWINCH per change, and none after attaching with the same size."""
    cols, rows = stage.size.cols, stage.size.rows
    stage.type("clear; python3 programs/sizes.py\r")
    stage.look(f"0: {cols}x{rows}")
    stage.interrupt()
    for number, (wider, higher) in enumerate([(5, 0), (0, -2), (-11, 4), (0, 0)], 1):
        stage.resize(wider, higher)
        screen = stage.look(f"{number}: {cols + wider}x{rows + higher}")
        assert f"{number + 1}: " not in screen.text
        stage.interrupt()
    stage.type("\x04")
    stage.prompt()


def reflow(stage: Stage) -> None:
    """Reflow wrapped lines to other widths and back."""
    stage.type("clear; python3 programs/lines.py 12\r")
    stage.look("line 11")
    stage.prompt()
    for wider, higher in ((-13, 0), (17, 3), (0, 0)):
        stage.resize(wider, higher)
        stage.look_reflowed()
        stage.interrupt_reflowed()


def history(stage: Stage) -> None:
    """Compare the scrollback, including colours and wrapped lines."""
    stage.type("python3 programs/lines.py 200\r")
    stage.look("line 199")
    stage.compare_history()
    stage.interrupt("line 199")
    stage.compare_history()


def flood(stage: Stage) -> None:
    """Detach and attach again in the middle of output, of which nothing may be lost or repeated."""
    stage.type("clear; python3 programs/lines.py 3000 0.02\r")
    stage.disturb("line ")
    stage.disturb("line ")
    stage.disturb("line ")
    stage.look("line 2999")
    stage.prompt()
    stage.compare_history()


SMALL: tuple[Script, ...] = (zsh, vim, less, characters_reflowed, sizes)
LARGE: tuple[Script, ...] = (vim, htop, sizes)
"""Scripts for terminals that are smaller and larger than usual: common programs, and features that depend on the size."""

USUAL: tuple[Script, ...] = (
    zsh, vim, less, htop, colours, characters_reflowed, sizes, top, emoji, modes, inputs, settings, queries, reflow,
    history, flood,
)  # fmt: skip
"""Scripts for a terminal of 80x24 cells."""

IN_A_GUEST: tuple[Script, ...] = (
    zsh, less, colours, characters_reflowed, settings, sizes,
)  # fmt: skip
"""Scripts for the terminals of a guest. Its programs are slow, so there are none whose path through it is the same.

There is no ``vim``: in a guest it sometimes does not show what was typed until the next key, also in the reference.
"""


def without_numbers(screen: Screen) -> Screen:
    """Replace numbers and times, which change, but keep their positions and renditions."""
    rows = tuple(tuple(_without_number(cell) for cell in row) for row in screen.rows)
    return replace(screen, rows=rows)


def _without_number(cell: Cell) -> Cell:
    return ("0", cell[1]) if re.fullmatch(r"[0-9.:, ]", cell[0]) else cell
