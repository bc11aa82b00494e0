"""Floods of everything that the host reads from a guest: processes stay responsive, and their memory bounded."""

from __future__ import annotations

import asyncio
import json
import socket
import struct
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ccvm_tui import packing
from ccvm_tui.errors import BootError, ProtocolError, UserError
from ccvm_tui.guest import Usage
from ccvm_tui.keeper.control import FRAME_MAX, GuestAgent
from ccvm_tui.keeper.statistics import with_reported
from ccvm_tui.machine.console import CONSOLE_LIMIT
from tests.attack.conftest import AttackedGuest
from tests.guest.conftest import ccvm_tui

SECONDS = "2"

RESPONSE_WITHIN = 15.0
"""Seconds within which a command must be answered during a flood, while two processors are busy with the guest."""


@pytest.mark.attack
@pytest.mark.unmeasured
@pytest.mark.parametrize(
    "flood", ["control", "hooks", "proxy", "names", "clipboard", "console", "guard", "terminal", "locks"]
)
def test_a_flood_neither_delays_the_host_nor_fills_its_memory(victim: AttackedGuest, flood: str) -> None:
    with victim.bounded(), ThreadPoolExecutor(1) as pool:
        running = pool.submit(victim.program, "floods", flood, SECONDS)
        while not running.done():
            listed = ccvm_tui("ls", "--json", within=RESPONSE_WITHIN)
            assert json.loads(listed.stdout)["guests"][0]["state"] == "running"
        running.result()
    for log in victim.directory.iterdir():
        if log.is_file():
            assert log.stat().st_size <= 2 * CONSOLE_LIMIT, log.name
    assert victim.run("true").returncode == 0


# --- malformed messages on the control port, from a guest agent that the attacker has replaced


@asynccontextmanager
async def agent() -> AsyncIterator[tuple[GuestAgent, asyncio.StreamWriter, list[object]]]:
    """The keeper's end of a control port, the guest's end, and the events that were received."""
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    events: list[object] = []
    connected = GuestAgent(events.append, lambda _: None)
    await connected.open(ours)
    _, writer = await asyncio.open_connection(sock=theirs)
    yield connected, writer, events
    writer.close()
    connected.close()


def frame(body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + body


MALFORMED = {
    "a frame that is too long": struct.pack(">I", FRAME_MAX + 1),
    "a frame of 4 GiB": b"\xff" * 4,
    "no JSON": frame(b"\xff\xfe"),
    "a list": frame(b"[]"),
    "a number": frame(b"1"),
    "nothing": frame(b""),
    "deep nesting": frame(b"[" * 500_000),
    "a number of a million digits": frame(b'{"id": ' + b"1" * 1_000_000 + b"}"),
}


@pytest.mark.attack
@pytest.mark.parametrize("data", MALFORMED.values(), ids=MALFORMED)
async def test_a_malformed_frame_ends_the_control_connection_only(data: bytes) -> None:
    async with agent() as (connected, writer, _):
        pending = asyncio.ensure_future(connected.request("stats", within=20))
        await asyncio.sleep(0)
        writer.write(data)
        with pytest.raises(ProtocolError):
            await connected.run()
        with pytest.raises(ProtocolError):
            await pending
        with pytest.raises((ProtocolError, BootError)):
            connected.ready.result()


MESSAGES: list[object] = [
    {},
    {"type": None},
    {"type": "hello"},
    {"type": "hello", "version": "1"},
    {"type": "phase", "name": 7},
    {"type": "reply"},
    {"type": "reply", "id": "1", "ok": True},
    {"type": "reply", "id": -1, "ok": True},
    {"type": "reply", "id": 1 << 70, "ok": True},
    {"type": "event"},
    {"type": "event", "kind": ["oom"]},
    {"type": "failed"},
    {"type": "files", "files": "x"},
    {"type": "configure"},
    {"type": "stop"},
]


@pytest.mark.attack
async def test_messages_of_other_types_do_nothing() -> None:
    async with agent() as (connected, writer, events):
        running = asyncio.ensure_future(connected.run())
        for message in MESSAGES:
            writer.write(frame(json.dumps(message).encode()))
        asking = asyncio.ensure_future(connected.request("stats", within=20))
        await asyncio.sleep(0)
        writer.write(frame(b'{"type": "reply", "id": 1, "ok": false, "message": ["no"]}'))
        with pytest.raises(UserError, match="refused stats"):
            await asking
        assert events == []
        running.cancel()


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


@pytest.mark.attack
@given(st.fixed_dictionaries({}, optional=dict.fromkeys(("memory_total", "memory_available", "load1", "ports"), JSON)))
def test_statistics_of_any_kind_can_be_sent_to_clients(stats: dict[str, object]) -> None:
    usage = with_reported(Usage(cpu=1.0), stats)
    assert usage.cpu == 1.0
    assert msgspec.msgpack.decode(packing.pack(usage), type=Usage) == usage
