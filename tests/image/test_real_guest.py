"""The guest agent in a real guest, including failures inside the guest."""

from __future__ import annotations

import asyncio
import base64
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ccvm_tui.boot.timezone import rules
from ccvm_tui.errors import UserError
from ccvm_tui.image import Image
from tests.image.guest import RealGuest, booted
from tests.waiting import eventually


@pytest.fixture
def place() -> Iterator[Path]:
    """A directory with a short path, since it contains sockets. The project's name has all critical characters."""
    with tempfile.TemporaryDirectory(prefix="ccvm-i") as folder:
        (Path(folder) / 'it\'s, a "dir" é').mkdir()
        yield Path(folder)


def project_in(place: Path) -> Path:
    (project,) = (path for path in place.iterdir() if path.name.startswith("it's"))
    return project


async def test_a_guest_from_hello_to_stop(image: Image, place: Path) -> None:
    project = project_in(place)
    x, y = (base64.b64encode(data).decode() for data in (b"x", b"y"))
    files = [
        {"path": "~/.claude/settings.json", "mode": 0o600, "data": x},
        {"path": "~/.claude/settings.json", "mode": 0o600, "data": y, "append": True, "needs": "git"},
        {"path": "~/.claude/settings.json", "mode": 0o600, "data": y, "append": True, "needs": "not-a-program"},
        {"path": "~/.claude/settings.json", "mode": 0o600, "data": x, "append": True, "needs": "/usr/bin/vim"},
        {"path": "~/new", "data": y, "append": True},
        {"path": "/etc/extra/file", "mode": 0o640, "data": x, "owner": "root"},
    ]
    async with booted(image, place, project, files=files) as guest:
        assert (await guest.agent.hello)["image"] == image.digest
        assert (
            await guest.run("date -d @0 '+%F %T %Z'; cat /etc/timezone") == "1970-01-01 01:00:00 CET\nEurope/Berlin\n"
        )
        for step in (
            files_are_in_place(guest),
            hooks_are_reported(guest),
            the_agent_is_restarted(guest),
            the_program_server_is_restarted(guest),
            the_ssh_server_is_restarted(guest),
            written_bytes_reach_the_host_while_the_file_is_open(guest, project),
            running_out_of_memory_kills_only_one_program(guest),
        ):
            async with asyncio.timeout(90):
                await step
        async with asyncio.timeout(10):
            guest.agent.send({"type": "stop"})
            ended = await guest.machine.wait()
        assert ended.reason == "guest"


async def files_are_in_place(guest: RealGuest) -> None:
    assert await guest.run("stat -c '%a %U' ~/.claude/settings.json") == "600 dev\n"
    assert await guest.run("sudo stat -c '%a %U' /etc/extra/file") == "640 root\n"
    assert await guest.run("cat ~/.claude/settings.json") == "xyx"  # without what needs a missing program
    assert await guest.run("stat -c '%a %U' ~/.claude ~/new; cat ~/new") == "755 dev\n644 dev\ny"


async def hooks_are_reported(guest: RealGuest) -> None:
    await guest.run("/usr/lib/ccvm/notify waiting -", '{"message": "may I?",\n "cwd": "/"}\n')
    event = await guest.event("attention")
    assert (event["session"], event["state"], event["text"]) == ("t", "waiting", "may I?")
    await guest.run("/usr/lib/ccvm/notify done")
    assert (await guest.event("attention"))["state"] == "done"


async def the_agent_is_restarted(guest: RealGuest) -> None:
    await guest.run("sudo kill -9 $(pgrep -of 'python3 -I -S -B /usr/lib/ccvm')")
    async with asyncio.timeout(30):
        while True:
            try:
                stats = await guest.agent.request("stats", 2)
                break
            except TimeoutError:
                continue
    assert 0 < stats["memory_available"] < stats["memory_total"]
    await guest.run("/usr/lib/ccvm/notify working")
    assert (await guest.event("attention"))["state"] == "working"


async def the_program_server_is_restarted(guest: RealGuest) -> None:
    """The supervisors keep running the programs of a program server that was killed."""
    program = await guest.start("sh", "-c", "echo begun; read x; echo $x; exit 7")
    await guest.run("sudo kill -9 $(sudo cat /run/ccvm/programs.pid)")
    async with asyncio.timeout(30):
        while True:
            try:
                assert await guest.run("echo again") == "again\n"
                break
            except UserError:
                continue
    program.channel.write(b"word\n")
    assert (await program.status, program.printed[1]) == (7, b"begun\nword\n")


