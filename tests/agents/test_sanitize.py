"""Sanitizers: no secret survives in any nesting, everything else does."""

from __future__ import annotations

import json
import tomllib
from typing import Any

import pytest
import tomli_w
from hypothesis import given
from hypothesis import strategies as st

from ccvm_tui.agents import AGENTS, Facts, jsonc, sanitize
from ccvm_tui.agents.sanitize import Sanitizer
from ccvm_tui.agents.secrets import is_secret_name, without_secrets
from tests.agents.pairs import MARK, TABLES, VALUES, Pair

PROJECT = "/home/me/src/app"
FACTS = Facts(project=PROJECT, directory="/home/me/.claude", target="/home/dev/.claude", key_endings=("mine" * 5,))


def encoded(value: object) -> bytes:
    return json.dumps(value).encode()


@given(VALUES)
def test_secrets_are_removed_in_any_nesting_and_nothing_else(pair: Pair) -> None:
    before, after = pair
    assert without_secrets(before) == after


@pytest.mark.parametrize("sanitizer", [sanitize.claude_settings, sanitize.json_file, sanitize.json_with_comments])
@given(pair=TABLES)
def test_files_in_json_lose_secrets_and_nothing_else(sanitizer: Sanitizer, pair: Pair) -> None:
    before, after = pair
    assert json.loads(sanitizer(encoded(before), FACTS)) == after


@given(TABLES, TABLES, TABLES)
def test_claude_json_loses_secrets_account_and_other_projects_only(state: Pair, own: Pair, other: Pair) -> None:
    before = {
        **state[0],
        "oauthAccount": {"emailAddress": MARK},
        "customApiKeyResponses": {"approved": [MARK * 2], "rejected": [MARK]},
        "githubRepoPaths": {"me/other": [MARK]},
        "projects": {
            "/home/me/src/other": {**other[0], "note": MARK},
            PROJECT: {**own[0], "history": [{"display": MARK}], "lastSessionId": MARK},
            f"{PROJECT}/below": {"note": MARK},
        },
    }
    after = json.loads(sanitize.claude_json(encoded(before), FACTS))
    assert MARK not in json.dumps(after)
    projects = {PROJECT: own[1]} if own[1] else {}
    assert after == {**state[1], "projects": projects}


@given(TABLES)
def test_the_configuration_of_codex_loses_secrets_and_nothing_else(pair: Pair) -> None:
    before, after = pair
    assert tomllib.loads(sanitize.codex_config(tomli_w.dumps(before).encode(), FACTS).decode()) == after


def test_numbers_are_no_secrets_under_any_name() -> None:
    value = {
        "env": {"MAX_THINKING_TOKENS": "8000", "MY_TOKEN": "8000x", "USE_TOKEN": "true"},
        "token": 5,
        "secret": None,
    }
    assert without_secrets(value) == {
        "env": {"MAX_THINKING_TOKENS": "8000", "USE_TOKEN": "true"}, "token": 5, "secret": None
    }  # fmt: skip


@pytest.mark.parametrize("name", ["", "key", "Token count", "env_key", "tokens used", "publicKey", "äöü", "compat"])
def test_other_names_are_no_names_of_secrets(name: str) -> None:
    assert not is_secret_name(name)


def test_commands_that_print_credentials_do_not_cross() -> None:
    settings = {"apiKeyHelper": "pass show key", "otelHeadersHelper": "x", "model": "opus"}
    assert json.loads(sanitize.claude_settings(encoded(settings), FACTS)) == {"model": "opus"}


def test_paths_below_the_agents_directory_are_those_of_the_guest() -> None:
    settings = {"statusLine": {"command": "/home/me/.claude/line.sh -x"}, "other": "/home/me/.claude2/line.sh"}
    assert json.loads(sanitize.claude_settings(encoded(settings), FACTS)) == {
        "statusLine": {"command": "/home/dev/.claude/line.sh -x"},
        "other": "/home/me/.claude2/line.sh",
    }


def first_start(state: dict[str, Any]) -> Any:
    return json.loads(sanitize.claude_json(encoded(state), FACTS))


