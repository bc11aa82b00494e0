"""The accelerator that a real guest runs on, and how it is reported."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ccvm_tui.client import listing
from ccvm_tui.image import Image
from ccvm_tui.machine import accel
from tests.guest.conftest import RealGuest, ccvm_tui
from tests.waiting import eventually

pytestmark = pytest.mark.unmeasured


def kvm_check() -> dict[str, Any]:
    """Return the result of the KVM check of ``doctor``."""
    checks = json.loads(ccvm_tui("doctor", "--json").stdout)["checks"]
    return next(check for check in checks if check["name"] == "kvm")


async def test_kvm_runs_guests_or_the_error_contains_the_reason(home: Path, image: Image) -> None:
    project = home / "project"
    project.mkdir()
    verdict = await accel.choose("auto", image.kernel)
    run = ccvm_tui("run", "--detach", "--shell", "--memory", "512", "--accel", "kvm", str(project))
    if verdict.accel == "kvm":
        assert run.returncode == 0, run.stderr
        assert listing.running()[0]["accel"] == "kvm"
        assert kvm_check()["status"] == "ok"
        return
    assert run.returncode == 4
    stderr = run.stderr.decode()
    assert f"KVM does not run guests here: {verdict.reason}" in stderr
    assert "--accel auto" in stderr
    await eventually(lambda: listing.names() == [])
    assert kvm_check()["status"] == "warn"
    assert verdict.reason in kvm_check()["detail"]


async def test_the_automatic_choice_is_reported_with_its_reason(spare: RealGuest, image: Image) -> None:
    verdict = await accel.choose("auto", image.kernel)
    assert spare.info["accel"] == verdict.accel
    assert spare.info["accel_reason"] == verdict.reason
    assert verdict.accel in kvm_check()["detail"]
    assert json.loads(ccvm_tui("ls", "--json").stdout)["guests"][0]["accel"] == verdict.accel
