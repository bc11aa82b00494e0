"""The boot test for contributors, ``tests/boot.sh``, passes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.guest.conftest import COMMAND

pytestmark = pytest.mark.unmeasured

SCRIPT = Path(__file__).parents[1] / "boot.sh"


@pytest.mark.usefixtures("image")
def test_the_boot_script_passes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "ccvm-tui"
    program.write_text(f'#!/bin/sh\nexec {" ".join(COMMAND)} "$@"\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{Path(sys.executable).parent}:/usr/bin:/bin:/usr/sbin:/sbin")
    done = subprocess.run([SCRIPT], capture_output=True, text=True, check=False, timeout=280)
    lines = done.stdout.splitlines()
    assert [line for line in lines if line.startswith("FAILED")] == [], done.stdout
    assert lines[-1].endswith(" passed, 0 failed")
    assert int(lines[-1].split()[0]) >= 40
    assert done.returncode == 0
