"""KVM is trusted after a kernel has spoken on it, and not before."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from tiny_kernel import Then, tiny_kernel

from ccvm_tui.errors import AccelError
from ccvm_tui.machine import accel
from ccvm_tui.machine.accel import Verdict

SPEAKS = "[    0.000000] Linux version 6.12 (a test)\n"


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "ccvm"


@pytest.mark.parametrize("machine", ["microvm", "q35"])
async def test_a_kernel_that_speaks_is_proof(tmp_path: Path, machine: str) -> None:
    kernel = tiny_kernel(tmp_path / "kernel", SPEAKS)
    assert await accel.probe("tcg", kernel, machine, deadline=20) is None


async def test_a_byte_is_no_proof(tmp_path: Path) -> None:
    """Firmware may print too."""
    kernel = tiny_kernel(tmp_path / "kernel", "booting from ROM\n")
    failure = await accel.probe("tcg", kernel, deadline=1.5)
    assert failure == "the guest showed no sign of life within 2 s"


async def test_a_guest_that_ends_without_a_word(tmp_path: Path) -> None:
    kernel = tiny_kernel(tmp_path / "kernel", "", Then.RESET)
    failure = await accel.probe("tcg", kernel, deadline=20)
    assert failure is not None
    assert "ended before" in failure


async def test_a_guest_that_speaks_and_ends_at_once_is_proof(tmp_path: Path) -> None:
    kernel = tiny_kernel(tmp_path / "kernel", SPEAKS, Then.RESET)
    assert await accel.probe("tcg", kernel, deadline=20) is None


async def test_qemu_that_gives_up_is_quoted(tmp_path: Path) -> None:
    failure = await accel.probe("tcg", tmp_path / "missing", deadline=20)
    assert failure is not None
    assert failure.startswith("QEMU gave up")
    assert "missing" in failure


async def test_a_probe_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scratch = tmp_path / "tmp"
    scratch.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(scratch))
    await accel.probe("tcg", tiny_kernel(tmp_path / "kernel", SPEAKS), deadline=20)
    assert list(scratch.iterdir()) == []


def test_a_device_that_is_not_there_or_closed_is_not_tried(tmp_path: Path) -> None:
    device = tmp_path / "kvm"
    assert "does not exist" in (accel.device_obstacle(device) or "")
    device.touch(mode=0o600)
    assert accel.device_obstacle(device) is None
    device.chmod(0)
    if os.getuid() != 0:  # for root every file is accessible
        assert "not accessible" in (accel.device_obstacle(device) or "")


async def test_tcg_needs_no_proof() -> None:
    assert await accel.choose("tcg", None) == Verdict("tcg", "asked for")


async def test_auto_and_kvm_agree_on_this_host(tmp_path: Path) -> None:
    """Whatever this host can do: ``auto`` finds it out, gives the reason, and ``kvm`` does not contradict it."""
    kernel = tiny_kernel(tmp_path / "kernel", SPEAKS)
    verdict = await accel.choose("auto", kernel)
    assert verdict.reason
    if verdict.accel == "kvm":
        assert (await accel.choose("kvm", kernel)).accel == "kvm"
    else:
        with pytest.raises(AccelError) as caught:
            await accel.choose("kvm", kernel)
        assert verdict.reason in caught.value.message
        assert "--accel tcg" in caught.value.hint


@pytest.fixture
def open_device(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A device node that looks usable; QEMU behind it is the real one and knows only the real device."""
    device = tmp_path / "kvm"
    device.touch(mode=0o600)
    monkeypatch.setattr(accel, "device_obstacle", lambda: None)
    return device


async def test_a_verdict_is_remembered_until_something_changes(tmp_path: Path, open_device: Path, cache: Path) -> None:
    kernel = tiny_kernel(tmp_path / "kernel", SPEAKS)
    first = await accel.choose("auto", kernel)
    assert not first.cached
    again = await accel.choose("auto", None)
    assert (again.accel, again.reason, again.cached) == (first.accel, first.reason, True)
    assert not (await accel.choose("auto", kernel, fresh=True)).cached
    assert not (await accel.choose("auto", kernel, "q35")).cached

    kept = cache / "accel-microvm.json"
    kept.write_text(kept.read_text().replace('"boot": "', '"boot": "another'))
    assert not (await accel.choose("auto", kernel)).cached


@pytest.mark.parametrize("content", ["", "{", "[]", '{"circumstances": 1}', "\x00"])
async def test_a_damaged_memory_is_no_memory(open_device: Path, cache: Path, content: str) -> None:
    cache.mkdir(parents=True)
    (cache / "accel-microvm.json").write_text(content)
    verdict = await accel.choose("auto", None)
    assert not verdict.cached
    assert "no guest image" in verdict.reason


async def test_kvm_that_failed_a_guest_is_not_tried_again(open_device: Path) -> None:
    accel.distrust("the guest showed no life")
    assert await accel.choose("auto", None) == Verdict("tcg", "the guest showed no life", cached=True)
    with pytest.raises(AccelError, match="no life"):
        await accel.choose("kvm", None)


async def test_a_cache_that_cannot_be_written_costs_only_the_memory(
    open_device: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    accel.distrust("x")
    assert not (await accel.choose("auto", None)).cached
