"""The emulator survives links on every cell, behind the filter."""

from __future__ import annotations

import random

import pytest

from ccvm_tui.guest import TermSize
from ccvm_tui.terminal.emulator import Emulator
from ccvm_tui.terminal.events import LinksDropped
from ccvm_tui.terminal.links import LinkLimit
from ccvm_tui.terminal.tap import Tap

OPEN = b"\x1b]8;;http://x/\x1b\\"
CLOSE = b"\x1b]8;;\x1b\\"
EDITS = (
    b"\x1b[3M", b"\x1b[5L", b"\x1b[3P", b"\x1b[4@", b"\x1bM\x1bM\x1bM", b"\x1b[5S", b"\x1b[3T", b"\x1b[2J",
    b"\x1b[5;15r\n\n\x1b[r", b"\x1b[?1049h", b"\x1b[?1049l", b"\x1b[3J",
)  # fmt: skip


def filtered(size: TermSize) -> tuple[Emulator, Tap]:
    emulator = Emulator(size)
    return emulator, Tap(emulator.feed, emulator.outbox, LinkLimit(emulator))


def test_the_known_abort() -> None:
    emulator, tap = filtered(TermSize(80, 24))
    for length in (3000, 5000, 10000, 20000):
        for _ in range(20):
            tap.feed(OPEN + b"x" * length + b"\x1b[H\x1b[3M")
    assert LinksDropped() in emulator.outbox.take_events()


@pytest.mark.parametrize("seed", range(8))
def test_random_links_and_edits(seed: int) -> None:
    chance = random.Random(seed)
    emulator, tap = filtered(TermSize(chance.choice([80, 200, 231]), chance.choice([24, 90])))
    for _ in range(300):
        kind = chance.random()
        if kind < 0.5:
            tap.feed(OPEN + b"l" * chance.randrange(1, chance.choice([30, 5000])) + CLOSE * (chance.random() < 0.8))
        elif kind < 0.6:
            tap.feed(OPEN + b"x\x1b[%d" % chance.randrange(70000))
            tap.feed(b"b" + CLOSE)
        elif kind < 0.7:
            tap.feed(b"p" * chance.randrange(200) + b"\r\n" * chance.randrange(100))
        elif kind < 0.95:
            place = chance.randrange(1, emulator.size.rows), chance.randrange(1, emulator.size.cols)
            tap.feed(b"\x1b[%d;%dH" % place + chance.choice(EDITS))
        else:
            emulator.resize(TermSize(chance.randrange(5, 300), chance.randrange(2, 100)))
    emulator.close()


def test_a_listing_keeps_its_links() -> None:
    emulator, tap = filtered(TermSize(80, 24))
    for number in range(5000):
        tap.feed(b"\x1b]8;;file:///home/file%d\x1b\\file%d.txt\x1b]8;;\x1b\\\r\n" % (number, number))
    assert LinksDropped() not in emulator.outbox.take_events()
    assert emulator.linked_cells() > 200
