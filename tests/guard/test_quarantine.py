"""The changes that the guard has blocked or noticed: kept, limited, and put into the project when the user allows it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ccvm_tui.errors import UserError
from ccvm_tui.guard.checks import version
from ccvm_tui.guard.install import allow
from ccvm_tui.guard.quarantine import ALLOWED, BLOCKED, ITEMS_MAX, NOTICED, Quarantine
from ccvm_tui.guard.report import Report, decode, encode

HOOK = Report(".git/hooks/pre-push", "hook", "Git runs hooks", ("program x",), True, b"#!/bin/sh\n", complete=True)


@pytest.fixture
def project(home: Path) -> Path:
    path = home / "project"
    (path / ".git/hooks").mkdir(parents=True)
    return path


@pytest.fixture
def quarantine(home: Path) -> Quarantine:  # noqa: ARG001 - the state directory
    return Quarantine("project-1234")


def test_items_are_private_and_not_executable(quarantine: Quarantine, project: Path) -> None:
    item = quarantine.add(HOOK, str(project), 1.0)
    assert (item.state, quarantine.items(), quarantine.content(item)) == (BLOCKED, [item], b"#!/bin/sh\n")
    assert quarantine.directory.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in quarantine.directory.iterdir()} == {0o600}


def test_the_number_of_items_is_limited(quarantine: Quarantine) -> None:
    for number in range(ITEMS_MAX + 5):
        quarantine.add(HOOK, "/p", float(number))
    items = quarantine.items()
    assert (len(items), items[0].id, items[-1].id) == (ITEMS_MAX, "6", str(ITEMS_MAX + 5))
    assert len(list(quarantine.directory.iterdir())) == 2 * ITEMS_MAX


def test_names_need_not_be_utf8(quarantine: Quarantine) -> None:
    report = Report(os.fsdecode(b"\xff/.envrc"), "tool", "", ("x",), False)
    item = quarantine.add(decode(encode(report)), "/p", 1.0)
    assert (os.fsencode(item.path), item.state) == (b"\xff/.envrc", NOTICED)
    assert quarantine.items() == [item]


def test_an_allowed_hook_is_written_and_executable(quarantine: Quarantine, project: Path) -> None:
    item = quarantine.add(HOOK, str(project), 1.0)
    assert "is written" in allow(quarantine.guest, item.id)
    hook = project / ".git/hooks/pre-push"
    assert hook.read_bytes() == b"#!/bin/sh\n"
    assert hook.stat().st_mode & 0o111
    assert quarantine.item(item.id).state == ALLOWED


def test_a_file_that_has_changed_since_is_kept(quarantine: Quarantine, project: Path) -> None:
    (project / ".git/hooks/pre-push").write_text("mine")
    item = quarantine.add(HOOK, str(project), 1.0)
    with pytest.raises(UserError, match="has changed"):
        allow(quarantine.guest, item.id)
    assert (project / ".git/hooks/pre-push").read_text() == "mine"


def test_the_version_that_was_to_be_replaced_is_replaced(quarantine: Quarantine, project: Path) -> None:
    config = project / ".git/config"
    config.write_text("[core]\n")
    report = Report(".git/config", "config", "", ("x",), True, b"new", complete=True, before=version(b"[core]\n"))
    allow(quarantine.guest, quarantine.add(report, str(project), 1.0).id)
    assert config.read_text() == "new"


def test_links_on_the_way_are_not_followed(quarantine: Quarantine, project: Path, home: Path) -> None:
    (home / "outside/hooks").mkdir(parents=True)
    (project / ".git").rename(project / "old")
    (project / ".git").symlink_to(home / "outside")
    with pytest.raises(UserError, match="cannot write"):
        allow(quarantine.guest, quarantine.add(HOOK, str(project), 1.0).id)
    assert not list((home / "outside/hooks").iterdir())


@pytest.mark.parametrize("path", ["../x", "/etc/x", "a/../../x", ".", "", "a//b"])
def test_paths_that_leave_the_project_are_refused(quarantine: Quarantine, project: Path, path: str) -> None:
    item = quarantine.add(Report(path, "hook", "", ("x",), True, b"x", complete=True), str(project), 1.0)
    with pytest.raises(UserError):
        allow(quarantine.guest, item.id)


def test_an_item_without_content_is_allowed_for_the_next_attempt(quarantine: Quarantine, project: Path) -> None:
    item = quarantine.add(Report(".git/hooks/x", "hook", "", ("a new program",), True), str(project), 1.0)
    assert "tries again" in allow(quarantine.guest, item.id)
    assert not list((project / ".git/hooks").iterdir())


def test_unknown_items_are_errors(quarantine: Quarantine) -> None:
    with pytest.raises(UserError, match="no item '7'"):
        quarantine.item("7")


def test_damaged_items_are_ignored(quarantine: Quarantine, project: Path) -> None:
    item = quarantine.add(HOOK, str(project), 1.0)
    (quarantine.directory / "9.json").write_text("{")
    (quarantine.directory / "x.json").write_text("{}")
    assert quarantine.items() == [item]


def test_malformed_reports_are_refused() -> None:
    with pytest.raises(ValueError, match="MessagePack"):
        decode(b"\xc1")
