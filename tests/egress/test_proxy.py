"""The proxy between a real gate and real servers, on this machine."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import os
import socket
import ssl
import struct
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from ccvm_tui.egress import decide
from ccvm_tui.outbound import Egress
from tests.egress import hosts_of_tests as hosts
from tests.egress.gates import GUEST, Way, way_out
from tests.egress.hosts_of_tests import Names, server
from tests.waiting import eventually

LOCAL = {"a_example": ("127.0.0.1",), "b_example": ("127.0.0.1",), "rebound_example": ("10.0.0.1",)}


@contextlib.asynccontextmanager
async def way(tmp_path: Path, *allow: str, mode: str = "allowlist", **options: Any) -> AsyncIterator[Way]:
    """Start a way out for which 127.0.0.1 is a listed address."""
    spec = Egress(mode, ("127.0.0.0/8", *allow), options.pop("deny", ()), tuple(options.pop("ports", (443,))))
    options.setdefault("resolver", Names(**LOCAL))
    async with way_out(tmp_path, spec, **options) as started:
        yield started


async def request(way: Way, data: bytes) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await asyncio.open_connection(*way.proxy)
    writer.write(data)
    return reader, writer


async def connect(way: Way, target: str) -> tuple[bytes, asyncio.StreamReader, asyncio.StreamWriter]:
    """Send a CONNECT, and return the head of the response."""
    reader, writer = await request(way, f"CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n".encode())
    return await reader.readuntil(b"\r\n\r\n"), reader, writer


async def socks(way: Way, name: str, port: int) -> tuple[int, asyncio.StreamReader, asyncio.StreamWriter]:
    """Send a SOCKS5 request, and return the code of the reply."""
    reader, writer = await request(way, b"\5\1\0")
    assert await reader.readexactly(2) == b"\5\0"
    writer.write(b"\5\1\0\3" + bytes([len(name)]) + name.encode() + port.to_bytes(2, "big"))
    return (await reader.readexactly(10))[1], reader, writer


def recorded(way: Way) -> list[dict[str, Any]]:
    return [json.loads(line) for line in way.log.read_text().splitlines()]


# --- what is allowed, and what is not


async def test_connect_transfers_bytes_in_both_directions_and_their_end(tmp_path: Path) -> None:
    data = os.urandom(5_000_000)
    async with server(hosts.echo) as port, way(tmp_path, f"a.example:{port}") as out:
        head, reader, writer = await connect(out, f"a.example:{port}")
        assert head.startswith(b"HTTP/1.1 200 ")
        writer.write(data)
        writer.write_eof()
        received = await reader.read()
        assert hashlib.sha256(received).digest() == hashlib.sha256(data).digest()
        writer.close()
        await eventually(lambda: recorded(out)[-1]["outcome"] == "closed")
        last = recorded(out)[-1]
        assert (last["host"], last["port"], last["verdict"]) == ("a.example", port, "allow")
        assert last["sent"] >= len(data)
        assert last["received"] >= len(data)


@pytest.mark.parametrize(
    ("target", "reason"),
    [
        ("c.example:443", "it is not on the allowlist"),
        ("a.example:22", "port 22 is not listed for it"),
        ("10.0.2.2:443", "it is not on the allowlist"),
        ("0x0a000001:443", "it is not on the allowlist"),
        ("[::ffff:10.0.0.1]:443", "it is not on the allowlist"),
    ],
)
async def test_a_refusal_answers_at_once_with_reason_and_command(tmp_path: Path, target: str, reason: str) -> None:
    async with way(tmp_path, "a.example", "rebound.example") as out:
        head, reader, writer = await connect(out, target)
        assert head.startswith(b"HTTP/1.1 403 ")
        text = (await reader.read()).decode()
        assert reason in text
        assert f"ccvm-tui egress {GUEST} --allow " in text
        assert (await socks(out, target.rpartition(":")[0].strip("[]"), int(target.rpartition(":")[2])))[0] == 2
        writer.close()
        assert [(line["outcome"], line["reason"]) for line in recorded(out)] == [("refused", reason)] * 2


async def test_a_guest_does_not_learn_the_address_of_a_name(tmp_path: Path) -> None:
    async with way(tmp_path, "rebound.example") as out:
        head, reader, writer = await connect(out, "rebound.example:443")
        assert head.startswith(b"HTTP/1.1 403 ")
        text = (await reader.read()).decode()
        assert "its address is not on the internet" in text
        assert f"ccvm-tui egress {GUEST} --allow ADDRESS" in text
        assert "10.0.0.1" not in text
        writer.close()
        assert [line["reason"] for line in recorded(out)] == ["its address 10.0.0.1 is private"]


async def test_a_guest_does_not_learn_the_address_of_a_host_that_does_not_answer(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    async with way(tmp_path, f"a.example:{port}") as out:
        head, reader, writer = await connect(out, f"a.example:{port}")
        text = head + await reader.read()
        assert b"cannot be reached: Connection refused" in text
        assert b"127.0.0.1" not in text
        writer.close()
        assert "127.0.0.1" in recorded(out)[-1]["reason"]


async def test_redirected_programs_are_refused_in_their_own_protocol(tmp_path: Path) -> None:
    """The address of the gate's listener takes the place of a private address that a program connects to."""
    async with way_out(tmp_path, Egress("public")) as out:
        reader, writer = await asyncio.open_connection(*out.transparent)
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert b"its address 127.0.0.1 is loopback" in await reader.read()
        writer.close()
        context = ssl.create_default_context()
        with pytest.raises(ssl.SSLError, match=r"(?i)access.denied"):
            await asyncio.open_connection(*out.transparent, ssl=context, server_hostname="x.example")
        reader, writer = await asyncio.open_connection(*out.transparent)
        writer.write(b"something else")
        with pytest.raises(ConnectionResetError):
            await reader.read()
        assert [line["rule"] for line in recorded(out)] == ["loopback"] * 3


