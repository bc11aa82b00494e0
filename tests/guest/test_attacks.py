"""The attacks of the playbook fail in a real guest, and the tests that it names exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.guest.conftest import RealGuest

pytestmark = pytest.mark.unmeasured

ROOT = Path(__file__).parents[2]
PLAYBOOK = (ROOT / "docs/attacks.md").read_text()
ATTACKS = re.findall(r"\n([^\n]+)\n\n```bash\n(.*?)```\n", PLAYBOOK, re.DOTALL)


def test_the_playbook_is_read() -> None:
    assert len(ATTACKS) == PLAYBOOK.count("```bash") >= 7


@pytest.mark.parametrize("script", [script for _, script in ATTACKS], ids=[title[:40] for title, _ in ATTACKS])
def test_an_attack_fails(guest: RealGuest, script: str) -> None:
    before = sorted(guest.project.iterdir())
    done = guest.run("bash", "-euxo", "pipefail", "-c", script)
    assert done.returncode == 0, (done.stdout + done.stderr).decode()
    assert sorted(guest.project.iterdir()) == before


@pytest.mark.parametrize("script", ["cat hello.txt || exit 1\n! cat hello.txt || exit 1", "! true || exit 1\ntrue"])
def test_an_attack_that_succeeds_is_noticed(guest: RealGuest, script: str) -> None:
    assert guest.run("bash", "-euo", "pipefail", "-c", script).returncode == 1


def test_the_tests_that_the_playbook_names_exist() -> None:
    named = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", PLAYBOOK)
    assert len(named) >= 9
    for file, name in named:
        assert re.search(rf"^(async )?def {name}\(", (ROOT / file).read_text(), re.MULTILINE), (file, name)
