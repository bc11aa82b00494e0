"""A kernel that panics or stalls while a real guest starts: the first time the guest is restarted, then it is reported."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from ccvm_tui.client import connection, spawn
from ccvm_tui.client.ends import end_of
from ccvm_tui.guest import GuestInfo, GuestState
from ccvm_tui.image import Image
from ccvm_tui.keeper import vm
from ccvm_tui.keeper.guest_directory import GuestDirectory
from ccvm_tui.paths import GuestPaths
from ccvm_tui.protocol import Info, LaunchSpec
from tests.waiting import eventually

PANICKED = "the guest's kernel panicked during boot; the guest was restarted"


class WithoutInitrd:
    """A copy of an image whose initrd has the right size and time but contains zeros, until ``repair`` is called."""

    def __init__(self, image: Image, directory: Path) -> None:
        self.directory = directory
        self._sound = image.initrd
        shutil.copytree(image.directory, directory, copy_function=os.link)
        self._replace(lambda path: path.write_bytes(bytes(image.initrd.stat().st_size)))

    def repair(self) -> None:
        self._replace(lambda path: shutil.copyfile(self._sound, path))

    def _replace(self, write: Callable[[Path], object]) -> None:
        new, times = self.directory / "new", self._sound.stat()
        write(new)
        os.utime(new, ns=(times.st_atime_ns, times.st_mtime_ns))
        new.replace(self.directory / self._sound.name)


@pytest.fixture
def broken(image: Image) -> Iterator[WithoutInitrd]:
    place = image.directory.parent / f"test-{os.getpid()}"  # hard links need the same file system
    yield WithoutInitrd(image, place / image.digest)
    shutil.rmtree(place)


@pytest.fixture
def spec(home: Path, broken: WithoutInitrd) -> LaunchSpec:
    project = home / "project"
    project.mkdir()
    return LaunchSpec("panics", str(project), image=str(broken.directory), memory_mib=512, cores=1, linger=True)


async def until(keeper: connection.Keeper, condition: Callable[[GuestInfo], bool]) -> GuestInfo:
    async for event in keeper.events():
        if isinstance(event, Info) and condition(event.guest):
            return event.guest
    raise AssertionError("the connection to the keeper was lost")


async def test_a_guest_is_started_again_after_an_early_panic(spec: LaunchSpec, broken: WithoutInitrd) -> None:
    assert await spawn.launch(spec)
    async with await connection.connect(spec.name, events=True) as keeper:
        first = await until(keeper, lambda guest: any(phase.name == "kernel" for phase in guest.phases))
        broken.repair()  # QEMU has already read the broken one
        guest = await until(keeper, lambda guest: guest.state is GuestState.RUNNING)
    assert PANICKED in guest.warnings
    assert guest.qemu_pid != first.qemu_pid


async def test_a_kernel_that_always_panics_is_reported_with_its_console(spec: LaunchSpec) -> None:
    assert await spawn.launch(spec)
    async with await connection.connect(spec.name, events=True) as keeper:
        guest = await until(keeper, lambda guest: guest.state is GuestState.FAILED)
    assert guest.warnings.count(PANICKED) == 1
    await eventually(lambda: not GuestPaths(spec.name).dir.exists())
    end = end_of(spec.name)
    assert end is not None
    assert "the guest's kernel panicked" in end.reason
    assert "Kernel panic - not syncing" in end.console_tail


async def test_the_error_of_a_file_server_that_does_not_start_is_reported(home: Path, image: Image) -> None:
    spec = LaunchSpec("shareless", str(home / "gone"), image=str(image.directory), memory_mib=512, cores=1, linger=True)
    assert await spawn.launch(spec)
    await eventually(lambda: not GuestPaths(spec.name).dir.exists())
    end = end_of(spec.name)
    assert end is not None
    assert "the file server of the project did not start: FileNotFoundError" in end.reason


class Owner:
    """The owner of a guest, which stops its QEMU at the beginning of the first phase ``kernel``."""

    def __init__(self) -> None:
        self.guest: vm.VmGuest
        self.warnings: list[str] = []
        self.stopped = 0

    def begin_phase(self, name: str) -> None:
        if name == "kernel" and not self.stopped:
            self.stopped = self.guest.facts.qemu_pid
            os.kill(self.stopped, signal.SIGSTOP)

    def warn(self, text: str) -> None:
        self.warnings.append(text)

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *_: None


async def test_a_guest_whose_kernel_stalls_is_started_again(
    home: Path, image: Image, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vm, "STALL_TIMEOUT", 2.0)
    project = home / "project"
    project.mkdir()
    spec = LaunchSpec("stalls", str(project), image=str(image.directory), memory_mib=512, cores=1)
    paths, owner = GuestPaths(spec.name), Owner()
    directory = GuestDirectory(paths)
    owner.guest = guest = vm.VmGuest(spec, paths, owner)  # type: ignore[arg-type]
    try:
        await guest.boot()
        assert "the guest's kernel did not start within 2 s; the guest was restarted" in owner.warnings
        assert guest.facts.qemu_pid != owner.stopped
    finally:
        await guest.stop(force=True)
        directory.release()
    assert not psutil.pid_exists(owner.stopped)