def test_the_answers_to_the_questions_of_the_first_start_cross() -> None:
    state = {
        "hasCompletedOnboarding": True,
        "lastOnboardingVersion": "2.1.0",
        "theme": "light",
        "bypassPermissionsModeAccepted": True,
        "projects": {PROJECT: {"hasTrustDialogAccepted": True, "hasCompletedProjectOnboarding": True}},
    }
    assert first_start(state) == state


@pytest.mark.parametrize(
    ("trusted", "expected"),
    [
        ({"/home/me/src": True}, {PROJECT: {"hasTrustDialogAccepted": True}}),
        ({"/": True}, {PROJECT: {"hasTrustDialogAccepted": True}}),
        ({"/home/me/src/application": True, f"{PROJECT}/below": True}, {}),
        ({PROJECT: False}, {PROJECT: {"hasTrustDialogAccepted": False}}),
    ],
)
def test_a_project_is_trusted_if_a_directory_above_it_is(
    trusted: dict[str, bool], expected: dict[str, dict[str, bool]]
) -> None:
    projects = {path: {"hasTrustDialogAccepted": accepted} for path, accepted in trusted.items()}
    assert first_start({"projects": projects}) == {"projects": expected}


def test_only_approvals_of_keys_that_the_guest_receives_cross() -> None:
    responses = {"approved": ["other" * 4, "mine" * 5], "rejected": ["third" * 4]}
    assert first_start({"customApiKeyResponses": responses}) == {
        "customApiKeyResponses": {"approved": ["mine" * 5], "rejected": []}
    }


ALL = {
    (agent.name, item.source): item.sanitizer for agent in AGENTS.values() for item in agent.items if item.sanitizer
} | {
    (agent.name, f"{item.source}/{name}"): inner
    for agent in AGENTS.values()
    for item in agent.items
    for name, inner in item.inner.items()
}


@pytest.mark.parametrize("place", ALL, ids=lambda place: "-".join(place).replace("/", "-"))
@given(
    data=st.one_of(
        st.binary(max_size=50), st.sampled_from([b"{", b'{"a": 1}}', b"[" * 100_000, b'{"a', b"\xff", b"= 1"])
    )
)
def test_any_data_is_sanitized_or_refused(place: tuple[str, str], data: bytes) -> None:
    refused = False
    try:
        ALL[place](data, FACTS)
    except ValueError:
        refused = True
    assert refused or data[:1] not in (b"{", b"=")


@pytest.mark.parametrize(
    ("folders", "expected"),
    [
        ({PROJECT: "TRUST_FOLDER", "/x": "TRUST_FOLDER"}, {PROJECT: "TRUST_FOLDER"}),
        ({"/home/me/src": "TRUST_FOLDER"}, {PROJECT: "TRUST_FOLDER"}),
        ({"/home/me/src/app": "TRUST_PARENT"}, {PROJECT: "TRUST_FOLDER"}),
        ({PROJECT: "DO_NOT_TRUST", "/home/me": "TRUST_FOLDER"}, {PROJECT: "DO_NOT_TRUST"}),
        ({"/home/other": "TRUST_FOLDER"}, {}),
    ],
)
def test_only_the_trust_of_this_project_crosses_to_gemini(folders: dict[str, str], expected: dict[str, str]) -> None:
    assert json.loads(sanitize.gemini_trust(encoded(folders), FACTS)) == expected


def test_only_this_project_crosses_to_codex() -> None:
    config = '[projects."/home/me/src"]\ntrust_level = "trusted"\n[projects."/x"]\ntrust_level = "trusted"\n'
    assert tomllib.loads(sanitize.codex_config(config.encode(), FACTS).decode()) == {
        "projects": {PROJECT: {"trust_level": "trusted"}}
    }


def test_comments_and_trailing_commas_are_accepted() -> None:
    text = '\ufeff{"a": "//no, }", /* x, */ "b": [1, 2, ], // "c": 1\n "d": "\\"/*", }'
    assert jsonc.loads(text) == {"a": "//no, }", "b": [1, 2], "d": '"/*'}
    with pytest.raises(ValueError, match="Extra data"):
        jsonc.loads("{,}x")
