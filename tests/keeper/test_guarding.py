"""The reports of the guard become items of the quarantine and events, and users allow them with a request."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from ccvm_tui.errors import UserError
from ccvm_tui.guard.quarantine import ALLOWED, Quarantine
from ccvm_tui.guard.report import Report
from ccvm_tui.keeper.guarding import Guarding
from ccvm_tui.paths import state_dir
from ccvm_tui.protocol import Happened
from tests.conftest import Launch

HOOK = Report(".git/hooks/pre-push", "hook", "Git runs hooks", ("program x",), True, b"#!/bin/sh\n", complete=True)


def noticed(path: str) -> Report:
    return Report(path, "tool", "an editor runs it", ("version y",), False)


async def events_of(*reports: Report) -> list[Happened]:
    """Return the events that are recorded for reports that arrive together."""
    events: list[Happened] = []
    recorded = asyncio.Event()

    def record(event: Happened) -> None:
        events.append(event)
        recorded.set()

    guarding = Guarding("project-1234", "/project", record)
    for report in reports:
        guarding.handle(report)
    async with asyncio.timeout(10):
        await recorded.wait()
    return events


async def test_one_report_is_one_item_and_one_event(home: Path) -> None:  # noqa: ARG001 - the state directory
    (event,) = await events_of(HOOK)
    assert event.kind == "guard"
    assert event.text == (
        "blocked a change of .git/hooks/pre-push: program x. Git runs hooks; see `ccvm-tui guard project-1234`"
    )
    (item,) = Quarantine("project-1234").items()
    assert (item.path, item.project) == (".git/hooks/pre-push", "/project")


async def test_reports_that_arrive_together_are_one_event_for_each_state(home: Path) -> None:  # noqa: ARG001
    events = await events_of(*(noticed(f"{number}/.envrc") for number in range(5)), HOOK)
    assert [event.text.partition(":")[0] for event in events] == [
        "the guest has changed 0/.envrc, 1/.envrc, 2/.envrc and 2 more files; see `ccvm-tui guard project-1234`",
        "blocked a change of .git/hooks/pre-push",
    ]
    assert len(Quarantine("project-1234").items()) == 6


async def test_a_report_that_cannot_be_kept_is_still_an_event(home: Path) -> None:  # noqa: ARG001
    state_dir().mkdir(parents=True, exist_ok=True)
    (state_dir() / "guard").write_text("not a directory")
    (event,) = await events_of(HOOK)
    assert ".git/hooks/pre-push" in event.text


async def test_a_client_allows_an_item(local: Launch, home: Path) -> None:
    keeper = await local("cat")
    (home / "project/.git/hooks").mkdir(parents=True)
    quarantine = Quarantine(keeper.name)
    item = quarantine.add(HOOK, str(home / "project"), 1.0)
    assert "is written" in await keeper.allow_guarded(item.id)
    assert (home / "project/.git/hooks/pre-push").read_bytes() == b"#!/bin/sh\n"
    assert quarantine.item(item.id).state == ALLOWED
    with pytest.raises(UserError, match="no item"):
        await keeper.allow_guarded("99")
