"""The ``ccvm`` command separates its own flags from the agent's arguments, which it does not change."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ccvm_tui import __version__
from ccvm_tui.cli import ccvm
from ccvm_tui.cli.ccvm import parse

OWN = ("--shell", "--ccvm-debug", "--writable-cwd", "--read-only-cwd", "--ccvm-help", "--ccvm-version")

foreign = st.one_of(
    st.text(),
    st.sampled_from(
        ["", "--", "-", "--help", "--version", "--debug", "--shel", "--shell=1", "a b", "*", "'", '"', "--ccvm"]
    ),
).filter(lambda argument: argument not in OWN)


@given(st.lists(st.one_of(foreign, st.sampled_from(OWN))))
def test_other_arguments_are_passed_to_the_agent_in_order(argv: list[str]) -> None:
    parsed = parse(argv)
    assert list(parsed.agent) == [argument for argument in argv if argument not in OWN]
    assert parsed.shell == ("--shell" in argv)
    assert parsed.debug == ("--ccvm-debug" in argv)


@given(st.lists(foreign))
def test_without_flags_all_arguments_are_passed_to_the_agent(argv: list[str]) -> None:
    assert parse(argv) == ccvm.Arguments(agent=tuple(argv))


def test_the_last_access_flag_wins() -> None:
    assert parse(["--writable-cwd", "x", "--read-only-cwd"]).writable is False
    assert parse(["--read-only-cwd", "x", "--writable-cwd"]).writable is True
    assert parse(["x"]).writable is None


def test_help_and_version_are_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert ccvm.main(["--ccvm-version"]) == 0
    assert capsys.readouterr().out == f"ccvm {__version__}\n"
    assert ccvm.main(["--ccvm-help", "--ccvm-version"]) == 0
    out = capsys.readouterr().out
    assert all(flag in out for flag in OWN)
