from __future__ import annotations

import contextlib
import os
import stat
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ccvm_tui.review import apply, difference, journal
from ccvm_tui.review.model import Standing
from tests.review.guests import EditedProject, edited_project
from tests.waiting import wait_until

pytestmark = pytest.mark.usefixtures("home")


@pytest.fixture
def project() -> Iterator[EditedProject]:
    with edited_project() as project:
        yield project


def undo(project: EditedProject) -> dict[str, str]:
    record = journal.last_record(project.name)
    assert record is not None
    for place in apply.undone_places(record):
        with contextlib.suppress(OSError):
            project.client.tree.revive(os.fsencode(place))
    outcomes = apply.undo(record)
    project.accept(apply.undone_places(record))
    return {outcome.path: outcome.problem for outcome in outcomes if outcome.problem}


# --- any edits ------------------------------------------------------------------------------------------------------

NAMES = st.sampled_from(["a", "b", "d", "d/a", "d/b", "d/e", "d/e/a", "n", "n/a", "n/m", "n/m/a"])
CONTENTS = st.sampled_from(
    [b"", b"one\n", b"one\ntwo\n", b"\0binary", b"x" * 3000, b"1\n2\n3\n4\n5\n6\n7\n8\n9\nA\nB\n"]
)
OPERATIONS = st.one_of(
    st.tuples(st.just("write"), NAMES, CONTENTS),
    st.tuples(st.just("delete"), NAMES, st.none()),
    st.tuples(st.just("rename"), NAMES, NAMES),
    st.tuples(st.just("mkdir"), NAMES, st.none()),
    st.tuples(st.just("link"), NAMES, st.sampled_from([b"a", b"missing"])),
    st.tuples(st.just("mode"), NAMES, st.sampled_from([0o600, 0o755])),
    st.tuples(st.just("replace"), NAMES, CONTENTS),
)


def plant(project: EditedProject) -> None:
    (project.host / "d" / "e").mkdir(parents=True)
    for name in ("a", "b", "d/a", "d/e/a"):
        (project.host / name).write_text(f"host's {name}\n" * 3)
        (project.host / name).chmod(0o644)


def edit(project: EditedProject, operation: str, path: str, value: object) -> None:
    client, name = project.client, path.encode()
    match operation, value:
        case "write", bytes():
            project.write(path, value)
        case "replace", bytes():
            project.write("temporary", value)
            client.rename(b"temporary", name)
        case "delete", None:
            client.rmdir(name) if stat.S_ISDIR(client.find(name).mode) else client.unlink(name)
        case "rename", str():
            client.rename(name, value.encode())
        case "mkdir", None:
            client.mkdir(name)
        case "link", bytes():
            client.symlink(value, name)
        case "mode", int():
            if stat.S_ISREG(client.find(name).mode):
                project.chmod(path, value)


@given(operations=st.lists(OPERATIONS, max_size=12), more=st.lists(OPERATIONS, max_size=5))
@settings(max_examples=150)
def test_what_is_applied_is_what_the_guest_has_and_undoing_it_restores_the_host(
    operations: list[tuple[str, str, object]], more: list[tuple[str, str, object]]
) -> None:
    with edited_project() as project:
        plant(project)
        for step in (operations, more):
            before = project.host_files()
            for operation in step:
                with contextlib.suppress(OSError):
                    edit(project, *operation)
            with contextlib.suppress(OSError):
                project.client.unlink(b"temporary")
            seen = project.guest_files()
            assert project.host_files() == before
            problems = {path: problem for path, problem in project.apply().items() if problem}
            assert project.guest_files() == seen
            if not problems:
                assert project.host_files() == seen
                assert not project.review().changes
        applied = project.host_files()
        if not problems and applied != before:
            assert not undo(project)
            assert project.host_files() == before
            assert project.guest_files() == seen
            assert not any(project.apply().values())
            assert project.host_files() == applied


# --- single edits ---------------------------------------------------------------------------------------------------


def test_a_chosen_hunk_is_applied_and_the_others_remain(project: EditedProject) -> None:
    lines = [f"{number}\n" for number in range(40)]
    (project.host / "f").write_text("".join(lines))
    project.write("f", "".join([*lines[:5], "five\n", *lines[6:30], "thirty\n", *lines[31:]]))
    change = project.change("f")
    first, second = difference.compared(change.base.data or b"", change.guest.data or b"")
    assert project.apply(choice={"f": [second]}) == {"f": ""}
    assert (project.host / "f").read_text() == "".join([*lines[:30], "thirty\n", *lines[31:]])
    left = project.change("f")
    assert left.standing is Standing.CLEAN
    (remaining,) = difference.compared(left.base.data or b"", left.guest.data or b"")
    assert remaining.counts == first.counts
    assert not undo(project)
    assert (project.host / "f").read_text() == "".join(lines)


