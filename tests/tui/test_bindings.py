"""The bindings of the leader's second key."""

from __future__ import annotations

from ccvm_tui.config import Keys
from ccvm_tui.tui.bindings import leader_bindings, shown_key
from ccvm_tui.tui.screens.deeds import Deeds


def test_every_binding_has_a_deed() -> None:
    for binding in leader_bindings(Keys()):
        assert hasattr(Deeds, f"do_{binding.action}"), binding


def test_names_for_people() -> None:
    assert [shown_key(key) for key in ("ctrl-\\", "space", "d", "ctrl-w", "f5", "-")] == [
        "Ctrl+\\", "Space", "d", "Ctrl+W", "F5", "-"]  # fmt: skip