async def the_ssh_server_is_restarted(guest: RealGuest) -> None:
    guest.ssh.abort()
    await guest.event("ssh_ended")
    guest.ssh = await guest.login()
    assert await guest.run("echo back") == "back\n"


async def written_bytes_reach_the_host_while_the_file_is_open(guest: RealGuest, project: Path) -> None:
    program = await guest.start("sh", "-c", "exec 3>log; echo line >&3; read x")
    await eventually(lambda: (project / "log").exists() and (project / "log").read_text() == "line\n")
    program.channel.write_eof()
    await program.status


async def running_out_of_memory_kills_only_one_program(guest: RealGuest) -> None:
    program = await guest.start("perl", "-e", 'push @x, "x" x 50_000_000 while 1')
    assert await program.status == 137
    assert (await guest.event("oom"))["text"] == "the guest ran out of memory and ended perl"
    assert await guest.run("echo alive") == "alive\n"


async def test_a_read_only_guest_on_q35_keeps_edits_to_itself(image: Image, place: Path) -> None:
    project = project_in(place)
    (project / "sub").mkdir()
    for name in ("kept", "changed", "deleted", "sub/deep"):
        (project / name).write_text("host\n")
    zone = {"name": "Mars/Olympus_Mons", "data": base64.b64encode(rules("<+0345>-3:45")).decode()}
    async with booted(image, place, project, machine="q35", read_only=True, network="none", timezone=zone) as guest:
        assert await guest.run("date -d @0 '+%F %T %Z'; cat /etc/timezone || true") == "1970-01-01 03:45:00 +0345\n"
        assert await guest.share.edits() == (0, [])
        await guest.run("echo guest >> changed; echo guest > made; rm deleted; echo guest > sub/deep")
        assert await guest.run("cat changed made sub/deep; ls") == (
            "host\nguest\nguest\nguest\nchanged\nkept\nmade\nsub\n"
        )
        count, names = await guest.share.edits()
        assert (count, sorted(names)) == (4, [b"changed", b"deleted", b"made", b"sub/deep"])
        assert sorted(path.name for path in project.iterdir()) == ["changed", "deleted", "kept", "sub"]
        assert all((project / name).read_text() == "host\n" for name in ("changed", "deleted", "sub/deep"))
        assert set((await guest.run("ls /sys/class/net")).split()) <= {"lo", "dummy0"}  # both without hardware
        await requests_are_answered(guest)
        await a_kernel_panic_ends_the_machine(guest)


async def requests_are_answered(guest: RealGuest) -> None:
    for name, data, installed, known in [
        ("xterm-mine", "", False, False),
        ("xterm-mine", "AAAA", True, True),
        ("xterm-mine", "", False, True),
        ("xterm-256color", "AAAA", False, True),
    ]:
        reply = await guest.agent.request("terminfo", name=name, data=data)
        assert (reply["installed"], reply["known"]) == (installed, known)
    await guest.agent.request("time", time_ns=1_900_000_000 * 10**9)
    assert 1_900_000_000 <= int(await guest.run("date +%s")) < 1_900_000_600
    wrong: list[tuple[str, dict[str, Any]]] = [
        ("no-such", {}),
        ("terminfo", {"name": "../x", "data": ""}),
        ("terminfo", {}),
    ]
    for op, arguments in wrong:
        with pytest.raises(UserError):
            await guest.agent.request(op, **arguments)


async def a_kernel_panic_ends_the_machine(guest: RealGuest) -> None:
    with pytest.raises(AssertionError):
        await guest.run("echo 1 | sudo tee /proc/sys/kernel/sysrq; echo c | sudo tee /proc/sysrq-trigger")
    async with asyncio.timeout(20):
        ended = await guest.machine.wait()
    assert ended.reason == "panic"
    assert "panic" in guest.machine.console_tail()


async def test_a_guest_that_cannot_be_configured_reports_the_reason(image: Image, place: Path) -> None:
    with pytest.raises(AssertionError) as caught:
        async with booted(image, place, project_in(place), workspace={"tag": "nothing", "path": "/x"}):
            pass
    assert "could not be mounted" in str(caught.value.__cause__)
