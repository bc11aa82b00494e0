"""The refresh of a login by several processes at once, and by processes that are killed."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ccvm_tui.broker import host_file
from ccvm_tui.broker.account import Account
from ccvm_tui.broker.host_file import HostFile, Tokens
from ccvm_tui.broker.sentinels import NoCredential
from ccvm_tui.broker.upstream import poster
from ccvm_tui.egress.outer import Outer
from tests.broker.apis import Api, serving, write_login
from tests.waiting import wait_until

PROCESS = """
import asyncio, dataclasses, ssl, sys
from pathlib import Path
from ccvm_tui.agents.logins import CLAUDE, Place
from ccvm_tui.broker.account import Account
from ccvm_tui.broker.host_file import HostFile
from ccvm_tui.broker.upstream import poster
from ccvm_tui.egress.outer import Outer
endpoint = Place("localhost", ("/v1/oauth/token",), int(sys.argv[1]))
subscription = dataclasses.replace(CLAUDE.subscription, endpoints=(endpoint,))
post = poster(ssl.create_default_context(cafile=sys.argv[2]))
print(asyncio.run(Account(subscription, HostFile(Path(sys.argv[3]), subscription), post, print).current()))
"""

STARTED_WITHIN = 120
"""Seconds within which a process starts on a busy machine."""


@pytest.fixture
def api(tmp_path: Path) -> Iterator[Api]:
    with serving(tmp_path) as running:
        yield running


@pytest.fixture
def expired(tmp_path: Path, api: Api) -> Path:
    path = tmp_path / "me/.credentials.json"
    write_login(path, api, expires_in=-10)
    return path


def account_of(api: Api, path: Path) -> Account:
    subscription = api.login.subscription
    assert subscription is not None
    return Account(subscription, HostFile(path, subscription), poster(api.context()), lambda _: None)


def keeper(api: Api, path: Path) -> subprocess.Popen[str]:
    """Start another process that needs the access token."""
    argv = [sys.executable, "-c", PROCESS, str(api.port), str(api.ca), str(path)]
    return subprocess.Popen(argv, stdout=subprocess.PIPE, text=True)


def tokens(path: Path) -> dict[str, object]:
    return json.loads(path.read_text())["claudeAiOauth"]  # type: ignore[no-any-return]


def test_of_several_keepers_one_refreshes(api: Api, expired: Path) -> None:
    """Two refreshers with the same token would end in ``invalid_grant``."""
    processes = [keeper(api, expired) for _ in range(4)]
    printed = {process.communicate(timeout=STARTED_WITHIN)[0].strip() for process in processes}
    assert printed == api.valid == {tokens(expired)["accessToken"]}
    assert len(api.refreshes) == 1


def kill_during_refresh(api: Api, path: Path) -> None:
    """Kill a process that has sent its request and waits for the response."""
    api.hold.clear()
    process = keeper(api, path)
    wait_until(lambda: api.refreshes, within=STARTED_WITHIN)
    process.kill()
    process.communicate()
    api.hold.set()


async def test_a_keeper_that_is_killed_before_the_host_has_rotated_the_token_loses_nothing(
    api: Api, expired: Path
) -> None:
    before = expired.read_bytes()
    await asyncio.to_thread(kill_during_refresh, api, expired)
    assert expired.read_bytes() == before
    began = time.monotonic()
    assert await account_of(api, expired).current() in api.valid
    assert time.monotonic() - began < host_file.STALE_AFTER  # its locks are not waited for
    assert tokens(expired)["refreshToken"] in api.refreshable


async def test_after_a_lost_response_the_user_is_asked_to_log_in(api: Api, expired: Path) -> None:
    """The host knows the new tokens only, and the process that would have received them is dead."""
    before = expired.read_bytes()
    api.rotates_while_held = True
    await asyncio.to_thread(kill_during_refresh, api, expired)
    with pytest.raises(NoCredential, match="log in again on the host"):
        await account_of(api, expired).current()
    assert expired.read_bytes() == before


async def test_a_keeper_that_is_killed_before_it_replaces_the_file_loses_nothing(api: Api, expired: Path) -> None:
    new = api.issue()
    content = json.loads(expired.read_text())
    fresh = {
        "accessToken": new["access_token"],
        "refreshToken": new["refresh_token"],
        "expiresAt": (time.time() + 3600) * 1000,
    }
    content["claudeAiOauth"] |= fresh
    pending = expired.with_name(".credentials.json.ccvm-new")
    pending.write_text(json.dumps(content))
    assert await account_of(api, expired).current() == new["access_token"]
    assert tokens(expired)["accessToken"] == new["access_token"]
    assert api.refreshes == []
    assert not pending.exists()


@pytest.mark.parametrize(
    "left", [b"", b'{"claudeAiOauth": {"acc', b'{"claudeAiOauth": {"accessToken": "old", "expiresAt": 1}}']
)
async def test_an_incomplete_or_older_file_of_a_killed_keeper_is_removed(api: Api, expired: Path, left: bytes) -> None:
    pending = expired.with_name(".credentials.json.ccvm-new")
    pending.write_bytes(left)
    assert await account_of(api, expired).current() in api.valid
    assert not pending.exists()
    assert len(api.refreshes) == 1


async def test_the_locks_of_the_agent_on_the_host_are_respected(api: Api, expired: Path) -> None:
    lock = expired.parent / ".oauth_refresh.lock"
    lock.mkdir()
    waiting = asyncio.ensure_future(account_of(api, expired).current())
    done, _ = await asyncio.wait([waiting], timeout=0.5)
    assert not done
    assert api.refreshes == []
    renewed = write_login(expired, api)["claudeAiOauth"]["accessToken"]
    lock.rmdir()
    assert await waiting == renewed
    assert api.refreshes == []


async def test_a_lock_that_a_killed_agent_has_left_behind_is_removed(api: Api, expired: Path) -> None:
    lock = expired.parent.with_name("me.lock")
    lock.mkdir()
    os.utime(lock, (time.time() - 60,) * 2)
    assert await account_of(api, expired).current() in api.valid
    assert not lock.exists()


async def test_the_target_of_a_link_is_replaced(api: Api, expired: Path, tmp_path: Path) -> None:
    target = tmp_path / "elsewhere"
    target.mkdir()
    expired.rename(target / "file.json")
    expired.symlink_to(target / "file.json")
    assert await account_of(api, expired).current() in api.valid
    assert expired.is_symlink()
    assert tokens(target / "file.json")["accessToken"] in api.valid


async def test_tokens_that_cannot_be_stored_are_used_nevertheless(
    api: Api, expired: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: HostFile, __: Tokens) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(HostFile, "write", full)
    account = account_of(api, expired)
    assert await account.current() in api.valid
    assert await account.current() in api.valid
    assert len(api.refreshes) == 1


@pytest.mark.parametrize("content", ['{"claudeAiOauth": {"accessTok', "[1]", "a note of the user\n"])
async def test_a_file_of_another_form_is_not_replaced_by_a_new_login(api: Api, expired: Path, content: str) -> None:
    new = Tokens("new access", "new refresh", time.time() + 3600, {})
    expired.write_text(content)
    assert not await account_of(api, expired).replace(new)
    assert expired.read_text() == content
    expired.write_text("")
    assert await account_of(api, expired).replace(new)
    assert tokens(expired)["accessToken"] == "new access"


async def test_a_token_that_is_still_valid_is_used_if_the_host_does_not_answer(api: Api, expired: Path) -> None:
    valid = write_login(expired, api, expires_in=100)["claudeAiOauth"]["accessToken"]
    api.token_response = b"<html>busy</html>"
    assert await account_of(api, expired).current() == valid


async def test_a_login_is_refreshed_through_the_proxy_of_the_host(api: Api, expired: Path) -> None:
    asked: list[bytes] = []

    async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(1 << 16):
            writer.write(data)
        writer.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(await reader.readuntil(b"\r\n\r\n"))
        there, back = await asyncio.open_connection("127.0.0.1", api.port)
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        await asyncio.gather(copy(reader, back), copy(there, writer), return_exceptions=True)

    subscription = api.login.subscription
    assert subscription is not None
    async with await asyncio.start_server(serve, "127.0.0.1", 0) as proxy:
        url = f"http://127.0.0.1:{proxy.sockets[0].getsockname()[1]}"
        post = poster(api.context(), Outer.parse(url, url, ""))
        account = Account(subscription, HostFile(expired, subscription), post, lambda _: None)
        assert await account.current() in api.valid
    assert asked[0].startswith(f"CONNECT localhost:{api.port} ".encode())
