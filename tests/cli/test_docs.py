"""The documentation is complete: settings, verbs, options, exit statuses and JSON fields."""

from __future__ import annotations

import argparse
import json
import re
from pathlib import Path

import pytest

from ccvm_tui import errors
from ccvm_tui.cli import ccvm, parser, report
from ccvm_tui.cli.verbs import ls
from ccvm_tui.config import SCHEMA
from ccvm_tui.errors import UserError

DOCS = Path(__file__).parents[2] / "docs"


@pytest.fixture(scope="module")
def commands() -> str:
    return (DOCS / "commands.md").read_text(encoding="utf-8")


def test_every_setting_is_documented() -> None:
    text = (DOCS / "configuration.md").read_text(encoding="utf-8")
    documented = [line for line in text.splitlines() if re.match(r"\| `[a-z_0-9.]+` \| `.*` \|", line)]
    expected = [
        f"| `{row.name}` | `{json.dumps(row.default, ensure_ascii=False)}` | "
        f"{f'`{row.variable}`' if row.variable else ''} | {row.about} |"
        for row in SCHEMA.values()
    ]
    assert documented == expected


def actions_of(verb: argparse.ArgumentParser) -> list[argparse.Action]:
    found: list[argparse.Action] = []
    for action in verb._actions:  # noqa: SLF001 - argparse has no public access
        if isinstance(action, argparse._SubParsersAction):  # noqa: SLF001 - argparse has no public access
            found += [inner for child in action.choices.values() for inner in actions_of(child)]
        else:
            found.append(action)
    return found


def test_every_verb_and_option_is_documented(commands: str) -> None:
    actions = parser.complete_parser()._actions  # noqa: SLF001 - argparse has no public access
    (verbs,) = (action for action in actions if isinstance(action, argparse._SubParsersAction))  # noqa: SLF001 - argparse has no public access
    assert list(verbs.choices) == list(parser.VERBS)
    for name, verb in verbs.choices.items():
        assert f"`{name}`" in commands
        for action in actions_of(verb):
            for flag in action.option_strings:
                if flag.startswith("--") and flag not in ("--help", "--no-stdin", "--follow"):
                    assert flag in commands, f"{name} {flag}"
    for flag in ("--shell", "--ccvm-debug", "--writable-cwd", "--read-only-cwd", "--ccvm-help", "--ccvm-version"):
        assert flag in ccvm.HELP
        assert flag in commands


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
