"""Messages to the file server that the attacker writes by hand, on the raw device of a real guest.

The driver of the guest's kernel is unbound, so nothing checks what is sent; see ``programs/raw_device.py``.
"""

from __future__ import annotations

import errno
import json

import psutil
import pytest

from tests.attack.conftest import AttackedGuest, Place
from tests.guest.conftest import ccvm_tui
from tests.share.client import snapshot

pytestmark = [pytest.mark.attack, pytest.mark.unmeasured]

Replies = dict[str, int]
"""The error number of each reply by the label of the request."""

OUTWARD = ("..", ".", "../outside", "../../outside/secret", "/etc/passwd", "hello.txt/../../x", "")


@pytest.fixture
def replies(second: AttackedGuest, place: Place) -> Replies:
    """The replies to all requests of ``raw_device.py``. They are sent once."""
    if not place.replies:
        before = snapshot(str(second.project).encode())
        for line in second.program("raw_device", "requests").splitlines():
            label, error, _ = json.loads(line)
            place.replies[label] = error
        assert snapshot(str(second.project).encode()) == before
    return place.replies


@pytest.mark.parametrize("name", OUTWARD)
def test_a_name_with_a_slash_or_dots_is_refused_by_all_operations(replies: Replies, name: str) -> None:
    about = [error for label, error in replies.items() if label.split(" ")[-1] == name and "link to" not in label]
    assert about == [errno.EINVAL] * 9


def test_a_hard_link_does_not_lead_out(replies: Replies) -> None:
    assert replies["link to .."] == errno.EINVAL


def test_a_symbolic_link_is_not_followed_as_a_node(replies: Replies) -> None:
    about = {label: error for label, error in replies.items() if label.endswith("of a symbolic link")}
    assert len(about) == 3
    assert all(about.values())
    assert replies["lookup below a symbolic link"] == errno.ENOTDIR


@pytest.mark.parametrize("node", ["node 0", "node 2^63", "node 999"])
def test_a_node_that_was_never_looked_up_does_not_exist(replies: Replies, node: str) -> None:
    about = {label: error for label, error in replies.items() if label.endswith(node)}
    assert len(about) == 4
    assert set(about.values()) <= {errno.ESTALE, errno.EBADF}


@pytest.mark.parametrize("kind", ["character", "block"])
def test_a_device_is_refused(replies: Replies, kind: str) -> None:
    assert replies[f"{kind} device"] == errno.EPERM


def test_another_owner_is_refused(replies: Replies) -> None:
    assert replies["another owner"] == errno.EPERM


def test_other_operations_of_the_protocol_do_not_exist(replies: Replies) -> None:
    about = [error for label, error in replies.items() if label.startswith("operation ")]
    assert about == [errno.ENOSYS] * 10


def test_a_request_as_long_as_the_memory_takes_neither_memory_nor_time(second: AttackedGuest) -> None:
    server = second.file_server
    used = server.cpu_times().user
    with second.bounded():
        assert int(second.program("raw_device", "huge")) > 100 << 20
        highest = (f"/proc/{server.pid}/status", "VmHWM")
        assert _kilobytes(*highest) < 128 << 10
        assert server.cpu_times().user - used < 5


def _kilobytes(file: str, name: str) -> int:
    with open(file) as status:
        return next(int(line.split()[1]) for line in status if line.startswith(name))


def test_a_flood_of_requests_delays_only_the_guest(second: AttackedGuest) -> None:
    with second.bounded():
        assert int(second.program("raw_device", "flood", "4")) > 100
        assert ccvm_tui("guard", "--json", second.name, within=10).returncode == 0


def test_broken_rings_end_the_guest_and_nothing_else(second: AttackedGuest, place: Place) -> None:
    """A chain of descriptors has no end. The file server cannot know what that means, and ends."""
    keeper, server = second.keeper, second.file_server
    second.run("sudo", "python3", "-c", second.source("raw_device"), "circle")
    psutil.wait_procs([keeper, server], timeout=60)
    assert not keeper.is_running()
    assert not server.is_running()
    assert second.name.encode() not in ccvm_tui("ls").stdout
    assert "file server exited: " in ccvm_tui("logs", second.name).stderr.decode()
    place.replies.clear()