def test_a_file_that_both_sides_have_changed_is_not_applied(project: EditedProject) -> None:
    for name in ("changed", "deleted", "same"):
        (project.host / name).write_text("base\n")
    project.write("changed", "guest\n")
    project.write("new", "guest\n")
    project.write("same", "both\n")
    project.client.unlink(b"deleted")
    (project.host / "changed").write_text("host\n")
    (project.host / "deleted").write_text("host\n")
    (project.host / "new").write_text("host\n")
    (project.host / "same").write_text("both\n")
    problems = project.apply()
    assert problems == {
        "changed": "both sides have changed it: changed on the host, changed in the guest",
        "deleted": "both sides have changed it: changed on the host, deleted in the guest",
        "new": "both sides have changed it: created on the host, created in the guest",
    }
    change = project.change("changed")
    assert (change.base.data, change.host.data, change.guest.data) == (b"base\n", b"host\n", b"guest\n")
    assert (project.host / "changed").read_text() == "host\n"
    assert journal.last_record(project.name) is None


def test_a_file_whose_times_only_have_changed_is_applied(project: EditedProject) -> None:
    (project.host / "f").write_text("base\n")
    project.write("f", "guest\n")
    os.utime(project.host / "f", (1, 1))
    assert project.apply() == {"f": ""}
    assert (project.host / "f").read_text() == "guest\n"


def test_a_directory_in_which_the_host_has_changed_a_file_is_not_deleted(project: EditedProject) -> None:
    (project.host / "d").mkdir()
    (project.host / "d" / "f").write_text("base\n")
    project.client.unlink(b"d/f")
    project.client.rmdir(b"d")
    (project.host / "d" / "g").write_text("host\n")
    assert "both sides" in project.apply()["d"]
    assert (project.host / "d" / "f").exists()


def test_a_directory_in_which_the_host_has_changed_a_file_during_the_deletion_is_not_deleted(
    project: EditedProject,
) -> None:
    (project.host / "d" / "e").mkdir(parents=True)
    (project.host / "d" / "e" / "f").write_text("base\n")
    wait_until(lambda: time.time_ns() - (project.host / "d" / "e" / "f").stat().st_ctime_ns > 10**8)
    project.client.unlink(b"d/e/f")
    wait_until(lambda: time.time_ns() - (project.host / "d" / "e" / "f").stat().st_ctime_ns > 2 * 10**8)
    (project.host / "d" / "e" / "f").write_text("host\n")
    wait_until(lambda: time.time_ns() - (project.host / "d" / "e" / "f").stat().st_ctime_ns > 10**8)
    project.client.rmdir(b"d/e")
    project.client.rmdir(b"d")
    assert "both sides" in project.apply()["d"]
    assert (project.host / "d" / "e" / "f").read_text() == "host\n"


@pytest.mark.attack
def test_a_parent_that_became_a_symbolic_link_is_not_followed(project: EditedProject) -> None:
    (project.host / "d").mkdir()
    (project.host / "d" / "secret").write_text("base")
    project.write("d/secret", "guest")
    project.write("d/new", "guest")
    review = project.review()
    (project.host / "d").rename(project.host / "elsewhere")
    (project.host / "d").symlink_to("..")
    outcomes, _ = apply.apply(review, review.changes)
    assert {outcome.problem for outcome in outcomes} == {
        "d is a symbolic link on the host, which could lead out of the project"
    }
    assert not (project.host.parent / "new").exists()


@pytest.mark.parametrize("target", ["/etc/passwd", "../secret", "d/../../secret"])
@pytest.mark.attack
def test_a_symbolic_link_that_leads_out_of_the_project_is_refused(project: EditedProject, target: str) -> None:
    project.client.symlink(target.encode(), b"link")
    assert target in project.apply()["link"]
    assert not (project.host / "link").is_symlink()


