"""Jobs of ``check`` and ``release``, run with real repositories and files. GitHub is a stand-in."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from ccvm_tui.image.index import Archive, Index, decode, encode
from ccvm_tui.image.origin import origin
from tests.tools.runner import Action, Job, Result, Workflow, path_with

ROOT = Path(__file__).parents[2]
WORKFLOWS = ROOT / ".github/workflows"

CHANGELOG = "# Changelog\n\n## [Unreleased]\n\n- soon\n\n## [1.2.0] - 2026-11-01\n\n- now\n"


def git(repository: Path, *arguments: str) -> str:
    environment = {"PATH": os.environ["PATH"], "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull}
    identity = ["-c", "user.name=tester", "-c", "user.email=tester@example.org"]
    argv = ["git", *identity, *arguments]
    return subprocess.run(argv, cwd=repository, env=environment, check=True, capture_output=True, text=True).stdout


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository with the tools, a version and a changelog."""
    path = tmp_path / "repository"
    shutil.copytree(ROOT / "tools", path / "tools", ignore=shutil.ignore_patterns("__pycache__"))
    (path / "ccvm_tui").mkdir()
    (path / "ccvm_tui/__init__.py").write_text('__version__ = "1.2.0"\n')
    (path / "CHANGELOG.md").write_text(CHANGELOG)
    git(path, "init", "--quiet", "--initial-branch=main")
    git(path, "add", "--all")
    git(path, "commit", "--quiet", "--message", "start")
    return path


def run(workflow: str, job: str, repository: Path, directory: Path, **variables: str) -> Result:
    def check_out(job: Job, given: Mapping[str, str]) -> Mapping[str, str]:
        assert given["persist-credentials"] == "false"
        git(directory, "clone", "--quiet", str(repository), str(job.workspace))
        return {}

    environment = {"PATH": path_with(Path(sys.executable).parent), "HOME": str(directory), **variables}
    contexts = {
        "github": {
            "event_name": "pull_request",
            "ref_type": variables.get("GITHUB_REF_TYPE", "branch"),
            "event": {"pull_request": {"base": {"sha": git(repository, "rev-parse", "main").strip()}}},
        }
    }
    actions: dict[str, Action] = {"actions/checkout": check_out, "actions/upload-artifact": lambda _job, _given: {}}
    return Workflow(WORKFLOWS / f"{workflow}.yml", actions).run(directory / "run", environment, contexts, only=job)


def test_the_points_that_a_pull_request_touches_are_reported(repository: Path, tmp_path: Path) -> None:
    git(repository, "switch", "--quiet", "--create", "change")
    for name in ("ccvm_tui/text.py", "ccvm_tui/claim.py", "README.md"):
        (repository / name).write_text("changed\n")
    git(repository, "add", "--all")
    git(repository, "commit", "--quiet", "--message", "change")
    result = run("check", "checklist", repository, tmp_path)
    assert result.success, result.output
    assert [line.split(":")[0] for line in result.summary.splitlines()[2:]] == [
        "- **Nothing remains**",
        "- **Hostile output**",
    ]
    assert "(`ccvm_tui/claim.py`)" in result.summary
    assert "::notice title=Points of the checklist::Nothing remains,Hostile output\n" in result.output


def test_a_pull_request_that_touches_no_point_is_reported(repository: Path, tmp_path: Path) -> None:
    git(repository, "switch", "--quiet", "--create", "change")
    git(repository, "commit", "--quiet", "--allow-empty", "--message", "change")
    result = run("check", "checklist", repository, tmp_path)
    assert result.summary.endswith("\nNone.\n")
    assert "::notice title=Points of the checklist::none\n" in result.output


@pytest.mark.parametrize(("kind", "name", "text"), [("tag", "v1.2.0", "- now\n"), ("branch", "main", "- soon\n")])
def test_a_release_has_the_text_of_its_section(
    repository: Path, tmp_path: Path, kind: str, name: str, text: str
) -> None:
    result = run("release", "text", repository, tmp_path, GITHUB_REF_TYPE=kind, GITHUB_REF_NAME=name)
    assert result.success, result.output
    assert result.summary == text
    assert (tmp_path / "run/text/temp/text/notes.md").read_text() == text


def test_a_tag_of_another_version_stops_the_release(repository: Path, tmp_path: Path) -> None:
    result = run("release", "text", repository, tmp_path, GITHUB_REF_TYPE="tag", GITHUB_REF_NAME="v1.3.0")
    assert not result.success
    assert result.output == "::error::The tag is v1.3.0, but ccvm_tui/__init__.py has the version 1.2.0.\n"


