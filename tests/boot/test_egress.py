"""The egress that settings mean, and presets that follow the clients of this machine."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import pytest

from ccvm_tui.boot import presets
from ccvm_tui.boot.egress import egress, mode
from ccvm_tui.config import Settings
from ccvm_tui.errors import ConfigError

SETTINGS = Settings()


@pytest.fixture(autouse=True)
def forget() -> Iterator[None]:
    """Let each test ask the clients anew."""
    presets.expand.cache_clear()
    yield
    presets.expand.cache_clear()


def client(tmp_path: Path, name: str, output: str) -> None:
    """Install a program that prints ``output``."""
    program = tmp_path / name
    program.write_text(f"#!/bin/sh\ncat <<'END'\n{output}\nEND\n")
    program.chmod(0o755)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({}, "public"),
        ({"egress_allowlist": ("a.example",)}, "allowlist"),
        ({"egress_allowlist": ("10.0.0.1",), "egress": "public"}, "public"),
        ({"egress": "ask"}, "ask"),
        ({"egress": "open", "network": "none"}, "none"),
    ],
)
def test_the_kind_follows_from_the_settings(values: dict[str, object], expected: str) -> None:
    assert mode(dataclasses.replace(SETTINGS, **values)) == expected  # type: ignore[arg-type]


def test_the_hosts_of_the_agent_are_always_listed() -> None:
    spec = egress(dataclasses.replace(SETTINGS, agent="codex", egress_allowlist=("a.example",)), {})
    assert {"api.anthropic.com", "api.openai.com", "a.example"} <= set(spec.allow)
    assert egress(dataclasses.replace(SETTINGS, egress="open"), {}).allow == ()


@pytest.mark.parametrize("setting", ["egress_allowlist", "egress_denylist"])
def test_a_rule_that_is_none_is_an_error_of_the_configuration(setting: str) -> None:
    with pytest.raises(ConfigError, match=rf"{setting}.*write example.com"):
        egress(dataclasses.replace(SETTINGS, **{setting: ("a..b",)}), {})  # type: ignore[arg-type]


def test_a_preset_has_the_hosts_of_the_client_of_this_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    client(tmp_path, "npm", "https://registry.corp.example/npm/")
    client(tmp_path, "pip", "global.index-url='http://mirror.corp.example:8080/simple'")
    client(tmp_path, "python3", "https://index.example/simple/ https://files.example")
    client(tmp_path, "go", "https://modules.example,direct")
    assert presets.expand("npm") == ("registry.corp.example",)
    assert presets.expand("pypi")[:3] == ("mirror.corp.example:8080", "index.example", "files.example")
    assert "modules.example" in presets.expand("go")
    assert "github.com" in presets.expand("github")
    assert presets.expand("a.example") == ("a.example",)


def test_the_registries_that_cargo_has_used_are_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CARGO_HOME", str(tmp_path))
    with pytest.raises(ConfigError, match="does not know the hosts of the preset crates"):
        presets.expand("crates")
    index = tmp_path / "registry" / "index" / "index.example-6f17d22bba15001f"
    index.mkdir(parents=True)
    (index / "config.json").write_text('{"dl": "https://static.example/crates"}')
    assert presets.expand("crates") == ("index.example", "static.example")


def test_a_preset_whose_client_is_missing_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(ConfigError) as caught:
        egress(dataclasses.replace(SETTINGS, egress_allowlist=("npm",)), {})
    assert "install its client" in caught.value.hint


def test_the_proxies_of_the_host_are_those_of_its_variables() -> None:
    found = egress(SETTINGS, {"HTTPS_PROXY": "http://p:1", "http_proxy": "http://q:2", "no_proxy": "a,b"})
    assert (found.http_proxy, found.https_proxy, found.no_proxy) == ("http://q:2", "http://p:1", "a,b")
    assert egress(SETTINGS, {"all_proxy": "http://p:1"}).http_proxy == "http://p:1"
    assert egress(dataclasses.replace(SETTINGS, egress_proxy="none"), {"https_proxy": "http://p:1"}).https_proxy == ""
    assert "secret" not in repr(egress(SETTINGS, {"https_proxy": "http://me:secret@p:1"}))
