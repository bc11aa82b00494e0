"""Sessions of a real guest: floods of output, their end, and clients of another version."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from functools import partial

import psutil

from ccvm_tui.client import connection, listing
from ccvm_tui.edits import Edits
from tests.guest.conftest import RealGuest, Starter, ccvm_tui
from tests.terminals import attached
from tests.waiting import eventually

ANOTHER_VERSION = (
    "import sys; from ccvm_tui import protocol; protocol.PROTOCOL += 1;from ccvm_tui.cli import main; sys.exit(main())"
)


def run_another_version(*args: str) -> subprocess.CompletedProcess[str]:
    """Run the command line as a version that uses another protocol."""
    return subprocess.run([sys.executable, "-P", "-c", ANOTHER_VERSION, *args], capture_output=True, text=True)


async def test_clients_that_attach_during_a_flood_leak_nothing(spare: RealGuest) -> None:
    keeper, screen = spare.keeper, spare.screen
    session = spare.open("--command", "yes", "\033[31mred \033[32mgreen \033[38;5;99mviolet \033[1;4mmore \033[0m" * 3)

    async def attach() -> None:
        async with attached(spare.name, session) as terminal:
            await terminal.until(lambda: len(terminal.received) > 20_000)

    for _ in range(10):  # until buffers and caches have reached their size
        await attach()
    before = [(process.num_fds(), process.memory_info().rss) for process in (keeper, screen)]
    for _ in range(20):
        await attach()

    def has_closed(process: psutil.Process, descriptors: int) -> bool:
        return process.num_fds() <= descriptors

    for process, (descriptors, memory) in zip((keeper, screen), before, strict=True):
        await eventually(partial(has_closed, process, descriptors))
        # the heap is fragmented by the flood; queues of clients that were not freed would take 80 MiB
        assert process.memory_info().rss - memory < 64 << 20
    async with await connection.connect(spare.name) as control:
        await control.end_session(session, force=True)
    await eventually(lambda: session not in [info["id"] for info in spare.info["sessions"]])


async def test_a_lingering_guest_outlives_its_last_session(spare: RealGuest) -> None:
    async with await connection.connect(spare.name) as control:
        for info in spare.info["sessions"]:
            await control.end_session(info["id"])
    await eventually(lambda: spare.info["sessions"] == [])
    async with attached(spare.name, spare.open()) as terminal:
        await terminal.until("❯")
        terminal.type("exit 7\r")
        assert (await terminal.ended()).status == 7
    await eventually(lambda: spare.info["sessions"] == [])
    assert spare.sh("echo well") == "well\n"
    assert spare.info["state"] == "running"


async def test_a_keeper_of_another_version_can_only_be_listed_and_stopped(spare: RealGuest) -> None:
    directory, session = spare.directory, spare.open()
    listed = run_another_version("ls", "--json")
    assert listed.returncode == 0, listed.stderr
    (guest,) = json.loads(listed.stdout)["guests"]
    assert (guest["name"], guest["state"]) == (spare.name, "running")
    assert session in [info["id"] for info in guest["sessions"]]
    for args in (["exec", spare.name, "--", "true"], ["run", "--detach", "--shell", str(spare.project)]):
        refused = run_another_version(*args)
        assert refused.returncode == 6
        assert "speaks another protocol" in refused.stderr
        assert f"ccvm-tui stop {spare.name}" in refused.stderr
    refused = run_another_version("stop", spare.name)  # it does not know what would be lost
    assert refused.returncode == 1
    assert "--yes" in refused.stderr
    stopped = run_another_version("stop", "--yes", spare.name)
    assert stopped.returncode == 0, stopped.stderr
    assert not directory.exists()
    assert listing.names() == []


async def test_edits_to_a_read_only_project_stay_in_the_guest(own_guest: Starter) -> None:
    guest = own_guest("--read-only")
    async with await connection.connect(guest.name) as keeper:
        assert await keeper.edits() == Edits(0)
        (guest.project / "later").write_text("from the host\n")
        assert guest.sh("cat later; sed -i s/host/guest/ later; cat later") == "from the host\nfrom the guest\n"
        guest.sh("mkdir -p new/deep; echo 1 > new/deep/one; echo 2 > 'new/ two'; chmod 600 later; ln -s later link")
        edits = await keeper.edits()
        assert (edits.files, sorted(edits.names)) == (4, ["later", "link", "new/ two", "new/deep/one"])
        guest.sh("rm link later")
        edits = await keeper.edits()
        assert (edits.files, sorted(edits.names)) == (3, ["later", "new/ two", "new/deep/one"])
        assert [path.name for path in guest.project.iterdir()] == ["later"]
        assert (guest.project / "later").read_text() == "from the host\n"
        refused = await asyncio.to_thread(ccvm_tui, "stop", guest.name)
        assert refused.returncode == 1
        assert b"3 changed files exist only in the guest" in refused.stderr
        assert guest.info["state"] == "running"
        directory = guest.directory
        async with attached(guest.name, "s1") as terminal:
            await keeper.end_session("s1")  # the last session
            assert (await terminal.ended()).status > 0
    await eventually(lambda: not directory.exists())
    assert (guest.project / "later").read_text() == "from the host\n"
