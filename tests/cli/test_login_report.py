"""``doctor --login``: the way in which guests use logins, and what conflicts with it. No credential is printed."""

from __future__ import annotations

import json
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from ccvm_tui.cli import login_report
from ccvm_tui.config import Settings
from tests.guest.conftest import ccvm_tui

SECRET = "hunter2-" * 5


def rows(settings: Settings, **environ: str) -> dict[str, Any]:
    found = login_report.checks(settings, {"HOME": "/nonexistent", **environ})
    assert SECRET not in str(found)
    return {check.name: check for check in found}


def test_the_way_is_named_with_its_reason_and_its_limits() -> None:
    assert rows(Settings())["login"].detail == "broker (automatic, because egress is public)"
    assert rows(Settings(egress="open"))["login"].detail == "key (automatic, because egress is open)"
    assert rows(Settings(login="none"))["login"].detail == "none (as set)"
    assert "lost when it stops" in rows(Settings(login="none"))["turned off"].detail
    assert "each program in the guest" in rows(Settings(login="key"))["turned off"].detail
    refused = rows(Settings(login="broker", egress="open"))["login"]
    assert refused.status == "fail"
    assert "set egress to public" in refused.fix


def test_keys_and_conflicts_are_named() -> None:
    settings = Settings(api_key_variables=("ANTHROPIC_API_KEY", "MINE"))
    found = rows(
        settings, ANTHROPIC_API_KEY=SECRET, MINE=SECRET, ANTHROPIC_AUTH_TOKEN=SECRET, CLAUDE_CODE_USE_BEDROCK="1"
    )
    assert "placeholder, for api.anthropic.com" in found["ANTHROPIC_API_KEY"].detail
    assert "not known, so sessions receive it" in found["MINE"].detail
    assert "precedes every other login" in found["ANTHROPIC_AUTH_TOKEN"].detail
    assert found["CLAUDE_CODE_USE_BEDROCK"].status == "warn"
    assert rows(Settings(login="key"), ANTHROPIC_API_KEY=SECRET)["ANTHROPIC_API_KEY"].status == "warn"


def test_hosts_of_git_are_named() -> None:
    assert "github.com/me" in rows(Settings(login_git=("github.com/me",)))["login_git"].detail
    assert rows(Settings(login_git=("github.com/me",), login="key"))["login_git"].status == "warn"
    assert "login_git" not in rows(Settings())


def test_a_base_url_is_named_by_its_host_only() -> None:
    good = rows(Settings(), ANTHROPIC_BASE_URL=f"https://me:{SECRET}@gateway.example/x")["ANTHROPIC_BASE_URL"]
    assert good.status == "ok"
    assert "gateway.example:443" in good.detail
    for url in (f"http://me:{SECRET}@gateway.example", "https://192.0.2.1/"):
        assert rows(Settings(), ANTHROPIC_BASE_URL=url)["ANTHROPIC_BASE_URL"].status == "warn"


@pytest.mark.parametrize("left", [7200, -5])
def test_the_subscription_and_the_helper_are_named(tmp_path: Path, left: int) -> None:
    (tmp_path / ".credentials.json").write_text(
        json.dumps(
            {
                "claudeAiOauth": {
                    "accessToken": SECRET,
                    "subscriptionType": "max",
                    "expiresAt": (time.time() + left) * 1000,
                }
            }
        )
    )
    (tmp_path / ".credentials.json").chmod(0o644)
    (tmp_path / "settings.json").write_text(json.dumps({"apiKeyHelper": "print-key"}))
    found = rows(Settings(), CLAUDE_CONFIG_DIR=str(tmp_path), ANTHROPIC_API_KEY=SECRET)
    assert found["subscription"].detail.startswith("max, valid for 2.0 h" if left > 0 else "max, expired")
    assert found["permissions"].status == "warn"
    assert "does not run in guests" in found["apiKeyHelper"].detail
    assert "prefers the key" in found["precedence"].detail
    assert "not supported" in rows(Settings(agent="codex"))["subscription"].detail


def test_the_verb_prints_it(home: Path) -> None:
    done: subprocess.CompletedProcess[bytes] = ccvm_tui("doctor", "--login", cwd=home)
    assert done.returncode == 0
    assert b"broker (automatic" in done.stdout
    report = json.loads(ccvm_tui("doctor", "--login", "--json", cwd=home).stdout)
    assert report["checks"][0]["name"] == "login"
