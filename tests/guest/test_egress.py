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
from tests.waiting import wait_until


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


ATTEMPTS = r"""
import concurrent.futures, socket, sys
port, direct, named = int(sys.argv[1]), sys.argv[2].split(), sys.argv[3].split()
PROXY = ("127.0.0.1", 3128)
GET = "GET {}/%s HTTP/1.1\r\nHost: {}\r\n\r\n"
def attempt(address, *messages):
    received = b""
    try:
        with socket.create_connection(address, timeout=30) as s:
            for message in messages:
                s.sendall(message)
                received += s.recv(1000)
            while data := s.recv(65536):
                received += data
    except OSError as error:
        received += repr(error).encode()
    return received
def get(host, way, url=""):
    return (GET % way).format(url, f"{host}:{port}").encode()
def socks(host):
    name = host.strip("[]").encode()
    return b"\5\1\0\3" + bytes([len(name)]) + name + port.to_bytes(2, "big")
with concurrent.futures.ThreadPoolExecutor(16) as pool:
    tried = {("direct", host): pool.submit(attempt, (host, port), get(host, "direct")) for host in direct}
    for host in named:
        tried["http", host] = pool.submit(attempt, PROXY, get(host, "http", f"http://{host}:{port}"))
        connect = f"CONNECT {host}:{port} HTTP/1.1\r\nHost: x\r\n\r\n".encode()
        tried["connect", host] = pool.submit(attempt, PROXY, connect, get(host, "connect"))
        tried["socks", host] = pool.submit(attempt, PROXY, b"\5\1\0", socks(host), get(host, "socks"))
    for way, result in tried.items():
        if b"from the host" in result.result() or b" 200 " in result.result():
            print(*way, result.result()[:100])
print(len(tried), "attempts")
"""


def test_no_spelling_and_no_route_leads_to_this_machine(guest: RealGuest) -> None:
    own = own_address()
    decimal = int.from_bytes(socket.inet_aton(own), "big")
    direct = [own, str(decimal), hex(decimal), "10.0.2.2", "169.254.169.254", "0.0.0.1", "192.168.0.1", "100.64.0.1"]
    named = ["localhost", "127.0.0.1", "127.1", "2130706433", "0x7f.1", "0177.0.0.1", "[::1]", "[::ffff:127.0.0.1]"]
    named += ["localhost.", "LOCALHOST", socket.gethostname(), "0", "0.0.0.0", "[::]", "[::ffff:7f00:1]", *direct]
    named += ["[64:ff9b::127.0.0.1]", "[64:ff9b::7f00:1]", "[2002:7f00:1::]", "[::127.0.0.1]", "[fe80::1]"]
    with host_server() as (port, requests):
        done = guest.run("sudo", "python3", "-c", ATTEMPTS, str(port), " ".join(direct), " ".join(named), within=200)
        assert done.stdout.decode() == f"{len(direct) + 3 * len(named)} attempts\n", done.stderr.decode()
        assert requests == []


def test_nothing_but_tcp_leaves_the_guest_and_everything_fails_at_once(guest: RealGuest) -> None:
    script = """
import socket, time
def attempt(family, kind, address):
    began = time.monotonic()
    with socket.socket(family, kind) as s:
        s.settimeout(20)
        try:
            s.connect(address); s.send(b"x"); s.recv(1)
        except OSError as error:
            print(type(error).__name__, error.errno, time.monotonic() - began < 15)
attempt(socket.AF_INET, socket.SOCK_DGRAM, ("1.1.1.1", 443))
attempt(socket.AF_INET6, socket.SOCK_STREAM, ("2606:4700::1111", 443))
attempt(socket.AF_INET6, socket.SOCK_DGRAM, ("2606:4700::1111", 53))
"""
    lines = guest.run("python3", "-c", script).stdout.decode().split("\n")
    assert lines[:3] == ["ConnectionRefusedError 111 True", "OSError 101 True", "OSError 101 True"]
    assert "1 packets transmitted, 0 received" in guest.sh("ping -c 1 1.1.1.1 2>&1 || true")
    assert guest.sh("ping -c 1 127.0.0.1 | grep -c 'bytes from'").strip() == "1"
    assert guest.sh("getent ahosts a.invalid || echo missing").strip() == "missing"


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


