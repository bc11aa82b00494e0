"""Record the demo: ``python -m assets.record DIRECTORY`` writes ``demo.cast`` and ``demo.svg``.

The programs are real: a shell on a pty starts a guest, leaves its session, finds it in the dashboard, and stops it. The
time between two outputs is that of the machine, and is shortened by the players.
"""

from __future__ import annotations

import codecs
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path

from assets.cast import Cast
from assets.film import animation
from assets.make import CODE, HERE, ROOT
from bench.outer import Outer
from ccvm_tui.client import listing
from ccvm_tui.guest import TermSize
from ccvm_tui.terminal.emulator import Emulator

COLUMNS, ROWS = 104, 28
KEY_INTERVAL = 0.045
"""Seconds between two keys."""

READING_TIME = 1.4
"""Seconds for which a result is shown before the next command."""

BOOT_TIMEOUT = 180.0
"""Seconds within which everything must appear that the script waits for."""

_PROMPT = r"\[\e[1;34m\]\w\[\e[m\] $ "


class Recorder:
    """A shell on a pty, whose output is recorded and interpreted by an emulator, which also answers its queries."""

    def __init__(self, directory: Path) -> None:
        self.cast = Cast(COLUMNS, ROWS)
        self._emulator = Emulator(TermSize(COLUMNS, ROWS))
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        environment = {"PS1": _PROMPT, "TERM": "xterm-256color", "COLORTERM": "truecolor", "PWD": str(directory)}
        shell = ["env", "-C", str(directory), "bash", "--noprofile", "--norc", "-i"]
        self._outer = Outer(shell, COLUMNS, ROWS, environment)
        self._began = time.monotonic()

    def run_for(self, seconds: float) -> None:
        """Record for a time."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            if self._outer.pump(min(left, 0.02)):
                data = bytes(self._outer.received)
                self._outer.clear()
                self.cast.events.append((time.monotonic() - self._began, self._decoder.decode(data)))
                self._emulator.feed(data)
                if answers := self._emulator.outbox.take_answers():
                    self._outer.type(answers)

    def type(self, text: str) -> None:
        """Type a text as a person does."""
        for character in text:
            self._outer.type(character.encode())
            self.run_for(KEY_INTERVAL)

    def until(self, text: str) -> None:
        """Record until the screen shows ``text``. Raises TimeoutError."""
        end = time.monotonic() + BOOT_TIMEOUT
        while text not in self.screen():
            if time.monotonic() > end:
                raise TimeoutError(f"{text!r} is not on the screen:\n{self.screen()}")
            self.run_for(0.1)
        self.run_for(READING_TIME)

    def screen(self) -> str:
        """Return the text on the screen."""
        self._emulator.refresh(everything=True)
        return "\n".join("".join(run.text for run in row.runs) for row in self._emulator.rows)

    def close(self) -> None:
        """End the shell."""
        self._outer.close()
        self._emulator.close()


def _perform(recorder: Recorder) -> None:
    """Type the commands of the demo."""
    recorder.until("$ ")
    recorder.type("ccvm-tui run --shell\r")
    recorder.until("❯")
    recorder.type("uname -n; ls -a ~/.ssh; ls ..\r")
    recorder.until("No such file")
    recorder.type("python3 -c 'import basket; print(basket.Basket(7))'\r")
    recorder.until("Basket(customer=7")
    recorder.type("\x1cd")
    recorder.until("attach")
    recorder.type("clear; ccvm-tui ls\r")
    recorder.until("PROJECT")
    recorder.type("ccvm-tui\r")
    recorder.until("webshop")
    recorder.run_for(READING_TIME)
    recorder.type("j")
    recorder.run_for(READING_TIME)
    recorder.type("\r")
    recorder.run_for(READING_TIME)
    recorder.type("vim basket.py\r")
    recorder.until("@dataclass")
    recorder.type("/total\r")
    recorder.run_for(READING_TIME)
    recorder.type("\x1c")
    recorder.run_for(READING_TIME)
    recorder.type("d")
    recorder.run_for(READING_TIME)
    recorder.type("q")
    recorder.until("$ ")
    recorder.type("ccvm-tui stop --yes\r")
    recorder.until("stopped")


def main() -> int:
    """Record the demo in a temporary home, and write it to the directory in the first argument."""
    where = Path(sys.argv[1]).resolve() if len(sys.argv) > 1 else HERE
    sources = Path(tempfile.gettempdir()) / "src"  # the recording shows this name
    if sources.exists():
        sys.exit(f"{sources} is in the way")
    root = Path(tempfile.mkdtemp(prefix="ccvm-r"))
    project = sources / "webshop"
    project.mkdir(parents=True)
    (project / "basket.py").write_text(CODE, encoding="utf-8")
    for name in ("XDG_RUNTIME_DIR", "XDG_CONFIG_HOME", "XDG_STATE_HOME"):
        path = root / name[4:7].lower()
        path.mkdir(mode=0o700)
        os.environ[name] = str(path)
    cache = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    os.environ |= {"PYTHONPATH": str(ROOT), "CCVM_CORES": "2", "XDG_CACHE_HOME": cache, "HOME": tempfile.gettempdir()}
    recorder = Recorder(project)
    try:
        _perform(recorder)
    finally:
        recorder.close()
        for guest in listing.names():
            listing.stop_any(guest, force=True)
        for path in (root, sources):
            shutil.rmtree(path, ignore_errors=True)
    content = recorder.cast.dumps()
    (where / "demo.cast").write_text(content, encoding="utf-8")
    (where / "demo.svg").write_text(animation(Cast.loads(content)), encoding="utf-8")  # with the times of the file
    return 0


if __name__ == "__main__":
    sys.exit(main())
