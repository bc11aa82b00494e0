"""Recipes: parsing, and errors that name the file."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ccvm_tui.agents import AGENTS
from ccvm_tui.errors import ImageError
from ccvm_tui.image import load_recipe
from ccvm_tui.image.recipe import DEFAULT, ExtraFile, LayerRecipe

MINIMAL = 'suite = "stable"\n'


def recipe_file(folder: Path, text: str) -> Path:
    path = folder / "mine.toml"
    path.write_text(text)
    return path


def error_of(folder: Path, text: str) -> ImageError:
    path = recipe_file(folder, text)
    with pytest.raises(ImageError) as caught:
        load_recipe(path)
    assert str(path) in caught.value.message
    return caught.value


def test_the_default_recipe_has_the_packages_for_development() -> None:
    recipe = load_recipe()
    needed = (
        "zsh bash git vim less tmux curl ripgrep fd-find jq python3 openssh-server ncurses-term sudo cryptsetup-bin"
    )
    assert set(needed.split()) <= set(recipe.packages)
    assert recipe.layer("claude").npm.format(arch="x64") == "@anthropic-ai/claude-code-linux-x64"


def test_a_recipe_has_the_agents_of_the_table_and_can_replace_them(tmp_path: Path) -> None:
    recipe = load_recipe()
    assert recipe.layers == ()
    assert recipe.layer("codex") == LayerRecipe(
        "codex", "codex", "@openai/codex", "vendor/{machine}-unknown-linux-musl/bin/codex", "-linux-{arch}"
    )
    assert {recipe.layer(name).name for name in AGENTS} == set(AGENTS)
    text = MINIMAL + '[layers.codex]\nnpm = "mine"\nbinary = "x.js"\nruntime = "node-linux-{arch}"\n'
    own = load_recipe(recipe_file(tmp_path, text))
    assert own.layer("codex") == LayerRecipe("codex", "", "mine", "x.js", "", "node-linux-{arch}")


def test_the_default_recipe_names_no_mirror_and_no_registry() -> None:
    assert load_recipe().mirror == ""
    assert "://" not in DEFAULT.read_text()


def test_a_recipe_of_the_user_is_parsed(tmp_path: Path) -> None:
    (tmp_path / "tool").write_bytes(b"#!/bin/sh\n")
    recipe = load_recipe(
        recipe_file(
            tmp_path,
            MINIMAL + 'packages = ["zsh", "zsh", "g++"]\n'
            '[layers.mine]\nprogram = "mine"\n'
            '[files]\n"/etc/motd" = { text = "hi" }\n"/usr/bin/tool" = { source = "tool", mode = 0o755 }\n',
        )
    )
    assert recipe.name == "mine"
    assert recipe.packages == ("zsh", "g++")
    assert recipe.layers == (LayerRecipe("mine", "mine", "", "mine"),)
    assert recipe.files == (
        ExtraFile("/etc/motd", b"hi", 0o644),
        ExtraFile("/usr/bin/tool", b"#!/bin/sh\n", 0o755),
    )


def test_an_unknown_key_is_named_with_a_suggestion(tmp_path: Path) -> None:
    error = error_of(tmp_path, MINIMAL + 'packges = ["zsh"]\n')
    assert "packges" in error.message
    assert "packages" in error.hint


def test_an_unknown_key_in_a_table_is_named_with_a_suggestion(tmp_path: Path) -> None:
    error = error_of(tmp_path, MINIMAL + '[layers.x]\nprogramm = "x"\nnpm = "y"\n')
    assert "layers.x.programm" in error.message
    assert "layers.x.program" in error.hint


@pytest.mark.parametrize(
    "text",
    [
        "",
        "suite = 3\n",
        'suite = "a b"\n',
        "suite = \n",
        MINIMAL + 'packages = "zsh"\n',
        MINIMAL + "packages = [1]\n",
        MINIMAL + 'packages = ["zsh; rm -rf /"]\n',
        MINIMAL + 'packages = ["--yes"]\n',
        MINIMAL + 'mirror = "not a mirror"\n',
        MINIMAL + "layers = 1\n",
        MINIMAL + '[layers.none]\nprogram = "x"\n',
        MINIMAL + "[layers.x]\n",
        MINIMAL + '[files]\n"etc/x" = { text = "" }\n',
        MINIMAL + '[files]\n"/etc/../x" = { text = "" }\n',
        MINIMAL + '[files]\n"/etc/x" = { text = "", source = "y" }\n',
        MINIMAL + '[files]\n"/etc/x" = { source = "missing" }\n',
        MINIMAL + '[files]\n"/etc/x" = { text = "", mode = "755" }\n',
    ],
)
def test_an_invalid_recipe_is_an_error_that_names_the_file(tmp_path: Path, text: str) -> None:
    error_of(tmp_path, text)


def test_a_missing_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=r"nowhere\.toml"):
        load_recipe(tmp_path / "nowhere.toml")


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
KEYS = st.sampled_from(["suite", "packages", "modules", "layers", "files", "components", "mirror", "other"])


@given(st.dictionaries(KEYS, VALUES, max_size=5))
def test_any_table_is_parsed_or_raises_an_image_error(table: dict[str, object]) -> None:
    from ccvm_tui.image.recipe import _Reader

    raised: ImageError | None = None
    try:
        recipe = _Reader(Path("x.toml")).recipe(table)
    except ImageError as error:
        raised = error
    assert raised.message.startswith("x.toml: ") if raised else recipe.suite == table["suite"]


def test_the_hint_for_an_unknown_layer_lists_the_known_ones() -> None:
    with pytest.raises(ImageError) as caught:
        load_recipe().layer("cloud")
    assert "claude" in caught.value.hint
