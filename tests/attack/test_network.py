"""Attacks of the guest's root on the network: what only the host may reach is not reached, by any route or spelling."""

from __future__ import annotations

import http.server
import socket
import threading

import pytest

from tests.attack.conftest import AttackedGuest
from tests.guest.conftest import ccvm_tui
from tests.guest.test_egress import change, host_server, own_address, record
from tests.waiting import wait_until

pytestmark = [pytest.mark.attack, pytest.mark.unmeasured]

OWN = own_address()
DECIMAL = int.from_bytes(socket.inet_aton(OWN), "big")

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


ROUTES = {
    # what is tried directly, and what is tried by name through the proxy: with a URL, with CONNECT, and with SOCKS
    "this machine's address": ([OWN, str(DECIMAL), hex(DECIMAL)], [OWN, str(DECIMAL), hex(DECIMAL), f"[::ffff:{OWN}]"]),
    "the gateway": (["10.0.2.2", "10.0.2.3", "10.0.2.15"], ["10.0.2.2", "10.0.2.3", "0x0a000202", "012.0.2.2"]),
    "metadata services": (
        ["169.254.169.254", "100.100.100.200"],
        ["169.254.169.254", "2852039166", "168.63.129.16", "[fd00:ec2::254]", "metadata.google.internal"],
    ),
    "private networks": (
        ["192.168.0.1", "100.64.0.1", "172.16.0.1", "0.0.0.1"],
        ["192.168.0.1", "172.31.255.254", "100.127.0.1", "[fc00::1]", "[fe80::1]"],
    ),
    "numbers of the loopback": ([], ["127.0.0.1", "127.1", "2130706433", "0x7f.1", "0177.0.0.1", "0", "0.0.0.0"]),
    "names of the loopback": (
        [], ["localhost", "localhost.", "LOCALHOST", "ｌｏｃａｌｈｏｓｔ", "localhost.localdomain", socket.gethostname()],
    ),
    "IPv6": ([], ["[::1]", "[::]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[::127.0.0.1]"]),
    "translated addresses": ([], ["[64:ff9b::127.0.0.1]", "[64:ff9b::7f00:1]", "[2002:7f00:1::]", "[64:ff9b:1::7f00:1]"]),
    "other notations": ([], ["127.0.0.1.", "127。0。0。1", "①②⑦.0.0.1", "127.0.0.1%00", "[::1%25lo]"]),
}  # fmt: skip


@pytest.mark.parametrize("route", ROUTES)
def test_no_spelling_and_no_route_leads_to_this_machine(victim: AttackedGuest, route: str) -> None:
    direct, named = ROUTES[route]
    with host_server() as (port, requests):
        done = victim.run("sudo", "python3", "-c", ATTEMPTS, str(port), " ".join(direct), " ".join(named))
        assert done.stdout.decode() == f"{len(direct) + 3 * len(named)} attempts\n", done.stderr.decode()
        assert requests == []


def test_nothing_but_tcp_leaves_the_guest_and_everything_fails_at_once(victim: AttackedGuest) -> None:
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
    lines = victim.run("python3", "-c", script).stdout.decode().split("\n")
    assert lines[:3] == ["ConnectionRefusedError 111 True", "OSError 101 True", "OSError 101 True"]
    assert "1 packets transmitted, 0 received" in victim.sh("ping -c 1 1.1.1.1 2>&1 || true")
    assert victim.sh("ping -c 1 127.0.0.1 | grep -c 'bytes from'").strip() == "1"
    assert victim.sh("getent ahosts a.invalid || echo missing").strip() == "missing"


PACKETS = r"""
import os, socket, struct, sys
port, own = int(sys.argv[1]), sys.argv[2]
for address in (own, "10.0.2.2", "255.255.255.255", "224.0.0.1"):
    for options in ((), (socket.SO_BROADCAST,), (socket.SO_DONTROUTE,)):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            for option in options:
                s.setsockopt(socket.SOL_SOCKET, option, 1)
            try:
                s.sendto(b"out", (address, port))
            except OSError:
                pass
udp = struct.pack("!4H", 4242, port, 11, 0) + b"out"
ip = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(udp), 7, 0, 64, 17, 0, bytes(4), socket.inet_aton(own))
for interface in os.listdir("/sys/class/net"):
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3)) as s:
        try:
            s.bind((interface, 0))
            s.send(b"\xff" * 12 + b"\x08\x00" + ip + udp)
        except OSError:
            pass
for protocol in (1, 4, 41, 47, 132):
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, protocol) as s:
        s.settimeout(1)
        try:
            s.sendto(b"\x08\x00\xf7\xff" + bytes(4), (own, 0))
        except OSError:
            pass
print("sent")
"""


