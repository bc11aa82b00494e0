"""The wheel is complete, also if it is built from the source distribution, and can be installed and run elsewhere."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from reference.files import shared_files
from tests.conftest import own_home

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def wheel_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of the wheel, built from the source distribution."""
    directory = tmp_path_factory.mktemp("dist")
    argv = [sys.executable, "-m", "hatchling", "build", "-d", str(directory), "-t"]
    subprocess.run([*argv, "sdist"], cwd=ROOT, check=True, capture_output=True)
    (sdist,) = directory.glob("*.tar.gz")
    subprocess.run(["tar", "-xf", sdist, "-C", directory], check=True)
    sources = directory / sdist.name.removesuffix(".tar.gz")
    subprocess.run([*argv, "wheel"], cwd=sources, check=True, capture_output=True)
    (path,) = directory.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def wheel(wheel_file: Path) -> Iterator[zipfile.ZipFile]:
    with zipfile.ZipFile(wheel_file) as archive:
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


def elsewhere(home: Path, **variables: str) -> dict[str, str]:
    """Return an environment that refers neither to the checkout nor to the environment of the tests."""
    kept = {
        name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "VIRTUAL_ENV", "CCVM_"))
    }
    kept["PATH"] = os.pathsep.join(
        path for path in kept["PATH"].split(os.pathsep) if path != str(Path(sys.executable).parent)
    )
    return kept | {"HOME": str(home), "XDG_CACHE_HOME": str(home / "cache")} | variables


def check_installation(prefix: Path, program: Path, environment: dict[str, str], home: Path) -> None:
    """Run the installed program, and compare what the environment ``prefix`` contains with what it shall."""

    def run(*arguments: str, status: int = 0) -> str:
        done = subprocess.run([program, *arguments], cwd=home, env=environment, capture_output=True, text=True)
        assert done.returncode == status, done.stdout + done.stderr
        assert "Traceback" not in done.stderr
        return done.stdout

    assert run("version").startswith("ccvm-tui ")
    checks = {check["name"]: check for check in json.loads(run("doctor", "--json"))["checks"]}
    assert checks["image"]["detail"] == "not built yet"
    assert checks["qemu"]["status"] != "fail"
    assert "ccvm-tui image build" in run("setup", "--dry-run")
    assert "usage: ccvm-tui" in run("--help")
    # the confined processes of an installed program inherit nothing
    show = "from ccvm_tui import processes; print(processes.environment())"
    done = subprocess.run(
        [prefix / "bin/python", "-c", show], cwd=home, env=environment, capture_output=True, text=True
    )
    assert done.stdout == "{}\n", done.stderr
    (package,) = prefix.glob("lib/python3*/site-packages/ccvm_tui")
    assert (package / "py.typed").exists()
    assert (package / "image/default.toml").exists()
    assert (package / "image/guest/initrd/init").exists()
    assert not list(package.rglob("test_*"))
    assert not (package.parent / "tests").exists()
    assert not list(package.parent.glob("pytest*"))
    for name, content in shared_files().items():
        assert (prefix / name).read_text() == content


def test_the_wheel_is_installed_by_pip_into_a_new_environment(
    wheel_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An environment for the package alone, and pip, are what pipx uses too."""
    with own_home(monkeypatch) as home:
        environment, prefix = elsewhere(home), tmp_path / "environment"
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", prefix], check=True, env=environment)
        pip: list[str | Path] = [
            sys.executable,
            "-m",
            "pip",
            "--python",
            prefix / "bin/python",
            "install",
            "--quiet",
            wheel_file,
        ]
        done = subprocess.run(
            pip, cwd=home, env=environment | {"HOME": os.environ["HOME"]}, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        check_installation(prefix, prefix / "bin/ccvm-tui", environment, home)


def test_the_wheel_is_installed_as_a_tool_by_uv(
    wheel_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with own_home(monkeypatch) as home:
        # uv shall use the interpreter of the tests, and trust what this machine trusts
        directories = {"UV_TOOL_DIR": str(tmp_path / "tools"), "UV_TOOL_BIN_DIR": str(tmp_path / "bin")}
        environment = elsewhere(home, UV_PYTHON_DOWNLOADS="never", UV_SYSTEM_CERTS="1", **directories)
        uv: list[str | Path] = [
            Path(sys.executable).with_name("uv"),
            "tool",
            "install",
            "--quiet",
            "--python",
            sys.executable,
            wheel_file,
        ]
        done = subprocess.run(uv, cwd=home, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        assert {path.name for path in (tmp_path / "bin").iterdir()} == {"ccvm-tui", "ccvm"}
        check_installation(tmp_path / "tools/ccvm-tui", tmp_path / "bin/ccvm-tui", environment, home)
