"""Addresses of web pages that guests offer."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ccvm_tui.keeper.links import KEPT, Links
from ccvm_tui.weblinks import ADDRESS_MAX, callback_port, host_of, web_address


@pytest.mark.parametrize(
    "address", ["http://localhost:3000/", "https://claude.ai/oauth?code=true&x=%20#y", "https://[::1]/"]
)
def test_pages_are_accepted(address: str) -> None:
    assert web_address(address) == address
    assert host_of(address)


@pytest.mark.parametrize(
    "address",
    [
        "", "file:///etc/passwd", "javascript:alert(1)", "HTTP:/x", "https:///x", "https://", "https://a b/", "--help",
        "https://good.example@evil.example/", "https://good.example\\@evil.example/", "https://x/\x1b]0;t\x07",
        "https://x/\n", "https://\u202ex/", "https://[::1/", "https://x/" + "a" * ADDRESS_MAX,
    ],
)  # fmt: skip
def test_everything_else_is_refused(address: str) -> None:
    assert web_address(address) == ""


@pytest.mark.parametrize(
    ("redirect", "port"),
    [
        ("http%3A%2F%2Flocalhost%3A54545%2Fcallback", 54545), ("http://127.0.0.1:80/", 80), ("http://[::1]:9/", 9),
        ("http://localhost/", 0), ("http://evil.example:80/", 0), ("https://localhost:80/", 0),
        ("http://localhost:99999/", 0), ("http://localhost:x/", 0), ("http://localhost@evil.example:80/", 0),
    ],
)  # fmt: skip
def test_the_callback_of_a_login_is_a_port_of_the_loopback_interface(redirect: str, port: int) -> None:
    assert callback_port(f"https://login.example/authorize?a=b&redirect_uri={redirect}&c=d") == port


@given(st.text(max_size=40))
def test_no_text_raises(text: str) -> None:
    for address in (
        text,
        f"https://{text}",
        f"https://x/?redirect_uri={text}",
        f"https://x/?redirect_uri=http://{text}",
    ):
        if web_address(address):
            assert host_of(address)
            assert address.isascii()
            assert address.isprintable()
        assert 0 <= callback_port(address) <= 65535


def test_the_newest_offers_are_kept_once_each() -> None:
    links = Links()
    for number in [*range(10), 8]:
        links.offer("s1", f"https://x/{number}")
    assert [link.address[-1] for link in links.all()] == ["5", "6", "7", "9", "8"]
    assert len(links.all()) == KEPT
    assert len({link.id for link in links.all()}) == KEPT
    assert links.offer("s1", "file:///x") is None
