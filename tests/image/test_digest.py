"""An image's identity: the recipe's content, the guest's files, and how the builder works."""

from __future__ import annotations

import ast
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

import ccvm_tui
from ccvm_tui.image import image_digest, load_recipe
from ccvm_tui.image.digest import BUILDER
from ccvm_tui.image.recipe import ExtraFile

IMAGE = Path(ccvm_tui.__file__).with_name("image")
NO_CONTENT = {"mirrors", "recipe", "run"}
"""Modules that the builder's modules import and that decide nothing about an image beyond what the recipe says."""


def test_the_digest_is_of_content_only() -> None:
    recipe = load_recipe()
    same = replace(recipe, name="other", layers=(), packages=tuple(reversed(recipe.packages)))
    assert image_digest(same) == image_digest(recipe) == image_digest(load_recipe())


@pytest.mark.parametrize(
    "change",
    [
        {"suite": "other"},
        {"packages": ("zsh",)},
        {"modules": ()},
        {"mirror": "http://x/"},
        {"components": ("main", "contrib")},
        {"files": (ExtraFile("/x", b"", 0o644),)},
    ],
)
def test_whatever_changes_the_image_changes_the_digest(change: dict[str, object]) -> None:
    recipe = load_recipe()
    assert image_digest(replace(recipe, **change)) != image_digest(recipe)  # type: ignore[arg-type]


def test_where_one_file_ends_and_the_next_begins_counts() -> None:
    recipe = load_recipe()
    one = replace(recipe, files=(ExtraFile("/a", b"bc", 0o644),))
    other = replace(recipe, files=(ExtraFile("/a", b"b", 0o644), ExtraFile("/c", b"", 0o644)))
    assert image_digest(one) != image_digest(other)


def imported(module: str) -> set[str]:
    """The modules of the image package that ``module`` of it imports."""
    tree = ast.parse((IMAGE / f"{module}.py").read_text())
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module == "ccvm_tui.image":
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("ccvm_tui.image."):
            names.add(node.module.rpartition(".")[2])
    return names


def test_no_module_of_the_builder_is_left_out() -> None:
    for module in BUILDER:
        assert imported(module) - NO_CONTENT <= set(BUILDER), module


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("initrd.py", '"virtio_net", ', '"virtio_net", "virtio_balloon", '),
        ("cmdline.py", '"quiet"', '"debug"'),
        ("bootstrap.py", '"lz4"', '"zstd"'),
        ("guest/build/finish", "depmod", "depmod -a"),
    ],
)
def test_whatever_changes_the_builder_changes_the_digest(tmp_path: Path, file: str, old: str, new: str) -> None:
    shutil.copytree(IMAGE.parent, tmp_path / "ccvm_tui", ignore=shutil.ignore_patterns("__pycache__"))
    changed = tmp_path / "ccvm_tui" / "image" / file
    text = changed.read_text()
    assert old in text
    changed.write_text(text.replace(old, new))
    script = "from ccvm_tui.image import image_digest, load_recipe; print(image_digest(load_recipe()))"
    told = subprocess.run(
        [sys.executable, "-P", "-c", script],
        env={**os.environ, "PYTHONPATH": str(tmp_path), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    assert len(told) == 64
    assert told != image_digest(load_recipe())
