"""The filter keeps links on every cell from aborting the emulator."""

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


class Filtered:
    """An emulator behind its filter."""

    def __init__(self, size: TermSize) -> None:
        self.emulator = Emulator(size)
        self._tap = Tap(self.emulator.outbox, LinkLimit(self.emulator))

    def feed(self, data: bytes) -> None:
        for piece in self._tap.feed(data):
            self.emulator.feed(piece)


def test_the_known_abort_does_not_happen_behind_the_filter() -> None:
    filtered = Filtered(TermSize(80, 24))
    for length in (3000, 5000, 10000, 20000):
        for _ in range(20):
            filtered.feed(OPEN + b"x" * length + b"\x1b[H\x1b[3M")
    assert LinksDropped() in filtered.emulator.outbox.take_events()


@pytest.mark.parametrize("seed", range(8))
def test_random_links_and_edits_do_not_abort(seed: int) -> None:
    chance = random.Random(seed)
    filtered = Filtered(TermSize(chance.choice([80, 200, 231]), chance.choice([24, 90])))
    emulator = filtered.emulator
    for _ in range(300):
        kind = chance.random()
        if kind < 0.5:
            length = chance.randrange(1, chance.choice([30, 5000]))
            filtered.feed(OPEN + b"l" * length + CLOSE * (chance.random() < 0.8))
        elif kind < 0.6:
            filtered.feed(OPEN + b"x\x1b[%d" % chance.randrange(70000))
            filtered.feed(b"b" + CLOSE)
        elif kind < 0.7:
            filtered.feed(b"p" * chance.randrange(200) + b"\r\n" * chance.randrange(100))
        elif kind < 0.95:
            place = chance.randrange(1, emulator.size.rows), chance.randrange(1, emulator.size.cols)
            filtered.feed(b"\x1b[%d;%dH" % place + chance.choice(EDITS))
        else:
            emulator.resize(TermSize(chance.randrange(5, 300), chance.randrange(2, 100)))
    emulator.close()


def test_a_file_listing_keeps_its_links() -> None:
    filtered = Filtered(TermSize(80, 24))
    for number in range(5000):
        filtered.feed(b"\x1b]8;;file:///home/file%d\x1b\\file%d.txt\x1b]8;;\x1b\\\r\n" % (number, number))
    assert LinksDropped() not in filtered.emulator.outbox.take_events()
    assert filtered.emulator.linked_cells() > 200
