"""Which accelerator a real guest runs on, and how one is told."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ccvm_tui.client import listing
from ccvm_tui.image import Image
from ccvm_tui.machine import accel
from tests.guest.conftest import RealGuest, ccvm_tui
from tests.terminals import eventually


def about_kvm() -> dict[str, Any]:
    """What ``doctor`` says."""
    checks = json.loads(ccvm_tui("doctor", "--json").stdout)["checks"]
    return next(check for check in checks if check["name"] == "kvm")


async def test_kvm_runs_guests_or_says_why_not(home: Path, image: Image) -> None:
    project = home / "project"
    project.mkdir()
    verdict = await accel.choose("auto", image.kernel)
    asked = ccvm_tui("run", "--detach", "--shell", "--memory", "512", "--accel", "kvm", str(project))
    if verdict.accel == "kvm":
        assert asked.returncode == 0, asked.stderr
        assert listing.running()[0]["accel"] == "kvm"
        assert about_kvm()["status"] == "ok"
        return
    assert asked.returncode == 4
    said = asked.stderr.decode()
    assert f"KVM does not run guests here: {verdict.reason}" in said
    assert "--accel auto" in said
    await eventually(lambda: listing.names() == [])
    assert about_kvm()["status"] == "warn"
    assert verdict.reason in about_kvm()["detail"]


async def test_automatic_choice_is_told_with_its_reason(spare: RealGuest, image: Image) -> None:
    verdict = await accel.choose("auto", image.kernel)
    assert spare.info["accel"] == verdict.accel
    assert spare.info["accel_reason"] == verdict.reason
    assert verdict.accel in about_kvm()["detail"]
    assert json.loads(ccvm_tui("ls", "--json").stdout)["guests"][0]["accel"] == verdict.accel
