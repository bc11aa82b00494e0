"""The parser of client hellos, with those of a real client, and with damaged ones."""

from __future__ import annotations

import contextlib
import ssl

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ccvm_tui.egress import tls
from ccvm_tui.egress.tls import ClientHello, NotTls


def hello(name: str | None) -> bytes:
    """Return what a client sends first."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    out = ssl.MemoryBIO()
    client = context.wrap_bio(ssl.MemoryBIO(), out, server_hostname=name)
    with pytest.raises(ssl.SSLWantReadError):
        client.do_handshake()
    return out.read()


NAMED = hello("api.example.com")


def encrypted(data: bytes) -> bytes:
    """Return a hello with the extension of an encrypted one."""
    extension = b"\xfe\x0d\x00\x04abcd"
    body = bytearray(data[5:])
    at = 4 + 2 + 32
    at += 1 + body[at]
    at += 2 + int.from_bytes(body[at : at + 2], "big")
    at += 1 + body[at]
    length = int.from_bytes(body[at : at + 2], "big") + len(extension)
    body[at : at + 2] = length.to_bytes(2, "big")
    body += extension
    body[1:4] = (len(body) - 4).to_bytes(3, "big")
    return data[:3] + len(body).to_bytes(2, "big") + bytes(body)


def test_the_server_name_of_a_real_client_is_found() -> None:
    assert tls.parse(NAMED) == ClientHello("api.example.com", False)
    assert tls.parse(hello(None)) == ClientHello(None, False)


def test_an_encrypted_hello_is_recognized() -> None:
    assert tls.parse(encrypted(NAMED)) == ClientHello("api.example.com", True)


@given(st.integers(0, len(NAMED) - 1))
def test_an_incomplete_hello_needs_more(length: int) -> None:
    assert tls.parse(NAMED[:length]) is None


@given(st.lists(st.integers(1, len(NAMED) - 6), max_size=4, unique=True).map(sorted))
def test_a_hello_in_several_records_is_the_same(cuts: list[int]) -> None:
    body = NAMED[5:]
    pieces = [body[start:end] for start, end in zip([0, *cuts], [*cuts, len(body)], strict=True)]
    data = b"".join(NAMED[:3] + len(piece).to_bytes(2, "big") + piece for piece in pieces)
    assert tls.parse(data) == ClientHello("api.example.com", False)
    assert tls.parse(data[:-1]) is None


@given(st.binary(max_size=2000))
def test_other_bytes_are_an_error_or_need_more(data: bytes) -> None:
    try:
        result = tls.parse(data)
    except NotTls:
        return
    assert result is None or isinstance(result, ClientHello)


@given(st.integers(5, len(NAMED) - 1), st.integers(0, 255))
def test_a_damaged_hello_raises_nothing_else(at: int, value: int) -> None:
    data = bytearray(NAMED)
    data[at] = value
    with contextlib.suppress(NotTls):
        tls.parse(bytes(data))


@pytest.mark.parametrize(
    "data", [b"GET / HTTP/1.1\r\n", b"SSH-2.0-x\r\n", b"\x16\x03\x01\x00\x00", b"\x17\x03\x03\x00\x01"]
)
def test_other_protocols_are_recognized_at_once(data: bytes) -> None:
    with pytest.raises(NotTls):
        tls.parse(data)