@pytest.mark.attack
def test_fifos_and_gits_metadata_are_not_applied(project: EditedProject) -> None:
    (project.host / ".git").mkdir()
    project.client.mknod(b"fifo", stat.S_IFIFO | 0o644)
    project.write(".git/config", "[core]\n\tfsmonitor = evil\n")
    project.client.mkdir(b"sub")
    project.client.mkdir(b"sub/.GIT")
    project.write("sub/.GIT/config", "evil")
    assert project.apply() == {"fifo": "it is a device, a FIFO or a socket", "sub": ""}
    assert project.review().git == 3
    assert sorted(os.listdir(project.host)) == [".git", "sub"]
    assert os.listdir(project.host / "sub") == []


@pytest.mark.attack
def test_a_file_that_the_guest_changes_after_the_comparison_is_not_applied(project: EditedProject) -> None:
    project.write("big", b"\0reviewed" * 10)
    review = project.review()
    project.write("big", b"\0replaced" * 10)
    outcomes, accepted = apply.apply(review, review.changes)
    assert [outcome.problem for outcome in outcomes] == [
        "the guest has changed it since it was compared; compare it again"
    ]
    assert not accepted
    assert os.listdir(project.host) == []


def test_text_is_applied_as_it_was_reviewed(project: EditedProject) -> None:
    project.write("f", "reviewed\n")
    review = project.review()
    project.write("f", "replaced\n")
    apply.apply(review, review.changes)
    assert (project.host / "f").read_text() == "reviewed\n"


def test_what_the_host_has_changed_since_is_not_undone(project: EditedProject) -> None:
    for name in ("a", "b"):
        (project.host / name).write_text("base\n")
        project.write(name, "guest\n")
    project.apply()
    (project.host / "a").write_text("host\n")
    assert undo(project) == {"a": "the host's file was changed meanwhile"}
    assert ((project.host / "a").read_text(), (project.host / "b").read_text()) == ("host\n", "base\n")
    (project.host / "a").write_text("guest\n")
    assert not undo(project)
    assert (project.host / "a").read_text() == "base\n"
    assert journal.last_record(project.name) is None


def test_an_interrupted_application_can_be_undone(project: EditedProject) -> None:
    (project.host / "f").write_text("base\n")
    project.write("f", "guest\n")
    project.apply()
    record = journal.last_record(project.name)
    assert record is not None
    (project.host / "f").write_text("base\n")  # as if the step had been recorded and not carried out
    with (record.directory / "journal").open("a") as file:
        file.write('{"put": "g", "bef')
    assert not undo(project)
    assert (project.host / "f").read_text() == "base\n"


def test_a_later_edit_of_an_applied_file_is_no_conflict(project: EditedProject) -> None:
    project.client.mkdir(b"new")
    project.write("new/f", "1\n")
    (project.host / "old").write_text("base\n")
    project.client.rename(b"old", b"new/moved")
    assert set(project.apply().values()) == {""}
    assert list(project.client.tree.edits()) == []
    project.write("new/f", "2\n")
    project.write("new/moved", "3\n")
    (project.host / "new" / "from-host").write_text("host\n")
    assert [change.standing for change in project.review().changes] == [Standing.CLEAN] * 2
    assert project.apply() == {"new/f": "", "new/moved": ""}
    assert project.guest_files()["new/from-host"] == ("f", 0o644, b"host\n")


def test_edits_are_found_without_a_walk(project: EditedProject, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("src", "other"):
        (project.host / name).mkdir()
    (project.host / "src" / "f").write_text("base\n")
    project.write("src/f", "guest\n")
    project.client.rename(b"other", b"moved")

    def walked(*_: object) -> None:
        raise AssertionError("a directory was listed")

    with monkeypatch.context() as patch:
        patch.setattr(os, "listdir", walked)
        patch.setattr(os, "scandir", walked)
        assert [change.path for change in project.review().changes] == ["moved", "src/f"]


def test_old_records_are_removed(project: EditedProject, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal, "RECORDS_MAX", 3)
    for number in range(6):
        project.write("f", f"{number}\n")
        project.apply()
    assert len(journal.records()) == 3
    for number in (4, 3, 2):
        assert not undo(project)
        assert (project.host / "f").read_text() == f"{number}\n"
    assert journal.last_record(project.name) is None


def test_records_are_readable_only_for_the_user(project: EditedProject) -> None:
    (project.host / "f").write_text("base\n")
    project.write("f", "guest\n")
    project.apply()
    record = journal.last_record(project.name)
    assert record is not None
    modes = [path.stat().st_mode & 0o077 for path in (record.directory, *Path(record.directory).iterdir())]
    assert modes == [0, 0, 0]
