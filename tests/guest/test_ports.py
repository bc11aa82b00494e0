"""Ports and web pages of a real guest: nothing is forwarded or opened unless the user asks for it."""

from __future__ import annotations

import contextlib
import json
import socket
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.guest.conftest import RealGuest, ccvm_tui
from tests.waiting import wait_until

LOGIN = "https://login.example/authorize?client_id=a&redirect_uri=http%3A%2F%2Flocalhost%3A{port}%2Fcallback&state=b"


def verb(*arguments: str) -> str:
    """Run a verb, which must succeed, and return its output."""
    result = ccvm_tui(*arguments)
    assert result.returncode == 0, result.stderr.decode()
    return result.stdout.decode()


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def listens(port: int) -> bool:
    with socket.socket() as sock:
        return sock.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture
def served(guest: RealGuest) -> Iterator[int]:
    """A web server in the guest, on a port that is free on the host."""
    port = free_port()
    session = guest.open("--command", "--", "python3", "-m", "http.server", "--bind", "127.0.0.1", str(port))
    wait_until(lambda: f"\n{port} " in verb("forward", guest.name))
    yield port
    guest.run("pkill", "-f", "http.server")
    wait_until(lambda: session not in [one["id"] for one in guest.info["sessions"]])


def test_a_port_is_listed_and_reached_only_while_it_is_forwarded(guest: RealGuest, served: int) -> None:
    assert not listens(served)
    assert verb("forward", guest.name, str(served)) == f"127.0.0.1:{served}\n"
    with urllib.request.urlopen(f"http://127.0.0.1:{served}/hello.txt", timeout=30) as page:
        assert page.read() == b"from the host\n"
    other = free_port()
    assert verb("forward", guest.name, f"{served}:{other}") == f"127.0.0.1:{other}\n"
    row = next(line for line in verb("forward", guest.name).splitlines() if line.startswith(str(served)))
    assert row.split()[1:] == ["yes", f"127.0.0.1:{min(served, other)},", f"127.0.0.1:{max(served, other)}"]
    verb("forward", "--remove", guest.name, f"{served}:{other}")
    assert not listens(other)
    assert listens(served)
    verb("forward", "--remove", guest.name, str(served))
    assert not listens(served)
    assert ccvm_tui("forward", "--remove", guest.name, str(served)).returncode == 1


def test_a_port_in_use_is_replaced_by_a_free_one_unless_it_was_chosen(guest: RealGuest) -> None:
    with socket.socket() as used:
        used.bind(("127.0.0.1", 0))
        used.listen()
        port = used.getsockname()[1]
        address = verb("forward", guest.name, str(port)).strip()
        assert address != f"127.0.0.1:{port}"
        refused = ccvm_tui("forward", guest.name, f"81:{port}")
        assert refused.returncode == 1
        assert b"not available" in refused.stderr
    verb("forward", "--remove", guest.name, str(port))


def test_connections_to_a_port_on_which_nothing_listens_are_closed(guest: RealGuest) -> None:
    port = int(verb("forward", guest.name, "9").strip().rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port), timeout=30) as sock, contextlib.suppress(ConnectionResetError):
        assert sock.recv(1) == b""
    verb("forward", "--remove", guest.name, "9")


def test_a_page_is_offered_and_opened_only_by_the_user_with_the_port_of_its_login(
    guest: RealGuest, served: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    browser, opened = tmp_path / "browser", tmp_path / "opened"
    browser.write_text(f'#!/bin/sh\nprintf %s "$1" >{opened}.new\nmv {opened}.new {opened}\n')
    browser.chmod(0o755)
    monkeypatch.setenv("BROWSER", str(browser))
    address = LOGIN.format(port=served)

    assert guest.run("xdg-open", address).returncode == 0
    wait_until(lambda: ccvm_tui("open", "--list", guest.name).stdout.decode() == address + "\n")
    assert not opened.exists()
    assert not listens(served)
    assert guest.info["links"][0]["port"] == served

    verb("open", "--yes", guest.name)
    wait_until(opened.exists)
    assert opened.read_text() == address
    with urllib.request.urlopen(f"http://127.0.0.1:{served}/hello.txt", timeout=30) as page:
        assert page.status == 200
    assert guest.info["links"] == []
    verb("forward", "--remove", guest.name, str(served))


def test_only_valid_addresses_are_offered_and_a_flood_of_them_is_limited(guest: RealGuest) -> None:
    for address in ("file:///etc/passwd", "javascript:alert(1)", "/etc/passwd", "-x", "http://" + "a" * 4000):
        assert guest.run("xdg-open", address).returncode in (3, 4)
    hostile = [
        "https://good.example@evil.example/", "https://a b/", "https://x/\x1b]52;c;aGk=\x07", "https://\u202egood/",
        "https://[bad/", "https://x\\@evil.example/", "http:///nowhere",
    ]  # fmt: skip
    before = (guest.directory / "events.jsonl").read_text().count('"link"')
    guest.run("python3", "-c", WRITE_OFFERS.format(offers=json.dumps(hostile)))
    guest.run("python3", "-c", WRITE_OFFERS.format(offers='[f"https://x/{n}" for n in range(2000)]'), within=120)
    wait_until(
        lambda: [link["address"] for link in guest.info["links"]] == [f"https://x/{n}" for n in range(1995, 2000)]
    )
    assert (guest.directory / "events.jsonl").read_text().count('"link"') - before < 100
    for link in verb("open", "--list", guest.name).splitlines():
        assert link.startswith("https://x/")


WRITE_OFFERS = """
with open("/run/ccvm/notify", "wb", buffering=0) as pipe:
    for offer in {offers}:
        pipe.write(f"open s1 {{offer}}\\n".encode())
"""
