"""An image's digest depends on the recipe's content, the guest's files and the source of the builder."""

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
"""Modules that the builder's modules import, but that do not affect the content of an image."""


def test_the_digest_depends_on_content_only() -> None:
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
def test_every_change_of_content_changes_the_digest(change: dict[str, object]) -> None:
    recipe = load_recipe()
    assert image_digest(replace(recipe, **change)) != image_digest(recipe)  # type: ignore[arg-type]


def test_the_boundaries_of_files_are_part_of_the_digest() -> None:
    recipe = load_recipe()
    one = replace(recipe, files=(ExtraFile("/a", b"bc", 0o644),))
    other = replace(recipe, files=(ExtraFile("/a", b"b", 0o644), ExtraFile("/c", b"", 0o644)))
    assert image_digest(one) != image_digest(other)


def imported(module: str) -> set[str]:
    """Return the modules of the image package that its ``module`` imports."""
    tree = ast.parse((IMAGE / f"{module}.py").read_text())
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module == "ccvm_tui.image":
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("ccvm_tui.image."):
            names.add(node.module.rpartition(".")[2])
    return names


def test_the_list_of_builder_modules_is_complete() -> None:
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
def test_every_change_of_the_builder_changes_the_digest(tmp_path: Path, file: str, old: str, new: str) -> None:
    shutil.copytree(IMAGE.parent, tmp_path / "ccvm_tui", ignore=shutil.ignore_patterns("__pycache__"))
    changed = tmp_path / "ccvm_tui" / "image" / file
    text = changed.read_text()
    assert old in text
    changed.write_text(text.replace(old, new))
    script = "from ccvm_tui.image import image_digest, load_recipe; print(image_digest(load_recipe()))"
    digest = subprocess.run(
        [sys.executable, "-P", "-c", script],
        env={**os.environ, "PYTHONPATH": str(tmp_path), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    assert len(digest) == 64
    assert digest != image_digest(load_recipe())