def test_the_checksums_cover_all_artifacts(tmp_path: Path) -> None:
    uploaded = {}

    def download(job: Job, given: Mapping[str, str]) -> Mapping[str, str]:
        directory = job.workspace / given["path"]
        directory.mkdir(exist_ok=True)
        (directory / f"{given['name']}.file").write_text(given["name"])
        return {}

    def upload(job: Job, given: Mapping[str, str]) -> Mapping[str, str]:
        uploaded.update({path.name: path.read_text() for path in (job.workspace / given["path"]).iterdir()})
        return {}

    actions: dict[str, Action] = {"actions/download-artifact": download, "actions/upload-artifact": upload}
    workflow = Workflow(WORKFLOWS / "release.yml", actions)
    result = workflow.run(tmp_path / "run", {"PATH": os.environ["PATH"]}, {"github": {}}, only="collect")
    assert result.success, result.output
    names = ["bill", "guest", "python"]
    sums = "".join(f"{hashlib.sha256(name.encode()).hexdigest()}  {name}.file\n" for name in names)
    assert uploaded == {"SHA256SUMS": sums, **{f"{name}.file": name for name in names}}


@pytest.mark.parametrize("kind", ["PEM", "none"])
def test_the_index_is_signed_with_the_key_of_the_environment(tmp_path: Path, kind: str) -> None:
    """The program accepts the signature that openssl creates."""
    document = encode(Index(1, "1.2.0", "x86_64", Archive("a.tar.gz", 1, "0" * 64, "1" * 64)))
    uploaded: dict[str, bytes] = {}

    def download(job: Job, given: Mapping[str, str]) -> Mapping[str, str]:
        directory = job.workspace / given["path"]
        directory.mkdir()
        (directory / "a.index.json").write_bytes(document)
        (directory / "a.tar.gz").write_bytes(b"x")
        return {}

    def upload(job: Job, given: Mapping[str, str]) -> Mapping[str, str]:
        uploaded.update({path.name: path.read_bytes() for path in (job.workspace / given["path"]).iterdir()})
        return {}

    secret = ""
    if kind == "PEM":
        argv = ["openssl", "genpkey", "-algorithm", "ed25519"]
        secret = subprocess.run(argv, capture_output=True, check=True, text=True).stdout
    actions: dict[str, Action] = {"actions/download-artifact": download, "actions/upload-artifact": upload}
    contexts = {"github": {"ref_type": "tag"}, "secrets": {"IMAGE_SIGNING_KEY": secret}}
    workflow = Workflow(WORKFLOWS / "release.yml", actions)
    result = workflow.run(tmp_path / "run", {"PATH": os.environ["PATH"]}, contexts, only="sign")
    assert not (tmp_path / "run/sign/temp/key.pem").exists()
    if kind == "none":
        assert not result.success
        assert "IMAGE_SIGNING_KEY" in result.output
        return
    assert result.success, result.output
    assert list(uploaded) == ["a.index.json.sig"]
    public = origin("https://example.org/a.index.json", result.summary.split("`")[1])
    assert decode(document, uploaded["a.index.json.sig"], public.key, public.url).version == "1.2.0"


@pytest.mark.parametrize("damaged", [False, True])
def test_a_release_is_created_only_with_the_files_of_the_checksums(tmp_path: Path, *, damaged: bool) -> None:
    def download(job: Job, given: Mapping[str, str]) -> Mapping[str, str]:
        directory = job.workspace / given["path"]
        directory.mkdir()
        if given["name"] == "text":
            (directory / "notes.md").write_text("- now\n")
        elif given["name"] == "signature":
            (directory / "name.index.json.sig").write_bytes(b"signature")
        else:
            checksum = hashlib.sha256(b"wheel").hexdigest()
            (directory / "SHA256SUMS").write_text(f"{checksum}  name.whl\n")
            (directory / "name.whl").write_bytes(b"other" if damaged else b"wheel")
        return {}

    calls = tmp_path / "calls"
    program = tmp_path / "bin/gh"
    program.parent.mkdir()
    program.write_text('#!/bin/sh\nprintf "%s\\n" "$GH_TOKEN" "$GH_REPO" "$@" >"$CALLS"\n')
    program.chmod(0o755)
    environment = {"PATH": path_with(program.parent), "CALLS": str(calls), "GITHUB_REF_NAME": "v1.2.0"}
    contexts = {"github": {"ref_type": "tag", "token": "job-token", "repository": "owner/name"}}
    workflow = Workflow(WORKFLOWS / "release.yml", {"actions/download-artifact": download})
    result = workflow.run(tmp_path / "run", environment, contexts, only="release")
    assert result.success != damaged
    assert calls.exists() != damaged
    if not damaged:
        assert calls.read_text().split() == [
            "job-token", "owner/name", "release", "create", "v1.2.0", "--verify-tag", "--title", "v1.2.0",
            "--notes-file", "text/notes.md", "release/SHA256SUMS", "release/name.whl",
            "signature/name.index.json.sig",
        ]  # fmt: skip
