"""The gate finds the session of a connection by the cgroup of its socket, with this machine's kernel."""

from __future__ import annotations

import os
import socket
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from ccvm_tui.image.guest.agent import sessions
from ccvm_tui.image.guest.agent.sessions import Sessions, cgroup_name, parse, session_in


def owncgroup() -> Path:
    """Return the directory of this process's cgroup (cgroups(7), the hierarchy of version 2)."""
    line = next(line for line in Path("/proc/self/cgroup").read_text().splitlines() if line.startswith("0::"))
    return Path("/sys/fs/cgroup", line.removeprefix("0::").lstrip("/"))


def test_the_kernel_reports_the_cgroup_of_a_connection() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as client:
        found = Sessions().cgroup(client.getsockname(), client.getpeername())
    assert found == owncgroup().stat().st_ino


def test_a_session_is_found_by_the_number_of_itscgroup(tmp_path: Path) -> None:
    class Known(Sessions):
        def cgroup(self, *_: object) -> int:
            return (tmp_path / "12.345.s7").stat().st_ino

    (tmp_path / "12.345.s7").mkdir()
    (tmp_path / "12.346").mkdir()
    (tmp_path / "cgroup.procs").touch()
    assert Known(str(tmp_path)).of(("127.0.0.1", 1), ("127.0.0.1", 2)) == "s7"


def test_a_connection_that_does_not_exist_has_no_session(tmp_path: Path) -> None:
    assert Sessions(str(tmp_path)).of(("127.0.0.1", 1), ("127.0.0.1", 2)) == ""


@given(st.binary(max_size=200))
def test_any_reply_is_parsed(reply: bytes) -> None:
    assert parse(reply) >= 0


@given(st.binary(max_size=20))
def test_names_of_cgroups_have_no_other_sessions(session: bytes) -> None:
    name = cgroup_name("1.2", session)
    assert os.sep not in name
    assert session_in(name) in ("", session.decode("ascii", "replace"))
    assert sessions.session_in("1.2") == ""