def test_no_packet_of_another_kind_reaches_this_machine(victim: AttackedGuest) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as received:
        received.bind(("0.0.0.0", 0))
        received.setblocking(False)
        port = received.getsockname()[1]
        assert victim.run("sudo", "python3", "-c", PACKETS, str(port), OWN).stdout == b"sent\n"
        # without the guest's own routes, which lead everything to the proxy
        victim.root(
            """
            ip rule del pref 32769
            trap 'ip rule add pref 32769 lookup local' EXIT
            for device in $(ls /sys/class/net); do
                ip route add default dev $device 2>/dev/null || true
                python3 -c "$1" "$2" "$3"
                ip route del default dev $device 2>/dev/null || true
            done
            """,
            PACKETS, str(port), OWN,
        )  # fmt: skip
        with pytest.raises(BlockingIOError):
            received.recv(100)


def test_there_is_no_other_device_that_leads_to_the_host(victim: AttackedGuest) -> None:
    assert victim.root("ls /sys/class/net").split() == ["dummy0", "lo"]
    script = (
        "import socket; s = socket.socket(socket.AF_VSOCK, socket.SOCK_STREAM); s.settimeout(5); s.connect((2, 22))"
    )
    assert victim.run("sudo", "python3", "-c", script).returncode != 0
    assert victim.root("find /sys/bus/pci/devices /sys/bus/usb/devices -type l 2>/dev/null || true") == ""


class Redirect(http.server.BaseHTTPRequestHandler):
    """A listed host that redirects to the path's target."""

    def do_GET(self) -> None:
        self.send_response(302)
        self.send_header("Location", f"http://{self.path[1:]}")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


def test_a_redirect_does_not_lead_to_this_machine(victim: AttackedGuest) -> None:
    with host_server() as (port, requests), http.server.ThreadingHTTPServer(("0.0.0.0", 0), Redirect) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        listed = f"{OWN}:{server.server_port}"
        change(victim, "--allow", listed)
        try:
            targets = (f"127.0.0.1:{port}/x", f"localhost:{port}/x", f"{OWN}:{port}/x", "169.254.169.254/latest/")
            ways = ("", "-x http://127.0.0.1:3128", "-x socks5h://127.0.0.1:3128")
            fetch = [
                f"curl -sSL --max-time 20 {way} http://{listed}/{target} || true" for target in targets for way in ways
            ]
            victim.root(" & ".join([*fetch, "wait"]))
        finally:
            change(victim, "--forget", listed)
            server.shutdown()
        assert requests == []
        assert [line for line in record(victim) if line["port"] == server.server_port and line["outcome"] == "closed"]


def test_a_killed_gate_is_replaced_and_gains_nothing(victim: AttackedGuest) -> None:
    with host_server() as (port, requests):
        target = f"{own_address()}:{port}"
        change(victim, "--allow", target)
        victim.sh("sudo sh -c 'kill -9 $(cat /run/ccvm/gate.pid)'")
        wait_until(lambda: victim.run("curl", "-sSf", f"http://{target}/again").returncode == 0)
        change(victim, "--forget", target)
        assert "/again" in requests
        # without its routes the guest reaches nothing
        victim.sh("sudo ip rule del pref 32769; ! curl -sS --max-time 10 http://1.1.1.1/")
        victim.sh("sudo ip rule add pref 32769 lookup local")
        assert not [line for line in record(victim) if line["host"] == "1.1.1.1"]


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


def test_garbage_on_the_port_ends_no_guest(victim: AttackedGuest) -> None:
    done = victim.run("sudo", "sh", "-ec", GARBAGE)
    assert done.returncode == 0, done.stderr.decode()
    with host_server() as (port, _):
        target = f"{own_address()}:{port}"
        change(victim, "--allow", target)
        wait_until(lambda: victim.run("curl", "-sSf", f"http://{target}/again").returncode == 0)
        change(victim, "--forget", target)


def test_names_that_are_not_listed_carry_no_data_out(second: AttackedGuest) -> None:
    """A tunnel in queries: each name contains data. None of them is looked up by the host, and no server is reached."""
    assert second.program("queries").split() == ["synthetic"]
    refused = [line for line in record(second) if line["host"] == "8.8.8.8"]
    assert {line["outcome"] for line in refused} == {"refused"}


def test_an_allowlist_is_enforced_by_name(second: AttackedGuest) -> None:
    guest = second
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
