"""The user's SSH agent in sessions of a real keeper, with a client that answers the questions."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import psutil
import pytest

from ccvm_tui.client import connection
from ccvm_tui.client.connection import Keeper
from ccvm_tui.errors import UserError
from ccvm_tui.guest import SessionKind, SignatureQuestion
from ccvm_tui.paths import GuestPaths
from ccvm_tui.protocol import SessionSpec
from tests import ssh_agents
from tests.conftest import Launch
from tests.ssh_agents import COMMENT, RealAgent
from tests.waiting import INTERVAL, WITHIN, eventually

REQUEST_MIN = 120
"""Fewer bytes than a request for a signature has, and more than a program writes before it."""

GIT = "sign a Git commit, tag or push"


@pytest.fixture(scope="module")
def agent() -> Iterator[RealAgent]:
    with ssh_agents.running_agent() as running:
        yield running


@pytest.fixture
def work(home: Path, agent: RealAgent, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory for what sessions sign, in which ``sign NAME [NAMESPACE]`` writes NAME.status."""
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    directory = home / "work"
    directory.mkdir()
    script = directory / "sign"
    script.write_text(
        f"""#!/bin/sh
        cd {directory}
        ssh-keygen -Y sign -n "${{2:-git}}" -f {agent.directory}/ed25519.pub "$1"
        echo $? >"$1.status.new"; mv "$1.status.new" "$1.status"
        """
    )
    script.chmod(0o755)
    for name in ("one", "two", "same"):
        (directory / name).write_text(name if name != "same" else "one")
    return directory


async def start(keeper: Keeper, agent: RealAgent | None, script: str) -> str:
    """Start a session that runs ``script`` and then waits, and return its id."""
    argv = ("sh", "-c", f"{script}\nexec sleep 600")
    spec = SessionSpec(SessionKind.COMMAND, argv, detached=True, ssh_agent=agent.socket if agent is not None else "")
    return (await keeper.start_session(spec)).id


@contextlib.asynccontextmanager
async def dashboard(keeper: Keeper) -> AsyncIterator[None]:
    """Have a client that can ask the user."""
    async with await connection.connect(keeper.name, events=True, asks=True) as client:
        await client.info()
        yield


async def questions(keeper: Keeper, count: int = 1) -> tuple[SignatureQuestion, ...]:
    """Wait for a number of questions and return them."""
    async with asyncio.timeout(WITHIN):
        while len(found := (await keeper.info()).signatures) != count:
            await asyncio.sleep(INTERVAL)
    return found


async def requested(keeper: Keeper, count: int) -> None:
    """Wait until a number of programs have requested a signature, and the keeper has handled that."""
    process = psutil.Process((await keeper.info()).keeper_pid)

    def waiting() -> bool:
        programs = [child for child in process.children(recursive=True) if child.name() == "ssh-keygen"]
        return len(programs) == count and all(one.io_counters().write_chars > REQUEST_MIN for one in programs)

    await eventually(waiting)
    for _ in range(5):  # the keeper handles what arrived before a question like this one in the meantime
        await keeper.info()


async def status(work: Path, name: str) -> str:
    """Wait for the end of ``sign NAME`` and return its status."""
    file = work / f"{name}.status"
    await eventually(file.exists, lambda: f"{name} was not signed")
    return file.read_text().strip()


def events(keeper: Keeper) -> str:
    return GuestPaths(keeper.name).events_log.read_text()


async def test_a_session_has_the_agent_only_if_it_was_asked_for(local: Launch, agent: RealAgent, work: Path) -> None:
    keeper = await local("cat", linger=True)
    await start(keeper, None, f'echo "<$SSH_AUTH_SOCK>" >{work}/without.new; mv {work}/without.new {work}/without')
    await start(keeper, agent, f"ssh-add -L >{work}/with.new; mv {work}/with.new {work}/with")
    await eventually((work / "without").exists)
    await eventually((work / "with").exists)
    assert (work / "without").read_text() == "<>\n"
    assert (work / "with").read_text() == agent.keys


