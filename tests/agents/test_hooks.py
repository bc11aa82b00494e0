"""Hooks that are added to the settings of agents."""

from __future__ import annotations

import json
import tomllib
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from ccvm_tui.agents import hooks

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=10,
)


def test_hooks_are_added_to_the_users_own() -> None:
    own = {"hooks": [{"type": "command", "command": "mine"}]}
    added = hooks.claude(json.dumps({"model": "x", "hooks": {"Stop": [own], "SessionEnd": [own]}}).encode())
    assert added is not None
    settings = json.loads(added)
    assert settings["model"] == "x"
    assert settings["hooks"]["SessionEnd"] == [own]
    assert settings["hooks"]["Stop"] == [own, {"hooks": [{"type": "command", "command": f"{hooks.NOTIFY} done"}]}]
    assert settings["hooks"]["PreToolUse"][0]["matcher"] == "AskUserQuestion|ExitPlanMode"


def test_settings_are_created_if_the_user_has_none() -> None:
    for add, names in ((hooks.claude, {"hooks"}), (hooks.gemini, {"general", "hooks"})):
        created = add(None)
        assert created is not None
        assert set(json.loads(created)) == names


def test_gemini_does_not_look_for_updates() -> None:
    own = {"general": {"vimMode": True, "enableAutoUpdate": True}, "ui": {"theme": "x"}}
    added = hooks.gemini(json.dumps(own).encode())
    assert added is not None
    settings = json.loads(added)
    assert settings["general"] == {"vimMode": True, "enableAutoUpdate": False, "enableAutoUpdateNotification": False}
    assert settings["ui"] == own["ui"]
    assert hooks.gemini(b"[]") is None
    assert hooks.gemini(b'{"general": 1}') is None


@given(
    st.fixed_dictionaries(
        {},
        optional={
            "model": json_values,
            "hooks": json_values | st.dictionaries(st.sampled_from(["Stop", "Notification", "Setup"]), json_values),
        },
    )
)
def test_unusual_settings_survive(settings: dict[str, Any]) -> None:
    merged = hooks.with_hooks(settings)
    own = settings.get("hooks", {})
    if merged is None:
        assert not isinstance(own, dict) or any(not isinstance(value, list) for value in own.values())
        return
    assert {key: merged[key] for key in settings if key != "hooks"} == {
        key: value for key, value in settings.items() if key != "hooks"
    }
    for event, entries in own.items():
        found = merged["hooks"][event]
        assert found == entries or found[: len(entries)] == entries


def test_codex_reports_to_the_keeper_instead_of_the_hosts_program() -> None:
    added = hooks.codex(b'model = "m"\nnotify = ["/opt/own"]\n[tui]\ntheme = "x"\n')
    assert added is not None
    assert tomllib.loads(added.decode()) == {
        "model": "m",
        "notify": [hooks.NOTIFY, "done"],
        "check_for_update_on_startup": False,
        "tui": {"notifications": True, "theme": "x"},
    }
    assert hooks.codex(b"tui = 1\n") is None
