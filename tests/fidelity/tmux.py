"""A separate tmux server, in whose terminals tests type, and whose cells they read."""

from __future__ import annotations

import functools
import os
import select
import subprocess
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from ccvm_tui.guest import TermSize
from tests.fidelity.cells import Cell, parse, trimmed
from tests.waiting import wait_until

TERM = "tmux-256color"

COMMAND_WITHIN = 20.0
"""Seconds within which tmux must answer."""

_FLAGS = (
    "alternate_on", "cursor_flag", "insert_flag", "keypad_cursor_flag", "keypad_flag", "mouse_all_flag",
    "mouse_any_flag", "mouse_button_flag", "mouse_sgr_flag", "mouse_standard_flag", "mouse_utf8_flag", "origin_flag",
    "pane_tabs", "pane_title", "pane_width", "scroll_region_lower", "scroll_region_upper", "wrap_flag",
)  # fmt: skip
_FORMAT = "\x1f".join(f"#{{{name}}}" for name in ("cursor_x", "cursor_y", "history_size", *_FLAGS))

_CONFIGURATION = f"""
set -g default-terminal {TERM}
set -g status off
set -g remain-on-exit on
set -g history-limit 5000
set -g escape-time 0
set -g focus-events on
set -g extended-keys on
set -g set-titles off
set -s exit-empty off
set -g prefix None
set -as terminal-features ",{TERM}:RGB:usstyle:overline:strikethrough:bpaste:focus:mouse:title"
setw -g automatic-rename off
setw -g allow-rename off
unbind -a
unbind -a -n
"""


@dataclass(frozen=True)
class Screen:
    """The visible state of a terminal, and the modes that affect its keys and mouse."""

    rows: tuple[tuple[Cell, ...], ...]
    cursor: tuple[int, int]
    flags: Mapping[str, str]
    above: int = field(default=0, compare=False)
    """The number of rows in the scrollback."""

    @functools.cached_property
    def text(self) -> str:
        return "\n".join("".join(character for character, _ in row).rstrip(" ") for row in self.rows).rstrip("\n")

    def shows(self, text: str) -> bool:
        """Return whether the screen contains the text, wrapped or not."""
        return text in self.text or text in self.text.replace("\n", "")


def _flags(values: list[str]) -> dict[str, str]:
    flags = dict(zip(_FLAGS, values, strict=True))
    # Ignore a tab stop in the last column, where a tab stops anyway.
    last = str(int(flags.pop("pane_width")) - 1)
    flags["pane_tabs"] = ",".join(stop for stop in flags["pane_tabs"].split(",") if stop != last)
    return flags


def _screen(captured: str) -> Screen:
    cells, _, flags = captured.removesuffix("\n").rpartition("\n")
    x, y, above, *values = flags.split("\x1f")
    return Screen(parse(cells), (int(x), int(y)), _flags(values), int(above))


@functools.lru_cache(maxsize=64)
def _trimmed_screen(captured: str) -> Screen:
    """Return the screen without trailing blanks. It is cached, because most polls of a terminal see no change."""
    screen = _screen(captured)
    return replace(screen, rows=trimmed(screen.rows))


class Pane:
    """A terminal in which a program runs."""

    def __init__(self, server: Tmux, id: str) -> None:
        self._server = server
        self.id = id

    def type(self, text: str) -> None:
        """Type characters. An empty text does nothing."""
        if text:
            self._server.run("send-keys", "-t", self.id, "-H", *(f"{byte:x}" for byte in text.encode()))

    def key(self, name: str) -> None:
        """Press a key, named as in tmux and encoded according to the terminal's modes."""
        self._server.run("send-keys", "-t", self.id, name)

    def paste(self, text: str) -> None:
        """Paste text, in brackets if the program has requested them."""
        self._server.load("clip", text)
        self._server.run("paste-buffer", "-p", "-r", "-d", "-b", "clip", "-t", self.id)

    def resize(self, size: TermSize) -> None:
        self._server.run("resize-window", "-t", self.id, "-x", str(size.cols), "-y", str(size.rows))

    def _capture(self, *range: str) -> str:
        return self._server.run(
            *("capture-pane", "-t", self.id, "-e", "-N", "-p", *range),
            *(";", "display-message", "-t", self.id, "-p", _FORMAT),
        )

    def picture(self, *range: str) -> Screen:
        """Return the screen including trailing blanks. ``range`` are options of capture-pane that select lines."""
        return _screen(self._capture(*range))

    def screen(self) -> Screen:
        """Return the screen without trailing blanks, which not every version of tmux returns."""
        return _trimmed_screen(self._capture())

    def scroll(self) -> Screen:
        """Return scrollback and screen together, with the cursor relative to the first line of the scrollback."""
        screen = _trimmed_screen(self._capture("-S", "-"))
        x, y = screen.cursor
        return replace(screen, cursor=(x, y + screen.above))

    def until(self, text: str) -> Screen:
        """Wait for a text, and return the screen."""
        wait_until(
            lambda: self.screen().shows(text),
            lambda: f"no {text!r} in the terminal, which shows:\n{self.screen().text}",
        )
        return self.screen()

    def history(self) -> tuple[tuple[Cell, ...], ...]:
        """Return the rows of the scrollback, oldest first."""
        picture = self.picture("-S", "-")
        return trimmed(picture.rows[: picture.above])

    def close(self) -> None:
        self._server.run("kill-pane", "-t", self.id)


