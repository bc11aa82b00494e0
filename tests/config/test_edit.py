"""One setting in the configuration is changed, and nothing else."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ccvm_tui import config, paths
from ccvm_tui.config.edit import set_value, with_project_list, with_value
from ccvm_tui.errors import ConfigError


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("", 'agent = "none"\n'),
        ('# mine\nagent = "claude"  # the best\nmemory = 1\n', '# mine\nagent = "none"  # the best\nmemory = 1\n'),
        ("agent = 'claude'", 'agent = "none"'),
        ('"agent"="claude"\n', '"agent"="none"\n'),
        ('[keys]\nhelp = "h"\n', 'agent = "none"\n[keys]\nhelp = "h"\n'),
        ('[project."/p"]\nagent = "claude"\n', 'agent = "none"\n[project."/p"]\nagent = "claude"\n'),
    ],
)
def test_the_value_is_replaced_or_added(before: str, after: str) -> None:
    assert with_value(before, "agent", "none") == after


@pytest.mark.parametrize("text", ['agent = """\nclaude"""\n', "agent = 5\n", "agent = [\n'x',\n]\n"])
def test_a_value_that_is_not_a_string_on_one_line_is_not_touched(text: str) -> None:
    with pytest.raises(ValueError, match="agent"):
        with_value(text, "agent", "none")


_values = st.integers(-9, 9).map(str) | st.sampled_from(["true", '"text"', "'#'", "[1, 2]", '"""\na\n"""', "[\n3,\n]"])
_lines = st.lists(st.sampled_from(["", "# agent = 1", "  # x"]) | _values.map(lambda value: f"other = {value}"),
                  max_size=4)  # fmt: skip


@given(_lines, _lines, st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x7f"), max_size=8))
def test_every_other_value_and_line_is_kept(top: list[str], table: list[str], value: str) -> None:
    text = "\n".join([*_unique(top), "[table]", *_unique(table)])
    new = with_value(text, "agent", value)
    assert tomllib.loads(new) == tomllib.loads(text) | {"agent": value}
    assert new.endswith(text)
    assert with_value(with_value(text, "agent", "x"), "agent", value) == new


def _unique(lines: list[str]) -> list[str]:
    return [line.replace("other", f"other{number}", 1) for number, line in enumerate(lines)]


def test_the_file_is_created_and_a_file_that_cannot_be_changed_is_reported(home: Path) -> None:  # noqa: ARG001
    path = set_value("agent", "none")
    assert path == paths.config_file()
    assert config.resolve(None, {}).settings.agent == "none"
    path.write_text("agent = [\n")
    with pytest.raises(ConfigError) as caught:
        set_value("agent", "claude")
    assert str(path) in caught.value.message
    assert caught.value.hint == 'write the line `agent = "claude"` above its sections'
    assert path.read_text() == "agent = [\n"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", '[project."/p"]\nhosts = ["a", "b"]\n'),
        ('[project."/p"]\nmemory = 1\n', '[project."/p"]\nhosts = ["a", "b"]\nmemory = 1\n'),
        ('# c\n[project."/p"]\nhosts = ["x", "a"] # d\n', '# c\n[project."/p"]\nhosts = ["x", "a", "b"]\n'),
    ],
)
def test_values_are_added_to_a_list_of_a_project(text: str, expected: str) -> None:
    assert with_project_list(text, "/p", "hosts", ("a", "b")) == expected


def test_a_list_on_several_lines_is_not_changed() -> None:
    with pytest.raises(ValueError, match="cannot be changed"):
        with_project_list('[project."/p"]\nhosts = [\n  "x",\n]\n', "/p", "hosts", ("a",))
