"""The gate's answers to DNS queries, and its instructions for the kernel."""

from __future__ import annotations

import contextlib
import struct

from hypothesis import given
from hypothesis import strategies as st

from ccvm_tui.image.guest.agent import redirect
from ccvm_tui.image.guest.agent.names import Addresses, Query

labels = st.lists(st.from_regex(r"[a-z0-9-]{1,20}", fullmatch=True), min_size=1, max_size=5)


def message(name: list[str], kind: int = 1, number: int = 5) -> bytes:
    question = b"".join(bytes([len(label)]) + label.encode() for label in name) + b"\0" + struct.pack(">HH", kind, 1)
    return struct.pack(">6H", number, 0x0100, 1, 0, 0, 0) + question


@given(labels, st.integers(0, 65535), st.integers(1, 300))
def test_a_reply_repeats_the_question(name: list[str], number: int, kind: int) -> None:
    sent = message(name, kind, number)
    query = Query(sent)
    assert query.name == ".".join(name)
    reply = query.answer(0, bytes([198, 18, 0, 1]) if query.wants_address else b"")
    assert reply[:2] == sent[:2]
    assert reply[12 : len(sent)] == sent[12:]
    assert reply.endswith(bytes([198, 18, 0, 1])) is query.wants_address


@given(st.binary(max_size=300))
def test_any_bytes_are_a_query_or_an_error(data: bytes) -> None:
    with contextlib.suppress(ValueError):
        Query(data)


def test_every_name_has_its_own_address_and_keeps_it() -> None:
    addresses = Addresses()
    names = [f"host{number}.example" for number in range(1000)]
    assigned = [addresses.address(name) for name in names]
    assert len(set(assigned)) == len(names)
    assert [addresses.address(name) for name in names] == assigned
    assert [addresses.name(address) for address in assigned] == names
    assert all(addresses.is_synthetic(address) for address in assigned)
    assert not addresses.is_synthetic(bytes([198, 17, 255, 255]))
    assert not addresses.is_synthetic(bytes([198, 20, 0, 0]))


def test_jumps_lead_to_their_labels() -> None:
    code = redirect.assemble([(0x16, 2, 0, "end", 127), (0xB7, 0, 0, 0, 1), "end", (0x95, 0, 0, 0, 0)])
    assert [struct.unpack("=BBhi", code[at : at + 8]) for at in (0, 8, 16)] == [
        (0x16, 2, 1, 127), (0xB7, 0, 0, 1), (0x95, 0, 0, 0),
    ]  # fmt: skip
