"""The checks of the host are quick and report how to fix what is missing."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from ccvm_tui.image import Runtime
from ccvm_tui.machine import diagnostics, qemu_issues
from ccvm_tui.machine.arch import host_arch
from ccvm_tui.machine.check import Check
from ccvm_tui.machine.status import Status
from tests.machine.tiny_kernel import tiny_kernel


@pytest.fixture(autouse=True)
def own_directories(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runtime = tmp_path / "run"
    runtime.mkdir(mode=0o700)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(runtime))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


async def found(kernel: Path | None = None, runtime: Runtime | None = None) -> dict[str, Check]:
    return {check.name: check for check in await diagnostics.check_host(kernel, runtime=runtime)}


async def test_this_host_passes_within_seconds() -> None:
    began = time.monotonic()
    findings = await found()
    assert time.monotonic() - began < 5
    assert findings["machine"].status is Status.OK
    issue = qemu_issues.worst_issue(findings["qemu"].detail, emulated=findings["kvm"].status is not Status.OK)
    assert findings["qemu"].status is (issue.status if issue else Status.OK)
    assert "QEMU emulator" in findings["qemu"].detail
    assert findings["machine type"].status is Status.OK
    assert all(check.fix for check in findings.values() if check.status is not Status.OK)


async def test_the_verdict_on_kvm_has_a_reason(tmp_path: Path) -> None:
    kvm = (await found(tiny_kernel(tmp_path / "kernel", "Linux version 1\n")))["kvm"]
    assert kvm.status in (Status.OK, Status.WARN)
    assert kvm.detail


async def test_missing_programs_are_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    findings = await found()
    for name in ("qemu", "machine type", "file sharing", "machine", "mmdebstrap", "mksquashfs", "infocmp"):
        assert findings[name].status is Status.FAIL, name
        assert findings[name].fix, name
    assert findings["agent"].status is Status.WARN


def fake_qemu(folder: Path, script: str) -> None:
    fake = folder / host_arch().qemu
    fake.write_text(f"#!/bin/sh\n{script}\n")
    fake.chmod(0o755)


async def test_a_host_without_qemu_passes_with_a_runtime(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, runtime: Runtime
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    findings = await found(runtime=runtime)
    for name in ("qemu", "machine type", "file sharing", "machine"):
        assert findings[name].status is Status.OK, findings[name]
    assert "not installed: the runtime's is used" in findings["qemu"].detail


async def test_a_version_with_a_known_issue_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_qemu(tmp_path, "echo QEMU emulator version 4.2.1")
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    finding = (await found())["qemu"]
    assert finding.status is Status.FAIL
    assert "4.2.1" in finding.detail
    assert "ACPI" in finding.detail
    assert 'runtime = "own"' in finding.fix


async def test_issues_of_the_hosts_qemu_do_not_matter_with_a_runtime(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, runtime: Runtime
) -> None:
    fake_qemu(tmp_path, "echo QEMU emulator version 4.2.1")
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    findings = await found(runtime=runtime)
    assert findings["qemu"].status is Status.OK
    assert "4.2.1" in findings["qemu"].detail
    assert findings["machine"].status is Status.OK


async def test_a_qemu_that_cannot_start_machines_is_quoted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_qemu(tmp_path, "echo 'no such option' >&2\nexit 1")
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    findings = await found()
    assert findings["machine"].status is Status.FAIL
    assert "no such option" in findings["machine"].detail
    assert findings["machine type"].status is Status.FAIL


async def test_a_missing_runtime_directory_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", "/nowhere")
    finding = (await found())["runtime directory"]
    assert finding.status is Status.FAIL
    assert "/nowhere" in finding.detail
