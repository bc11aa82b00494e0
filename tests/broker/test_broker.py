"""Logins of a guest that its keeper holds, with a real gate and a server that speaks TLS."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import ssl
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ccvm_tui.broker import sentinels
from ccvm_tui.broker.host_file import HostFile
from tests.broker.apis import KEY, Api, serving, write_login
from tests.broker.guests import guest_of
from tests.waiting import eventually

MESSAGES = "/v1/messages"


@pytest.fixture
def api(tmp_path: Path) -> Iterator[Api]:
    with serving(tmp_path) as running:
        yield running


@pytest.fixture
def credentials(tmp_path: Path, api: Api) -> Path:
    path = tmp_path / "me/.credentials.json"
    write_login(path, api)
    return path


def on_host(path: Path) -> dict[str, object]:
    return json.loads(path.read_text())["claudeAiOauth"]  # type: ignore[no-any-return]


# --- keys


async def test_a_key_goes_in_on_the_way_out_and_is_nowhere_in_the_guest(tmp_path: Path, api: Api) -> None:
    async with guest_of(tmp_path, api) as guest:
        assert guest.key.startswith("sk-ant-api03-ccvm-placeholder-")
        assert KEY not in str(guest.environment)
        for headers in ({"x-api-key": guest.key}, {"Authorization": f"Bearer {guest.key}"}):
            reply = await guest.request(f"{MESSAGES}?beta=true", headers)
            assert reply.status == 200
            # the host sends back what it has received, in a header and in the body
            assert KEY not in str(reply)
            assert "*" * len(KEY) in reply.json()["you_sent"]
        sent = [headers for headers, _ in api.requests_to(MESSAGES)]
        assert sent[0]["x-api-key"] == KEY
        assert sent[1]["authorization"] == f"Bearer {KEY}"
        assert all(headers["accept-encoding"] == "identity" for headers in sent)
    lines = [json.loads(line) for line in (tmp_path / "egress.jsonl").read_text().splitlines()]
    assert {(line["host"], line["outcome"]) for line in lines} == {("localhost", "open"), ("localhost", "closed")}
    assert KEY not in (tmp_path / "egress.jsonl").read_text()


async def test_a_base_url_joins_the_table(tmp_path: Path, api: Api) -> None:
    bases = (f"https://localhost:{api.port}/gateway", "http://localhost:1/", "https://127.0.0.1/", "nonsense")
    async with guest_of(tmp_path, api, bases=bases) as guest:
        assert (await guest.request("/gateway/v1/messages", {"x-api-key": guest.key})).status == 200
        assert (await guest.request("/other/v1/messages", {"x-api-key": guest.key})).status == 403


async def test_requests_without_a_placeholder_are_forwarded_unchanged(tmp_path: Path, api: Api) -> None:
    async with guest_of(tmp_path, api) as guest:
        reply = await guest.request("/anything?a=%20b", {"x-api-key": "own", "Accept-Encoding": "gzip"}, b"x" * 300_000)
        assert reply.status == 401
        headers, body = api.requests_to("/anything")[0]
        assert (headers["x-api-key"], headers["accept-encoding"], len(body)) == ("own", "gzip", 300_000)


# --- streaming


async def test_events_are_streamed_while_the_response_continues(tmp_path: Path, api: Api, credentials: Path) -> None:
    assert credentials.exists()
    async with guest_of(tmp_path, api) as guest:
        api.hold.clear()
        with contextlib.closing(guest.connection()) as connection:
            body = json.dumps({"stream": True})
            await asyncio.to_thread(connection.request, "POST", MESSAGES, body, guest.bearer)
            response = await asyncio.to_thread(connection.getresponse)
            assert await asyncio.to_thread(response.read1, 1000) == b"data: 0\n\n"
            api.hold.set()
            assert await asyncio.to_thread(response.read) == b"data: 1\n\ndata: 2\n\n"
            # the connection, and the one to the host, are used again
            await asyncio.to_thread(connection.request, "POST", MESSAGES, b"{}", guest.bearer)
            assert (await asyncio.to_thread(connection.getresponse)).status == 200


async def test_a_body_is_streamed_to_the_host(tmp_path: Path, api: Api) -> None:
    async with guest_of(tmp_path, api) as guest:
        pieces = (b"x" * 100_000 for _ in range(30))
        reply = await guest.request(MESSAGES, {"x-api-key": guest.key, "Expect": "100-continue"}, pieces)
        assert reply.json()["length"] == 3_000_000


async def test_a_program_that_ends_early_ends_the_request(tmp_path: Path, api: Api) -> None:
    async with guest_of(tmp_path, api) as guest:
        api.hold.clear()
        with contextlib.closing(guest.connection()) as connection:
            await asyncio.to_thread(connection.request, "POST", MESSAGES, '{"stream": 1}', {"x-api-key": guest.key})
            await asyncio.to_thread(connection.getresponse)
        await eventually(lambda: '"closed"' in (tmp_path / "egress.jsonl").read_text())


# --- OAuth


async def test_the_guest_has_placeholders_of_the_right_form(tmp_path: Path, api: Api, credentials: Path) -> None:
    real = on_host(credentials)
    async with guest_of(tmp_path, api) as guest:
        tokens = guest.tokens
        assert tokens["scopes"] == ["user:inference", "user:profile"]
        assert (tokens["subscriptionType"], tokens["rateLimitTier"]) == ("max", "default_claude_max_5x")
        assert tokens["expiresAt"] / 1000 > time.time() + 9 * 365 * 86400
        assert tokens["accessToken"].startswith("sk-ant-oat01-")
        assert tokens["refreshToken"].startswith("sk-ant-ort01-")
        content = guest.broker.credentials() or b""
        for secret in (real["accessToken"], real["refreshToken"], "another-secret"):
            assert str(secret).encode() not in content
        assert (await guest.request(MESSAGES, guest.bearer)).status == 200
        assert api.requests_to(MESSAGES)[0][0]["authorization"] == f"Bearer {real['accessToken']}"


async def test_an_expired_token_is_refreshed_once_and_the_file_is_replaced(
    tmp_path: Path, api: Api, credentials: Path
) -> None:
    before = write_login(credentials, api, expires_in=-10)
    async with guest_of(tmp_path, api) as guest:
        replies = await asyncio.gather(*(guest.request(MESSAGES, guest.bearer) for _ in range(4)))
        assert [reply.status for reply in replies] == [200] * 4
    assert api.refreshes == [before["claudeAiOauth"]["refreshToken"]]
    after = json.loads(credentials.read_text())
    assert after["claudeAiOauth"]["accessToken"] in api.valid
    assert after["claudeAiOauth"]["refreshToken"] in api.refreshable
    assert after["claudeAiOauth"]["expiresAt"] / 1000 > time.time() + 3000
    assert after["claudeAiOauth"]["unknown"] == {"kept": True}
    assert after["mcpOAuth"] == before["mcpOAuth"]
    assert credentials.stat().st_mode & 0o777 == 0o600
    assert sorted(path.name for path in credentials.parent.iterdir()) == [".ccvm-login.lock", ".credentials.json"]


async def test_a_rejected_token_is_refreshed_and_the_request_is_sent_again(
    tmp_path: Path, api: Api, credentials: Path
) -> None:
    async with guest_of(tmp_path, api) as guest:
        api.valid.clear()  # revoked, long before its expiry
        reply = await guest.request(MESSAGES, guest.bearer, b"y" * 200_000)
        assert (reply.status, reply.json()["length"]) == (200, 200_000)
        # a host that rejects every token causes no further refreshes
        api.valid.clear()
        replies = [await guest.request(MESSAGES, guest.bearer) for _ in range(3)]
        assert [reply.status for reply in replies] == [401] * 3
        assert len(api.refreshes) == 1
        assert credentials.exists()


async def test_a_login_that_was_renewed_on_the_host_is_used(tmp_path: Path, api: Api, credentials: Path) -> None:
    async with guest_of(tmp_path, api) as guest:
        assert (await guest.request(MESSAGES, guest.bearer)).status == 200
        write_login(credentials, api)
        assert (await guest.request(MESSAGES, guest.bearer)).status == 200
        assert api.refreshes == []


async def test_the_keeper_answers_the_refresh_of_the_guest(tmp_path: Path, api: Api, credentials: Path) -> None:
    write_login(credentials, api, expires_in=60)
    async with guest_of(tmp_path, api) as guest:
        reply = await guest.refresh()
        assert reply.status == 200
        assert reply.json()["access_token"] == guest.tokens["accessToken"]
        assert reply.json()["refresh_token"] == guest.tokens["refreshToken"]
        assert reply.json()["scope"] == "user:inference user:profile"
        assert len(api.refreshes) == 1
        assert (await guest.refresh()).status == 200
        assert len(api.refreshes) == 1
        assert (await guest.refresh("sk-ant-ort01-stolen")).json()["error"] == "invalid_grant"


async def test_an_expired_login_is_reported_and_not_tried_again(tmp_path: Path, api: Api, credentials: Path) -> None:
    write_login(credentials, api, expires_in=-1)
    api.refreshable.clear()
    async with guest_of(tmp_path, api) as guest:
        for _ in range(3):
            reply = await guest.request(MESSAGES, guest.bearer)
            assert reply.status == 401
            assert "log in again on the host" in reply.json()["error"]["message"]
        assert (await guest.refresh()).json()["error"] == "invalid_grant"
        assert len(api.refreshes) == 1
        assert any("log in again" in event for event in guest.events)
        write_login(credentials, api)
        assert (await guest.request(MESSAGES, guest.bearer)).status == 200


LOGIN = json.dumps({"grant_type": "authorization_code", "code": "c", "code_verifier": "v", "client_id": "client-1"})


@pytest.mark.parametrize("keep", [False, True])
async def test_a_login_inside_the_guest_is_captured(tmp_path: Path, api: Api, credentials: Path, keep: bool) -> None:
    credentials.unlink()
    async with guest_of(tmp_path, api, keep=keep) as guest:
        assert guest.broker.credentials() is None
        reply = await guest.request("/v1/oauth/token", {}, LOGIN)
        answer = reply.json()
        (real,) = api.valid
        assert real not in reply.body.decode()
        assert sentinels.is_placeholder(answer["access_token"])
        assert sentinels.is_placeholder(answer["refresh_token"])
        assert answer["account"]["email_address"] == "me@example.org"
        bearer = {"Authorization": f"Bearer {answer['access_token']}"}
        assert (await guest.request(MESSAGES, bearer)).status == 200
        api.valid.clear()
        assert (await guest.request(MESSAGES, bearer)).status == 200  # refreshed
        assert (await guest.refresh(answer["refresh_token"])).status == 200
        minted = (await guest.request("/api/oauth/claude_cli/create_api_key", bearer)).json()["raw_key"]
        assert sentinels.is_placeholder(minted)
        assert (await guest.request(MESSAGES, {"x-api-key": minted})).status == 200
    assert credentials.exists() == keep
    if keep:
        assert on_host(credentials)["accessToken"] in api.valid


TOKEN = "sk-ant-oat01-" + "t" * 40
PLAIN = {"access_token": TOKEN, "refresh_token": "sk-ant-ort01-" + "r" * 40, "expires_in": 60}


@pytest.mark.attack
@pytest.mark.parametrize(
    "response",
    [
        {**PLAIN, "account": {"uuid": TOKEN}},
        {**PLAIN, "account": {"name": f"x{PLAIN['refresh_token']}y"}},
        {**PLAIN, "account": {"session_token": "abc"}},
        {**PLAIN, "account": [TOKEN]},
        {**PLAIN, "scope": f"user {TOKEN}"},
        {**PLAIN, "expires_in": "60"},
        {"token": TOKEN},
        {"data": PLAIN},
        {**PLAIN, "access_token": {"value": TOKEN}},
        [PLAIN],
        TOKEN,
    ],
)
async def test_a_response_with_tokens_of_another_form_is_refused(tmp_path: Path, api: Api, response: object) -> None:
    api.token_response = json.dumps(response).encode()
    async with guest_of(tmp_path, api) as guest:
        reply = await guest.request("/v1/oauth/token", {}, LOGIN)
        assert reply.status == 502
        assert "t" * 40 not in str(reply)


async def test_a_compressed_response_is_refused(tmp_path: Path, api: Api) -> None:
    api.compress = True
    async with guest_of(tmp_path, api) as guest:
        assert (await guest.request("/v1/oauth/token", {}, LOGIN)).status == 502
        assert (await guest.request(MESSAGES, {"x-api-key": guest.key})).status == 502


async def test_unknown_members_of_a_response_do_not_cross(tmp_path: Path, api: Api) -> None:
    api.token_response = json.dumps(
        {**PLAIN, "extra": "x", "id_token": "y", "account": {"a": 1, "b": {"c": "d"}}}
    ).encode()
    async with guest_of(tmp_path, api) as guest:
        answer = (await guest.request("/v1/oauth/token", {}, LOGIN)).json()
        assert set(answer) == {
            "token_type",
            "access_token",
            "refresh_token",
            "expires_in",
            "refresh_token_expires_in",
            "account",
        }
        assert answer["account"] == {"a": 1}


# --- placeholders are worth nothing elsewhere


@pytest.mark.attack
async def test_a_placeholder_is_not_swapped_for_other_guests_hosts_and_paths(
    tmp_path: Path, api: Api, credentials: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    real = on_host(credentials)["accessToken"]
    (tmp_path / "second").mkdir()
    async with guest_of(tmp_path, api) as first, guest_of(tmp_path / "second", api) as second:
        bearer, key = first.bearer, {"x-api-key": first.key}
        assert (await second.request(MESSAGES, bearer)).status == 401
        assert (await second.request(MESSAGES, key)).status == 401
        assert (await second.refresh(first.tokens["refreshToken"])).json()["error"] == "invalid_grant"
        for path in ("/v1/sessions", "/v1/messagesX", "/v1/oauth/hello", "/"):
            assert (await first.request(path, bearer)).status == 403
        for path in (
            "/v1/messages/../sessions",
            "/v1//messages",
            "/v1/messages/%2e%2e/x",
            "/v1/messages\\x",
            "/%76%2f",
        ):
            assert (await first.request(path, bearer)).status == 400
        assert (await first.request(MESSAGES, {"X-Other": first.key})).status == 403
        assert (await first.request(MESSAGES, {"Authorization": f"Basic {first.key}"})).status == 401
        assert (await first.request(MESSAGES, {**bearer, **key})).status == 400
        assert (await first.request(f"{MESSAGES}?key={first.key}", {})).status == 403
        assert (await first.request(MESSAGES, {**bearer, "Host": "evil.test"})).status == 421
        assert (await first.request(MESSAGES, bearer, method="TRACE")).status == 405
        assert (
            await first.request(MESSAGES, {**bearer, "Upgrade": "websocket", "Connection": "upgrade"})
        ).status == 501
        assert api.received == []
        # another name leads to the same server, but past the broker
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        reader, writer = await asyncio.open_connection(*first.way.proxy)
        writer.write(f"CONNECT other.test:{api.port} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        assert b" 200 " in await reader.readuntil(b"\r\n\r\n")
        await writer.start_tls(context, server_hostname="other.test")
        head = f"POST {MESSAGES} HTTP/1.1\r\nHost: other.test\r\nConnection: close\r\nContent-Length: 0\r\n"
        writer.write(f"{head}Authorization: {bearer['Authorization']}\r\n\r\n".encode())
        assert b" 401 " in await reader.read()
        assert api.received[0][1]["authorization"] == bearer["Authorization"]
        writer.close()
        with pytest.raises(ssl.SSLCertVerificationError):
            await second.request(MESSAGES, authority=first.broker.authority.pem)
    assert str(real) not in caplog.text
    assert KEY not in caplog.text


async def test_a_host_with_an_invalid_certificate_gets_no_credential(tmp_path: Path, api: Api) -> None:
    async with guest_of(tmp_path, api) as guest:
        guest.broker.context = ssl.create_default_context()
        reply = await guest.request(MESSAGES, {"x-api-key": guest.key})
        assert reply.status == 502
        assert "certificate of localhost is not valid" in reply.json()["error"]["message"]
        assert api.received == []


async def test_no_credential_is_in_the_representation_of_an_object(tmp_path: Path, api: Api, credentials: Path) -> None:
    real = str(on_host(credentials)["accessToken"])
    async with guest_of(tmp_path, api) as guest:
        assert (await guest.request(MESSAGES, guest.bearer)).status == 200
        texts = [repr(entry) for entry in guest.broker.sentinels]
        texts += [repr(entry.source) for entry in guest.broker.sentinels]
        texts += [repr(HostFile(credentials, api.login.subscription).read())]  # type: ignore[arg-type]
        assert len(texts) > 4
        assert not [text for text in texts if real in text or KEY in text]
