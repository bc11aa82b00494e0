"""The weekly update, run step by step with a real repository and remote. Nix and GitHub are stand-ins."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.tools.runner import Job, Result, Workflow, path_with

ROOT = Path(__file__).parents[2]
WORKFLOW = ROOT / ".github/workflows/flake-update.yml"

OLD, NEW = "6d65bfc1bcef2ef39a239d38e577e92a89fb0f07", "d1187f8bc71fb8aab02395869ec3f5c1920f75c0"

PROJECT = """\
[project]
name = "example"
dependencies = [
    "alpha>=1.2,<2",  # a comment that stays
    "beta>=0.3,<0.4",
]
"""

# The stand-in for Nix: a new lock file is what `nix flake update` leaves behind.
NIX = '#!/bin/sh\n[ "$*" = "flake update" ] && cp "$NEXT_LOCK" flake.lock\n'

GH = """\
#!{python}
# The stand-in for GitHub: open pull requests are in a file, and every call is recorded.
import json, os, sys
state = os.environ["GITHUB_STATE"]
known = json.load(open(state))
arguments = sys.argv[1:]
assert os.environ["GH_TOKEN"] == "installation-token"
def option(name):
    return arguments[arguments.index(name) + 1]
match arguments:
    case ["api", "/users/updates[bot]", *_]:
        print(41898282)
    case ["auth", "setup-git"]:
        pass
    case ["pr", "list", *_]:
        print("\\n".join(str(pr["number"]) for pr in known if pr["head"] == option("--head")))
    case ["pr", "create", *_]:
        body = open(option("--body-file")).read()
        known.append({{"number": len(known) + 7, "head": option("--head"), "base": option("--base"), "body": body}})
    case ["pr", "edit", number, *_]:
        next(pr for pr in known if pr["number"] == int(number))["body"] = open(option("--body-file")).read()
    case _:
        sys.exit("unknown call: " + " ".join(arguments))
json.dump(known, open(state, "w"))
"""


class Repository:
    """A remote repository with its settings and pull requests, and the packages that pip finds."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._runs = 0
        self.variables = {"APP_ID": "1234"}
        self.secrets = {"APP_PRIVATE_KEY": "key"}
        self.lock: str = lock(OLD)
        self.tokens: list[Mapping[str, str]] = []
        self._bin = root / "bin"
        self._packages = root / "packages"
        for directory in (self._bin, self._packages, root / "home", root / "artifacts"):
            directory.mkdir()
        self._program("nix", NIX)
        self._program("gh", GH.format(python=sys.executable))
        (root / "pulls").write_text("[]")
        self.remote = root / "remote.git"
        self._git("init", "--quiet", "--bare", "--initial-branch=main", str(self.remote), cwd=root)
        self.seed = root / "seed"
        self._git("clone", "--quiet", str(self.remote), str(self.seed), cwd=root)
        self._git("switch", "--quiet", "--orphan", "main")
        (self.seed / "tools").mkdir()
        for file in (ROOT / "tools").glob("*.py"):
            shutil.copy(file, self.seed / "tools" / file.name)
        (self.seed / "ccvm_tui/image").mkdir(parents=True)
        shutil.copy(ROOT / "ccvm_tui/image/default.toml", self.seed / "ccvm_tui/image/default.toml")
        (self.seed / "pyproject.toml").write_text(PROJECT)
        self.push("start")

    def package(self, name: str, version: str) -> None:
        """Publish a package without content."""
        info = f"{name}-{version}.dist-info"
        with zipfile.ZipFile(self._packages / f"{name}-{version}-py3-none-any.whl", "w") as wheel:
            wheel.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
            wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
            wheel.writestr(f"{info}/RECORD", "")

    def push(self, message: str) -> None:
        """Commit all files of the seed to the remote's main branch."""
        self._git("add", "--all")
        self._git("commit", "--quiet", "--message", message)
        self._git("push", "--quiet", "origin", "main")

    def run(
        self, event: str = "schedule", actions: Mapping[str, Callable[..., Mapping[str, str]]] | None = None
    ) -> Result:
        """Run the workflow."""
        self._runs += 1
        (self._root / "next.lock").write_text(self.lock)
        known: dict[str, Any] = {
            "actions/checkout": self._check_out,
            "actions/upload-artifact": self._upload,
            "actions/download-artifact": self._download,
            "actions/create-github-app-token": self._token,
            "cachix/install-nix-action": lambda _job, _given: {},
            **(actions or {}),
        }
        contexts = {
            "vars": self.variables,
            "secrets": self.secrets,
            "github": {
                "event_name": event,
                "repository": "owner/name",
                "server_url": "https://github.example",
                "ref_name": "main",
            },
        }
        environment = {
            **self._environment(),
            "NEXT_LOCK": str(self._root / "next.lock"),
            "GITHUB_STATE": str(self._root / "pulls"),
            "PIP_NO_INDEX": "1",
            "PIP_FIND_LINKS": str(self._packages),
        }
        return Workflow(WORKFLOW, known).run(self._root / f"run-{self._runs}", environment, contexts)

    @property
    def pulls(self) -> list[dict[str, Any]]:
        """The open pull requests."""
        found: list[dict[str, Any]] = json.loads((self._root / "pulls").read_text())
        return found

    def git(self, *arguments: str) -> str:
        """Return the output of git in the remote repository."""
        return self._git(*arguments, cwd=self.remote)

    def _check_out(self, job: Job, given: Mapping[str, str]) -> Mapping[str, str]:
        assert given == {"persist-credentials": "false"}
        self._git("clone", "--quiet", "--branch", "main", str(self.remote), str(job.workspace), cwd=self._root)
        return {}

    def _upload(self, _job: Job, given: Mapping[str, str]) -> Mapping[str, str]:
        shutil.copytree(given["path"], self._root / "artifacts" / f"{self._runs}-{given['name']}")
        return {}

    def _download(self, _job: Job, given: Mapping[str, str]) -> Mapping[str, str]:
        shutil.copytree(self._root / "artifacts" / f"{self._runs}-{given['name']}", given["path"])
        return {}

    def _token(self, _job: Job, given: Mapping[str, str]) -> Mapping[str, str]:
        self.tokens.append(given)
        return {"token": "installation-token", "app-slug": "updates"}

    def _environment(self) -> dict[str, str]:
        return {
            "PATH": path_with(self._bin, Path(sys.executable).parent),
            "HOME": str(self._root / "home"),
            "GIT_CONFIG_GLOBAL": os.devnull,
            "GIT_CONFIG_SYSTEM": os.devnull,
            "PYTHONDONTWRITEBYTECODE": "1",
        }

    def _git(self, *arguments: str, cwd: Path | None = None) -> str:
        names = {
            f"GIT_{who}_{what}": "tester@example.org" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")
        }
        argv = ["git", *arguments]
        done = subprocess.run(
            argv, cwd=cwd or self.seed, env={**self._environment(), **names}, check=True, capture_output=True, text=True
        )
        return done.stdout

    def _program(self, name: str, text: str) -> None:
        (self._bin / name).write_text(text)
        (self._bin / name).chmod(0o755)


