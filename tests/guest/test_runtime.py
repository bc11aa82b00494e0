"""Guests that run on a runtime's QEMU, on hosts with and without a QEMU."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

from ccvm_tui.image import Image, Runtime
from ccvm_tui.machine.arch import host_arch
from tests.guest.conftest import RealGuest, Starter, ccvm_tui

pytestmark = pytest.mark.unmeasured


def mapped(guest: RealGuest) -> set[Path]:
    """Return the files of this host that QEMU has mapped."""
    lines = Path(f"/proc/{guest.qemu.pid}/maps").read_text().splitlines()
    named = {line.split(maxsplit=5)[5] for line in lines if len(line.split(maxsplit=5)) == 6}
    return {Path(name) for name in named if name.startswith("/") and not name.startswith(("/dev/", "/memfd:"))}


def assert_runs_on(guest: RealGuest, image: Image, runtime: Runtime) -> None:
    files = mapped(guest)
    assert runtime.program in files
    allowed = (runtime.directory, image.directory)
    assert [path for path in files if not any(path.is_relative_to(place) for place in allowed)] == []
    (guest.project / "from the host").write_text("hello\n")
    assert guest.sh("cat 'from the host'; echo hello again > 'from the guest'") == "hello\n"
    assert (guest.project / "from the guest").read_text() == "hello again\n"
    assert runtime.in_use
    refused = ccvm_tui("image", "rm", runtime.digest)
    assert refused.returncode == 4
    assert b"a running guest uses the runtime" in refused.stderr


def test_a_guest_runs_on_a_host_without_qemu(
    home: Path, image: Image, runtime: Runtime, own_guest: Starter, monkeypatch: pytest.MonkeyPatch
) -> None:
    programs = home / "bin"
    programs.mkdir()
    for name in ("infocmp", "setsid"):
        if found := shutil.which(name):
            (programs / name).symlink_to(found)
    monkeypatch.setenv("PATH", str(programs))
    assert shutil.which(host_arch().qemu) is None
    guest = own_guest("--machine", "q35")
    assert os.getsid(guest.qemu.pid) == guest.qemu.pid
    assert_runs_on(guest, image, runtime)
    checks = {check["name"]: check for check in json.loads(ccvm_tui("doctor", "--json").stdout)["checks"]}
    assert checks["runtime"]["status"] == "ok"
    assert runtime.version in checks["runtime"]["detail"]
    assert "the runtime's is used" in checks["qemu"]["detail"]
    assert ccvm_tui("stop", "--yes", guest.name).returncode == 0
    assert not runtime.in_use
