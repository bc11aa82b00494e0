"""Completion in real shells, with the scripts that ``completion`` prints."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from pathlib import Path

import pytest

from ccvm_tui.cli.verbs.completion import SHELLS
from tests.cli.conftest import Run, Start
from tests.cli.ptys import Pty

ROOT = Path(__file__).parents[2]

START = {
    "bash": (["bash", "--noprofile", "--norc", "-i"], "source {script}"),
    "zsh": (["zsh", "-f", "-i"], "fpath=({directory} $fpath); autoload -Uz compinit; compinit -D"),
}
"""How to start each shell without a user's settings, and how it finds the script."""


@pytest.fixture
def script_of(ccvm_tui: Run, home: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Path]:
    """The scripts by shell, and a program ``ccvm-tui`` on the path, which they run."""
    program = home / "bin" / "ccvm-tui"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nPYTHONPATH={ROOT} exec {sys.executable} -P -m ccvm_tui "$@"\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:/usr/bin:/bin")
    scripts = home / "scripts"
    scripts.mkdir()
    found = {}
    for shell in SHELLS:
        done = ccvm_tui("completion", shell)
        assert done.returncode == 0, done.stderr
        found[shell] = scripts / {"zsh": "_ccvm-tui"}.get(shell, f"ccvm-tui.{shell}")
        found[shell].write_bytes(done.stdout)
    return found


@pytest.mark.parametrize("shell", START)
def test_tab_completes_verbs_options_and_guests(shell: str, script_of: dict[str, Path], start: Start) -> None:
    guest = start("cat", linger=True)
    argv, prepare = START[shell]
    script = script_of[shell]
    with contextlib.closing(Pty(argv, 120, 24)) as terminal:
        terminal.type(prepare.format(script=script, directory=script.parent) + "; echo rea''dy\r")
        terminal.until("ready")
        for typed, completed in (
            ("atta", "ch"),
            ("run --memo", "ry"),
            ("run --accel t", "cg"),
            (f"stop {guest[:4]}", guest[4:]),
        ):
            terminal.type(f"ccvm-tui {typed}")
            terminal.until(typed[-4:])
            terminal.type("\t")
            terminal.until(completed)
            terminal.type("\x15")  # Ctrl+U deletes the line


def test_fish_completes_verbs_options_and_guests(script_of: dict[str, Path], start: Start) -> None:
    guest = start("cat", linger=True)

    def completed(line: str) -> list[str]:
        argv = ["fish", "--no-config", "-c", 'source $argv[1]; complete --do-complete="$argv[2]"']
        done = subprocess.run([*argv, script_of["fish"], line], capture_output=True, text=True, check=True)
        assert done.stderr == ""
        return [candidate.partition("\t")[0] for candidate in done.stdout.splitlines()]

    assert completed("ccvm-tui atta") == ["attach"]
    assert completed("ccvm-tui run --memo") == ["--memory"]
    assert completed("ccvm-tui run --accel t") == ["tcg"]
    assert completed("ccvm-tui image ver") == ["verify"]
    assert completed("ccvm-tui stop ") == [guest]
