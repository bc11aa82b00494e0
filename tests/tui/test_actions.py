"""The table of actions, and everything that is derived from it."""

from __future__ import annotations

import ast
import dataclasses
from pathlib import Path

import pytest

import ccvm_tui.tui
from ccvm_tui.config import Keys
from ccvm_tui.guest import GuestState
from ccvm_tui.tui.actions import table
from ccvm_tui.tui.actions.table import ACTIONS, leader_keys, shown_key, tree_hints
from ccvm_tui.tui.dialogs.palette import commands
from ccvm_tui.tui.model.guests import Contact, Guest
from ccvm_tui.tui.model.model import Model
from ccvm_tui.tui.model.selection import Subject
from ccvm_tui.tui.model.sessions import SessionKey
from ccvm_tui.tui.model.tree_rows import RowKind, TreeRow
from ccvm_tui.tui.screens.attempts import Attempts
from ccvm_tui.tui.screens.bridges import Bridges
from ccvm_tui.tui.screens.guest_dialogs import GuestDialogs
from ccvm_tui.tui.screens.main import MainScreen
from ccvm_tui.tui.widgets.body import Body
from ccvm_tui.tui.widgets.main_area import MainArea
from ccvm_tui.tui.widgets.which_key import COLUMN
from tests.tui.test_model import guest, session

SOURCES = Path(ccvm_tui.tui.__file__).parent


def test_every_action_has_its_method_and_every_method_its_action() -> None:
    methods = [
        name.removeprefix("action_")
        for owner in (MainScreen, Attempts, Bridges, GuestDialogs, Body, MainArea)
        for name in vars(owner)
        if name.startswith("action_")
    ]
    assert sorted(methods) == sorted(action.name for action in ACTIONS)


def test_names_and_tree_keys_are_unique() -> None:
    assert len(table.BY_NAME) == len(ACTIONS)
    assert len(table.BY_TREE_KEY) == sum(bool(action.tree_key) for action in ACTIONS)


def test_conditions_are_only_those_of_actions_at_the_bottom_of_the_tree() -> None:
    always = table.HELP.applies
    assert {action for action in ACTIONS if action.applies is not always} <= set(table.TREE_FOOTER)


def test_the_actions_after_the_leader_are_those_of_the_settings() -> None:
    assert {action.name for action in ACTIONS if action.leader} == {field.name for field in dataclasses.fields(Keys)}
    assert set(table.leader_actions(Keys())) == set(dataclasses.asdict(Keys()).values())


def test_nothing_is_dispatched_by_a_name_that_may_not_exist() -> None:
    """``getattr`` with a computed name and a default would ignore a typo."""
    for file in SOURCES.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "getattr":
                assert len(node.args) == 2 or isinstance(node.args[1], ast.Constant), f"{file}:{node.lineno}"


def test_titles_fit_the_panel_after_the_leader() -> None:
    assert all(len(title) <= COLUMN - 11 for _, title, _ in leader_keys("ctrl-\\", Keys()))


def test_every_command_of_the_palette_shows_its_key() -> None:
    model = Model((), "", lambda: None, lambda _guest, _event: None)
    keys = {command.title: command.key for command in commands(model, "ctrl-b", Keys(zoom="f5"), ())}
    assert keys["Zoom"] == "Ctrl+B F5"
    assert keys["Stop the guest"] == "S in the tree"
    assert keys["Search the scrollback"] == ""


def test_keys_are_shown_as_users_read_them() -> None:
    keys = ("ctrl-\\", "space", "d", "ctrl-w", "f5", "-", "ctrl--")
    assert [shown_key(key) for key in keys] == ["Ctrl+\\", "Space", "d", "Ctrl+W", "F5", "-", "Ctrl+-"]


ROW = TreeRow(RowKind.PROJECT, "/p", "p")
ONE = session("s1")


def in_state(state: GuestState) -> Guest:
    return guest("g-1", "/p", ONE, state=state)


@pytest.mark.parametrize(
    ("subject", "labels"),
    [
        (Subject(), "add help quit"),
        (Subject(ROW), "run settings forget find filter add help quit"),
        (Subject(ROW, preparing=True), "cancel find filter add help quit"),
        (Subject(ROW, in_state(GuestState.BOOTING)), "stop logs find filter add help quit"),
        (
            Subject(ROW, in_state(GuestState.RUNNING)),
            "open shell agent stop pause review logs find filter add help quit",
        ),
        (
            Subject(ROW, in_state(GuestState.RUNNING), SessionKey("g-1", "s1")),
            "open shell agent end stop pause review logs find filter add help quit",
        ),
        (Subject(ROW, in_state(GuestState.PAUSED)), "stop resume review logs find filter add help quit"),
        (Subject(ROW, in_state(GuestState.STOPPING)), "logs find filter add help quit"),
        (Subject(ROW, Guest("g-1", Contact.HUNG, project="/p")), "stop find filter add help quit"),
        (Subject(ROW, Guest("g-1", Contact.FOREIGN, project="/p")), "stop find filter add help quit"),
    ],
)
def test_the_keys_at_the_bottom_are_those_that_do_something(subject: Subject, labels: str) -> None:
    assert " ".join(hint.label for hint in tree_hints(subject)) == labels
