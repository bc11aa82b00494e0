"""The keyboard of an attached terminal: input for the program passes unchanged, and the leader selects commands.

Nothing that cannot be the leader is held back. A lone ESC, which may begin the leader's sequence, is passed on at once.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import cast

from ccvm_tui.terminal.input import tokens
from ccvm_tui.terminal.keys import Stroke
from ccvm_tui.terminal.leader import Leader, Verdict
from ccvm_tui.terminal.lexer import InputLexer, Kind, Piece, first_character

PAUSE = 0.025
"""Seconds without input after which ``idle`` must be called while ``waiting`` is true."""


@dataclass(frozen=True, slots=True)
class Command:
    """The name of the action that the user has selected."""

    name: str


Action = bytes | Command
"""Bytes for the program, or a command."""


class Keyboard:
    """A filter for the bytes of a keyboard.

    ``leader`` is the leader's name in the configuration. ``bindings`` maps the names of the keys that follow it to
    commands. The leader is recognized as a control character and in the kitty and modifyOtherKeys protocols, whichever
    of them the program has requested. Within a bracketed paste nothing is a key.
    """

    def __init__(self, leader: str, bindings: Mapping[str, str]) -> None:
        self._lexer = InputLexer()
        self._leader = Leader(leader, bindings)
        self._leader_byte = (self._leader.leader_stroke.character or "").encode()
        self._commands = frozenset(bindings.values())
        self._passed = 0  # bytes held by the lexer that were passed on already
        self._paused = False

    @property
    def armed(self) -> bool:
        """True after the leader, until its second key."""
        return self._leader.armed

    @property
    def waiting(self) -> bool:
        """True if ``idle`` must be called when no more input follows within ``PAUSE``."""
        return not self._paused and (self._lexer.pasting or bool(self._lexer.held))

    def feed(self, data: bytes) -> list[Action]:
        """Add input. Returns the actions to perform, in order."""
        if self._lexer.pasting and self._paused and data == self._leader_byte:
            self._lexer.end_paste()  # its closing bracket was lost, and the user could never detach
        self._paused = False
        return self._actions(self._lexer.feed(data))

    def idle(self) -> list[Action]:
        """Handle a pause in the input: what is held back is no sequence after all."""
        if self._lexer.pasting:
            self._paused = True
            return []
        return self._actions(self._lexer.flush())

    def _actions(self, pieces: list[Piece]) -> list[Action]:
        actions = _Actions(self._passed)
        for piece in pieces:
            self._piece(piece, actions)
        self._passed = actions.skip
        held = self._lexer.held
        if not self.armed and not held.lstrip(b"\x1b").startswith(b"["):
            actions.add(held)
            self._passed = len(held)
        return actions.joined()

    def _piece(self, piece: Piece, actions: _Actions) -> None:
        match piece.kind:
            case Kind.TEXT:
                data = piece.data
                while data and self.armed:
                    key = first_character(data)
                    self._key(Piece(Kind.TEXT, key), actions)
                    data = data[len(key) :]
                actions.add(data)
            case Kind.ALT if not self.armed and piece.data[1:] == self._leader_byte:
                actions.add(piece.data[:1])  # Escape and then the leader, rather than Alt and the leader
                self._key(Piece(Kind.CONTROL, piece.data[1:]), actions)
            case Kind.CUT if self.armed:
                actions.drop(piece.data)
            case Kind.PASTE_START:
                self._leader.armed = False
                actions.add(piece.data)
            case _:
                self._key(piece, actions)

    def _key(self, piece: Piece, actions: _Actions) -> None:
        """Pass a key to the leader. Anything but a key is passed on, even between the leader and its second key."""
        found = tokens(piece)
        if not found or not isinstance(stroke := found[0], Stroke):
            actions.add(piece.data)
            return
        decision = self._leader.feed(stroke)
        if decision.verdict in (Verdict.NOT_OURS, Verdict.LITERAL):
            actions.add(piece.data)
            return
        actions.drop(piece.data)
        if decision.verdict is Verdict.ACTION and decision.action in self._commands:
            actions.select(decision.action)


class _Actions:
    """The actions found in pieces of input, of which the first ``skip`` bytes were passed on already."""

    def __init__(self, skip: int) -> None:
        self.skip = skip
        self._found: list[Action] = []

    def add(self, data: bytes) -> None:
        if len(data) > self.skip:
            self._found.append(data[self.skip :])
        self.drop(data)

    def drop(self, data: bytes) -> None:
        self.skip = max(0, self.skip - len(data))

    def select(self, name: str) -> None:
        self._found.append(Command(name))

    def joined(self) -> list[Action]:
        joined: list[Action] = []
        for kind, group in itertools.groupby(self._found, type):
            if kind is bytes:
                joined.append(b"".join(cast("Iterator[bytes]", group)))
            else:
                joined += group
        return joined
