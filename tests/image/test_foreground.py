"""The guest's ``foreground`` in a real terminal: a program that stops itself gets a shell and can be continued."""

from __future__ import annotations

import os
import pty
import select
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ccvm_tui.image.guestfiles import GUEST

SCRIPT = GUEST / "root/usr/lib/ccvm/foreground"


class Terminal:
    def __init__(self, *argv: str) -> None:
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.execvp(argv[0], argv)
        self.seen = ""

    def until(self, text: str, within: float = 20) -> None:
        """Read until ``text`` was printed, and drop the output up to its end."""
        deadline = time.monotonic() + within
        while text not in self.seen:
            assert select.select([self.fd], [], [], deadline - time.monotonic())[0], self.seen
            self.seen += os.read(self.fd, 4096).decode()
        self.seen = self.seen.partition(text)[2]

    def type(self, text: str) -> None:
        os.write(self.fd, text.encode())

    def status(self) -> int:
        status = os.waitpid(self.pid, 0)[1]
        self.pid = 0
        return os.waitstatus_to_exitcode(status)


Start = Callable[..., Terminal]


@pytest.fixture
def foreground(tmp_path: Path) -> Iterator[Start]:
    script = tmp_path / "foreground"
    # the guest's shell and its ``fg`` are tested in a guest; here a plain shell replaces them
    script.write_text(SCRIPT.read_text().replace('["/usr/bin/zsh", "-l"]', '["sh", "-c", "echo shell; read line"]'))
    terminals: list[Terminal] = []

    def start(*argv: str) -> Terminal:
        terminals.append(Terminal("python3", "-ISB", str(script), *argv))
        return terminals[-1]

    yield start
    for terminal in terminals:
        if terminal.pid:
            os.kill(terminal.pid, 9)
            os.waitpid(terminal.pid, 0)
        os.close(terminal.fd)


def test_a_stopped_program_gets_a_shell_and_continues_after_it(foreground: Start) -> None:
    terminal = foreground("sh", "-c", "kill -STOP $$; read answer; echo got:$answer; exit 7")
    terminal.until("is paused")
    terminal.until("shell")
    terminal.type("\n")
    terminal.type("yes\n")
    terminal.until("got:yes")
    assert terminal.status() == 7


def test_ctrl_z_stops_the_program(foreground: Start) -> None:
    terminal = foreground("sh", "-c", "cat; echo over")
    terminal.type("up\n")
    terminal.until("up\r\nup")  # the terminal's echo, and then the output of cat: it runs
    terminal.type("\x1a")
    terminal.until("is paused")
    terminal.until("shell")
    terminal.type("\n")
    terminal.type("line\n")
    terminal.until("line")
    terminal.type("\x04")
    terminal.until("over")
    assert terminal.status() == 0


def test_the_terminals_modes_are_restored_for_the_program(foreground: Start) -> None:
    terminal = foreground("sh", "-c", "stty -icanon min 5; kill -STOP $$; stty -a | grep -o 'min = [0-9]*'")
    terminal.until("shell")
    terminal.type("\n")
    terminal.until("min = 5")
    assert terminal.status() == 0


@pytest.mark.parametrize(
    ("script", "status"), [("exit 0", 0), ("exit 42", 42), ("kill -TERM $$", 143), ("kill -KILL $$", 137)]
)
def test_the_exit_status_is_the_programs(foreground: Start, script: str, status: int) -> None:
    assert foreground("sh", "-c", script).status() == status


def test_the_exit_status_of_a_missing_program_is_127(foreground: Start) -> None:
    terminal = foreground("no-such-program")
    terminal.until("no-such-program: ")
    assert terminal.status() == 127


def test_a_missing_agent_is_reported(foreground: Start) -> None:
    terminal = foreground("/opt/ccvm/agent")
    terminal.until("without an agent")
    assert terminal.status() == 127