async def test_public_reaches_every_name_and_port_but_no_special_address(tmp_path: Path) -> None:
    async with server(hosts.echo) as port, way(tmp_path, mode="public") as out:
        code, reader, writer = await socks(out, "b.example", port)
        assert code == 0
        writer.write(b"hello")
        assert await reader.readexactly(5) == b"hello"
        writer.close()
        assert (await socks(out, "rebound.example", port))[0] == 2


async def test_a_host_that_does_not_answer_is_reported(tmp_path: Path) -> None:
    async with server(hosts.echo) as port:
        pass
    async with way(tmp_path, f"a.example:{port}", "missing.example") as out:
        head, reader, _ = await connect(out, f"a.example:{port}")
        assert head.startswith(b"HTTP/1.1 502 ")
        assert b"cannot be reached" in await reader.read()
        head, reader, _ = await connect(out, "missing.example:443")
        assert b"missing.example does not exist" in await reader.read()
        assert (await socks(out, "missing.example", 443))[0] == 4
        assert {line["outcome"] for line in recorded(out)} == {"failed"}


async def test_the_address_that_was_checked_is_connected_to_without_another_query(tmp_path: Path) -> None:
    names = Names(**LOCAL)
    async with server(hosts.echo) as port, way(tmp_path, f"a.example:{port}", resolver=names) as out:
        for _ in range(3):
            head, _, writer = await connect(out, f"A.example.:{port}")
            assert head.startswith(b"HTTP/1.1 200 ")
            writer.close()
        assert names.queries == ["a.example"] * 3


async def test_two_hundred_connections_at_once(tmp_path: Path) -> None:
    async def one(out: Way, port: int) -> None:
        _, reader, writer = await socks(out, "a.example", port)
        writer.write(bytes(20_000))
        writer.write_eof()
        assert len(await reader.read()) == 20_000
        writer.close()

    async with server(hosts.echo) as port, way(tmp_path, f"a.example:{port}") as out:
        await asyncio.gather(*(one(out, port) for _ in range(200)))


