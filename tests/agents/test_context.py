"""The text for the agent about its guest."""

from __future__ import annotations

import dataclasses

import pytest

from ccvm_tui.agents import context
from ccvm_tui.agents.context import Run
from ccvm_tui.config import BUILT_IN

RUN = Run(project="/srv/app", read_only=False, history_kept=False, egress="public")


@pytest.mark.parametrize(
    ("change", "expected", "absent"),
    [
        ({}, "LIVE", "DISCARDED"),
        ({"read_only": True}, "DISCARDED", "LIVE"),
        ({}, "memories are lost", "are kept"),
        ({"history_kept": True}, "is kept for later guests", "are lost when"),
        ({}, "All hosts on the internet", "no network"),
        ({"egress": "open"}, "network is open", "no network"),
        ({"egress": "none"}, "There is no network", "network is open"),
        ({"egress": "allowlist", "hosts": ("a.example", "b.example")}, "a.example, b.example", "held"),
        ({"egress": "ask", "hosts": ("a.example",)}, "held until the user", "are refused"),
        ({"local_dirs": ("node_modules",)}, "only in this guest: node_modules.", "never"),
        ({"sudo": False}, "`sudo` is not available", "without a password"),
        ({}, "/srv/app", "only in this guest:"),
        ({}, "There is no scratch disk", "/scratch"),
        ({"scratch_gib": 20}, "`/scratch` is a disk of 20 GiB", "no scratch disk"),
        ({}, "Operation not permitted", "are reported to the user"),
        ({"guard": "warn"}, "are reported to the user", "Operation not permitted"),
        ({"guard": "off"}, "LIVE", "Git hooks"),
        ({"read_only": True}, "DISCARDED", "Git hooks"),
        ({"placeholders": True}, "are placeholders", "HTTPS are logged in"),
        ({"git_hosts": ("github.com/me",)}, "logged in for github.com/me", "are placeholders"),
        ({}, "one command per line", "never"),
        ({"attempt": "fix"}, "COMMIT your work to the branch `fix`", "LIVE"),
        ({"attempt": "fix"}, "private clone", "Git hooks"),
    ],
)
def test_the_text_states_the_facts_of_the_guest(change: dict[str, object], expected: str, absent: str) -> None:
    text = context.text(dataclasses.replace(RUN, **change), BUILT_IN)  # type: ignore[arg-type]
    assert expected in text
    assert absent not in text


def test_the_users_text_replaces_the_built_in_one_but_not_the_facts() -> None:
    text = context.text(RUN, "Always run the tests.\n\n")
    assert "LIVE" in text
    assert text.endswith("\nAlways run the tests.\n")
    assert "Work for the user" not in text


@pytest.mark.parametrize("extra", ["", " \n"])
def test_without_text_there_are_no_facts_either(extra: str) -> None:
    assert context.text(RUN, extra) == ""


@pytest.mark.parametrize(
    ("own", "expected"),
    [(None, b"text"), (b"", b"text"), (b"Be brief.\n", b"Be brief.\n\ntext"), (b"\xff", b"\xff\n\ntext")],
)
def test_the_text_is_appended_to_the_users_instructions(own: bytes | None, expected: bytes) -> None:
    assert context.appended(own, "text") == expected
