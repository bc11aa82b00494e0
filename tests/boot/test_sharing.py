"""The choices of what crosses into a guest, from settings and the host's environment."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ccvm_tui.boot.sharing import key_variables, sharing
from ccvm_tui.boot.specs import session_spec
from ccvm_tui.config import Settings
from ccvm_tui.guest import SessionKind, TermSize

HOME = {"HOME": "/home/me"}
KEYS = {"ANTHROPIC_API_KEY": "sk-ant-" + "a" * 30, "OPENAI_API_KEY": "sk-" + "o" * 30, "OWN": "b" * 30, "SHORT": "x"}


@pytest.mark.parametrize(
    ("agent", "environ", "directory"),
    [
        ("claude", {}, "/home/me/.claude"),
        ("claude", {"CLAUDE_CONFIG_DIR": "/srv/claude"}, "/srv/claude"),
        ("claude", {"CLAUDE_CONFIG_DIR": ""}, "/home/me/.claude"),
        ("codex", {"CODEX_HOME": "/srv/codex", "CLAUDE_CONFIG_DIR": "/x"}, "/srv/codex"),
        ("gemini", {"XDG_CONFIG_HOME": "/xdg"}, "/home/me/.gemini"),
        ("opencode", {}, "/home/me/.config/opencode"),
        ("opencode", {"XDG_CONFIG_HOME": "/xdg"}, "/xdg/opencode"),
        ("opencode", {"XDG_CONFIG_HOME": "/xdg", "OPENCODE_CONFIG_DIR": "/own"}, "/own"),
        ("none", {}, ""),
        ("other", {}, ""),
    ],
)
def test_the_directory_of_the_agent(agent: str, environ: dict[str, str], directory: str) -> None:
    found = sharing("/p", Settings(agent=agent), {**HOME, **environ})
    assert found.directory == directory
    assert found.agent == (agent if directory else "")
    assert bool(found.context) == bool(directory)


def test_git_reads_its_files_in_order() -> None:
    assert sharing("/p", Settings(), HOME).git == ("/home/me/.config/git/config", "/home/me/.gitconfig")
    found = sharing("/p", Settings(), {**HOME, "XDG_CONFIG_HOME": "/xdg"})
    assert (found.git, found.git_ignore) == (("/xdg/git/config", "/home/me/.gitconfig"), "/xdg/git/ignore")
    assert sharing("/p", Settings(), {**HOME, "GIT_CONFIG_GLOBAL": "/g"}).git == ("/g",)
    assert sharing("/p", Settings(), {**HOME, "GIT_CONFIG_GLOBAL": ""}).git == ()
    settings = Settings()
    off = replace(settings, share=replace(settings.share, git_config=False))
    assert sharing("/p", off, HOME).git == ()


def test_sessions_have_the_keys_of_the_guests_agent_unless_the_user_has_chosen() -> None:
    assert key_variables(Settings()) == ("ANTHROPIC_API_KEY", "CLAUDE_CODE_OAUTH_TOKEN")
    assert "ANTHROPIC_API_KEY" not in key_variables(Settings(agent="codex"))
    assert "OPENAI_API_KEY" in key_variables(Settings(agent="codex"))
    assert key_variables(Settings(agent="codex", api_key_variables=("OWN",))) == ("OWN",)
    assert key_variables(Settings(agent="codex", api_key_variables=())) == ()
    assert key_variables(Settings(agent="none")) == Settings().api_key_variables


def test_only_the_ends_of_keys_that_sessions_have_are_known_to_the_keeper() -> None:
    assert sharing("/p", Settings(), {**HOME, **KEYS}).key_endings == ("a" * 20,)
    chosen = Settings(api_key_variables=("OWN", "SHORT", "MISSING"))
    assert sharing("/p", chosen, {**HOME, **KEYS}).key_endings == ("b" * 20,)


@pytest.mark.parametrize(("agent", "variables"), [("claude", {"DISABLE_AUTOUPDATER": "1"}), ("codex", {}), ("own", {})])
def test_sessions_have_the_variables_of_the_agent(agent: str, variables: dict[str, str]) -> None:
    spec = session_spec(
        SessionKind.AGENT, (agent,), Settings(agent=agent), {"COLORTERM": "truecolor"}, TermSize(80, 24)
    )
    assert spec.env == {"COLORTERM": "truecolor", **variables}