def lock(revision: str) -> str:
    """Return a lock file with one input."""
    locked = {
        "lastModified": 1785599192,
        "narHash": f"sha256-{revision}=",
        "owner": "NixOS",
        "repo": "nixpkgs",
        "rev": revision,
        "type": "github",
    }
    original = {"owner": "NixOS", "ref": "nixos-unstable", "repo": "nixpkgs", "type": "github"}
    nodes = {"nixpkgs": {"locked": locked, "original": original}, "root": {"inputs": {"nixpkgs": "nixpkgs"}}}
    return json.dumps({"nodes": nodes, "root": "root", "version": 7}, indent=2) + "\n"


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    repository = Repository(tmp_path)
    repository.package("alpha", "1.9.1")
    repository.package("beta", "0.3.4")
    return repository


def test_the_first_lock_file_is_proposed_with_a_narrow_token(repository: Repository) -> None:
    result = repository.run()
    assert result.success, result.output
    (pull,) = repository.pulls
    assert (pull["head"], pull["base"]) == ("weekly-update", "main")
    assert "| `nixpkgs` | – | [`6d65bfc1b`](https://github.com/NixOS/nixpkgs/commit/" in pull["body"]
    assert repository.git("show", "weekly-update:flake.lock") == lock(OLD)
    assert repository.git("log", "-1", "--format=%an %ae %s", "weekly-update").strip() == (
        "updates[bot] 41898282+updates[bot]@users.noreply.github.com Weekly update of inputs and ranges"
    )
    assert repository.tokens == [
        {"client-id": "1234", "private-key": "key", "permission-contents": "write", "permission-pull-requests": "write"}
    ]


