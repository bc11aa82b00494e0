"""The generated parts of the documentation are those of this version."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from ccvm_tui.agents import AGENTS
from ccvm_tui.cli import parser
from ccvm_tui.config import SCHEMA
from ccvm_tui.tui.actions import table
from reference.commands import Command, commands
from reference.pages import PAGES, names, updated, usage_text

_VARIABLES_WITHOUT_SETTING = ("CCVM_ALLOW_ROOT", "CCVM_SHELL", "CCVM_DEBUG")
"""Variables that the program reads itself; see docs/configuration.md."""

DOCS = Path(__file__).parents[2] / "docs"


def page(name: str) -> str:
    return (DOCS / name).read_text(encoding="utf-8")


@pytest.mark.parametrize("name", PAGES)
def test_a_committed_page_has_the_generated_text(name: str) -> None:
    assert updated(page(name)) == page(name), f"docs/{name} is out of date: `./dev docs generate` updates it"


def test_every_generated_part_is_on_a_page_that_is_updated() -> None:
    found = {name: names(page(name)) for name in PAGES}
    assert found == {
        "commands.md": ["verbs", *sorted(parser.VERBS, key=found["commands.md"].index), "ccvm", "exit statuses"],
        "configuration.md": ["settings"],
        "install.md": ["requirements"],
        "keys.md": ["keys", "copy mode"],
    }
    assert [path.name for path in sorted(DOCS.glob("*.md")) if names(path.read_text())] == sorted(PAGES)


def test_every_verb_has_a_section_of_its_name() -> None:
    headings = re.findall(r"^## (.*)$", page("commands.md"), re.MULTILINE)
    assert set(parser.VERBS) <= set(headings)


def test_every_option_setting_and_key_is_in_a_table() -> None:
    text = page("commands.md").replace("\\|", "|")
    for command in commands():
        assert all(f"| `{option.spelling}` |" in text for option in (*command.arguments, *command.options)), (
            command.name
        )
    settings = page("configuration.md")
    assert all(f"| `{name}` |" in settings for name in SCHEMA)
    keys = page("keys.md")
    assert all(f"| {action.title} |" in keys for action in table.ACTIONS if action.leader or action.tree_key)


def test_what_is_written_by_hand_is_kept() -> None:
    text = "before\n<!-- generated: exit statuses -->\nold\n<!-- end -->\nafter\n"
    new = updated(text)
    assert new.startswith("before\n<!-- generated: exit statuses -->\n| status | meaning |\n| --- | --- |\n| 0 | done;")
    assert new.endswith(" |\n<!-- end -->\nafter\n")
    assert updated(new) == new


def test_an_unknown_part_is_an_error() -> None:
    with pytest.raises(KeyError):
        updated("<!-- generated: nonsense -->\n<!-- end -->\n")


def test_a_usage_is_not_divided_inside_an_option() -> None:
    command = Command("x", "", ("ccvm-tui x", "[--memory MIB]", "[--a | --b]", "PATH"), (), (), "")
    assert usage_text(command, 26) == "ccvm-tui x [--memory MIB]\n           [--a | --b]\n           PATH"


def test_every_guarantee_of_security_names_a_test_that_exists() -> None:
    section = page("security.md").partition("## What holds")[2].partition("\n## ")[0]
    guarantees = re.findall(r"^- .*(?:\n  .*)*", section, re.MULTILINE)
    assert len(guarantees) > 10
    for guarantee in guarantees:
        found = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", guarantee)
        assert found, guarantee
        for file, name in found:
            assert re.search(rf"^(async )?def {name}\(", (DOCS.parent / file).read_text(), re.MULTILINE), (file, name)


def test_the_states_of_options_of_ccvm_are_those_of_this_version() -> None:
    """An option that works must be known, and one that is planned must not be a setting yet."""
    lines = page("from-ccvm.md").partition("## Options")[2].partition("\n## ")[0].splitlines()
    options = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines if line.startswith("| `")]
    assert len(options) > 10
    variables_of_settings = {name for row in SCHEMA.values() for name in (row.variable, row.group_variable)}
    known = variables_of_settings | set(_VARIABLES_WITHOUT_SETTING)
    for theirs, ours, state in options:
        variables = set(re.findall(r"CCVM_\w*[A-Z]", theirs if "same variable" in ours else ours))
        if state.startswith("planned"):
            assert not set(re.findall(r"CCVM_\w*[A-Z]", theirs)) & known, f"{theirs} is a setting now"
        else:
            assert state.startswith(("works", "partly")), theirs
            assert variables <= known, theirs
    listed = {name for _, ours, _ in options for name in re.findall(r"`([a-z_.]+)`", ours)}
    assert {name for name in SCHEMA if name.startswith("share.")} <= listed


def test_the_pages_about_agents_have_every_row_of_the_table() -> None:
    everyday, crossing = page("everyday.md"), page("sharing.md")
    names = [item for _, item in sorted(AGENTS.items())]
    for agent in names:
        assert f"| `{agent.name}` | {agent.title}" in everyday
        assert all(f"`{key}`" in everyday for key in agent.keys)
        for item in agent.items:
            row = next(line for line in crossing.splitlines() if line.startswith(f"| `share.{item.setting}` |"))
            assert re.search(rf"`(~/)?{re.escape(item.source)}/?`", row), (agent.name, item.source)
    group = {name for name in SCHEMA if name.startswith("share.")}
    assert {f"share.{item.setting}" for agent in names for item in agent.items} | {"share.git_config"} == group