def test_a_killed_gate_is_replaced_and_gains_nothing(spare: RealGuest) -> None:
    with host_server() as (port, requests):
        target = f"{own_address()}:{port}"
        change(spare, "--allow", target)
        spare.sh("sudo sh -c 'kill -9 $(cat /run/ccvm/gate.pid)'")
        wait_until(lambda: spare.run("curl", "-sSf", f"http://{target}/again").returncode == 0)
        change(spare, "--forget", target)
        assert "/again" in requests
        # without its routes the guest reaches nothing
        spare.sh("sudo ip rule del pref 32769; ! curl -sS --max-time 10 http://1.1.1.1/")
        spare.sh("sudo ip rule add pref 32769 lookup local")
        assert not [line for line in record(spare) if line["host"] == "1.1.1.1"]


GARBAGE = """
gate=$(cat /run/ccvm/gate.pid)
device=$(grep -l egress /sys/class/virtio-ports/*/name | cut -d/ -f5)
kill -STOP $gate
for fd in /proc/$gate/fd/*; do
    [ "$(readlink $fd)" != /dev/$device ] || descriptor=${fd##*/}
done
# the port can be opened only once, so take the descriptor of the gate
python3 -c 'import ctypes, os, sys
pid = os.pidfd_open(int(sys.argv[1]))
fd = ctypes.CDLL(None).syscall(438, pid, int(sys.argv[2]), 0)  # pidfd_getfd
for _ in range(50):
    try:
        os.write(fd, os.urandom(30000))
    except BlockingIOError:
        pass
' $gate $descriptor
kill -9 $gate
"""


def test_garbage_on_the_port_ends_no_guest(spare: RealGuest) -> None:
    done = spare.run("sudo", "sh", "-ec", GARBAGE)
    assert done.returncode == 0, done.stderr.decode()
    with host_server() as (port, _):
        target = f"{own_address()}:{port}"
        change(spare, "--allow", target)
        wait_until(lambda: spare.run("curl", "-sSf", f"http://{target}/again").returncode == 0)
        change(spare, "--forget", target)


def test_an_allowlist_is_enforced_by_name(own_guest: Starter) -> None:
    guest = own_guest("--egress", "allowlist")
    assert "not on the allowlist" in guest.sh("curl -sS http://unlisted.invalid/")
    assert "access denied" in guest.sh("curl -sS https://unlisted.invalid/ 2>&1 || true").lower()
    assert "access denied" in guest.sh("curl -sSk https://203.0.113.1/ 2>&1 || true").lower()
    assert "not on the allowlist" in guest.sh("curl -sSx 127.0.0.1:3128 http://unlisted.invalid/")
    assert "403" in guest.sh("curl -sSx 127.0.0.1:3128 https://unlisted.invalid/ 2>&1 || true")
    with host_server() as (port, requests):
        for name in ("localhost", "127.0.0.1"):
            change(guest, "--allow", f"{name}:{port}")
        through = f"curl -sS -x socks5h://127.0.0.1:3128 --connect-to unlisted.invalid:{port}:localhost:{port}"
        assert (
            guest.sh(f"curl -sS -x socks5h://127.0.0.1:3128 http://localhost:{port}/listed | wc -c").strip() == "140000"
        )
        # another name in TLS and in HTTP than the one that is connected to
        assert "access denied" in guest.sh(f"{through} https://unlisted.invalid:{port}/ 2>&1 || true").lower()
        assert "the host in its request is unlisted.invalid" in guest.sh(f"{through} http://unlisted.invalid:{port}/")
        assert requests == ["/listed"]
    assert guest.sh("sudo -n id -u").strip() == "0"
    rules = ccvm_tui("egress", guest.name, "--rules").stdout.decode()
    assert "allow  api.anthropic.com" in rules
    assert guest.info["egress"]["mode"] == "allowlist"
    assert guest.info["egress"]["refused"] >= 5


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
