"""The modules for home-manager and NixOS: options, merging, assertions, and the config.toml that they write."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ccvm_tui import config
from ccvm_tui.config import SCHEMA, Setting
from ccvm_tui.config import file as config_file
from tests.nix.evaluation import ROOT, EvaluationError, evaluate, quote

FILE = 'config.xdg.configFile."ccvm/config.toml".text'

FLATTEN = """
    let flat = rows: builtins.concatMap (name: let row = rows.${name}; in
      if row ? setting then [ { option = name; inherit (row) setting default description; type = row.type.name; } ]
      else map (inner: inner // { option = "${name}.${inner.option}"; }) (flat row)) (builtins.attrNames rows);
    in flat (f.settings.perProject // f.settings.userOnly)
"""

RENAMED = {"accel": "acceleration"}
"""Settings whose option has another name, the one that it has in ccvm."""

CCVM_OPTIONS = {
    "writableCwd": "writable_cwd",
    "memory": "memory",
    "cores": "cores",
    "acceleration": "accel",
    "agentSudo": "agent_sudo",
    "apiKeyVariable": "api_key_variables",
    "share.settings": "share.settings",
    "share.claudeMd": "share.claude_md",
    "share.keybindings": "share.keybindings",
    "share.commands": "share.commands",
    "share.agents": "share.agents",
    "share.skills": "share.skills",
    "share.outputStyles": "share.output_styles",
    "share.plugins": "share.plugins",
    "share.config": "share.config",
    "share.gitConfig": "share.git_config",
    "vmDiskSize": "vm_disk_size",
    "lockGuestMemory": "lock_guest_memory",
    "clipboard.images": "clipboard.images",
    "persistClaudeProjects": "persist_claude_projects",
    "extraClaudeMd": "extra_claude_md",
    "egressAllowlist": "egress_allowlist",
    "egressPorts": "egress_ports",
    "package": None,
    "extraPackages": None,
    "extraGuestModules": None,
    "nix.enable": None,
    "nix.substituters": None,
    "nix.trustedPublicKeys": None,
}
"""Options of ccvm that exist with the same name, and their setting, or None for options of the package and image."""


def options() -> dict[str, dict[str, Any]]:
    return {row["setting"]: row for row in evaluate(FLATTEN)}


def option_of(setting: str) -> str:
    """Return the name of the option of a setting: in camel case."""
    words = RENAMED.get(setting, setting).split("_")
    return words[0] + "".join(word.capitalize() for word in words[1:])


def home(definitions: str, result: str) -> Any:
    """Evaluate ``result`` in the evaluation of the module with a user's ``definitions``."""
    return evaluate(f"with f.home {{ programs.ccvm = {definitions}; }}; {result}")


def written(definitions: str, tmp_path: Path) -> config_file.ConfigFile:
    """Return the file that the module writes, read by the program."""
    path = tmp_path / "config.toml"
    path.write_text(home(definitions, FILE), encoding="utf-8")
    return config_file.read(path)


# --- the options are those of the program


def test_every_setting_has_an_option_with_the_same_default_and_description() -> None:
    found = options()
    assert set(found) == set(SCHEMA)
    for name, row in SCHEMA.items():
        default = list(row.default) if isinstance(row.default, tuple) else row.default
        option = found[name]
        assert (option["option"], option["default"]) == (option_of(name), default)
        assert option["description"] == row.about
    grouped = "rows: builtins.concatMap (row: if row ? setting then [ row.setting ] else flat row)"
    assert set(evaluate(f"let flat = {grouped} (builtins.attrValues rows); in flat f.settings.perProject")) == {
        name for name, row in SCHEMA.items() if row.per_project
    }


def test_the_options_of_ccvm_keep_their_names() -> None:
    names = set(home("{ }", "builtins.attrNames options.programs.ccvm"))
    assert {option.partition(".")[0] for option in CCVM_OPTIONS} <= names
    assert {setting for setting in CCVM_OPTIONS.values() if setting} <= set(SCHEMA)


SAMPLES: list[object] = [
    True, 1, 0, -1, 4096, 1_000_000, 1_000_001, "", "auto", "kvm", "q35", "own", "none", "claude", "Claude", "~/x",
    "/x", "x/y", "https://a/b", "file:///a", "http://a/b", "A" * 43 + "=", "d", "ctrl-w", "alt-space", "f12", "f13", "ctrl-\\", "ctrl-]", "ctrl-1", "ctrl-space", "é", "allow",
    [], ["A_B"], ["1A"], ["node_modules"], ["/abs"], [1],
]  # fmt: skip


def test_options_accept_the_values_that_the_program_accepts() -> None:
    accepted = evaluate(
        "let samples = "
        + quote(SAMPLES)
        + "; accepts = type: v: (builtins.tryEval (builtins.deepSeq (f.valueOf type v) true)).success;"
        " flat = rows: builtins.concatMap (name: let row = rows.${name}; in if row ? setting then"
        " [ { name = row.setting; value = map (accepts row.type) samples; } ] else flat row) (builtins.attrNames rows);"
        " in builtins.listToAttrs (flat (f.settings.perProject // f.settings.userOnly))"
    )
    for name, row in SCHEMA.items():
        for sample, by_nix in zip(SAMPLES, accepted[name], strict=True):
            assert by_nix == _accepts(row, sample), (name, sample)


def _accepts(row: Setting, value: object) -> bool:
    try:
        row.kind.check(value)
    except ValueError:
        return False
    return True


# --- config.toml


def test_the_file_is_read_by_the_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    found = written(
        """{
          enable = true;
          memory = 8192;
          acceleration = "kvm";
          writableCwd = false;
          localDirs = [ "node_modules" "a b" ];
          leader = "ctrl-]";
          keys = { detach = "q"; scrollback = "\\\\"; };
          theme.name = "nord";
          share.plugins = true;
          projects."~/src/\\"odd\\" name" = { agent = "none"; memory = 512; share.skills = false; };
        }""",
        tmp_path,
    )
    assert found.user.values == {
        "memory": 8192,
        "accel": "kvm",
        "writable_cwd": False,
        "local_dirs": ("node_modules", "a b"),
        "leader": "ctrl-]",
        "share.plugins": True,
        "keys.detach": "q",
        "keys.scrollback": "\\",
        "theme.name": "nord",
    }
    assert [(path, section.values) for path, section in found.projects.items()] == [
        (str(tmp_path / 'src/"odd" name'), {"agent": "none", "memory": 512, "share.skills": False})
    ]


def test_defaults_are_not_written() -> None:
    assert home("{ enable = true; memory = 4096; }", "config.xdg.configFile") == {}
    assert home('{ enable = true; cores = 2; projects."/x" = { }; }', FILE) == "cores = 2\n"


def test_a_value_for_a_project_is_written_even_if_it_is_the_default(tmp_path: Path) -> None:
    found = written('{ enable = true; memory = 1024; projects."/x".memory = 4096; }', tmp_path)
    effective = config.resolve(Path("/x"), {}, config=found.path)
    assert effective.settings.memory == 4096


TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0\x7f"))


@settings(max_examples=15)
@given(texts=st.lists(TEXT, min_size=1, unique=True))
def test_every_text_is_written_so_that_the_program_reads_it(texts: list[str]) -> None:
    values = {text: [text, "x"] for text in texts}
    sections = [{"path": ["section", text], "values": values} for text in texts]
    render = f"(import {ROOT}/nix/home/toml.nix {{ inherit (f) lib; }}).render"
    text = evaluate(f"{render} {quote({'top': values, 'sections': sections})}")
    assert tomllib.loads(text) == values | {"section": dict.fromkeys(texts, values)}


# --- merging, types and assertions


def test_definitions_of_several_modules_are_merged() -> None:
    definitions = """f.home { imports = [
      { programs.ccvm = { enable = true; localDirs = [ "a" ]; memory = 1024; projects."/x".memory = 1; }; }
      ({ config, lib, ... }: { programs.ccvm = {
        localDirs = lib.mkIf config.programs.ccvm.enable [ "b" ];
        memory = lib.mkForce 2048;
        projects."/x".cores = 1; }; })
    ]; }"""
    merged = tomllib.loads(evaluate(f"with {definitions}; {FILE}"))
    assert sorted(merged.pop("local_dirs")) == ["a", "b"]  # the order of modules is not defined
    assert merged == {"memory": 2048, "project": {"/x": {"cores": 1, "memory": 1}}}


@pytest.mark.parametrize(
    ("definitions", "error"),
    [
        ("{ enable = true; memory = 0; }", r"programs\.ccvm\.memory' is not of type"),
        ("{ enable = true; memery = 1; }", r"programs\.ccvm\.memery' does not exist"),
        ('{ enable = true; acceleration = "fast"; }', r"programs\.ccvm\.acceleration' is not of type"),
        ('{ enable = true; projects."/x".leader = "ctrl-a"; }', r"\.leader' does not exist"),
        ("{ enable = true; localDirs = [ 1 ]; }", r"programs\.ccvm\.localDirs"),
    ],
)
def test_wrong_definitions_are_errors(definitions: str, error: str) -> None:
    with pytest.raises(EvaluationError) as raised:
        home(definitions, FILE)
    assert re.search(error, str(raised.value))


def failures(definitions: str) -> list[str]:
    entries = home(definitions, "config.assertions")
    return [entry["message"] for entry in entries if not entry["assertion"]]


def test_contradictions_are_reported() -> None:
    assert failures("{ enable = true; }") == []
    (message,) = failures('{ enable = true; projects."src/x".memory = 1; }')
    assert "neither absolute nor start with ~: src/x" in message
    (message,) = failures('{ enable = true; nix.substituters = [ "https://cache.example.org" ]; }')
    assert "no effect without programs.ccvm.nix.enable" in message
    (message,) = failures('{ enable = true; image = "/recipe.toml"; nix.enable = true; }')
    assert "programs.ccvm.image selects another guest image" in message


def test_the_option_of_ccvm_for_one_variable_still_works() -> None:
    definitions = '{ enable = true; apiKeyVariable = "MY_KEY"; }'
    assert home(definitions, FILE) == 'api_key_variables = ["MY_KEY"]\n'
    (warning,) = home(definitions, "config.warnings")
    assert "programs.ccvm.apiKeyVariables" in warning
    assert home("{ enable = true; }", "config.warnings") == []


# --- packages


def installed(definitions: str) -> Any:
    return home(definitions, "map (package: package.outPath) config.home.packages")


def test_the_package_of_the_flake_is_installed() -> None:
    assert installed("{ enable = false; }") == []
    assert installed("{ enable = true; }") == [evaluate("f.outputs.packages.x86_64-linux.default.outPath")]
    assert installed("{ enable = true; package = f.pkgs.git; }") == [evaluate("f.pkgs.git.outPath")]


def test_options_of_the_guest_select_an_image_of_their_own() -> None:
    images = {
        home(f"{{ enable = true; {options} }}", "config.programs.ccvm.finalPackage.guestImage.drvPath")
        for options in (
            "",
            "nix.enable = true;",
            "extraPackages = [ f.pkgs.git ];",
            "extraGuestModules = [ { systemd.services.extra = { }; } ];",
        )
    }
    assert len(images) == 4


# --- the module for NixOS


def nixos(definitions: str, result: str) -> Any:
    return evaluate(f"with f.nixos {{ programs.ccvm = {definitions}; }}; {result}")


def test_the_module_for_nixos_gives_access_to_kvm() -> None:
    assert nixos('{ enable = true; kvmUsers = [ "alice" ]; }', "config.users.groups") == {"kvm": {"members": ["alice"]}}
    assert nixos("{ enable = true; }", "map (p: p.outPath) config.environment.systemPackages") == [
        evaluate("f.outputs.packages.x86_64-linux.default.outPath")
    ]
    assert nixos("{ }", "config.environment.systemPackages") == []


# --- the documentation


def test_the_options_are_documented() -> None:
    text = (ROOT / "docs" / "nix.md").read_text(encoding="utf-8")
    _, _, text = text.partition("### Options")
    rows = re.findall(r"^\| `([\w.]+)` \| (.*?) \| ?(.*?) ?\|$", text.partition("### From ccvm")[0], re.MULTILINE)
    documented = {name.partition(".")[0] for name, _, _ in rows}
    internal = {"apiKeyVariable"}
    assert documented == set(home("{ }", "builtins.attrNames options.programs.ccvm")) - internal
    settings = {name: row for name, row in SCHEMA.items() if not name.startswith("keys.")}
    defaults = {setting.strip("`"): default.strip("`") for _, default, setting in rows if setting}
    for name, row in settings.items():
        if "see the setting" not in defaults[name]:
            assert defaults[name] == json.dumps(row.default, ensure_ascii=False), name
    assert [option for option, _, setting in rows if setting.strip("`") in settings] == list(map(option_of, settings))