# --- names in TLS and HTTP


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("a.example", None),
        ("b.example", "the server name in its TLS is b.example"),
        (None, "its TLS has no server name"),
    ],
)
async def test_the_name_in_tls_must_be_the_one_that_is_allowed(
    tmp_path: Path, name: str | None, problem: str | None
) -> None:
    context = hosts.certificate(tmp_path, "a.example", "b.example")
    trusting = ssl.create_default_context(cafile=str(tmp_path / "cert.pem"))
    trusting.check_hostname = False
    async with server(hosts.echo, context) as port, way(tmp_path, "*.example:*".replace(":*", f":{port}")) as out:
        _, reader, writer = await socks(out, "a.example", port)
        handshake = writer.start_tls(trusting, server_hostname=name or "")
        if problem is None:
            await handshake
            writer.write(b"hello")
            assert await reader.readexactly(5) == b"hello"
        else:
            with pytest.raises(ssl.SSLError, match=r"(?i)access.denied"):
                await handshake
            assert recorded(out)[-1]["reason"] == problem
        writer.close()


async def test_a_port_of_https_carries_only_tls(tmp_path: Path) -> None:
    async with server(hosts.echo) as port, way(tmp_path, f"a.example:{port}", ports=(port,)) as out:
        _, reader, writer = await socks(out, "a.example", port)
        writer.write(b"SSH-2.0-x\r\n")  # another port than 443, so any protocol
        assert await reader.readexactly(11) == b"SSH-2.0-x\r\n"
        writer.close()


async def test_plain_http_is_forwarded_on_one_connection(tmp_path: Path) -> None:
    async with server(hosts.http) as port, way(tmp_path, f"a.example:{port}") as out:
        url = f"http://a.example:{port}"
        reader, writer = await request(
            out,
            f"GET {url}/one?x HTTP/1.1\r\nHost: a.example:{port}\r\nProxy-Connection: keep-alive\r\n\r\n"
            f"POST {url}/two HTTP/1.1\r\nHost: a.example:{port}\r\nContent-Length: 4\r\n\r\nbody".encode(),
        )
        first = await response(reader)
        assert first.startswith(b"GET /one?x HTTP/1.1\r\n")
        assert b"proxy-connection" not in first.lower()
        assert (await response(reader)).endswith(b"\r\n\r\nbody")
        writer.close()
        await eventually(lambda: recorded(out)[-1]["outcome"] == "closed")
        assert len({line["id"] for line in recorded(out)}) == 1


async def response(reader: asyncio.StreamReader) -> bytes:
    head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
    length = next(int(line.split(":")[1]) for line in head.split("\r\n") if line.startswith("content-length:"))
    return await reader.readexactly(length)


async def test_another_host_in_a_request_is_refused(tmp_path: Path) -> None:
    async with server(hosts.http) as port, way(tmp_path, f"a.example:{port}", f"b.example:{port}") as out:
        reader, writer = await request(
            out, f"GET http://a.example:{port}/ HTTP/1.1\r\nHost: b.example:{port}\r\n\r\n".encode()
        )
        assert b"the host in its request is b.example" in await reader.read()
        writer.close()
        # in a tunnel, on any of its requests
        _, reader, writer = await connect(out, f"a.example:{port}")
        writer.write(f"GET / HTTP/1.1\r\nHost: a.example:{port}\r\n\r\n".encode())
        await response(reader)
        writer.write(f"GET / HTTP/1.1\r\nHost: b.example:{port}\r\n\r\n".encode())
        assert b"the host in its request is b.example" in await reader.read()
        writer.close()


@pytest.mark.parametrize(
    "head",
    [
        "GET / HTTP/1.1\r\nHost: a.example",
        "GET https://a.example/ HTTP/1.1\r\nHost: a.example",
        "GET http://u@a.example/ HTTP/1.1\r\nHost: a.example",
        "CONNECT a.example:0 HTTP/1.1\r\nHost: a.example",
        "CONNECT a.example:x HTTP/1.1\r\nHost: a.example",
        "CONNECT / HTTP/1.1\r\nHost: a.example",
        "GET http://a.example/ HTTP/1.1\r\nHost: a.example\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\nX: \0",
        "nonsense",
    ],
)
async def test_a_bad_request_is_answered(tmp_path: Path, head: str) -> None:
    async with way(tmp_path, "a.example") as out:
        reader, writer = await request(out, f"{head}\r\n\r\n".encode())
        assert (await reader.read()).startswith((b"HTTP/1.1 400 ", b"HTTP/1.1 403 "))
        writer.close()
        assert not [line for line in recorded(out) if line["outcome"] == "open"]


