"""The ``ccvm`` command: which words are its own, and that all others arrive untouched."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ccvm_tui import __version__
from ccvm_tui.cli import ccvm
from ccvm_tui.cli.ccvm import take_apart

OWN = ("--shell", "--ccvm-debug", "--writable-cwd", "--read-only-cwd", "--ccvm-help", "--ccvm-version")

foreign = st.one_of(
    st.text(),
    st.sampled_from(
        ["", "--", "-", "--help", "--version", "--debug", "--shel", "--shell=1", "a b", "*", "'", '"', "--ccvm"]
    ),
).filter(lambda word: word not in OWN)


@given(st.lists(st.one_of(foreign, st.sampled_from(OWN))))
def test_what_is_not_ours_is_the_agents_in_order(words: list[str]) -> None:
    taken = take_apart(words)
    assert list(taken.agent) == [word for word in words if word not in OWN]
    assert taken.shell == ("--shell" in words)
    assert taken.debug == ("--ccvm-debug" in words)


@given(st.lists(foreign))
def test_without_flags_of_ours_nothing_is_touched(words: list[str]) -> None:
    assert take_apart(words) == ccvm.Words(agent=tuple(words))


def test_the_last_word_on_access_wins() -> None:
    assert take_apart(["--writable-cwd", "x", "--read-only-cwd"]).writable is False
    assert take_apart(["--read-only-cwd", "x", "--writable-cwd"]).writable is True
    assert take_apart(["x"]).writable is None


def test_our_own_help_and_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert ccvm.main(["--ccvm-version"]) == 0
    assert capsys.readouterr().out == f"ccvm {__version__}\n"
    assert ccvm.main(["--ccvm-help", "--ccvm-version"]) == 0
    out = capsys.readouterr().out
    assert all(flag in out for flag in OWN)
