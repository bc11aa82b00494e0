"""The workflows keep the rules of the project, besides those that actionlint and zizmor check."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
WORKFLOWS = sorted((ROOT / ".github/workflows").glob("*.yml"))
PINNED = re.compile(r"[\w.-]+/[\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+")

workflow = pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)


def jobs(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(path.read_text())["jobs"]
    return found


def steps(path: Path) -> list[dict[str, Any]]:
    return [step for job in jobs(path).values() for step in job["steps"]]


def test_all_workflows_are_examined() -> None:
    assert [path.stem for path in WORKFLOWS] == ["boot", "check", "flake-update", "pages", "release"]


@workflow
def test_actions_are_pinned_by_commit_with_the_version_beside_it(path: Path) -> None:
    used = re.findall(r"uses: (.*)", path.read_text())
    assert used
    assert [item for item in used if not PINNED.fullmatch(item)] == []


def test_an_action_has_the_same_commit_everywhere() -> None:
    used = {item for path in WORKFLOWS for item in re.findall(r"uses: (.*)", path.read_text())}
    assert len({item.partition("@")[0] for item in used}) == len(used)


@workflow
def test_jobs_have_a_time_limit_and_the_permissions_that_they_name(path: Path) -> None:
    table = yaml.safe_load(path.read_text())
    assert table["permissions"] == {}
    assert table["concurrency"]["group"]
    for name, job in jobs(path).items():
        assert 1 <= job["timeout-minutes"] <= 90, name
        assert job["permissions"], name
        assert job["runs-on"].startswith("ubuntu-2"), name


@workflow
def test_no_checkout_keeps_its_credentials(path: Path) -> None:
    for step in steps(path):
        if step.get("uses", "").startswith("actions/checkout@"):
            assert step["with"]["persist-credentials"] is False


@workflow
def test_scripts_of_the_repository_that_are_run_exist(path: Path) -> None:
    commands = "\n".join(step.get("run", "") for step in steps(path))
    for script in re.findall(r"(?<![\w./])\.(?:/|github/|ci/)[\w-]+", commands):
        assert os.access(ROOT / script, os.X_OK), script


def test_writing_permissions_are_those_of_publication() -> None:
    writing = {
        f"{path.stem}/{name}: {scope}"
        for path in WORKFLOWS
        for name, job in jobs(path).items()
        for scope, level in job["permissions"].items()
        if level != "read"
    }
    assert writing == {
        "pages/deploy: pages",
        "pages/deploy: id-token",
        "release/attest: attestations",
        "release/attest: id-token",
        "release/publish: id-token",
        "release/release: contents",
    }


def test_secrets_are_seen_only_by_the_action_for_tokens_and_the_step_that_signs() -> None:
    text = "".join(path.read_text() for path in WORKFLOWS)
    assert re.findall(r"(.*)\$\{\{ secrets\.(.*) \}\}", text) == [
        ("          HAS_PRIVATE_KEY: ", "APP_PRIVATE_KEY != ''"),
        ("          private-key: ", "APP_PRIVATE_KEY"),
        ("          IMAGE_SIGNING_KEY: ", "IMAGE_SIGNING_KEY"),
    ]
    assert jobs(ROOT / ".github/workflows/release.yml")["sign"]["environment"] == "signing"


@pytest.mark.parametrize("name", ["bug", "feature", "config"])
def test_issue_forms_are_valid(name: str) -> None:
    form = yaml.safe_load((ROOT / f".github/ISSUE_TEMPLATE/{name}.yml").read_text())
    if name == "config":
        assert form["contact_links"][0]["url"].endswith("/security/advisories/new")
        return
    assert {"name", "description", "body"} <= form.keys()
    ids = [item["id"] for item in form["body"]]
    assert len(set(ids)) == len(ids)
    assert all(item["attributes"]["label"] for item in form["body"])


def test_the_form_for_bugs_asks_for_the_output_of_doctor() -> None:
    form = yaml.safe_load((ROOT / ".github/ISSUE_TEMPLATE/bug.yml").read_text())
    (doctor,) = [item for item in form["body"] if "ccvm-tui doctor" in item["attributes"]["label"]]
    assert doctor["validations"]["required"] is True


def test_the_workflow_of_the_weekly_update_never_merges() -> None:
    text = (ROOT / ".github/workflows/flake-update.yml").read_text()
    assert not re.search(r"gh pr (merge|review)|--auto|--admin", text)
