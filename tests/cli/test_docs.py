"""The documentation of exit statuses and JSON fields is complete; tests/reference has tests of the rest."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from ccvm_tui import errors
from ccvm_tui.cli import parser, report
from ccvm_tui.cli.verbs import ls
from ccvm_tui.errors import UserError

DOCS = Path(__file__).parents[2] / "docs"


@pytest.fixture(scope="module")
def commands() -> str:
    return (DOCS / "commands.md").read_text(encoding="utf-8")


def test_every_exit_status_is_documented(commands: str) -> None:
    documented = {int(number) for number in re.findall(r"^\| (\d+) \|", commands, re.MULTILINE)}
    raised = {
        kind.exit_status for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, UserError)
    }
    assert documented == raised | {0, parser.USAGE_STATUS, report.UNEXPECTED}


def test_the_example_of_ls_has_all_fields(commands: str) -> None:
    example = re.search(r"### ls --json\n\n```json\n(.*?)```", commands, re.DOTALL)
    assert example is not None
    (guest,) = json.loads(example[1])["guests"]
    assert list(guest) == [*ls.GUEST_FIELDS, "sessions"]
    assert list(guest["sessions"][0]) == list(ls.SESSION_FIELDS)


def test_every_json_example_is_valid(commands: str) -> None:
    examples = re.findall(r"```json\n(.*?)```", commands, re.DOTALL)
    assert len(examples) >= 5
    for example in examples:
        json.loads(example)
