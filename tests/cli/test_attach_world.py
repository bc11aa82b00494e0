"""``ccvm-tui attach`` forwards the terminal's size in pixels and restores the modes of the terminal."""

from __future__ import annotations

import os
import signal
import sys

import pytest

from ccvm_tui.client import listing
from ccvm_tui.guest import TermSize
from ccvm_tui.terminal.emulator import Emulator
from tests.cli.conftest import Open, Start
from tests.cli.ptys import Pty
from tests.leftovers import MESS, leftovers

LEADER = b"\x1c"
PIXELS = """\
import fcntl, os, signal, struct, termios
def report(*_):
    rows, cols, width, height = struct.unpack("HHHH", fcntl.ioctl(0, termios.TIOCGWINSZ, bytes(8)))
    os.write(1, f"{cols}x{rows} is {width}x{height}\\n".encode())  # print() cannot be interrupted by itself
signal.signal(signal.SIGWINCH, report)
while input() != "q":
    report()
"""


def test_the_pty_has_the_size_of_the_terminal_in_pixels(start: Start, on_terminal: Open) -> None:
    start(sys.executable, "-c", PIXELS)
    terminal = on_terminal("attach", width=720, height=504)
    terminal.until("80x24 is 720x504")
    terminal.resize(100, 30, 900, 630)
    terminal.until("100x30 is 900x630")
    terminal.resize(100, 30, 1000, 720)  # another font
    terminal.until("100x30 is 1000x720")
    terminal.resize(90, 30)  # a terminal that does not report pixels
    terminal.until("90x30 is 0x0")


def shown_in(terminal: Pty) -> Emulator:
    emulator = Emulator(TermSize(80, 24))
    emulator.feed(terminal.shown)
    return emulator


def messed(start: Start, on_terminal: Open, then: str = "exec cat") -> tuple[str, Pty]:
    guest = start("sh", "-c", f"stty raw -echo; {MESS}; {then}")
    terminal = on_terminal("attach")
    terminal.until("MESSY")
    terminal.type("x")
    emulator = shown_in(terminal)
    assert len(leftovers(emulator)) > 20  # the modes are detected
    return guest, terminal


def killed(start: Start, on_terminal: Open) -> Pty:
    # other input: replies to the modes that report something when they are set
    _, terminal = messed(start, on_terminal, 'until [ "$(head -c 1)" = x ]; do :; done; kill -9 $$')
    assert terminal.ended() == 137
    return terminal


def detached(start: Start, on_terminal: Open) -> Pty:
    _, terminal = messed(start, on_terminal)
    terminal.type(LEADER + b"d")
    assert terminal.ended() == 0
    return terminal


def hung_up(start: Start, on_terminal: Open) -> Pty:
    _, terminal = messed(start, on_terminal)
    terminal.signal(signal.SIGTERM)
    assert terminal.ended() == 128 + signal.SIGTERM
    return terminal


def keeper_killed(start: Start, on_terminal: Open) -> Pty:
    guest, terminal = messed(start, on_terminal)
    os.kill(listing.ask_once(guest)["keeper_pid"], signal.SIGKILL)
    assert terminal.ended() == 6
    return terminal


@pytest.mark.parametrize("how", [killed, detached, hung_up, keeper_killed], ids=lambda how: how.__name__)
def test_the_modes_are_restored_after_every_end(start: Start, on_terminal: Open, how: object) -> None:
    assert callable(how)
    left = leftovers(shown_in(how(start, on_terminal)))
    # Resetting origin mode moves the cursor, which must stay where the program has left it. DECSTR resets the mode in
    # terminals that support it; in others the mode has no effect without margins.
    assert how is not killed or left.pop("mode 6")
    assert left == {}
