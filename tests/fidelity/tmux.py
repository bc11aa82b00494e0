"""A tmux server of one's own: terminals that are typed into, resized and looked at, cell by cell."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from ccvm_tui.guest import TermSize
from tests.fidelity.cells import Cell, parse, trimmed
from tests.fidelity.waiting import until

TERM = "tmux-256color"

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
    """All that somebody sees of a terminal, and what its keys and mouse would send."""

    rows: tuple[tuple[Cell, ...], ...]
    cursor: tuple[int, int]
    flags: Mapping[str, str]
    above: int = field(default=0, compare=False)
    """Rows that have scrolled away."""

    @property
    def text(self) -> str:
        return "\n".join("".join(character for character, _ in row).rstrip(" ") for row in self.rows).rstrip("\n")

    def shows(self, text: str) -> bool:
        """Whether the text is there, wrapped or not."""
        return text in self.text or text in self.text.replace("\n", "")


def _flags(values: list[str]) -> dict[str, str]:
    flags = dict(zip(_FLAGS, values, strict=True))
    # A stop in the last column is none: a tab goes there anyway.
    last = str(int(flags.pop("pane_width")) - 1)
    flags["pane_tabs"] = ",".join(stop for stop in flags["pane_tabs"].split(",") if stop != last)
    return flags


class Pane:
    """One terminal with one program in it."""

    def __init__(self, server: Tmux, id: str) -> None:
        self._server = server
        self.id = id

    def type(self, text: str) -> None:
        """The characters as a keyboard sends them; an empty text is not typed."""
        if text:
            self._server.run("send-keys", "-t", self.id, "-H", *(f"{byte:x}" for byte in text.encode()))

    def key(self, name: str) -> None:
        """A key by tmux's name for it, spelled as the terminal's modes want it."""
        self._server.run("send-keys", "-t", self.id, name)

    def paste(self, text: str) -> None:
        """As from the clipboard: bracketed if the program asked for that."""
        self._server.run("load-buffer", "-b", "clip", "-", data=text)
        self._server.run("paste-buffer", "-p", "-r", "-d", "-b", "clip", "-t", self.id)

    def resize(self, size: TermSize) -> None:
        self._server.run("resize-window", "-t", self.id, "-x", str(size.cols), "-y", str(size.rows))

    def picture(self, *range: str) -> Screen:
        """What is shown now, to the last blank; ``range`` are capture-pane's options to that end."""
        printed = self._server.run(
            *("capture-pane", "-t", self.id, "-e", "-N", "-p", *range),
            *(";", "display-message", "-t", self.id, "-p", _FORMAT),
        )
        captured, _, flags = printed.removesuffix("\n").rpartition("\n")
        x, y, above, *values = flags.split("\x1f")
        return Screen(parse(captured), (int(x), int(y)), _flags(values), int(above))

    def screen(self) -> Screen:
        """What is shown now, without blank ends of rows, of which not every tmux tells all."""
        picture = self.picture()
        return replace(picture, rows=trimmed(picture.rows))

    def scroll(self) -> Screen:
        """Scrollback and screen as one, with the cursor's place in it: the same wherever the screen begins."""
        picture = self.picture("-S", "-")
        x, y = picture.cursor
        return replace(picture, rows=trimmed(picture.rows), cursor=(x, y + picture.above))

    def until(self, text: str) -> Screen:
        """Wait for a text; returns the screen that shows it."""
        until(
            lambda: self.screen().shows(text),
            lambda: f"no {text!r} in the terminal, which shows:\n{self.screen().text}",
        )
        return self.screen()

    def history(self) -> tuple[tuple[Cell, ...], ...]:
        """What scrolled away, oldest first."""
        picture = self.picture("-S", "-")
        return trimmed(picture.rows[: picture.above])

    def close(self) -> None:
        self._server.run("kill-pane", "-t", self.id)


class Tmux:
    """The server. ``environment`` is all that the programs in its panes inherit."""

    def __init__(self, directory: Path, environment: Mapping[str, str]) -> None:
        self.socket = directory / "tmux"
        self._configuration = directory / "tmux.conf"
        self._configuration.write_text(_CONFIGURATION)
        self._environment = dict(environment)

    def open(self, argv: tuple[str, ...], size: TermSize, directory: Path) -> Pane:
        """A new terminal of that size which runs ``argv``, in a window of its own."""
        shape = ("-x", str(size.cols), "-y", str(size.rows), "-c", str(directory))
        return Pane(self, self.run("new-session", "-d", "-P", "-F", "#{pane_id}", *shape, "--", *argv).strip())

    def run(self, *words: str, data: str | None = None) -> str:
        """One tmux command, or several with ";" between them; returns what it prints."""
        done = subprocess.run(
            ["tmux", "-S", self.socket, "-f", self._configuration, *words],
            env=self._environment,
            input=data,
            stdin=subprocess.DEVNULL if data is None else None,
            capture_output=True,
            encoding="utf-8",
            errors="surrogateescape",
            timeout=20,
        )
        assert done.returncode == 0, f"tmux {' '.join(words)}: {done.stderr}"
        return done.stdout

    def close(self) -> None:
        subprocess.run(["tmux", "-S", self.socket, "kill-server"], capture_output=True)


def environment(home: Path) -> dict[str, str]:
    """For the server: our own environment as far as our program needs it, without what other terminals left there."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if name in ("PATH", "TMPDIR") or name.startswith(("XDG_", "PYTHON", "CCVM_"))
    }
    return {**kept, "HOME": str(home), "LANG": "C.UTF-8", "SHELL": "/bin/sh"}
