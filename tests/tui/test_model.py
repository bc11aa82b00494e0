"""The state of the dashboard: attention, projects, the tree, the selection, pending keys, and ends of sessions."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from textual.fuzzy import Matcher

from ccvm_tui import paths
from ccvm_tui.client.ends import End
from ccvm_tui.config import Settings
from ccvm_tui.guest import Activity, GuestInfo, GuestState, SessionInfo, SessionKind, TermSize
from ccvm_tui.project.history import KnownProject
from ccvm_tui.protocol import Exited
from ccvm_tui.tui.model import attention
from ccvm_tui.tui.model.guests import Contact, Guest
from ccvm_tui.tui.model.key_names import stroke_of
from ccvm_tui.tui.model.model import Model
from ccvm_tui.tui.model.pending_keys import PendingKeys
from ccvm_tui.tui.model.projects import gather
from ccvm_tui.tui.model.selection import Selection
from ccvm_tui.tui.model.sessions import BRIEF, RequestedEnds, SessionKey, closing_notice, last_screen
from ccvm_tui.tui.model.starts import Starts
from ccvm_tui.tui.model.tree_rows import Filter, RowKind, Tree, TreeRow, guest_row_id, project_row_id, tree_rows


def session(
    id: str, activity: Activity = Activity.WORKING, reason: str = "", last: float = 0.0, **more: object
) -> SessionInfo:
    return SessionInfo(id, SessionKind.SHELL, "", (), TermSize(), 0.0, activity, reason, last_output=last, **more)  # type: ignore[arg-type]


def key(id: str) -> SessionKey:
    return SessionKey("g", id)


def guest(name: str, project: str, *sessions: SessionInfo, state: GuestState = GuestState.RUNNING) -> Guest:
    info = GuestInfo(
        name, project, state, 1, 2, 0.0, "tcg", "", "microvm", 4096, 4, False, "user", "", "", "0", sessions
    )
    return Guest(name, Contact.CONNECTED, info, project=project)


def test_a_guests_settings_are_those_of_its_project_unless_they_are_invalid(home: Path) -> None:
    model = Model((), "", lambda: None, lambda _guest, _event: None)
    model.fleet.guests["g"] = guest("g", "/p")
    paths.config_file().parent.mkdir(parents=True, exist_ok=True)
    paths.config_file().write_text('[project."/p"]\nnotifications = false\n')
    assert home in paths.config_file().parents
    assert not model.settings_of("g", Settings()).notifications
    assert model.settings_of("another", Settings()).notifications
    paths.config_file().write_text("nonsense = 1\n")
    assert model.settings_of("g", Settings()).notifications


# --- attention --------------------------------------------------------------------------------------------------


def test_waiting_comes_before_failed_before_done_and_the_oldest_first() -> None:
    table = [
        (key("a"), session("a", Activity.DONE, "done", 1)),
        (key("b"), session("b", Activity.WAITING, "y/n?", 9)),
        (key("c"), session("c", Activity.WAITING, "y/n?", 3)),
        (key("d"), session("d", Activity.FAILED, "status 1", 2)),
        (key("e"), session("e", Activity.WORKING, "")),
        (key("f"), session("f", Activity.WAITING, "")),
    ]
    order = attention.queue(table)
    assert [one.session for one in order] == ["c", "b", "d", "a"]
    assert attention.following(order, None) == key("c")
    assert attention.following(order, key("c")) == key("b")
    assert attention.following(order, key("a")) == key("c")
    assert attention.following([], key("a")) is None


def test_a_change_is_reported_once() -> None:
    quiet, waiting = {key("a"): session("a")}, {key("a"): session("a", Activity.WAITING, "may I?")}
    assert [change.text for change in attention.changes(quiet, waiting)] == ["waiting: may I?"]
    assert attention.changes(waiting, waiting) == []
    assert attention.changes(waiting, quiet) == []


@given(st.text(max_size=100), st.text(max_size=100))
def test_notifications_end_where_they_should(title: str, body: str) -> None:
    sequence = attention.notification(title, body)
    assert sequence.startswith("\x1b]")
    assert sequence.endswith("\x1b\\\x07")
    assert sequence.count("\x07") == 1
    assert sequence.count("\x1b") in (2, 4)


# --- projects and the tree --------------------------------------------------------------------------------------


def test_the_tree_has_running_projects_first_then_the_newest() -> None:
    known = [KnownProject("/p/old", "old", 5.0), KnownProject("/p/new", "new", 9.0), KnownProject("/p/run", "run", 1.0)]
    deaths = [End("dead-1", "/p/dead", True, "killed", "", 7.0)]
    entries = gather(["/p/conf"], known, [guest("run-1", "/p/run")], deaths)
    assert [entry.path for entry in entries] == ["/p/run", "/p/conf", "/p/new", "/p/dead", "/p/old"]
    assert entries[3].death is deaths[0]


def filtered(needle: str) -> Filter:
    return Filter(needle, Matcher(needle).match)


def test_rows_fold_filter_and_count() -> None:
    entries = gather([], [], [guest("a-1", "/p/a", session("s1"), session("s2", Activity.WAITING, "yes?", name="agent")),
                              guest("b-1", "/p/b", session("s1", name="shell"))], [])  # fmt: skip
    rows = tree_rows(entries)
    assert [row.kind.value for row in rows] == [
        "project",
        "guest",
        "session",
        "session",
        "project",
        "guest",
        "session",
    ]
    assert [row.number for row in rows if row.kind is RowKind.SESSION] == [1, 2, 3]
    assert rows[0].needs_user
    assert not rows[4].needs_user
    assert rows[3].note == "yes?"
    assert [row.label for row in tree_rows(entries, {rows[0].id})] == ["a", "b", "b-1", "shell"]
    assert [row.label for row in tree_rows(entries, filter=filtered("agent"))] == ["a", "a-1", "agent"]
    assert [row.label for row in tree_rows(entries, filter=filtered("zzz"))] == []
    assert [row.label for row in tree_rows(entries, filter=filtered("/p/b"))][:1] == ["b"]
    assert tree_rows(entries, filter=filtered("pa")) == [], "most paths contain the letters in this order"
    muted = tree_rows([replace(entry, muted=entry.path == "/p/a") for entry in entries])
    assert not muted[0].needs_user
    assert muted[3].muted


def test_hostile_titles_stay_in_their_cell() -> None:
    entries = gather([], [], [guest("a-1", "/p/a", session("s1", name="\x1b[2Jx\x07\n\u202eevil"))], [])
    assert tree_rows(entries)[2].label == "[2Jx evil"


def rows_of(*guests: Guest, projects: tuple[str, ...] = ()) -> list[TreeRow]:
    return tree_rows(gather(projects, [], guests, []))


def test_the_cursor_begins_on_its_row_and_stays_on_the_row_to_which_it_was_moved() -> None:
    tree = Tree(project_row_id("/here"))
    tree.update(rows_of(projects=("/here",)))
    assert tree.update(rows_of(guest("a-1", "/a", session("s1")), projects=("/here",))) is False
    assert tree.row is not None
    assert tree.row.project == "/here"
    tree.move(2)
    assert tree.row.session == SessionKey("a-1", "s1")
    tree.update(rows_of(guest("0-1", "/0"), guest("a-1", "/a", session("s1")), projects=("/here",)))
    assert tree.row.session == SessionKey("a-1", "s1")


def test_the_cursor_stays_with_the_guest_or_project_of_a_row_that_was_removed() -> None:
    tree = Tree()
    tree.update(rows_of(guest("a-1", "/a", session("s1")), guest("b-1", "/b"), projects=("/a",)))
    tree.move(2)
    assert tree.update(rows_of(guest("a-1", "/a"), guest("b-1", "/b"), projects=("/a",))) is True
    assert tree.row is not None
    assert tree.row.id == guest_row_id("/a", "a-1")
    tree.update(rows_of(guest("b-1", "/b"), projects=("/a",)))
    assert tree.row.id == project_row_id("/a")


# --- the selection ----------------------------------------------------------------------------------------------

A, B, C, D, E = (key(id) for id in "abcde")


def test_an_opened_session_takes_the_place_of_the_one_before() -> None:
    selection = Selection()
    selection.open(A)
    assert (selection.current, selection.previous, selection.shown, selection.page) == (A, None, [A], False)
    selection.open(B)
    assert (selection.current, selection.previous, selection.shown) == (B, A, [B])
    selection.show([A, B, C])
    selection.open(D)
    assert selection.shown == [A, D, C], "in its tile"
    selection.open(A)
    assert (selection.shown, selection.current, selection.previous) == ([A, D, C], A, D)


def test_tiles_are_added_up_to_four_and_then_only_the_current_session_is_shown() -> None:
    selection = Selection()
    selection.open(B)
    for shown in ([B, A], [B, A, C], [B, A, C, D], [B]):
        assert selection.tile([A, B, C, D, E])
        assert selection.shown == shown
    assert not selection.tile([B])
    assert not Selection().tile([])


def test_a_preview_does_not_replace_tiles_unless_a_session_was_chosen() -> None:
    selection = Selection()
    selection.preview(A, keep_tiles=True)
    assert (selection.shown, selection.page, selection.current) == ([A], False, None)
    selection.show([A, B])
    selection.page = True
    selection.preview(C, keep_tiles=True)
    assert (selection.shown, selection.page) == ([A, B], False)
    selection.preview(C, keep_tiles=False)
    assert selection.shown == [C]


def test_the_focus_of_a_closed_session_moves_to_the_one_beside_it() -> None:
    selection = Selection()
    selection.open(A)
    selection.open(B)
    selection.show([A, B])
    assert selection.close(A, focused=True) is None, "it did not have the focus"
    assert (selection.current, selection.previous, selection.shown) == (B, None, [B])
    selection.show([B, C])
    assert selection.close(B, focused=True) == C
    assert selection.current == C
    assert selection.close(C, focused=False) is None
    assert selection.current is None
    assert (selection.shown, selection.page) == ([], True)


# --- pending keys -----------------------------------------------------------------------------------------------

X, Y = stroke_of("x"), stroke_of("y")


def test_keys_are_held_until_the_focus_arrives() -> None:
    pending = PendingKeys()
    assert not pending.hold(X)
    pending.expect_focus(A, [A])
    assert pending.hold(X)
    assert pending.hold(b"pasted")
    assert pending.release() == []
    pending.expect_focus(None, [A])
    assert pending.focus == A, "it is still on its way"
    pending.focus_arrived()
    assert pending.release() == [X, b"pasted"]
    assert pending.release() == []


def test_keys_for_a_session_that_is_not_shown_are_discarded() -> None:
    pending = PendingKeys()
    pending.expect_focus(A, [A])
    pending.hold(X)
    pending.expect_focus(None, [B])
    assert pending.focus is None
    pending.focus_cancelled()
    assert pending.release() == []


def test_keys_are_held_while_a_session_is_started_and_discarded_if_that_fails() -> None:
    pending = PendingKeys()
    with pending.opening():
        assert pending.hold(X)
        pending.expect_focus(A, [A])
    assert pending.hold(Y)
    pending.focus_arrived()
    assert pending.release() == [X, Y]
    with pending.opening():
        assert pending.hold(X)
    assert not pending.hold(Y)
    assert pending.release() == []


def test_keys_after_leaving_a_session_on_its_way_are_for_the_tree() -> None:
    pending = PendingKeys()
    pending.leave()
    pending.expect_focus(A, [A])
    assert pending.hold(X)
    pending.leave()
    assert not pending.hold(Y)
    assert not pending.focus_arrived()
    assert pending.release() == [X], "it was typed before"
    pending.expect_focus(B, [B])
    assert pending.hold(Y)
    assert pending.focus_arrived()


def test_keys_are_held_until_focus_and_layout_have_arrived() -> None:
    pending = PendingKeys()
    assert pending.expect_layout()
    assert not pending.expect_layout()
    pending.hold(X)
    pending.expect_focus(A, [A])
    pending.layout_arrived()
    pending.hold(Y)
    assert pending.release() == []
    pending.focus_arrived()
    assert pending.release() == [X, Y]


# --- starts and ends --------------------------------------------------------------------------------------------


def test_a_project_is_started_once_and_a_cancelled_start_reports_no_progress() -> None:
    starts = Starts()
    starts.errors["/p"] = "an error of the last start"
    cancelled = starts.begin("/p")
    assert cancelled is not None
    assert starts.begin("/p") is None
    assert starts.errors == {}
    assert not starts.preparing("/p")
    starts.note("/p", "10%")
    assert starts.preparing("/p")
    starts.cancel("/p")
    starts.note("/p", "20%")
    assert cancelled.is_set()
    assert starts.notes["/p"] == "cancelling …"
    starts.end("/p")
    assert not starts.preparing("/p")
    assert starts.begin("/p") is not None


AGENT = SessionInfo("s1", SessionKind.AGENT, "", (), TermSize(), 0.0)
SHELL = replace(AGENT, kind=SessionKind.SHELL)
COMMAND = replace(AGENT, kind=SessionKind.COMMAND)


@pytest.mark.parametrize(
    ("info", "age", "status", "read"),
    [
        (AGENT, 100, 0, False),
        (AGENT, 100, 3, True),
        (AGENT, 1, 0, True),
        (SHELL, 100, 3, False),
        (SHELL, 1, 3, True),
        (SHELL, 1, 0, False),
        (COMMAND, 100, 3, True),
        (AGENT, 1, -1, False),
        (AGENT, 1, 130, False),
    ],
)
def test_the_last_screen_of_an_unexpected_end_remains(info: SessionInfo, age: int, status: int, read: bool) -> None:
    assert age < BRIEF or age > 10 * BRIEF
    info = replace(info, created=time.time() - age)
    last = last_screen(key("s1"), info, Exited(status), RequestedEnds())
    assert (last is not None) == read
    if last is not None:
        assert (last.repeat is None) == (info.kind is SessionKind.COMMAND)
        assert f"ended with status {status}" in last.text


def test_an_end_that_the_user_requested_is_no_news_until_the_guest_is_started_again() -> None:
    requested = RequestedEnds()
    end, info = Exited(3), replace(AGENT, created=time.time() - 100)
    assert closing_notice(key("s1"), end, requested) == "g/s1 ended with status 3"
    requested.add_session(key("s1"))
    assert last_screen(key("s1"), info, end, requested) is None
    assert closing_notice(key("s1"), end, requested) == ""
    requested.add_guest("g")
    assert key("s2") in requested
    requested.forget_guest("g")
    assert key("s1") not in requested
    assert last_screen(key("s1"), info, end, requested) is not None
