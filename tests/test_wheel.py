"""The wheel is complete, also if it is built from the source distribution."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from reference.files import shared_files

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[zipfile.ZipFile]:
    """The wheel, built from the source distribution."""
    directory = tmp_path_factory.mktemp("dist")
    argv = [sys.executable, "-m", "hatchling", "build", "-d", str(directory), "-t"]
    subprocess.run([*argv, "sdist"], cwd=ROOT, check=True, capture_output=True)
    (sdist,) = directory.glob("*.tar.gz")
    subprocess.run(["tar", "-xf", sdist, "-C", directory], check=True)
    sources = directory / sdist.name.removesuffix(".tar.gz")
    subprocess.run([*argv, "wheel"], cwd=sources, check=True, capture_output=True)
    (path,) = directory.glob("*.whl")
    with zipfile.ZipFile(path) as archive:
        yield archive


def test_the_wheel_contains_all_files_of_the_package_and_nothing_else(wheel: zipfile.ZipFile) -> None:
    names = wheel.namelist()
    files = [path.relative_to(ROOT) for path in (ROOT / "ccvm_tui").rglob("*") if path.is_file()]
    files = [path for path in files if not any(part.startswith((".", "__pycache__")) for part in path.parts)]
    assert "ccvm_tui/py.typed" in names
    assert {str(path) for path in files} == {name for name in names if name.startswith("ccvm_tui/")}
    others = {name.partition("/")[0].rpartition(".")[2] for name in names if not name.startswith("ccvm_tui/")}
    assert others == {"data", "dist-info"}


def test_the_wheel_installs_manual_pages_and_completion_scripts(wheel: zipfile.ZipFile) -> None:
    """Files below ``data`` are installed below the prefix, where man(1) and the shells find it."""
    data = [name for name in wheel.namelist() if ".data/data/" in name]
    assert {name.partition("/data/")[2]: wheel.read(name).decode() for name in data} == shared_files()
    for name in (
        "share/man/man1/ccvm-tui.1",
        "share/man/man1/ccvm-tui-run.1",
        "share/man/man1/ccvm.1",
        "share/man/man5/ccvm-tui.toml.5",
        "share/bash-completion/completions/ccvm-tui",
        "share/zsh/site-functions/_ccvm-tui",
        "share/fish/vendor_completions.d/ccvm-tui.fish",
    ):
        assert name in shared_files()
