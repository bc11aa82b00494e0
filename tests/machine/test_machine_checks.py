"""The host's checks look at the host, quickly, and say what to do."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from tiny_kernel import tiny_kernel

from ccvm_tui.machine import checks
from ccvm_tui.machine.checks import Check
from ccvm_tui.machine.status import Status


@pytest.fixture(autouse=True)
def own_directories(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runtime = tmp_path / "run"
    runtime.mkdir(mode=0o700)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(runtime))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


async def found(kernel: Path | None = None) -> dict[str, Check]:
    return {check.name: check for check in await checks.host(kernel)}


async def test_this_host_runs_guests_and_says_so_quickly(tmp_path: Path) -> None:
    began = time.monotonic()
    findings = await found()
    assert time.monotonic() - began < 5
    assert findings["machine"].status is Status.OK
    assert findings["qemu"].status is Status.OK
    assert "QEMU emulator" in findings["qemu"].detail
    assert findings["machine type"].status is Status.OK
    assert all(check.mend for check in findings.values() if check.status is not Status.OK)


async def test_kvm_gets_a_verdict_with_a_reason(tmp_path: Path) -> None:
    kvm = (await found(tiny_kernel(tmp_path / "kernel", "Linux version 1\n")))["kvm"]
    assert kvm.status in (Status.OK, Status.WARN)
    assert kvm.detail


async def test_a_host_without_programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    findings = await found()
    for name in ("qemu", "machine type", "machine", "mmdebstrap", "mksquashfs", "infocmp"):
        assert findings[name].status is Status.FAIL, name
        assert findings[name].mend, name
    assert findings["agent"].status is Status.WARN


async def test_a_qemu_that_does_not_start_machines_is_quoted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake = tmp_path / "qemu-system-x86_64"
    fake.write_text("#!/bin/sh\necho 'no such option' >&2\nexit 1\n")
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    findings = await found()
    assert findings["machine"].status is Status.FAIL
    assert "no such option" in findings["machine"].detail
    assert findings["machine type"].status is Status.FAIL


async def test_a_runtime_directory_that_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", "/nowhere")
    finding = (await found())["runtime directory"]
    assert finding.status is Status.FAIL
    assert "/nowhere" in finding.detail
