"""The host's checks look at the host, quickly, and say what to do."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from tiny_kernel import tiny_kernel

from ccvm_tui.image import Runtime
from ccvm_tui.machine import checks, damage
from ccvm_tui.machine.arch import host_arch
from ccvm_tui.machine.checks import Check
from ccvm_tui.machine.status import Status


@pytest.fixture(autouse=True)
def own_directories(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runtime = tmp_path / "run"
    runtime.mkdir(mode=0o700)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(runtime))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


async def found(kernel: Path | None = None, runtime: Runtime | None = None) -> dict[str, Check]:
    return {check.name: check for check in await checks.host(kernel, runtime=runtime)}


async def test_this_host_runs_guests_and_says_so_quickly(tmp_path: Path) -> None:
    began = time.monotonic()
    findings = await found()
    assert time.monotonic() - began < 5
    assert findings["machine"].status is Status.OK
    known = damage.worst(findings["qemu"].detail, emulated=findings["kvm"].status is not Status.OK)
    assert findings["qemu"].status is (known.status if known else Status.OK)
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
    for name in ("qemu", "machine type", "file sharing", "machine", "mmdebstrap", "mksquashfs", "infocmp"):
        assert findings[name].status is Status.FAIL, name
        assert findings[name].mend, name
    assert findings["agent"].status is Status.WARN


def fake_qemu(folder: Path, script: str) -> None:
    fake = folder / host_arch().qemu
    fake.write_text(f"#!/bin/sh\n{script}\n")
    fake.chmod(0o755)


async def test_a_host_without_qemu_is_well_with_a_runtime(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, runtime: Runtime
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    findings = await found(runtime=runtime)
    for name in ("qemu", "machine type", "file sharing", "machine"):
        assert findings[name].status is Status.OK, findings[name]
    assert "not installed: the runtime's is used" in findings["qemu"].detail


async def test_a_version_with_known_damage_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_qemu(tmp_path, "echo QEMU emulator version 4.2.1")
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    finding = (await found())["qemu"]
    assert finding.status is Status.FAIL
    assert "4.2.1" in finding.detail
    assert "ACPI" in finding.detail
    assert 'runtime = "own"' in finding.mend


async def test_the_hosts_damage_is_no_matter_with_a_runtime(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, runtime: Runtime
) -> None:
    fake_qemu(tmp_path, "echo QEMU emulator version 4.2.1")
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    findings = await found(runtime=runtime)
    assert findings["qemu"].status is Status.OK
    assert "4.2.1" in findings["qemu"].detail
    assert findings["machine"].status is Status.OK


async def test_a_qemu_that_does_not_start_machines_is_quoted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_qemu(tmp_path, "echo 'no such option' >&2\nexit 1")
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
