"""The way out of a real guest: what it reaches, and that root in it reaches nothing else."""

from __future__ import annotations

import asyncio
import contextlib
import http.server
import json
import socket
import threading
from collections.abc import Iterator
from typing import Any

import psutil

from ccvm_tui.client import connection
from ccvm_tui.protocol import Info
from tests.guest.conftest import RealGuest, Starter, ccvm_tui


def own_address() -> str:
    """Return an address of this machine that is not its loopback address."""
    cards = psutil.net_if_addrs().values()
    found = (entry.address for card in cards for entry in card if entry.family is socket.AF_INET)
    return next(address for address in found if not address.startswith("127."))


class Answer(http.server.BaseHTTPRequestHandler):
    """A server of this machine, which must not be reached unless it is listed."""

    def do_GET(self) -> None:
        self.server.requests.append(self.path)  # type: ignore[attr-defined]
        body = b"from the host\n" * 10_000
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@contextlib.contextmanager
def host_server() -> Iterator[tuple[int, list[str]]]:
    """Run an HTTP server on all addresses of this machine; yield its port and the paths that were requested."""
    server = http.server.ThreadingHTTPServer(("0.0.0.0", 0), Answer)
    server.requests = []  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server.server_port, server.requests  # type: ignore[attr-defined]
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def record(guest: RealGuest) -> list[dict[str, Any]]:
    done = ccvm_tui("egress", "--json", guest.name)
    assert done.returncode == 0, done.stderr.decode()
    return [json.loads(line) for line in done.stdout.splitlines()]


def change(guest: RealGuest, option: str, rule: str) -> None:
    done = ccvm_tui("egress", guest.name, option, rule)
    assert done.returncode == 0, done.stderr.decode()


def test_a_listed_address_is_reached_by_programs_that_know_no_proxy(guest: RealGuest) -> None:
    with host_server() as (port, requests):
        target = f"{own_address()}:{port}"
        refused = guest.sh(f"curl -sS http://{target}/refused || true")
        assert "is this machine's own" in refused
        assert f"ccvm-tui egress {guest.name} --allow {target}" in refused
        change(guest, "--allow", target)
        try:
            fetch = f'import urllib.request as r; print(len(r.urlopen("http://{target}/python").read()))'
            assert guest.sh(f"curl -sS http://{target}/curl | wc -c; python3 -c '{fetch}'").split() == ["140000"] * 2
            assert guest.sh(f"curl -sSx socks5h://127.0.0.1:3128 http://{target}/socks | wc -c").strip() == "140000"
        finally:
            change(guest, "--forget", target)
        assert requests == ["/curl", "/python", "/socks"]
        lines = [line for line in record(guest) if line["port"] == port]
        assert [line["outcome"] for line in lines].count("refused") == 1
        assert max(line["received"] for line in lines) > 140_000
        assert {line["session"] for line in lines} == {"exec"}  # found by the cgroups of the programs


def test_the_package_manager_works_through_it(guest: RealGuest) -> None:
    """Apt knows no proxy, resolves names itself, and requests several files on one connection of plain HTTP."""
    output = guest.sh("sudo apt-get update 2>&1", within=280)
    assert "Err:" not in output
    assert any(line["outcome"] == "closed" and line["received"] > 10_000 for line in record(guest))


def test_many_connections_at_once(guest: RealGuest) -> None:
    with host_server() as (port, requests):
        target = f"{own_address()}:{port}"
        change(guest, "--allow", target)
        try:
            script = (
                "import concurrent.futures as c, urllib.request as r\n"
                "pool = c.ThreadPoolExecutor(200)\n"
                f"fetch = lambda number: len(r.urlopen(f'http://{target}/{{number}}', timeout=120).read())\n"
                "print(sum(pool.map(fetch, range(1, 201))))"
            )
            sizes = guest.run("python3", "-c", script, within=200).stdout
        finally:
            change(guest, "--forget", target)
        assert int(sizes) == 200 * 140_000
        assert sorted(map(int, (path[1:] for path in requests))) == list(range(1, 201))


async def test_the_user_is_asked_in_mode_ask(own_guest: Starter) -> None:
    guest = await asyncio.to_thread(own_guest, "--egress", "ask")
    with host_server() as (port, requests):
        target = f"{own_address()}:{port}"
        assert "no dashboard is open" in guest.sh(f"curl -sS http://{target}/unasked")
        async with await connection.connect(guest.name, events=True, asks=True) as keeper:
            for path, allow, once in (("refused", False, True), ("once", True, True), ("guest", True, False)):
                held = asyncio.create_task(asyncio.to_thread(guest.sh, f"curl -sS http://{target}/{path}"))
                async for event in keeper.events():
                    if isinstance(event, Info) and event.guest.egress.questions == (target,):
                        break
                await keeper.answer_egress(target, allow=allow, once=once)
                assert ("you refused it" if not allow else "from the host") in await held
            assert (await keeper.egress()).learned == (target,)
        assert (await asyncio.to_thread(guest.sh, f"curl -sS http://{target}/learned | wc -c")).strip() == "140000"
        assert requests == ["/once", "/guest", "/learned"]
    saved = await asyncio.to_thread(ccvm_tui, "egress", guest.name, "--save")
    assert target in saved.stderr.decode()
