"""Keys and credentials are where they belong, and nowhere else: on the host, and in the memory of another guest."""

from __future__ import annotations

import base64
import os
from collections.abc import Iterator

import psutil
import pytest

from ccvm_tui.paths import cache_dir
from tests.attack.conftest import API_KEY, AttackedGuest, Place
from tests.attack.searching import GuestMemory, files_with
from tests.conftest import XDG
from tests.guest.conftest import ccvm_tui
from tests.terminals import attached
from tests.waiting import eventually

pytestmark = pytest.mark.unmeasured


def private_lines(guest: AttackedGuest) -> list[bytes]:
    """Return lines of the guest's private host key, without the first, which is the same in all keys."""
    return [line.encode() for line in guest.root("cat /run/ccvm/ssh/host_key").splitlines()[2:-1] if len(line) > 40]


def public_keys(guest: AttackedGuest) -> tuple[bytes, bytes]:
    """Return the public halves of the guest's host key and of the keeper's key, 32 bytes each."""
    lines = guest.root("ssh-keygen -yf /run/ccvm/ssh/host_key; cat /run/ccvm/ssh/authorized_keys").splitlines()
    host, client = (base64.b64decode(line.split()[1])[-32:] for line in lines[:2])
    return host, client


def texts_of(process: psutil.Process) -> Iterator[str]:
    """Yield the arguments and the environment of a process, without the names of variables."""
    yield from process.cmdline()
    yield from process.environ().values()


@pytest.mark.attack
def test_no_process_had_the_key_while_the_guest_started(victim: AttackedGuest, place: Place) -> None:
    """Only the command that the user started, and this process, have it in their environments."""
    assert victim.name
    assert [where for where in place.seen if "pytest" not in where] == []


@pytest.mark.attack
async def test_the_key_is_in_its_session_only(victim: AttackedGuest, place: Place) -> None:
    async with attached(victim.name, "s1", cols=200) as terminal:
        terminal.type(f"\x03\rclear; echo got ${API_KEY}\r")
        await terminal.until(f"got {place.key}")


@pytest.mark.attack
def test_another_session_has_no_key(victim: AttackedGuest, place: Place) -> None:
    assert place.key not in victim.root("env; sudo -u dev -i env")


@pytest.mark.attack
def test_no_process_of_the_host_has_a_secret_in_its_arguments_or_environment(
    victim: AttackedGuest, second: AttackedGuest, place: Place
) -> None:
    for guest in (victim, second):
        assert {guest.qemu, guest.screen, guest.file_server, guest.keeper} <= set(guest.processes)
        for process in guest.processes:
            for text in texts_of(process):
                assert place.key not in text
                assert place.token not in text
                assert "PRIVATE KEY" not in text
        assert guest.qemu.environ() == {}


@pytest.mark.attack
def test_no_process_of_the_host_writes_a_core_file(victim: AttackedGuest) -> None:
    for process in victim.processes:
        limits = open(f"/proc/{process.pid}/limits").read()  # noqa: SIM115 - a file of the kernel
        (limit,) = (line.split()[4:6] for line in limits.splitlines() if "core file" in line)
        assert limit in (["0", "0"], ["1", "1"])  # 1 also keeps the kernel from starting a program that reads it


@pytest.mark.attack
def test_no_file_contains_a_secret(victim: AttackedGuest, second: AttackedGuest, place: Place) -> None:
    needles = [place.key.encode(), place.token.encode(), *private_lines(victim), *private_lines(second)]
    assert len(needles) > 4
    written = [place.root / variable for variable in XDG]
    assert victim.directory.is_relative_to(written[0])
    assert files_with(written, *needles, b"PRIVATE KEY") == []
    assert files_with([cache_dir()], *needles) == []
    for command in (("ls", "--json"), ("logs", victim.name), ("logs", "--keeper", victim.name), ("config",)):
        output = ccvm_tui(*command)
        assert not [needle for needle in needles if needle in output.stdout + output.stderr]


@pytest.mark.attack
def test_no_secret_is_on_the_kernel_command_line_or_in_the_firmware(victim: AttackedGuest, place: Place) -> None:
    found = victim.root(
        "cat /proc/cmdline; cat /sys/firmware/qemu_fw_cfg/by_name/*/*/raw 2>/dev/null | head -c 100000 || true"
    )
    assert place.key not in found
    assert "PRIVATE KEY" not in found


@pytest.mark.attack
def test_the_memory_of_a_guest_has_none_of_the_hosts_credentials(
    victim: AttackedGuest, second: AttackedGuest, place: Place
) -> None:
    """An idle guest that received the user's configuration. Its physical memory is read from outside."""
    secrets = [place.key.encode(), place.token.encode(), *private_lines(victim)]
    assert set(GuestMemory(second.qemu).count(*secrets).values()) == {0}


@pytest.mark.attack
def test_the_memory_of_a_guest_has_the_private_half_of_no_key_of_the_keeper(
    victim: AttackedGuest, second: AttackedGuest
) -> None:
    (victim_host, victim_client), (_, client) = public_keys(victim), public_keys(second)
    memory = GuestMemory(second.qemu)
    assert memory.count(client)[client] > 0  # the public half, which the guest needs
    assert memory.private_halves(victim_host, victim_client, client) == set()


def test_secrets_in_the_memory_of_a_guest_are_found(second: AttackedGuest) -> None:
    """The control experiment: a guest's own host key, as OpenSSH stores it, and the user's instructions."""
    lines, public = private_lines(second), public_keys(second)[0]
    memory = GuestMemory(second.file_server)
    assert all(memory.count(*lines, b"Be brief.").values())
    second.root(
        """
        python3 -c '
        import base64, sys
        key = base64.b64decode(sys.argv[1])
        at = key.rindex(bytes.fromhex(sys.argv[2]))
        open("/run/held", "wb").write(key[at - 32 : at + 32])
        ' "$(sed '1d;$d' /run/ccvm/ssh/host_key | tr -d '\\n')" "$1"
        """.replace("        ", ""),
        public.hex(),
    )
    assert memory.private_halves(public) == {public}


@pytest.mark.attack
async def test_a_killed_keeper_leaves_no_secret_behind(victim: AttackedGuest, place: Place) -> None:
    """The last test with this guest in this file."""
    processes = victim.processes
    victim.keeper.kill()
    await eventually(lambda: victim.name.encode() not in ccvm_tui("ls").stdout)
    psutil.wait_procs(processes, timeout=20)
    assert not [process for process in processes if process.is_running()]
    assert files_with([place.root / variable for variable in XDG], place.key.encode(), b"PRIVATE KEY") == []
    assert os.environ.get(API_KEY) is None
