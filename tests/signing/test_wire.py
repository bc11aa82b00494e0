"""The messages of SSH agents, and the purposes of signatures, from any bytes."""

from __future__ import annotations

import contextlib
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ccvm_tui.signing import wire
from ccvm_tui.signing.purpose import fingerprint, purpose
from ccvm_tui.signing.wire import Identity, Malformed, Messages, SignRequest, string

KEY = string(b"ssh-ed25519") + string(b"k" * 32)
HOST_KEY = string(b"ssh-ed25519") + string(b"h" * 32)
PARSERS = [wire.parse_sign_request, wire.parse_identities, wire.parse_signature]


@given(st.lists(st.binary(min_size=1, max_size=99), max_size=9), st.lists(st.integers(1, 50), min_size=1, max_size=9))
def test_messages_arrive_whole_however_the_stream_is_divided(messages: list[bytes], sizes: list[int]) -> None:
    stream = b"".join(map(wire.framed, messages))
    arrived, received = Messages(), []
    at = step = 0
    while at < len(stream):
        size = sizes[step % len(sizes)]
        received += arrived.feed(stream[at : at + size])
        at, step = at + size, step + 1
    assert received == messages


@pytest.mark.parametrize("length", [0, wire.MESSAGE_MAX + 1, 0xFFFFFFFF])
def test_a_message_of_an_invalid_length_is_refused_before_it_arrives(length: int) -> None:
    with pytest.raises(Malformed):
        Messages().feed(length.to_bytes(4, "big"))


@given(st.binary(max_size=200), st.binary(max_size=200), st.sampled_from([0, 2, 4, 6]))
def test_a_request_is_what_was_packed(key: bytes, data: bytes, flags: int) -> None:
    request = SignRequest(key, data, flags)
    assert wire.parse_sign_request(wire.pack_sign_request(request)) == request


@given(st.lists(st.builds(Identity, st.binary(max_size=50), st.text(max_size=20).filter(str.isprintable)), max_size=5))
def test_keys_are_what_was_packed(identities: list[Identity]) -> None:
    assert wire.parse_identities(wire.pack_identities(tuple(identities))) == tuple(identities)


def test_a_comment_need_not_be_utf8() -> None:
    message = bytes([wire.IDENTITIES_ANSWER]) + (1).to_bytes(4, "big") + string(b"key") + string(b"caf\xe9")
    assert wire.pack_identities(wire.parse_identities(message)) == message


@pytest.mark.parametrize("parse", PARSERS)
@given(
    message=st.binary(max_size=300)
    | st.builds(lambda kind, rest: bytes([kind]) + rest, st.sampled_from([12, 13, 14]), st.binary(max_size=300))
)
def test_any_message_is_parsed_or_refused(parse: Callable[[bytes], object], message: bytes) -> None:
    with contextlib.suppress(Malformed):
        parse(message)


@given(st.binary(min_size=1, max_size=20), st.integers(0, 40))
def test_a_message_with_a_byte_more_or_less_is_refused(rest: bytes, cut: int) -> None:
    message = wire.pack_sign_request(SignRequest(b"key", b"data", 2))
    for changed in (message + rest, message[: min(cut, len(message) - 1)]):
        with pytest.raises(Malformed):
            wire.parse_sign_request(changed)


@pytest.mark.parametrize("flags", [1, 8, 0x80000000])
def test_unknown_flags_are_refused(flags: int) -> None:
    with pytest.raises(Malformed):
        wire.parse_sign_request(wire.pack_sign_request(SignRequest(b"key", b"data", flags)))


# --- purposes ---------------------------------------------------------------------------------------------------


def signature(namespace: bytes) -> bytes:
    return b"SSHSIG" + string(namespace) + string(b"") + string(b"sha512") + string(b"h" * 64)


def login(user: bytes, method: bytes = b"publickey", key: bytes = KEY, host_key: bytes = b"") -> bytes:
    fields = string(b"i" * 32) + bytes([50]) + string(user) + string(b"ssh-connection") + string(method) + b"\x01"
    return fields + string(b"ssh-ed25519") + string(key) + (string(host_key) if host_key else b"")


BOUND = b"publickey-hostbound-v00@openssh.com"


@given(st.binary(max_size=300) | st.binary(max_size=99).map(lambda rest: b"SSHSIG" + rest), st.binary(max_size=50))
def test_any_data_have_a_purpose_in_printable_words(data: bytes, key: bytes) -> None:
    found = purpose(data, key)
    assert found.text.isprintable()
    assert found.known == bool(found.exact)


def test_known_data_have_purposes() -> None:
    assert purpose(signature(b"git"), KEY).text == "sign a Git commit, tag or push"
    assert purpose(signature(b"file"), KEY).text == "sign a file or a message (namespace “file”)"
    assert purpose(login(b"me"), KEY).text == "log in as “me” to a host, which is not named"
    bound = purpose(login(b"git", BOUND, host_key=HOST_KEY), KEY)
    assert bound.text == f"log in as “git” to the host with the key {fingerprint(HOST_KEY)}"


@pytest.mark.parametrize(
    "data",
    [
        b"",
        signature(b"git") + b"x",
        signature(b""),
        signature(b"git")[:-1],
        login(b"me", key=HOST_KEY),  # names another key
        login(b"me") + string(HOST_KEY),
        login(b"me", BOUND),
        login(b"me", b"password"),
    ],
)
def test_other_data_are_unknown(data: bytes) -> None:
    found = purpose(data, KEY)
    assert not found.known
    assert "unknown kind" in found.text


def test_purposes_whose_texts_are_equal_can_be_different() -> None:
    """The text shows the beginning of a name, without control characters."""
    one, other = (purpose(login(b"u" * 100 + end), KEY) for end in (b"a", b"b"))
    assert one.text == other.text
    assert one != other
    assert purpose(login(b"me\x1b"), KEY) != purpose(login(b"me"), KEY)
