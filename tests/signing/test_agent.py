"""The filter before a real SSH agent, with the programs of OpenSSH."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

import asyncssh
import pytest

from ccvm_tui.signing import wire
from ccvm_tui.signing.agent import AgentFilter, Use
from tests import ssh_agents
from tests.ssh_agents import COMMENT, RealAgent, environment


@pytest.fixture(scope="module")
def agent() -> Iterator[RealAgent]:
    with ssh_agents.running_agent() as running:
        yield running


@pytest.fixture
def message(agent: RealAgent) -> Iterator[Path]:
    """A file to sign. Its signature is removed."""
    file = agent.directory / "message"
    file.write_text("what is signed\n")
    yield file
    Path(f"{file}.sig").unlink(missing_ok=True)


class User:
    """The user, who allows or refuses each use of a key."""

    def __init__(self, *, allows: bool) -> None:
        self.allows = allows
        self.asked: list[Use] = []

    async def confirm(self, use: Use) -> bool:
        self.asked.append(use)
        return self.allows


@contextlib.asynccontextmanager
async def filtered(agent: str, confirm: Callable[[Use], Awaitable[bool]]) -> AsyncIterator[str]:
    """Yield the path of a socket that leads to the filter for ``agent``."""
    one = AgentFilter(agent, confirm)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await one.serve(reader, writer)
        writer.close()

    path = f"{agent}.filtered"
    async with await asyncio.start_unix_server(serve, path):
        yield path


async def run(*argv: str, agent: str) -> tuple[int, str]:
    """Run a program and return its status and output."""
    process = await asyncio.create_subprocess_exec(
        *argv, env=environment(agent), stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    async with asyncio.timeout(30):
        output, _ = await process.communicate()
    assert process.returncode is not None
    return process.returncode, output.decode()


def sign(agent: RealAgent, message: Path, kind: str = "ed25519", namespace: str = "git") -> tuple[str, ...]:
    return "ssh-keygen", "-Y", "sign", "-n", namespace, "-f", str(agent.directory / f"{kind}.pub"), str(message)


async def test_keys_are_listed_without_a_question(agent: RealAgent) -> None:
    user = User(allows=False)
    async with filtered(agent.socket, user.confirm) as path:
        status, output = await run("ssh-add", "-L", agent=path)
    assert (status, output) == (0, agent.keys)
    assert len(output.splitlines()) == 2
    assert not user.asked


@pytest.mark.parametrize("kind", ["ed25519", "rsa"])
async def test_a_signature_that_the_user_allows_is_valid(agent: RealAgent, message: Path, kind: str) -> None:
    user = User(allows=True)
    async with filtered(agent.socket, user.confirm) as path:
        status, output = await run(*sign(agent, message, kind), agent=path)
    assert status == 0, output
    check = f"ssh-keygen -Y check-novalidate -n git -s {message}.sig < {message}"
    assert (await run("sh", "-c", check, agent=""))[0] == 0
    (use,) = user.asked
    assert (use.key, use.comment) == (agent.fingerprint(kind), COMMENT)
    assert use.purpose.text == "sign a Git commit, tag or push"


async def test_a_signature_that_the_user_refuses_is_not_made(agent: RealAgent, message: Path) -> None:
    user = User(allows=False)
    async with filtered(agent.socket, user.confirm) as path:
        status, _ = await run(*sign(agent, message), agent=path)
    assert status != 0
    assert len(user.asked) == 1
    assert not Path(f"{message}.sig").exists()


async def test_a_login_names_the_user(agent: RealAgent, tmp_path: Path) -> None:
    user = User(allows=True)
    authorized = tmp_path / "authorized"
    authorized.write_text(agent.keys)
    server = await asyncssh.listen(
        "127.0.0.1", 0, server_host_keys=[asyncssh.generate_private_key("ssh-ed25519")],
        authorized_client_keys=str(authorized), process_factory=lambda process: process.exit(7),
    )  # fmt: skip
    port = str(server.sockets[0].getsockname()[1])
    options = ("-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-o", "BatchMode=yes")
    async with server, filtered(agent.socket, user.confirm) as path:
        status, output = await run("ssh", "-F", "none", *options, "-p", port, "me@127.0.0.1", "true", agent=path)
    assert status == 7, output
    assert user.asked[0].purpose.text.startswith("log in as “me” to ")


async def test_keys_are_neither_added_nor_removed_nor_locked(agent: RealAgent, tmp_path: Path) -> None:
    before, user = agent.keys, User(allows=True)
    ssh_agents.run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(tmp_path / "new"))
    async with filtered(agent.socket, user.confirm) as path:
        for argv in (("-D",), (str(tmp_path / "new"),), ("-d", str(agent.directory / "rsa.pub"))):
            status, _ = await run("ssh-add", *argv, agent=path)
            assert status != 0, argv
    assert agent.keys == before
    assert not user.asked


async def test_no_other_message_reaches_the_agent(tmp_path: Path) -> None:
    """Every type but those that list keys and sign, session-bind@openssh.com included."""
    reached: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        reached.append(await reader.read(1))
        writer.close()

    user, path = User(allows=True), str(tmp_path / "agent")
    one = AgentFilter(path, user.confirm)
    bind = bytes([27]) + wire.string(b"session-bind@openssh.com") + wire.string(b"key")
    others = [bytes([kind]) + rest for kind in range(256) for rest in (b"", b"\0\0\0\0") if kind not in (11, 13)]
    async with await asyncio.start_unix_server(serve, path):
        for message in [bind, bytes([11, 0]), bytes([13]), bytes([13, 0xFF, 0xFF, 0xFF, 0xFF]), *others]:
            assert await one.answer(message) == wire.REFUSED, message
    assert not reached
    assert not user.asked


async def test_a_key_that_the_agent_does_not_have_causes_no_question(agent: RealAgent) -> None:
    user = User(allows=True)
    request = wire.pack_sign_request(wire.SignRequest(b"another key", b"data"))
    assert await AgentFilter(agent.socket, user.confirm).answer(request) == wire.REFUSED
    assert not user.asked


async def test_an_agent_that_has_gone_fails(tmp_path: Path) -> None:
    one = AgentFilter(str(tmp_path / "gone"), User(allows=True).confirm)
    assert await one.answer(bytes([wire.REQUEST_IDENTITIES])) == wire.REFUSED


@pytest.mark.parametrize("answer", [b"", b"\0\0\0\1\6", b"\0\0\0\5\x0c\0\0\0\1", b"\xff\xff\xff\xff"])
async def test_an_answer_that_is_not_understood_is_not_passed_on(tmp_path: Path, answer: bytes) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(100)
        writer.write(answer)
        writer.close()

    path = str(tmp_path / "agent")
    async with await asyncio.start_unix_server(serve, path):
        one = AgentFilter(path, User(allows=True).confirm)
        assert await one.answer(bytes([wire.REQUEST_IDENTITIES])) == wire.REFUSED


async def test_the_question_is_withdrawn_if_the_program_goes_away(agent: RealAgent, message: Path) -> None:
    withdrawn = asyncio.Event()
    asked = asyncio.Event()

    async def confirm(_: Use) -> bool:
        asked.set()
        try:
            return bool(await asyncio.get_running_loop().create_future())
        finally:
            withdrawn.set()

    async with filtered(agent.socket, confirm) as path, asyncio.timeout(20):
        process = await asyncio.create_subprocess_exec(
            *sign(agent, message), env=environment(path), stderr=asyncio.subprocess.DEVNULL
        )
        await asked.wait()
        process.kill()
        await withdrawn.wait()
        await process.wait()


async def test_requests_that_are_sent_at_once_are_answered_in_order(agent: RealAgent) -> None:
    async with filtered(agent.socket, User(allows=True).confirm) as path:
        reader, writer = await asyncio.open_unix_connection(path)
        listing, other = wire.framed(bytes([wire.REQUEST_IDENTITIES])), wire.framed(bytes([19]))
        writer.write((other + listing) * 20 + other)
        messages = wire.Messages()
        received: list[bytes] = []
        async with asyncio.timeout(20):
            while len(received) < 41:
                received += messages.feed(await reader.read(1 << 16))
            writer.write(bytes(4))  # a message without a byte ends the connection
            assert await reader.read() == b""
        writer.close()
    assert [message[0] for message in received] == [wire.FAILURE, wire.IDENTITIES_ANSWER] * 20 + [wire.FAILURE]