def test_the_pull_request_is_refreshed_and_stays_the_only_one(repository: Repository) -> None:
    repository.run()
    repository.lock = lock(NEW)
    repository.package("alpha", "2.1")
    (repository.seed / "README.md").write_text("main goes on\n")
    repository.push("other work")
    result = repository.run()
    assert result.success, result.output
    (pull,) = repository.pulls
    assert "`d1187f8bc`" in pull["body"]
    assert "| `alpha` | `2.1` | `alpha>=1.2,<2` | `alpha>=1.2,<3` |" in pull["body"]
    assert repository.git("show", "weekly-update:pyproject.toml") == PROJECT.replace("1.2,<2", "1.2,<3")
    # one commit on top of main, never a merge into it
    assert repository.git("rev-list", "--count", "main..weekly-update").strip() == "1"
    assert repository.git("rev-list", "--count", "weekly-update..main").strip() == "0"


def test_an_updated_input_is_described_from_old_to_new(repository: Repository) -> None:
    (repository.seed / "flake.lock").write_text(lock(OLD))
    repository.push("lock")
    repository.lock = lock(NEW)
    repository.run()
    (pull,) = repository.pulls
    assert f"[compare](https://github.com/NixOS/nixpkgs/compare/{OLD}...{NEW})" in pull["body"]


def test_an_old_snapshot_of_debian_is_renewed(repository: Repository) -> None:
    recipe = repository.seed / "ccvm_tui/image/pinned.toml"
    recipe.write_text('suite = "trixie"\nmirror = "https://example.org/debian/20260101T000000Z/"\n')
    repository.push("a recipe that is pinned")
    result = repository.run()
    assert result.success, result.output
    (pull,) = repository.pulls
    assert "| `pinned.toml` | `trixie` | 2026-01-01 | [20" in pull["body"]
    assert "20260101T000000Z" not in repository.git("show", "weekly-update:ccvm_tui/image/pinned.toml")
    changed = repository.git("diff", "--name-only", "main", "weekly-update").split()
    assert changed == ["ccvm_tui/image/pinned.toml", "flake.lock"]


def test_without_changes_there_is_no_token_and_no_pull_request(repository: Repository) -> None:
    (repository.seed / "flake.lock").write_text(lock(OLD))
    repository.push("lock")
    result = repository.run()
    assert result.success, result.output
    assert result.jobs == ["update"]
    assert result.summary == "Everything is up to date.\n"
    assert (repository.pulls, repository.tokens) == ([], [])
    assert repository.git("branch", "--format=%(refname:short)").split() == ["main"]


@pytest.mark.parametrize("event", ["schedule", "workflow_dispatch"])
@pytest.mark.parametrize("missing", [("APP_ID",), ("APP_PRIVATE_KEY",), ("APP_ID", "APP_PRIVATE_KEY")])
def test_an_app_that_is_not_configured_is_reported(
    repository: Repository, missing: tuple[str, ...], event: str
) -> None:
    for name in missing:
        repository.variables.pop(name, None)
        repository.secrets.pop(name, None)
    result = repository.run(event)
    assert result.success == (event == "schedule")
    assert result.jobs == ["update"]
    assert ("variable APP_ID (https://github.example/owner/name/settings/variables/actions)" in result.summary) == (
        "APP_ID" in missing
    )
    assert (
        "secret APP_PRIVATE_KEY (https://github.example/owner/name/settings/secrets/actions)" in result.summary
    ) == ("APP_PRIVATE_KEY" in missing)
    assert "docs/maintaining.md" in result.summary
    assert result.output.startswith("::notice " if event == "schedule" else "::error ")
    assert repository.pulls == []


def test_changes_of_other_files_are_refused_before_a_token_exists(repository: Repository) -> None:
    def tampered(job: Job, given: Mapping[str, str]) -> Mapping[str, str]:
        (job.workspace / "tools/locks.py").write_text("import os\n")
        subprocess.run(["git", "add", "--all"], cwd=job.workspace, check=True)
        patch = subprocess.run(["git", "diff", "--cached"], cwd=job.workspace, check=True, capture_output=True).stdout
        subprocess.run(["git", "reset", "--quiet", "--hard"], cwd=job.workspace, check=True)
        Path(given["path"]).mkdir()
        (Path(given["path"]) / "changes.patch").write_bytes(patch)
        return {}

    result = repository.run(actions={"actions/download-artifact": tampered})
    assert not result.success
    assert "must not change: tools/locks.py" in result.output
    assert (repository.pulls, repository.tokens) == ([], [])


def test_a_package_that_is_not_found_ends_the_update(repository: Repository) -> None:
    (repository.seed / "pyproject.toml").write_text(PROJECT.replace("beta", "gamma"))
    repository.push("an unknown package")
    result = repository.run()
    assert not result.success
    assert "gamma" in result.output
    assert repository.pulls == []
