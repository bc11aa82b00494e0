"""What guests say, made fit for the chrome; who waits; the tree's rows; small things."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ccvm_tui.client.ends import End
from ccvm_tui.guest import (
    UNKNOWN_COLOURS,
    Activity,
    GuestInfo,
    GuestState,
    SessionInfo,
    SessionKind,
    TermColours,
    TermSize,
)
from ccvm_tui.project.history import KnownProject
from ccvm_tui.text import plain
from ccvm_tui.tui import attention
from ccvm_tui.tui.attention import SessionKey
from ccvm_tui.tui.clipboard import osc52
from ccvm_tui.tui.dialogs.add_project import completions
from ccvm_tui.tui.fleet import Contact, Guest
from ccvm_tui.tui.fuzzy import positions, score
from ccvm_tui.tui.outer_reports import cell_of, colours_with
from ccvm_tui.tui.plain import fit
from ccvm_tui.tui.projects import gather
from ccvm_tui.tui.toml_section import with_section
from ccvm_tui.tui.tree_rows import RowKind, rows


@given(st.text(max_size=60), st.integers(0, 40))
def test_fit_fits(text: str, width: int) -> None:
    from rich.cells import cell_len

    assert cell_len(fit(plain(text), width)) == width


def session(
    id: str, activity: Activity = Activity.WORKING, says: str = "", last: float = 0.0, **more: object
) -> SessionInfo:
    return SessionInfo(id, SessionKind.SHELL, "", (), TermSize(), 0.0, activity, says, last_output=last, **more)  # type: ignore[arg-type]


def key(id: str) -> SessionKey:
    return SessionKey("g", id)


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


def test_a_change_is_told_once() -> None:
    quiet, asks = {key("a"): session("a")}, {key("a"): session("a", Activity.WAITING, "may I?")}
    assert [change.text for change in attention.changes(quiet, asks)] == ["waiting: may I?"]
    assert attention.changes(asks, asks) == []
    assert attention.changes(asks, quiet) == []


@given(st.text(max_size=100), st.text(max_size=100))
def test_notifications_end_where_they_should(title: str, body: str) -> None:
    sequence = attention.notification(title, body)
    assert sequence.startswith("\x1b]") and sequence.endswith("\x1b\\\x07")
    assert sequence.count("\x07") == 1
    assert sequence.count("\x1b") in (2, 4)


def guest(name: str, project: str, *sessions: SessionInfo, state: GuestState = GuestState.RUNNING) -> Guest:
    info = GuestInfo(
        name, project, state, 1, 2, 0.0, "tcg", "", "microvm", 4096, 4, False, "user", "", "", "0", sessions
    )
    return Guest(name, Contact.GOOD, info, project=project)


def test_the_tree_has_running_projects_first_then_the_newest() -> None:
    seen = [KnownProject("/p/old", "old", 5.0), KnownProject("/p/new", "new", 9.0), KnownProject("/p/run", "run", 1.0)]
    deaths = [End("dead-1", "/p/dead", True, "killed", "", 7.0)]
    entries = gather(["/p/conf"], seen, [guest("run-1", "/p/run")], deaths)
    assert [entry.path for entry in entries] == ["/p/run", "/p/conf", "/p/new", "/p/dead", "/p/old"]
    assert entries[3].death is deaths[0]


def test_rows_fold_filter_and_count() -> None:
    entries = gather([], [], [guest("a-1", "/p/a", session("s1"), session("s2", Activity.WAITING, "yes?", name="agent")),
                              guest("b-1", "/p/b", session("s1", name="shell"))], [])  # fmt: skip
    table = rows(entries)
    assert [row.kind.value for row in table] == [
        "project",
        "guest",
        "session",
        "session",
        "project",
        "guest",
        "session",
    ]
    assert [row.number for row in table if row.kind is RowKind.SESSION] == [1, 2, 3]
    assert table[0].wants and not table[4].wants
    assert table[3].note == "yes?"
    assert [row.label for row in rows(entries, folded={table[0].id})] == ["a", "b", "b-1", "shell"]
    assert [row.label for row in rows(entries, needle="agent")] == ["a", "a-1", "agent"]
    assert [row.label for row in rows(entries, needle="zzz")] == []
    assert [row.label for row in rows(entries, needle="/p/b")][:1] == ["b"]
    assert rows(entries, needle="pa") == [], "letters in order are found in nearly every path"
    muted = rows([replace(entry, muted=entry.path == "/p/a") for entry in entries])
    assert not muted[0].wants and muted[3].muted


def test_hostile_titles_stay_in_their_cell() -> None:
    entries = gather([], [], [guest("a-1", "/p/a", session("s1", name="\x1b[2Jx\x07\n\u202eevil"))], [])
    assert rows(entries)[2].label == "[2Jx evil"


def test_fuzzy() -> None:
    assert score("wsh", "webshop") > 0
    assert score("xyz", "webshop") == 0
    assert score("shop", "webshop") > score("sop", "webshop")
    assert positions("shop", "webshop") == [3, 4, 5, 6]
    assert score("", "anything") == 1


@pytest.mark.parametrize(("text", "dark"), [("11;rgb:0000/0000/0000", True), ("11;rgb:ff/ff/ff", False), ("11;?", None),
                                            ("11;rgb:zz/0/0", None), ("11;rgb:ffff/ffff/e0e0", False)])  # fmt: skip
def test_backgrounds(text: str, dark: bool | None) -> None:
    told = colours_with(UNKNOWN_COLOURS, "osc", text, cursor=True)
    assert (told.is_dark if told != UNKNOWN_COLOURS else None) is dark


def test_what_a_terminal_tells_of_itself_adds_up() -> None:
    colours = UNKNOWN_COLOURS
    for kind, text in [("osc", "10;rgb:0/8/f"), ("osc", "11;#102030"), ("osc", "12;rgba:ffff/0000/0000/ffff"),
                       ("?n", "997;2"), ("?n", "996;1"), ("osc", "13;rgb:0/0/0"), ("dcs", "11;rgb:0/0/0")]:  # fmt: skip
        colours = colours_with(colours, kind, text, cursor=True)
    assert colours == TermColours(0x0088FF, 0x102030, 0xFF0000, dark=False)
    assert not colours.is_dark  # what it says counts more than what it looks like
    assert colours_with(colours, "osc", "12;rgb:0/0/0", cursor=False) == colours
    assert cell_of("t", "6;21;9") == (9, 21)
    assert cell_of("t", "8;24;80") is None


@given(st.sampled_from(["osc", "?n", "t"]), st.text())
def test_no_report_does_harm(kind: str, text: str) -> None:
    colours_with(UNKNOWN_COLOURS, kind, text, cursor=True)
    cell_of(kind, text)


def test_a_section_is_put_where_there_is_none_and_found_where_there_is(tmp_path: Path) -> None:
    text, number = with_section("memory = 1\n", str(tmp_path))
    assert f'[project."{tmp_path}"]' in text and text.startswith("memory = 1\n")
    assert with_section(text, str(tmp_path)) == (text, number)
    quoted = tmp_path / 'a "b"'
    quoted.mkdir()
    text, number = with_section("", str(quoted))
    assert with_section(text, str(quoted)) == (text, number)


def test_completion_of_paths(tmp_path: Path) -> None:
    for name in ("alpha", "alps", ".hidden", "beta"):
        (tmp_path / name).mkdir()
    (tmp_path / "alfile").touch()
    assert completions(f"{tmp_path}/al") == [f"{tmp_path}/alpha/", f"{tmp_path}/alps/"]
    assert completions(f"{tmp_path}/") == [f"{tmp_path}/alpha/", f"{tmp_path}/alps/", f"{tmp_path}/beta/"]
    assert completions(f"{tmp_path}/.h") == [f"{tmp_path}/.hidden/"]
    assert completions(f"{tmp_path}/nothing/x") == []


def test_the_clipboard_sequence_is_left_out_when_too_long() -> None:
    assert osc52(b"hi") == "\x1b]52;c;aGk=\x1b\\"
    assert osc52(b"x" * (2 << 20)) == ""
