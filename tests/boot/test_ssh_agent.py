"""The search for the user's SSH agent."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from ccvm_tui.boot.ssh_agent import agent_socket
from ccvm_tui.errors import UserError


def test_the_path_of_the_socket_is_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind("agent")
        assert agent_socket({"SSH_AUTH_SOCK": "agent"}) == str(tmp_path / "agent")


@pytest.mark.parametrize(
    ("path", "problem"), [("", "is not set"), ("missing", "No such file"), ("file", "not the socket of an SSH agent")]
)
def test_without_an_agent_the_session_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str, problem: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=problem):
        agent_socket({"SSH_AUTH_SOCK": path})
