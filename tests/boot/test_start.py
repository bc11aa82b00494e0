"""The start of guests and sessions, with keepers that have no virtual machine."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from ccvm_tui.boot import images
from ccvm_tui.boot.start import Event, GuestChanged, ImageBuilding, KeeperStarting, Ready, Request, start
from ccvm_tui.client import listing
from ccvm_tui.config import Settings
from ccvm_tui.errors import ImageError, UserError
from ccvm_tui.guest import SessionKind
from ccvm_tui.image import Progress
from ccvm_tui.protocol import LaunchSpec, SessionSpec

NAME = "boot-1"
CAT = SessionSpec(SessionKind.COMMAND, ("cat",), detached=True)
PROGRESS = Progress("download", 0.1, 5.0)

Report = Callable[[Progress], None]


def request_for(project: Path, session: SessionSpec | None = CAT, *, read_only: bool = False) -> Request:
    spec = LaunchSpec(NAME, str(project), linger=True, read_only=read_only)
    return Request(spec, Settings(), session, agent_wanted=False)


@pytest.fixture
def project(home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project whose guests need no image: their sessions run on this machine."""

    def provide(spec: LaunchSpec, _settings: object, report: Report, *_: object, **__: object) -> LaunchSpec:
        report(PROGRESS)
        return spec

    monkeypatch.setattr(images, "provide", provide)
    path = home / "project"
    path.mkdir()
    return path


async def events_of(request: Request) -> list[Event]:
    async with start(request) as events:
        return [event async for event in events]


async def test_a_guest_is_started_and_then_joined(project: Path) -> None:
    first = await events_of(request_for(project))
    assert first[:2] == [ImageBuilding(PROGRESS), KeeperStarting()]
    assert any(isinstance(event, GuestChanged) for event in first)
    assert first[-1] == Ready("s1", started=True)
    second = await events_of(request_for(project))
    assert not any(isinstance(event, ImageBuilding | KeeperStarting) for event in second)
    assert second[-1] == Ready("s2", started=False)


async def test_a_guest_is_started_without_a_session(project: Path) -> None:
    assert (await events_of(request_for(project, None)))[-1] == Ready("", started=True)
    assert listing.ask_once(NAME)["sessions"] == []


async def test_two_starts_at_once_make_one_guest(project: Path) -> None:
    both = await asyncio.gather(events_of(request_for(project)), events_of(request_for(project)))
    ends = [events[-1] for events in both]
    assert sorted(end.session for end in ends if isinstance(end, Ready)) == ["s1", "s2"]
    assert sorted(end.started for end in ends if isinstance(end, Ready)) == [False, True]


async def test_an_unsuitable_guest_is_not_joined(project: Path, home: Path) -> None:
    await events_of(request_for(project))
    with pytest.raises(UserError, match="another project"):
        await events_of(request_for(home))
    with pytest.raises(UserError, match="can write to the project"):
        await events_of(request_for(project, read_only=True))


@pytest.mark.parametrize("last", [KeeperStarting, GuestChanged, Ready])
async def test_a_start_that_is_abandoned_stops_its_guest(project: Path, last: type) -> None:
    async with start(request_for(project)) as events:
        async for event in events:
            if isinstance(event, last):
                break
    assert listing.names() == []


async def test_a_cancelled_start_stops_its_guest(project: Path) -> None:
    reached = asyncio.Event()

    async def run() -> None:
        async with start(request_for(project)) as events:
            async for event in events:
                if isinstance(event, KeeperStarting):
                    reached.set()

    running = asyncio.create_task(run())
    await reached.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert listing.names() == []


async def test_a_cancelled_start_leaves_a_guest_that_it_has_joined(project: Path) -> None:
    await events_of(request_for(project))
    async with start(request_for(project)) as events:
        async for _ in events:
            break
    assert listing.names() == [NAME]


async def test_cancellation_ends_the_build_of_an_image(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cancelled = threading.Event()

    def provide(_spec: object, _settings: object, report: Report, cancel: threading.Event, **_: object) -> LaunchSpec:
        report(PROGRESS)
        if cancel.wait(10):
            cancelled.set()
        raise ImageError("the build was cancelled")

    monkeypatch.setattr(images, "provide", provide)
    async with start(request_for(project)) as events:
        async for event in events:
            assert event == ImageBuilding(PROGRESS)
            break
    assert cancelled.is_set()


async def test_an_image_that_cannot_be_built_is_reported(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def provide(*_: object, **__: object) -> LaunchSpec:
        raise ImageError("the disk is full")

    monkeypatch.setattr(images, "provide", provide)
    with pytest.raises(ImageError, match="the disk is full"):
        await events_of(request_for(project))
    assert listing.names() == []
