"""Attacks of one guest on another guest of the same user."""

from __future__ import annotations

import re
import socket

import pytest

from tests.attack.conftest import AttackedGuest
from tests.attack.test_network import ATTEMPTS, OWN
from tests.guest.conftest import ccvm_tui

pytestmark = [pytest.mark.attack, pytest.mark.unmeasured]

IDENTITY = """
cat /run/ccvm/ssh/host_key /run/ccvm/ssh/authorized_keys /etc/machine-id /proc/sys/kernel/random/boot_id
head -c 32 /dev/urandom | base64
cat /proc/sys/kernel/random/uuid
"""


def test_guests_share_no_key_and_no_randomness(victim: AttackedGuest, second: AttackedGuest) -> None:
    first, other = (set(guest.root(IDENTITY).splitlines()) for guest in (victim, second))
    common = {line for line in first & other if "-----" not in line and line}
    # OpenSSH's private keys begin with a line without a key
    assert all(re.fullmatch(r"b3BlbnNzaC1rZXktdjE[A-Za-z0-9+/=]*", line) and "AAAA" in line for line in common), common


def test_a_guest_sees_no_file_of_another_project(victim: AttackedGuest, second: AttackedGuest) -> None:
    (second.project / "only-in-the-second").write_text("x")
    assert victim.root('ls -A "$1" ../second 2>/dev/null || true', str(second.project)) == ""


def test_the_sockets_of_another_guest_are_not_there(victim: AttackedGuest, second: AttackedGuest) -> None:
    script = """
        for name in keeper.sock ssh.sock lock; do
            ! test -e "$1/$name" || echo there
        done
        ! grep -F "$2" /proc/net/unix || echo listed
        """
    assert victim.root(script, str(second.directory), second.name) == ""


def test_a_forwarded_port_of_another_guest_is_not_reached(victim: AttackedGuest, second: AttackedGuest) -> None:
    """The keeper of the second guest listens on the loopback interface of the host."""
    server = second.root("nohup python3 -m http.server 8123 --bind 127.0.0.1 >/dev/null 2>&1 & echo started")
    assert server == "started\n"
    forwarded = ccvm_tui("forward", second.name, "8123")
    assert forwarded.returncode == 0, forwarded.stderr.decode()
    port = int(re.findall(r"127\.0\.0\.1:(\d+)", forwarded.stdout.decode())[0])
    try:
        hosts = f"127.0.0.1 localhost [::1] {OWN} 10.0.2.2"
        done = victim.run("sudo", "python3", "-c", ATTEMPTS, str(port), f"{OWN} 10.0.2.2", hosts)
        assert done.stdout.decode() == "17 attempts\n", done.stderr.decode()
    finally:
        ccvm_tui("forward", second.name, "--remove", str(port))
        second.root("pkill -f 'http.server 812[3]' || true")


def test_a_host_that_one_guest_may_reach_is_closed_to_the_other(victim: AttackedGuest, second: AttackedGuest) -> None:
    with socket.create_server(("0.0.0.0", 0)) as server:
        server.setblocking(False)
        target = f"{OWN}:{server.getsockname()[1]}"
        assert ccvm_tui("egress", second.name, "--allow", target).returncode == 0
        try:
            assert "is this machine's own" in victim.root(f"curl -sS --max-time 20 http://{target}/ || true")
            with pytest.raises(BlockingIOError):
                server.accept()
        finally:
            ccvm_tui("egress", second.name, "--forget", target)


def test_a_guest_cannot_join_the_port_of_another(victim: AttackedGuest, second: AttackedGuest) -> None:
    """Only the ports of its own keeper are there: control, SSH, egress, and the helpers of its file server."""
    assert second.name
    script = "cat /sys/class/virtio-ports/*/name"
    assert sorted(victim.root(script).split()) == sorted(second.root(script).split())
    assert victim.name not in second.root("cat /etc/hostname /etc/hosts; hostname")