# --- changes while the guest runs


async def test_a_rule_takes_effect_at_once_on_existing_connections_too(tmp_path: Path) -> None:
    async with server(hosts.echo) as port, way(tmp_path) as out:
        assert (await socks(out, "a.example", port))[0] == 2
        out.service.change("allow", f"a.example:{port}")
        code, reader, writer = await socks(out, "a.example", port)
        assert code == 0
        writer.write(b"x")
        await reader.readexactly(1)
        out.service.change("deny", "*.example")
        with pytest.raises(ConnectionResetError):
            await reader.read()
        assert (await socks(out, "a.example", port))[0] == 2
        out.service.change("forget", "*.example")
        assert (await socks(out, "a.example", port))[0] == 0


async def test_a_question_holds_all_equal_connections(tmp_path: Path) -> None:
    async with server(hosts.echo) as port, way(tmp_path, mode="ask", can_ask=lambda: True) as out:
        held = [asyncio.ensure_future(socks(out, "a.example", port)) for _ in range(5)]
        await eventually(lambda: len(out.service.record.attempts) == 5)
        assert out.service.info().questions == (f"a.example:{port}",)
        out.service.answer(f"a.example:{port}", allow=True, once=True)
        assert [code for code, _, _ in await asyncio.gather(*held)] == [0] * 5
        again = asyncio.ensure_future(socks(out, "a.example", port))
        await eventually(lambda: out.service.info().questions)
        out.service.answer(f"a.example:{port}", allow=True, once=False)
        assert (await again)[0] == 0
        assert (await socks(out, "a.example", port))[0] == 0
        assert out.service.report(0).learned == (f"a.example:{port}",)


async def test_without_an_answer_a_held_connection_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decide, "ASK_TIMEOUT", 0.2)
    asked = True
    async with way(tmp_path, mode="ask", can_ask=lambda: asked) as out:
        many = [asyncio.ensure_future(socks(out, f"h{number}.example", 443)) for number in range(decide.HELD_MAX + 1)]
        assert {(await one)[0] for one in many} == {2}
        reasons = [line["reason"] for line in recorded(out)]
        assert sum("other questions are open" in reason for reason in reasons) == 1
        assert sum("there was no answer" in reason for reason in reasons) == decide.HELD_MAX
        asked = False
        assert (await socks(out, "c.example", 443))[0] == 2
        assert "no dashboard" in recorded(out)[-1]["reason"]


# --- names


async def ask_dns(way: Way, name: str, kind: int = 1) -> bytes:
    """Return the reply to a DNS query."""
    question = b"".join(bytes([len(label)]) + label.encode() for label in name.split(".")) + struct.pack(
        ">BHH", 0, kind, 1
    )
    loop = asyncio.get_running_loop()
    reply: asyncio.Future[bytes] = loop.create_future()

    class Client(asyncio.DatagramProtocol):
        def datagram_received(self, data: bytes, addr: object) -> None:  # noqa: ARG002
            reply.set_result(data)

    transport, _ = await loop.create_datagram_endpoint(Client, remote_addr=way.dns)
    transport.sendto(struct.pack(">6H", 77, 0x0100, 1, 0, 0, 0) + question)
    answer = await asyncio.wait_for(reply, 10)
    transport.close()
    assert answer.startswith(struct.pack(">H", 77))
    return answer


async def test_names_have_synthetic_addresses_and_only_allowed_ones_are_looked_up(tmp_path: Path) -> None:
    names = Names(**LOCAL)
    async with way(tmp_path, "a.example", "missing.example", resolver=names) as out:
        allowed, other = await ask_dns(out, "A.example"), await ask_dns(out, "secret-data.evil.example")
        assert allowed[-4:-2] == other[-4:-2] == bytes([198, 18])
        assert allowed[-4:] != other[-4:]
        assert (await ask_dns(out, "a.example"))[-4:] == allowed[-4:]
        assert (await ask_dns(out, "missing.example"))[3] & 15 == 3
        for kind in (28, 65, 16, 33):
            assert (await ask_dns(out, "a.example", kind))[6:8] == b"\0\0"
        assert set(names.queries) == {"a.example", "missing.example"}
