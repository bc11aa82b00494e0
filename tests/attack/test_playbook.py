"""The attacks of the playbook fail in a real guest, and the tests that the documents name exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.attack.conftest import AttackedGuest

pytestmark = pytest.mark.unmeasured

ROOT = Path(__file__).parents[2]
PLAYBOOK = (ROOT / "docs/attacks.md").read_text()
NAMED = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")
ATTACKS = re.findall(r"\n([^\n]+)\n\n```bash\n(.*?)```\n", PLAYBOOK, re.DOTALL)


def test_the_playbook_is_read() -> None:
    assert len(ATTACKS) == PLAYBOOK.count("```bash") >= 7


@pytest.mark.attack
@pytest.mark.parametrize("script", [script for _, script in ATTACKS], ids=[title[:40] for title, _ in ATTACKS])
def test_an_attack_fails(victim: AttackedGuest, script: str) -> None:
    before = sorted(victim.project.iterdir())
    done = victim.run("bash", "-euxo", "pipefail", "-c", script)
    assert done.returncode == 0, (done.stdout + done.stderr).decode()
    assert sorted(victim.project.iterdir()) == before


@pytest.mark.parametrize("script", ["cat hello.txt || exit 1\n! cat hello.txt || exit 1", "! true || exit 1\ntrue"])
def test_an_attack_that_succeeds_is_noticed(victim: AttackedGuest, script: str) -> None:
    assert victim.run("bash", "-euo", "pipefail", "-c", script).returncode == 1


@pytest.mark.parametrize(
    "page", ["docs/security.md", "docs/attacks.md", "SECURITY.md", "docs/egress.md", "docs/guard.md"]
)
def test_the_tests_that_a_document_names_exist(page: str) -> None:
    for file, name in NAMED.findall((ROOT / page).read_text()):
        assert re.search(rf"^(async )?def {name}\(", (ROOT / file).read_text(), re.MULTILINE), (file, name)


def test_each_promise_names_a_test() -> None:
    """Each item in the list of promises has at least one."""
    section = (ROOT / "docs/security.md").read_text().split("\n## What holds\n")[1].split("\n## ")[0]
    promises = re.split(r"\n- ", section)[1:]
    assert len(promises) > 30
    assert [promise for promise in promises if not NAMED.search(promise)] == []


def test_the_playbook_lists_all_files_with_attacks() -> None:
    marked = re.compile(r"pytest\.mark\.attack\b")
    files = {
        str(file.relative_to(ROOT)) for file in (ROOT / "tests").rglob("test_*.py") if marked.search(file.read_text())
    }
    assert files - {"tests/attack/test_playbook.py"} == set(re.findall(r"`(tests/[\w/]+\.py)`", PLAYBOOK))
