"""What is done in the terminals: the programs that people live in, driven by keys.

Each script starts at a shell's prompt and ends at it. A look waits for its texts, so a text must be one that is not
there before.
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
"""The sets of modes in programs/inputs.py: pastes, cursor keys, mouse, focus, modifyOtherKeys."""

ACTS = ("line 5", "www", "漢", "tabs:", "┌─┐", "insert before", "no cursor", "keys", "saved:", "above", "above", "text")
"""What each act of programs/modes.py shows when it has begun."""


def zsh_editing(stage: Stage) -> None:
    """vi-mode editing, completion with a menu, a line of several rows."""
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
    """Out of the menu, a command that fails, and out of the shell."""
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
    """All of it, without a change of size."""
    zsh_editing(stage)
    zsh_leaving(stage)


def zsh(stage: Stage) -> None:
    """All of it, and in the middle another size."""
    zsh_editing(stage)
    stage.resize(-7, 2)
    stage.look()
    # where a reflow leaves zsh's cursor, and so what zsh draws over, is each terminal's own; from here it is one again
    stage.type("\x0c")
    stage.look()
    stage.interrupt()
    stage.resize(0, 0)
    stage.look()
    stage.type("\x0c")
    stage.look()
    zsh_leaving(stage)


def vim(stage: Stage) -> None:
    """Insert, visual, search, splits, undo, and out again."""
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
    # what is left of a command line depends on how fast the keys came; drawn anew it is the same everywhere
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
    """Pages, search with highlights, long lines cut and wrapped, at the end."""
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
    """Its process list of one, its help and its menus; without the figures that change."""
    stage.type("HTOPRC=htoprc htop -p 1\r")
    stage.look("Setup", mask=without_figures)
    stage.interrupt(mask=without_figures)
    stage.key("F2")
    stage.look("Meters", mask=without_figures)
    stage.key("Down")
    stage.resize(12, 2)
    stage.look(mask=without_figures)
    stage.interrupt(mask=without_figures)
    stage.resize(0, 0)
    stage.key("F10")
    stage.look("Setup", mask=without_figures)
    stage.type("q")
    stage.prompt(without_figures)


def top(stage: Stage) -> None:
    """The same for top, which draws with other means."""
    # Not to the last column: top erases to the end of a row that is full, which tmux alone takes for nothing.
    stage.type(f"top -p 1 -d 999 -w {stage.size.cols - 12}\r")
    stage.look("PID", mask=without_figures)
    stage.type("z")
    stage.look(mask=without_figures)
    stage.interrupt(mask=without_figures)
    stage.resize(-3, 1)
    stage.look(mask=without_figures)
    stage.type("h")
    stage.look("Toggle", mask=without_figures)
    stage.interrupt(mask=without_figures)
    stage.type("q")
    stage.look("PID", mask=without_figures)
    stage.type("q")
    stage.prompt(without_figures)


def colours(stage: Stage) -> None:
    """16 and 256 colours and true ones, all renditions, erased in colour, and a rendition that is left on."""
    stage.type("python3 programs/colours.py\r")
    stage.look("what comes next")
    stage.interrupt()
    stage.resize(9, 0)
    stage.type("tput sgr0; tput rev; tput setaf 2; echo done; tput op; tput sgr0\r")
    stage.look("\ndone")
    stage.interrupt()
    stage.resize(0, 0)


def characters(stage: Stage) -> None:
    """Wide and combining characters and emoji, without a column of drift."""
    stage.type("clear; python3 programs/characters.py\r")
    stage.look("逆")
    stage.interrupt()
    stage.type("echo 'typed 漢字 e\u0301 👋 ü'\r")
    stage.look("\ntyped")
    stage.interrupt()


def characters_reflowed(stage: Stage) -> None:
    """The same, and then in other widths."""
    characters(stage)
    for wider, higher in ((-3, 1), (2, -2), (0, 0)):
        stage.resize(wider, higher)
        stage.look_reflowed()
        stage.interrupt_reflowed()


def emoji(stage: Stage, mask: Mask | None = None) -> None:
    """What is one picture of several characters: terminals differ on its width, the same one does not from itself."""
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
    """In the middle of margins, tab stops, character sets, waiting wraps, another screen."""
    stage.type("clear; python3 programs/modes.py\r")
    for text in ACTS:
        stage.look(text)
        stage.interrupt()
        stage.type(" ")
        stage.look()
        stage.type(" ")
    stage.look("done")


def inputs(stage: Stage) -> None:
    """What reaches the program: pastes in brackets, application keys, mouse and focus modes."""
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
            stage.resize(8, -1)  # no line ends at the last column then, where a reflow may put the cursor behind it
            stage.look_reflowed()
            stage.interrupt_reflowed()
            stage.type("\x1b[<2;87;3M")
            stage.look_reflowed()
            stage.resize(0, 0)
        stage.type("Q")
    stage.look("done")


def inputs_inside(stage: Stage) -> None:
    """The same for who is in a part of the terminal: the mouse is where it is there, and reports what was asked for."""
    stage.type("clear; python3 programs/inputs.py\r")
    for on in MODES[:-1]:
        stage.look(f"on: {on}")
        stage.interrupt(f"on: {on}")
        stage.key("Up", "Home", "F5", "M-x")
        stage.look("x")
        stage.paste("two lines ä")  # unlike tmux, the dashboard takes escapes out, and a line ends with Enter
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
    """The line discipline is that of the terminal: what erases, what interrupts, and that characters are UTF-8."""
    stage.type("clear; stty -a\r")
    stage.look("iutf8")
    stage.prompt()


def queries(stage: Stage) -> None:
    """Whoever shows the program answers its questions: once, and as if nobody was in between."""
    stage.type("clear; python3 programs/queries.py\r")
    for _ in range(3):
        stage.look("CPR: ")
        stage.interrupt()
        stage.type(" ")
        stage.look("done")
        stage.type(" ")
    stage.prompt()


def sizes(stage: Stage) -> None:
    """SIGWINCH comes once per change, with the right size; coming back to the same size is no change."""
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
    """Lines that were wrapped flow into a new width and back, and are still one line each."""
    stage.type("clear; python3 programs/lines.py 12\r")
    stage.look("line 11")
    stage.prompt()
    for wider, higher in ((-13, 0), (17, 3), (0, 0)):
        stage.resize(wider, higher)
        stage.look_reflowed()
        stage.interrupt_reflowed()


def history(stage: Stage) -> None:
    """What scrolled away is what scrolled away, with its colours and its wraps."""
    stage.type("python3 programs/lines.py 200\r")
    stage.look("line 199")
    stage.compare_history()
    stage.interrupt("line 199")
    stage.compare_history()


def flood(stage: Stage) -> None:
    """Who comes back in the middle of output misses nothing of it and sees nothing twice."""
    stage.type("clear; python3 programs/lines.py 3000 0.02\r")
    stage.disturb("line ")
    stage.disturb("line ")
    stage.disturb("line ")
    stage.look("line 2999")
    stage.prompt()
    stage.compare_history()


EVERYWHERE: tuple[Script, ...] = (zsh, vim, less, htop, colours, characters_reflowed, sizes)
"""What people see all day, and what depends on the terminal's size."""

ONCE: tuple[Script, ...] = (top, emoji, modes, inputs, settings, queries, reflow, history, flood)
"""What is the same in a terminal of any size."""

IN_A_GUEST: tuple[Script, ...] = (
    zsh, vim, less, htop, colours, characters_reflowed, emoji, inputs, settings, sizes,
)  # fmt: skip


def without_figures(screen: Screen) -> Screen:
    """Figures, and the time, are never the same twice; where they stand and how they look is."""
    rows = tuple(tuple(_without_figure(cell) for cell in row) for row in screen.rows)
    return replace(screen, rows=rows)


def _without_figure(cell: Cell) -> Cell:
    return ("0", cell[1]) if re.fullmatch(r"[0-9.:, ]", cell[0]) else cell
