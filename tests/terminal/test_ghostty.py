"""The compiled declarations of libghostty-vt are those of the installed version, and others are parsed."""

from __future__ import annotations

from pathlib import Path

import pytest

from ccvm_tui.terminal import declarations, ghostty
from tools.declarations import compiled


def test_the_declarations_were_compiled_from_the_installed_version() -> None:
    assert Path(declarations.__file__).read_text() == compiled(), "see docs/developing.md, “The terminal library”"


def test_the_declarations_of_another_version_are_parsed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(declarations, "SOURCE_DIGEST", "another")
    parsed = ghostty.declared()
    assert parsed is not declarations.ffi
    for name in ("GhosttyPointS", "GhosttyTerminalScrollViewportS", "GhosttyGridRef"):
        assert parsed.sizeof(name) == declarations.ffi.sizeof(name)
