"""Messages whose strings are not UTF-8 are transferred unchanged, and invalid messages are refused."""

from __future__ import annotations

import json
import os

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ccvm_tui import framing, packing, protocol
from ccvm_tui.edits import Edits
from ccvm_tui.errors import ProtocolError
from ccvm_tui.protocol import Exec

STRING = st.binary(max_size=12).map(os.fsdecode)


@given(st.lists(STRING, max_size=4), st.dictionaries(STRING, STRING, max_size=4))
def test_arguments_may_contain_any_bytes(argv: list[str], env: dict[str, str]) -> None:
    message = Exec(tuple(argv), env)
    assert protocol.unpack_from_client(protocol.pack(message)[4:]) == message


@given(st.lists(STRING, max_size=4))
def test_names_may_contain_any_bytes_in_both_directions(names: list[str]) -> None:
    answer = protocol.Answer(1, Edits(len(names), tuple(names)))
    assert protocol.unpack_from_keeper(protocol.pack(answer)[4:]) == answer
    assert framing.unpack_json(framing.pack_json({"names": names})[4:]) == {"names": names}


@given(st.lists(st.text(), max_size=4))
def test_text_is_encoded_as_plain_msgpack(names: list[str]) -> None:
    assert packing.pack(names) == msgspec.msgpack.encode(names)


def test_surrogates_that_file_names_cannot_contain_are_replaced() -> None:
    edits = Edits(1, tuple(json.loads(r'["a\ud800"]')))
    received = protocol.unpack_from_keeper(protocol.pack(protocol.Answer(1, edits))[4:])
    assert received == protocol.Answer(1, Edits(1, ("a?",)))


@given(st.binary(max_size=80))
def test_arbitrary_bytes_are_refused(body: bytes) -> None:
    with pytest.raises(ProtocolError):
        protocol.unpack_from_client(body)


@pytest.mark.parametrize(
    "body",
    [
        b"\x91" * 5000 + b"\xc0",  # exceeds the limit of nesting
        msgspec.msgpack.encode({"type": "Exec", "argv": [msgspec.msgpack.Ext(3, b"x")]}),
        msgspec.msgpack.encode({"type": "Exec", "argv": [msgspec.msgpack.Ext(2, b"x")]}),
        msgspec.msgpack.encode({"type": "Exec", "argv": [], "env": msgspec.msgpack.Ext(2, b"\x91\x92\x90\x90")}),
        msgspec.msgpack.encode({"type": "Exec", "argv": [1]}),
        b"\x81\xa4type\xa4Ex\xff\xfe",
    ],
)
def test_an_almost_valid_message_is_refused(body: bytes) -> None:
    with pytest.raises(ProtocolError):
        protocol.unpack_from_client(body)


def test_a_greeting_that_nests_too_deep_is_refused() -> None:
    with pytest.raises(ProtocolError):
        framing.unpack_json(b"[" * 60_000)