class Tmux:
    """A tmux server. The programs in its panes inherit only ``environment``.

    Commands go through one client in control mode, because tests run them thousands of times. It is attached to a session of
    its own, without output.
    """

    def __init__(self, directory: Path, environment: Mapping[str, str]) -> None:
        self.socket = directory / "tmux"
        configuration = directory / "tmux.conf"
        configuration.write_text(_CONFIGURATION)
        self._argv = ("tmux", "-S", str(self.socket), "-f", str(configuration))
        self._environment = dict(environment)
        self._client = subprocess.Popen(
            [*self._argv, "-C", "new-session", "--", "cat"],
            env=self._environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        assert self._client.stdin
        assert self._client.stdout
        self._commands, self._replies = self._client.stdin, self._client.stdout
        self._lines: deque[bytes] = deque([b""])  # received, of which the last one is incomplete
        self._reply()  # that of new-session

    def open(self, argv: tuple[str, ...], size: TermSize, directory: Path) -> Pane:
        """Open a terminal that runs ``argv``, in a session of its own."""
        shape = ("-x", str(size.cols), "-y", str(size.rows), "-c", str(directory))
        return Pane(self, self.run("new-session", "-d", "-P", "-F", "#{pane_id}", *shape, "--", *argv).strip())

    def run(self, *arguments: str) -> str:
        """Run a tmux command, or several separated by ";", and return the output."""
        assert not any("\n" in argument for argument in arguments), "a line is one command"
        line = " ".join(";" if argument == ";" else _quoted(argument) for argument in arguments)
        self._commands.write(line.encode(errors="surrogateescape") + b"\n")
        self._commands.flush()
        return "".join(self._reply() for _ in range(1 + arguments.count(";")))

    def load(self, buffer: str, data: str) -> None:
        """Store data, which may have several lines, in a buffer."""
        command = [*self._argv, "load-buffer", "-b", buffer, "-"]
        subprocess.run(command, env=self._environment, input=data.encode(), check=True, timeout=COMMAND_WITHIN)

    def close(self) -> None:
        subprocess.run([*self._argv, "kill-server"], capture_output=True)
        self._client.communicate()

    def _reply(self) -> str:
        """Return the output of the next command. Notifications, which come between the outputs, are ignored."""
        while not (line := self._line()).startswith(b"%begin "):
            assert not line.startswith(b"%exit"), f"the tmux server has ended: {line!r}"
        ends = {b"%end" + line.removeprefix(b"%begin"): False, b"%error" + line.removeprefix(b"%begin"): True}
        output = b""
        while (line := self._line()) not in ends:
            output += line
        text = output.decode(errors="surrogateescape")
        assert not ends[line], f"tmux: {text}"
        return text

    def _line(self) -> bytes:
        deadline = time.monotonic() + COMMAND_WITHIN
        while len(self._lines) == 1:
            readable, _, _ = select.select([self._replies], [], [], max(deadline - time.monotonic(), 0))
            assert readable, "tmux does not answer"
            data = os.read(self._replies.fileno(), 1 << 16)
            assert data, f"the client of tmux has ended: {self._lines}"
            self._lines.extend((self._lines.pop() + data).split(b"\n"))
        return self._lines.popleft() + b"\n"


def _quoted(argument: str) -> str:
    """Quote an argument for tmux, which interprets nothing between single quotes."""
    return "'" + argument.replace("'", "'\\''") + "'"


def environment(home: Path) -> dict[str, str]:
    """Return an environment for the server: the variables that our program needs, and none of the host terminal."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if name in ("PATH", "TMPDIR") or name.startswith(("XDG_", "PYTHON", "CCVM_"))
    }
    return {**kept, "HOME": str(home), "LANG": "C.UTF-8", "SHELL": "/bin/sh"}
