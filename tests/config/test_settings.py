"""The precedence of the sources of settings, and the errors for invalid settings."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ccvm_tui import config
from ccvm_tui.config import BUILT_IN, SCHEMA, Settings, Share, Source, nearest, resolve
from ccvm_tui.config.settings import build
from ccvm_tui.errors import ConfigError

PROJECT = Path("/srv/project")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "config.toml"


def test_defaults_apply_without_a_file(file: Path) -> None:
    found = resolve(None, {}, config=file)
    assert found.settings == Settings()
    assert {origin.source for origin in found.origins.values()} == {Source.DEFAULT}


def test_each_source_overrides_the_ones_before_it(file: Path) -> None:
    def memory(environ: dict[str, str], flag: str | None = None, project: Path | None = PROJECT) -> tuple[int, str]:
        found = resolve(project, environ, {"memory": flag}, config=file)
        return found.settings.memory, str(found.origins["memory"].source)

    assert memory({}) == (4096, "default")
    file.write_text("memory = 1")
    assert memory({}) == (1, "user config")
    file.write_text(f'memory = 1\n[project."{PROJECT}"]\nmemory = 2')
    assert memory({}) == (2, "project section")
    assert memory({}, project=Path("/srv/other")) == (1, "user config")
    assert memory({"CCVM_MEMORY": "3"}) == (3, "variable")
    assert memory({"CCVM_MEMORY": "3"}, "4") == (4, "flag")


def test_an_empty_variable_counts_as_unset(file: Path) -> None:
    assert resolve(None, {"CCVM_MEMORY": ""}, config=file).settings.memory == 4096


def test_a_section_may_be_a_symbolic_link_in_the_home_directory(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    file.write_text('[project."~/link"]\ncores = 1')
    assert resolve(tmp_path / "real", {}, config=file).settings.cores == 1


def test_groups_are_read_as_dotted_keys_and_as_tables(file: Path) -> None:
    file.write_text('keys.detach = "q"\n[theme]\nname = "nord"')
    settings = resolve(None, {}, config=file).settings
    assert (settings.keys.detach, settings.keys.help, settings.theme.name) == ("q", "?", "nord")


@pytest.mark.parametrize(
    ("text", "line", "expected"),
    [
        ("\n\nmemroy = 1", 3, ['unknown key memroy (did you mean "memory"?)']),
        ("writableCwd = true", 1, ['did you mean "writable_cwd"?']),
        ("[project.'/a']\n\n# x\nmemroy = 1", 4, ['did you mean "memory"?']),
        ("[keys]\ndetatch = 'd'", 2, ['did you mean "keys.detach"?']),
        ("xyzzy = 1", 1, ["unknown key xyzzy"]),
        ("memory = 0", 1, ["memory must be a positive integer, not 0"]),
        ("memory = true", 1, ["positive integer", "not true"]),
        ("memory = '4096'", 1, ["positive integer"]),
        ("cores = 1.5", 1, ["positive integer"]),
        ("accel = 'xen'", 1, ['"auto", "kvm", "tcg"']),
        ("linger = 1", 1, ["true or false"]),
        ("x = '''\nmemory = 0\n'''\n", 1, ["unknown key x"]),
        ("agent = 'none'\napi_key_variables = [\n  'A',\n  'B C',\n]", 2, ["names of environment variables"]),
        ("image = 'recipe.toml'", 1, ["absolute path"]),
        ("leader = 'ctrl-['", 1, ["leader must be"]),
        ("keys = 1", 1, ["[keys]"]),
        ("[keys]\nhelp = 'd'", 2, ['keys.help and keys.detach are both bound to the key "d"']),
        ("[memory]\n", 1, ["positive integer"]),
        ("project = 1", 1, ["must be sections"]),
        ("[project]\nmemory = 1", 2, ["must be a section"]),
        ("[project.here]\nmemory = 1", 1, ["must be absolute"]),
        ("[project.'/a']\nleader = 'ctrl-a'", 2, ["cannot be set per project"]),
        ("[project.'/a']\n[project.'/a/.']", 2, ["two sections are for the project /a"]),
        ("memory = 1\nmemory = 2", 2, ["Cannot overwrite"]),
        ("memory =", 1, ["Invalid value"]),
        ("x = 'é\n", 1, []),
    ],
)
def test_errors_contain_the_file_and_the_line(file: Path, text: str, line: int, expected: list[str]) -> None:
    file.write_text(text)
    with pytest.raises(ConfigError) as caught:
        resolve(None, {}, config=file)
    assert caught.value.message.startswith(f"{file}:{line}: ")
    for part in expected:
        assert part in caught.value.message


def test_a_file_that_cannot_be_read_is_an_error(file: Path) -> None:
    file.write_bytes(b"\xff")
    with pytest.raises(ConfigError, match="not UTF-8"):
        resolve(None, {}, config=file)
    file.unlink()
    file.mkdir()
    with pytest.raises(ConfigError, match="cannot read"):
        resolve(None, {}, config=file)


@pytest.mark.parametrize(
    ("variable", "value", "expected"),
    [
        ("CCVM_MEMORY", "4G", "CCVM_MEMORY must be a positive integer, not '4G'"),
        ("CCVM_MEMORY", "0", "positive integer"),
        ("CCVM_MEMORY", "-1", "positive integer"),
        ("CCVM_MEMORY", " ", "positive integer"),
        ("CCVM_WRITABLE_CWD", "maybe", "CCVM_WRITABLE_CWD must be 0 or 1"),
        ("CCVM_ACCEL", "xen", 'one of "auto", "kvm", "tcg"'),
    ],
)
def test_invalid_variables_are_errors(file: Path, variable: str, value: str, expected: str) -> None:
    with pytest.raises(ConfigError) as caught:
        resolve(None, {variable: value}, config=file)
    assert expected in caught.value.message


def test_the_error_for_an_invalid_flag_contains_the_flag(file: Path) -> None:
    with pytest.raises(ConfigError, match="--memory must be a positive integer, not 'much'"):
        resolve(None, {}, {"memory": "much"}, config=file)


def test_one_variable_sets_the_whole_group_and_single_ones_override_it(file: Path) -> None:
    file.write_text("[share]\nsettings = true\nplugins = false\n")
    everything = resolve(None, {"CCVM_SHARE_CLAUDE_CONFIG": "1"}, config=file).settings.share
    assert everything == Share(plugins=True, config=True)
    found = resolve(None, {"CCVM_SHARE_CLAUDE_CONFIG": "0", "CCVM_SHARE_AGENTS": "1"}, config=file)
    shared = [name for name, row in SCHEMA.items() if name.startswith("share.") and found.values[row.name]]
    assert shared == ["share.agents", "share.git_config"]
    assert found.origins["share.skills"].detail == "CCVM_SHARE_CLAUDE_CONFIG"
    assert found.origins["share.agents"].detail == "CCVM_SHARE_AGENTS"
    with pytest.raises(ConfigError, match="CCVM_SHARE_CLAUDE_CONFIG must be 0 or 1"):
        resolve(None, {"CCVM_SHARE_CLAUDE_CONFIG": "some"}, config=file)


def test_the_text_for_the_agent_is_read_from_the_file_of_the_variable(file: Path, tmp_path: Path) -> None:
    def text(environ: dict[str, str]) -> str:
        return resolve(None, environ, config=file).settings.extra_claude_md

    assert text({}) == BUILT_IN
    file.write_text('extra_claude_md = "Be brief."')
    assert text({}) == "Be brief."
    assert text({"CCVM_CLAUDE_MD": ""}) == ""
    (tmp_path / "own.md").write_text("From a file.\n")
    assert text({"CCVM_CLAUDE_MD": str(tmp_path / "own.md")}) == "From a file.\n"
    with pytest.raises(ConfigError, match="CCVM_CLAUDE_MD must be the path of a readable file, or empty"):
        text({"CCVM_CLAUDE_MD": str(tmp_path / "missing.md")})
    (tmp_path / "own.md").write_bytes(b"\xff")
    with pytest.raises(ConfigError, match="in UTF-8"):
        text({"CCVM_CLAUDE_MD": str(tmp_path / "own.md")})


@pytest.mark.parametrize(("text", "value"), [("1", True), ("0", False), ("Yes", True), ("off", False), ("true", True)])
def test_booleans_in_variables(file: Path, text: str, value: bool) -> None:
    assert resolve(None, {"CCVM_QEMU_SANDBOX": text}, config=file).settings.seccomp is value


@pytest.mark.attack
def test_nothing_is_read_from_the_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("config.toml", "ccvm.toml", ".ccvm.toml"):
        (tmp_path / name).write_text("memory = 1")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "elsewhere"))
    monkeypatch.chdir(tmp_path)
    assert resolve(tmp_path, {}).settings.memory == 4096


def test_the_table_and_the_dataclasses_agree() -> None:
    assert build({name: row.default for name, row in SCHEMA.items()}) == Settings()
    for row in SCHEMA.values():
        assert row.kind.check(list(row.default) if isinstance(row.default, tuple) else row.default) == row.default
    variables = [row.variable for row in SCHEMA.values() if row.variable]
    assert len(variables) == len(set(variables))


def test_settings_are_frozen() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        Settings().memory = 1  # type: ignore[misc]


def test_nearest_finds_similar_names_only() -> None:
    assert nearest("memery", list(SCHEMA)) == "memory"
    assert nearest("qqqqq", list(SCHEMA)) == ""


values = st.one_of(st.integers(-5, 5), st.booleans(), st.just("'text'"), st.just("[\n 1,\n]"), st.just("'''\na\n'''"))


@given(st.text(max_size=200))
def test_any_text_is_accepted_or_raises_config_error(text: str) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "config.toml"
        path.write_bytes(text.encode("utf-8", "surrogatepass"))
        raised: ConfigError | None = None
        try:
            config.resolve(None, {}, config=path)
        except ConfigError as error:
            raised = error
        assert raised is None or str(path) in raised.message


@given(st.lists(st.tuples(st.sampled_from(["", "# comment", "  "]), values), min_size=1, max_size=8))
def test_the_line_of_every_key_is_found(parts: list[tuple[str, object]]) -> None:
    from ccvm_tui.config.lines import key_lines

    lines: list[str] = []
    expected: dict[tuple[str, ...], int] = {}
    for number, (before, value) in enumerate(parts):
        lines.append(before)
        expected[(f"key{number}",)] = sum(line.count("\n") + 1 for line in lines) + 1
        lines.append(f"key{number} = {str(value).lower() if isinstance(value, bool) else value}")
    assert key_lines("\n".join(lines)) == expected