async def test_each_signature_waits_for_the_user(local: Launch, agent: RealAgent, work: Path) -> None:
    keeper = await local("cat", linger=True)
    async with dashboard(keeper):
        session = await start(keeper, agent, f"{work}/sign one; {work}/sign two")
        (question,) = await questions(keeper)
        assert question == SignatureQuestion(question.number, session, agent.fingerprint(), COMMENT, GIT, True)
        assert not (work / "one.sig").exists()
        await keeper.answer_signature(question.number, allow=True, once=True)
        assert await status(work, "one") == "0"
        (second,) = await questions(keeper)
        await keeper.answer_signature(second.number, allow=False, once=True)
        assert await status(work, "two") != "0"
        assert (work / "one.sig").exists()
        assert not (work / "two.sig").exists()
        with pytest.raises(UserError, match="not waiting"):
            await keeper.answer_signature(question.number, allow=True, once=True)


async def test_a_session_can_be_allowed_to_repeat_a_purpose(local: Launch, agent: RealAgent, work: Path) -> None:
    keeper = await local("cat", linger=True)
    async with dashboard(keeper):
        await start(keeper, agent, f"{work}/sign one; {work}/sign two; {work}/sign same file")
        (question,) = await questions(keeper)
        await keeper.answer_signature(question.number, allow=True, once=False)
        assert [await status(work, name) for name in ("one", "two")] == ["0", "0"]
        (other,) = await questions(keeper)
        assert "namespace “file”" in other.purpose
        (work / "one.status").unlink()
        await start(keeper, agent, f"{work}/sign one")  # another session
        assert {one.purpose for one in await questions(keeper, 2)} == {other.purpose, GIT}


async def test_equal_questions_are_one(local: Launch, agent: RealAgent, work: Path) -> None:
    keeper = await local("cat", linger=True)
    async with dashboard(keeper):
        await start(keeper, agent, f"{work}/sign one & {work}/sign same & {work}/sign two & wait")
        await requested(keeper, 3)
        for question in await questions(keeper, 2):
            await keeper.answer_signature(question.number, allow=True, once=True)
        assert [await status(work, name) for name in ("one", "two", "same")] == ["0", "0", "0"]


async def test_without_a_dashboard_a_signature_is_refused(local: Launch, agent: RealAgent, work: Path) -> None:
    keeper = await local("cat", linger=True)
    await start(keeper, agent, f"{work}/sign one")
    assert await status(work, "one") != "0"
    assert "no dashboard is open" in events(keeper)


async def test_events_name_the_use_and_contain_nothing_of_what_is_signed(
    local: Launch, agent: RealAgent, work: Path
) -> None:
    keeper = await local("cat", linger=True)
    async with dashboard(keeper):
        session = await start(keeper, agent, f"{work}/sign one")
        (question,) = await questions(keeper)
        await keeper.answer_signature(question.number, allow=True, once=True)
        assert await status(work, "one") == "0"
    recorded = events(keeper)
    assert f"wants to {GIT} with the key {COMMENT} {agent.fingerprint()}: you allowed it once" in recorded
    assert f'"session": "{session}"' in recorded
    signature = (work / "one.sig").read_text().splitlines()[1]
    assert signature not in recorded
    assert agent.keys.split()[1] not in recorded


async def test_the_agent_ends_with_its_session(local: Launch, agent: RealAgent, work: Path) -> None:
    keeper = await local("cat", linger=True)
    async with dashboard(keeper):
        report = f'echo "$SSH_AUTH_SOCK" >{work}/path.new; mv {work}/path.new {work}/path'
        session = await start(keeper, agent, f"{report}; {work}/sign one")
        await questions(keeper)
        path = Path((work / "path").read_text().strip())
        assert path.is_socket()
        await keeper.end_session(session, force=True)
        await questions(keeper, 0)
        await eventually(lambda: not path.exists())
    assert not (work / "one.sig").exists()


async def test_a_guest_cannot_ask_without_end(local: Launch, agent: RealAgent, work: Path) -> None:
    keeper = await local("cat", linger=True)
    many = [f"m{number}" for number in range(10)]
    for name in many:
        (work / name).write_text(name)
    async with dashboard(keeper):
        await start(keeper, agent, "".join(f"{work}/sign {name} & " for name in many) + "wait")
        await eventually(lambda: len(list(work.glob("m*.status"))) == 2)
        assert len(await questions(keeper, 8)) == 8
