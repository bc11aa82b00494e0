"""The parts of the guest agent that run on any machine: framing, parsers, account files."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ccvm_tui.image.guest.agent import (
    account,
    attention,
    configure,
    editor,
    jsontext,
    listening,
    machine,
    oom,
    ports,
    processes,
    scratch,
)
from ccvm_tui.image.guest.agent import requests as agent_requests
from ccvm_tui.image.guest.agent.frames import FRAME_MAX, Decoder, FramingError, encode
from ccvm_tui.image.guest.agent.terminfo import install

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
MESSAGES = st.dictionaries(st.text(), JSON, max_size=4)


@given(JSON)
def test_json_is_compatible_with_the_standard_library(value: object) -> None:
    assert jsontext.loads(json.dumps(value)) == value
    assert json.loads(jsontext.dumps(value)) == value


@given(st.text())
def test_invalid_json_is_rejected_like_in_the_standard_library(text: str) -> None:
    try:
        expected = json.loads(text)
    except ValueError:
        with pytest.raises(ValueError):  # noqa: PT011 - with any text
            jsontext.loads(text)
    else:
        assert jsontext.loads(text) == expected or expected != expected


@given(st.lists(MESSAGES, max_size=5), st.integers(1, 50))
def test_messages_survive_any_chunking(messages: list[dict[str, object]], size: int) -> None:
    wire = b"".join(encode(message) for message in messages)
    decoder = Decoder()
    received = [message for at in range(0, len(wire), size) for message in decoder.feed(wire[at : at + size])]
    assert received == messages


@given(st.binary(max_size=60))
def test_a_malformed_frame_does_not_affect_the_next_one(body: bytes) -> None:
    frame = len(body).to_bytes(4, "big") + body
    assert Decoder().feed(frame + encode({"type": "stop"}))[-1] == {"type": "stop"}


def test_a_frame_that_is_too_long_is_an_error() -> None:
    with pytest.raises(FramingError):
        Decoder().feed((FRAME_MAX + 1).to_bytes(4, "big"))


def test_ports_are_found_by_name(tmp_path: Path) -> None:
    for number, name in enumerate(["ccvm.ssh", "ccvm.control"]):
        (tmp_path / f"vport0p{number}").mkdir()
        (tmp_path / f"vport0p{number}" / "name").write_text(name + "\n")
    (tmp_path / "vport0p9").mkdir()
    assert ports.find("ccvm.control", str(tmp_path)) == "vport0p1"
    assert ports.find("ccvm.other", str(tmp_path)) is None
    assert ports.find("x", str(tmp_path / "missing")) is None


def test_the_user_is_the_first_account_and_not_duplicated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "chown", lambda *_: None)
    (tmp_path / "etc/sudoers.d").mkdir(parents=True)
    (tmp_path / "etc/passwd").write_text("root:x:0:0:root:/root:/bin/bash\nwww-data:x:33:33::/var/www:/bin/false\n")
    (tmp_path / "etc/group").write_text("root:x:0:\nwww-data:x:33:\n")
    (tmp_path / "etc/shadow").write_text("root:*:1:0:99999:7:::\n")
    user = account.User("dev", 33, 33, True)
    account.create(user, str(tmp_path))
    account.create(user, str(tmp_path))
    passwd = (tmp_path / "etc/passwd").read_text().splitlines()
    assert passwd[0] == "dev:x:33:33:dev:/home/dev:/usr/bin/zsh"
    assert len(passwd) == 3
    assert (tmp_path / "etc/shadow").read_text().startswith("dev:*:")
    assert "NOPASSWD" in (tmp_path / "etc/sudoers.d/ccvm").read_text()


@pytest.mark.parametrize(
    ("name", "rules", "link", "content", "zone_file"),
    [
        ("Europe/Berlin", b"TZif of the host", "/usr/share/zoneinfo/Europe/Berlin", None, "Europe/Berlin\n"),
        ("Mars/Olympus_Mons", b"TZif of the host", "", b"TZif of the host", None),
        ("", b"TZif of the host", "", b"TZif of the host", None),
        ("", b"", "/usr/share/zoneinfo/Etc/UTC", None, "Etc/UTC\n"),
        ("Mars/Olympus_Mons", b"nonsense", "/usr/share/zoneinfo/Etc/UTC", None, "Etc/UTC\n"),
        ("../../../etc/shadow", b"", "/usr/share/zoneinfo/Etc/UTC", None, "Etc/UTC\n"),
        ("Europe", b"", "/usr/share/zoneinfo/Etc/UTC", None, "Etc/UTC\n"),
    ],
)
def test_the_time_zone_is_the_guests_own_or_else_the_hosts_rules(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    name: str, rules: bytes, link: str, content: bytes | None, zone_file: str | None,
) -> None:  # fmt: skip
    monkeypatch.setattr(os, "chown", lambda *_: None)
    etc = tmp_path / "etc"
    (tmp_path / "usr/share/zoneinfo/Europe").mkdir(parents=True)
    (tmp_path / "usr/share/zoneinfo/Europe/Berlin").write_bytes(b"TZif of the guest")
    etc.mkdir()
    (etc / "shadow").write_text("")
    (etc / "localtime").symlink_to("/usr/share/zoneinfo/Etc/UTC")
    (etc / "timezone").write_text("Etc/UTC\n")
    machine.set_timezone(name, rules, str(tmp_path))
    assert (os.readlink(etc / "localtime") if link else "") == link
    assert content is None or (etc / "localtime").read_bytes() == content
    assert ((etc / "timezone").read_text() if (etc / "timezone").exists() else None) == zone_file


@given(st.text(min_size=1, max_size=15).filter(lambda name: "\n" not in name))
def test_a_process_may_have_any_name(name: str) -> None:
    process = processes.parse_stat(f"12 ({name}) S 1 12 12 34816 77 4194304 1 2")
    assert (process.pid, process.command, process.group, process.foreground) == (12, name, 12, 77)


@given(st.text())
def test_an_invalid_stat_line_is_a_value_error(text: str) -> None:
    with contextlib.suppress(ValueError):
        processes.parse_stat(text)


def test_stats_are_plausible() -> None:
    stats = processes.stats()
    assert 0 < int(str(stats["memory_available"])) < int(str(stats["memory_total"]))
    assert int(str(stats["processes"])) > 0


def test_a_report_is_separated_from_an_incomplete_line_before_it() -> None:
    assert attention.split(b"", b"waiting s1 a\ndone", 100) == ([b"waiting s1 a"], b"")
    assert attention.split(b"", b"\0" * 100, 100) == ([], b"\0" * 100)
    assert attention.split(b"\0" * 100, b"\0" * 100, 100) == ([], b"")
    lines, beginning = attention.split(b"", b"waiting s1 long", 15)
    assert attention.split(beginning, b"er\n", 15) == ([b"waiting s1 longer"], b"")
    assert lines == []


@pytest.mark.parametrize(
    ("line", "state", "session", "text"),
    [
        ("waiting s1 needs you", "waiting", "s1", "needs you"),
        ('waiting s1 {"message":"may I?","cwd":"/"}', "waiting", "s1", "may I?"),
        ('waiting s1 {"cwd":"/"}', "waiting", "s1", ""),
        ("done - ", "done", "", ""),
        ("working s2", "working", "s2", ""),
        ('waiting s1 {"message":"cut of', "waiting", "s1", '{"message":"cut of'),
    ],
)
def test_lines_of_hooks_become_events(line: str, state: str, session: str, text: str) -> None:
    event = attention.parse(line)
    assert event is not None
    assert (event["state"], event["session"], event["text"]) == (state, session, text)


@given(st.text())
def test_any_line_becomes_a_bounded_event_or_none(line: str) -> None:
    event = attention.parse(line)
    assert event is None or (event["state"] in attention.STATES and len(str(event["text"])) <= 500)


def test_a_program_killed_for_lack_of_memory_is_reported_by_name() -> None:
    record = "6,1041,77,-;Out of memory: Killed process 812 (node) total-vm:12kB, anon-rss:1kB"
    assert oom.parse(record) == "the guest ran out of memory and ended node"
    assert oom.parse("6,1,1,-;eth0: link up") is None


def test_a_terminal_description_is_installed_only_if_it_is_unknown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "chown", lambda *_: None)
    places = (str(tmp_path / "etc"), str(tmp_path / "usr"))
    data = base64.b64encode(b"compiled").decode()
    assert install("xterm-new", data, places)
    assert (tmp_path / "etc/x/xterm-new").read_bytes() == b"compiled"
    assert not install("xterm-new", data, places)


@pytest.mark.parametrize("name", ["", "../x", "/x", "a/b", ".x", "a\nb"])
def test_a_terminal_name_cannot_be_a_path(name: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not a terminal's name"):
        install(name, "", (str(tmp_path),))


def test_requests_are_always_answered() -> None:
    assert agent_requests.answer({"id": 1, "op": "nonsense"})["ok"] is False
    assert agent_requests.answer({"id": 2, "op": "terminfo"})["ok"] is False
    assert agent_requests.answer({"id": 3, "op": "signal", "session": "../1", "signal": "INT"})["ok"] is False
    assert agent_requests.answer({"id": 4, "op": "stats"})["ok"] is True


def test_incomplete_settings_are_rejected_with_a_reason() -> None:
    with pytest.raises(configure.CannotConfigure, match="incomplete"):
        configure.parse({"type": "configure", "user": {}})


def test_only_ports_that_localhost_reaches_are_listed(tmp_path: Path) -> None:
    head = "  sl  local_address rem_address   st tx_queue rx_queue\n"
    (tmp_path / "tcp").write_text(
        head
        + "   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000\n"
        + "   1: 00000000:0050 00000000:0000 0A 00000000:00000000\n"
        + "   2: 0F02000A:0051 00000000:0000 0A 00000000:00000000\n"  # 10.0.2.15
        + "   3: 0100007F:0052 0100007F:1F90 01 00000000:00000000\n"  # a connection
    )
    any6, other6 = "0" * 32, "000080FE00000000FF00125452FE5634"
    (tmp_path / "tcp6").write_text(
        head
        + f"   0: {any6}:1F91 {any6}:0000 0A 0\n"
        + f"   1: {'0' * 24}01000000:1F92 {any6}:0000 0A 0\n"
        + f"   2: {other6}:1F93 {any6}:0000 0A 0\n"
    )
    assert listening.ports(str(tmp_path)) == [80, 8080, 8081, 8082]
    (tmp_path / "tcp6").unlink()
    assert listening.ports(str(tmp_path)) == [80, 8080]


def test_an_offered_page_is_an_event_with_its_session() -> None:
    assert attention.parse("open s1 https://x/ y\n") == {
        "type": "event", "kind": "link", "session": "s1", "address": "https://x/ y",
    }  # fmt: skip


@given(st.binary(min_size=1, max_size=300).filter(lambda text: b"\0" not in text), st.integers(1, 1 << 40))
def test_the_table_of_the_scratch_disk_has_the_kernels_layout(parameters: bytes, sectors: int) -> None:
    data = scratch.table(sectors, parameters)
    start, length, status, following, kind = struct.unpack_from("=QQiI16s", data)
    assert (start, length, status, following) == (0, sectors, 0, len(data))
    assert kind.rstrip(b"\0") == b"crypt"
    assert data[40:].rstrip(b"\0") == parameters
    assert len(data) % 8 == 0


def test_the_environment_of_ssh_clients_is_quoted() -> None:
    env = {b"A": b'a "b" \\c', b"HOME": b"/home/dev", b"B": b"two\nlines", b"C": "ä".encode()}
    assert editor.set_env(env) == 'SetEnv "A=a \\"b\\" \\\\c" "C=ä"\n'
    assert editor.set_env({}) == ""
