"""KVM is used only after a kernel has printed its version on it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ccvm_tui.errors import AccelError
from ccvm_tui.machine import accel
from ccvm_tui.machine.accel import Verdict
from tests.machine.tiny_kernel import Then, tiny_kernel

BANNER = "[    0.000000] Linux version 6.12 (a test)\n"


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "ccvm"


@pytest.mark.parametrize("machine", ["microvm", "q35"])
async def test_a_kernel_that_prints_its_version_passes(tmp_path: Path, machine: str) -> None:
    kernel = tiny_kernel(tmp_path / "kernel", BANNER)
    assert await accel.probe("tcg", kernel, machine, deadline=20) is None


async def test_other_output_does_not_pass(tmp_path: Path) -> None:
    """Firmware may print too."""
    kernel = tiny_kernel(tmp_path / "kernel", "booting from ROM\n")
    failure = await accel.probe("tcg", kernel, deadline=1.5)
    assert failure == "the guest's kernel printed nothing within 2 s"


async def test_a_guest_that_exits_without_output_does_not_pass(tmp_path: Path) -> None:
    kernel = tiny_kernel(tmp_path / "kernel", "", Then.RESET)
    failure = await accel.probe("tcg", kernel, deadline=20)
    assert failure is not None
    assert "exited before" in failure


async def test_a_guest_that_prints_its_version_and_exits_passes(tmp_path: Path) -> None:
    kernel = tiny_kernel(tmp_path / "kernel", BANNER, Then.RESET)
    assert await accel.probe("tcg", kernel, deadline=20) is None


async def test_qemu_that_fails_to_start_is_quoted(tmp_path: Path) -> None:
    failure = await accel.probe("tcg", tmp_path / "missing", deadline=20)
    assert failure is not None
    assert failure.startswith("QEMU failed to start")
    assert "missing" in failure


async def test_a_probe_leaves_nothing_behind(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scratch = home / "tmp"
    scratch.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(scratch))
    await accel.probe("tcg", tiny_kernel(home / "kernel", BANNER), deadline=20)
    assert list(scratch.iterdir()) == []


def test_a_missing_or_inaccessible_device_is_not_tried(tmp_path: Path) -> None:
    device = tmp_path / "kvm"
    assert "does not exist" in (accel.kvm_obstacle(device) or "")
    device.touch(mode=0o600)
    assert accel.kvm_obstacle(device) is None
    device.chmod(0)
    if os.getuid() != 0:  # root can access every file
        assert "not accessible" in (accel.kvm_obstacle(device) or "")


async def test_tcg_needs_no_probe() -> None:
    assert await accel.choose("tcg", None) == Verdict("tcg", "requested")


async def test_auto_and_kvm_agree_on_this_host(tmp_path: Path) -> None:
    """On any host, ``auto`` finds an accelerator and gives the reason, and ``kvm`` does not contradict it."""
    kernel = tiny_kernel(tmp_path / "kernel", BANNER)
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
    """A device node that looks usable. QEMU still uses the real ``/dev/kvm``."""
    device = tmp_path / "kvm"
    device.touch(mode=0o600)
    monkeypatch.setattr(accel, "kvm_obstacle", lambda: None)
    return device


@pytest.mark.usefixtures("open_device")
async def test_a_verdict_is_cached_until_something_changes(tmp_path: Path, cache: Path) -> None:
    kernel = tiny_kernel(tmp_path / "kernel", BANNER)
    first = await accel.choose("auto", kernel)
    assert not first.cached
    again = await accel.choose("auto", None)
    assert (again.accel, again.reason, again.cached) == (first.accel, first.reason, True)
    assert not (await accel.choose("auto", kernel, fresh=True)).cached
    assert not (await accel.choose("auto", kernel, "q35")).cached

    file = cache / "accel-microvm.json"
    file.write_text(file.read_text().replace('"boot": "', '"boot": "another'))
    assert not (await accel.choose("auto", kernel)).cached


@pytest.mark.usefixtures("open_device")
@pytest.mark.parametrize("content", ["", "{", "[]", '{"circumstances": 1}', "\x00"])
async def test_a_corrupt_cache_file_is_ignored(cache: Path, content: str) -> None:
    cache.mkdir(parents=True)
    (cache / "accel-microvm.json").write_text(content)
    verdict = await accel.choose("auto", None)
    assert not verdict.cached
    assert "no guest image" in verdict.reason


@pytest.mark.usefixtures("open_device")
async def test_kvm_that_failed_a_guest_is_not_tried_again() -> None:
    accel.record_kvm_failure("the guest printed nothing")
    assert await accel.choose("auto", None) == Verdict("tcg", "the guest printed nothing", cached=True)
    with pytest.raises(AccelError, match="printed nothing"):
        await accel.choose("kvm", None)


@pytest.mark.usefixtures("open_device")
async def test_a_verdict_survives_an_unwritable_cache_without_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    accel.record_kvm_failure("x")
    assert not (await accel.choose("auto", None)).cached
