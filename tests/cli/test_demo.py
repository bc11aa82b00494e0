"""``ccvm-tui demo``: the project, and what its program shows in a session."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from ccvm_tui import paths
from ccvm_tui.project import demo
from tests.cli.conftest import Open, Run, Start
from tests.waiting import wait_until

QUESTION = "the demo has a question"


def test_the_project_is_created_and_the_next_steps_are_printed(ccvm_tui: Run, here: Path) -> None:
    done = ccvm_tui("demo")
    assert (done.returncode, done.stdout.decode()) == (0, f"{here}/ccvm-demo\n")
    assert "cd ccvm-demo\n" in done.stderr.decode()
    assert "ccvm-tui run --command ./demo.sh" in done.stderr.decode()
    assert "Ctrl+\\ d  " in done.stderr.decode()
    assert sorted(path.name for path in (here / "ccvm-demo").iterdir()) == ["README.md", "demo.sh"]
    assert os.access(here / "ccvm-demo" / "demo.sh", os.X_OK)
    assert "Ctrl+\\ d leaves it" in (here / "ccvm-demo" / "README.md").read_text()


def test_an_existing_directory_is_left_unchanged(ccvm_tui: Run, here: Path) -> None:
    (here / "mine").mkdir()
    refused = ccvm_tui("demo", "mine")
    assert (refused.returncode, refused.stdout) == (1, b"")
    assert b"mine exists already" in refused.stderr
    assert list((here / "mine").iterdir()) == []


def test_a_directory_that_cannot_be_a_project_is_not_created(ccvm_tui: Run, here: Path) -> None:
    paths.state_dir().mkdir(parents=True, exist_ok=True)
    inside = paths.state_dir() / "demo"
    assert b"could change ccvm's own files" in ccvm_tui("demo", str(inside)).stderr
    assert not inside.exists()
    assert b"cannot create " + bytes(here / "nowhere/demo") + b": No such" in ccvm_tui("demo", "nowhere/demo").stderr
    assert not (here / "nowhere").exists()


def test_the_texts_have_the_keys_of_the_settings(ccvm_tui: Run, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CCVM_LEADER", "ctrl-b")
    paths.config_file().parent.mkdir(parents=True)
    paths.config_file().write_text('[keys]\ndetach = "\'"\n')
    assert b"Ctrl+B '  " in ccvm_tui("demo").stderr
    assert "detach='Ctrl+B '\"'\"''\n" in (here / "ccvm-demo" / "demo.sh").read_text()


def test_the_program_works_then_waits_and_is_as_it_was_left(
    start: Start, ccvm_tui: Run, on_terminal: Open, here: Path
) -> None:
    program = demo.create(here / "demo", "Ctrl+\\ d").path / demo.PROGRAM
    guest = start(str(program), "3", "0.2")
    terminal = on_terminal("attach")
    terminal.until("Press Ctrl+\\ d now")
    terminal.type("\x1cd")
    assert terminal.ended() == 0

    def session() -> dict[str, object]:
        (found,) = json.loads(ccvm_tui("ls", "--json").stdout)["guests"][0]["sessions"]
        return dict(found)

    wait_until(lambda: session()["activity"] == "waiting", lambda: str(session()))
    assert session()["attention"] == QUESTION
    assert "(waiting for you)" in ccvm_tui("ls").stdout.decode()
    again = on_terminal("attach", guest)
    again.until("step 1 of 3")
    again.until("step 3 of 3")
    again.until("Shall the demo end? [y/n] ")
    again.type("n\r")
    again.until("Then leave again, with Ctrl+\\ d")
    assert session()["activity"] != "waiting"
    again.type("y\r")
    again.until("The question was answered")
    assert again.ended() == 0
