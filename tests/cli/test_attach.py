"""``ccvm-tui attach`` on a real terminal, with real keepers."""

from __future__ import annotations

import os
import signal

from ccvm_tui import claim
from ccvm_tui.client import listing
from ccvm_tui.paths import GuestPaths
from tests.cli.conftest import Open, Run, Start

LEADER = b"\x1c"
SHELL = ("bash", "--norc", "--noediting", "-i")
ECHO = ("sh", "-c", "stty raw -echo; echo up; exec cat -v")


def test_a_session_can_be_detached_and_attached_again(start: Start, on_terminal: Open) -> None:
    guest = start(*SHELL)
    first = on_terminal("attach")
    first.until("$ ")
    first.type("stty size; echo one$((1+1))\r")
    first.until("24 80")
    first.until("one2")
    first.type(LEADER + b"d")
    assert first.ended() == 0
    assert f"detached from {guest}/s1; `ccvm-tui attach {guest}/s1` returns to it".encode() in first.shown
    assert first.attributes == first.before
    second = on_terminal("attach", guest)
    second.until("one2")
    second.type("echo three\r")
    second.until("three")
    second.type("exit 7\r")
    assert second.ended() == 7
    assert second.attributes == second.before


def test_input_just_before_detaching_reaches_the_program(start: Start, on_terminal: Open) -> None:
    start(*SHELL, linger=True)
    terminal = on_terminal("attach")
    terminal.until("$ ")
    terminal.type(b"touch typed; exit\r" + LEADER + b"d")
    terminal.ended()
    again = on_terminal("run", "--command", "ls")
    again.until("typed")


def test_the_leader_twice_is_sent_to_the_program(start: Start, on_terminal: Open) -> None:
    start(*ECHO)
    terminal = on_terminal("attach")
    terminal.until("up")
    terminal.type(b"a" + LEADER + LEADER + b"b")
    terminal.until(rb"a^\b")
    terminal.type(b"\x1b[92;5u" + b"\x1b[100u")
    assert terminal.ended() == 0


def test_control_characters_are_sent_to_the_program(start: Start, on_terminal: Open) -> None:
    start(*ECHO)
    terminal = on_terminal("attach")
    terminal.until("up")
    terminal.type(b"\x03\x1a\x04\x11\x13x")
    terminal.until(b"^C^Z^D^Q^Sx")


def test_the_leader_in_a_paste_is_sent_to_the_program(start: Start, on_terminal: Open) -> None:
    start(*ECHO)
    terminal = on_terminal("attach")
    terminal.until("up")
    terminal.type(b"\x1b[200~a" + LEADER + b"d\x1b[201~z")
    terminal.until(rb"^[[200~a^\d^[[201~z")


def test_a_new_size_is_forwarded(start: Start, on_terminal: Open) -> None:
    # bash loses a signal that it receives while it runs the trap for an earlier one, so the trap does not print
    show_new_sizes = "trap new=1 WINCH; new=1; while :; do [ ! $new ] || { new=; stty size; }; read -r -t 0.05; done"
    start("bash", "-c", show_new_sizes)
    terminal = on_terminal("attach", cols=100, rows=30)
    terminal.until("30 100")
    terminal.resize(91, 27)
    terminal.until("27 91")


def test_the_help_is_shown_until_a_key_is_pressed(start: Start, on_terminal: Open) -> None:
    guest = start(*ECHO)
    terminal = on_terminal("attach")
    terminal.until("up")
    terminal.type(LEADER + b"?")
    terminal.until(f"`ccvm-tui attach {guest}/s1` returns to the session")
    terminal.until("Press any key")
    terminal.type(b"q")
    terminal.until("up")
    terminal.type(b"back\x01")
    terminal.until("back^A")
    assert b"q^" not in terminal.shown


def test_a_signal_restores_the_terminal(start: Start, on_terminal: Open) -> None:
    guest = start(*ECHO)
    for number in (signal.SIGTERM, signal.SIGHUP):
        terminal = on_terminal("attach")
        terminal.until("up")
        terminal.type("x")
        terminal.until("x")
        terminal.signal(number)
        assert terminal.ended() == 128 + number
        assert terminal.attributes == terminal.before
    assert listing.ask_once(guest)["state"] == "running"


def test_the_death_of_the_keeper_is_reported(start: Start, on_terminal: Open) -> None:
    guest = start(*ECHO)
    terminal = on_terminal("attach")
    terminal.until("up")
    terminal.type("x")
    terminal.until("x")
    os.kill(listing.ask_once(guest)["keeper_pid"], signal.SIGKILL)
    assert terminal.ended() == 6
    assert f"the keeper of {guest} went away".encode() in terminal.shown
    assert terminal.attributes == terminal.before


def test_stopping_the_guest_ends_its_sessions(start: Start, on_terminal: Open, ccvm_tui: Run) -> None:
    guest = start(*ECHO)
    terminal = on_terminal("attach")
    terminal.until("up")
    terminal.type("x")
    terminal.until("x")
    assert ccvm_tui("stop", "--yes").returncode == 0
    assert terminal.ended() != 0
    assert terminal.attributes == terminal.before
    assert not claim.alive(GuestPaths(guest).lock)


def test_a_terminal_that_accepts_no_output_can_detach(start: Start, on_terminal: Open) -> None:
    start("sh", "-c", "stty -echo; echo up; read x; yes flood")
    terminal = on_terminal("attach")
    terminal.until("up")
    terminal.type("\r")
    terminal.until("flood\r\nflood")
    terminal.type(LEADER + b"d")
    assert terminal.wait() == 0


def test_a_large_paste_is_complete(start: Start, on_terminal: Open) -> None:
    start("sh", "-c", "stty raw -echo; echo up; head -c 1000000 | sha256sum; exec cat")
    terminal = on_terminal("attach")
    terminal.until("up")
    terminal.type(b"0123456789" * 100_000)
    terminal.until("ec21d6462422")


def test_attaching_without_a_terminal_is_refused(start: Start, ccvm_tui: Run) -> None:
    start(*ECHO)
    done = ccvm_tui("attach")
    assert done.returncode == 1
    assert b"not a terminal" in done.stderr
    assert b"ccvm-tui exec" in done.stderr


def test_a_session_is_selected_by_id_or_name(start: Start, on_terminal: Open) -> None:
    guest = start(*ECHO)
    named = on_terminal("run", "--session", "mine", "--command", "sh", "-c", "echo the second; exec cat")
    named.until("the second")
    named.type(LEADER + b"d")
    assert named.ended() == 0
    again = on_terminal("attach", f"{guest}/mine")
    again.until("the second")
    again.type("hello\r")
    again.until("hello")
    first = on_terminal("attach", f"{guest}/s1")
    first.until("up")
    first.type("\x01")
    first.until("^A")
    wrong = on_terminal("attach", f"{guest}/s9")
    assert wrong.ended() == 3
    assert b"no session 's9' (sessions: s1, s2)" in wrong.shown
    unknown = on_terminal("attach", "nothing-here")
    assert unknown.ended() == 3
    assert b"not running" in unknown.shown
