"""The keys' actions: those of the leader's second key, from the settings, and those of the tree's keys."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from ccvm_tui.config import SCHEMA, Keys
from ccvm_tui.terminal.leader import Leader


@dataclass(frozen=True, slots=True)
class Binding:
    """``action`` names a method of the main screen (``do_detach`` …); ``key`` is spelled as in the config."""

    action: str
    key: str
    about: str


def leader_bindings(keys: Keys) -> tuple[Binding, ...]:
    """In the order of the help. `1` to `9` are not in it: they always choose by number."""
    return tuple(
        Binding(entry.name, getattr(keys, entry.name), SCHEMA[f"keys.{entry.name}"].about)
        for entry in dataclasses.fields(keys)
    )


TREE_KEYS: tuple[tuple[str, str], ...] = (
    ("↑ ↓ or k j", "up and down"),
    ("← → or h l", "fold and unfold"),
    ("Enter", "open: go into the session"),
    ("r", "run: start the guest"),
    ("c / g", "new shell / new agent"),
    ("S", "stop the guest"),
    ("P", "pause or resume it"),
    ("x", "end the session"),
    ("l", "logs: events and console"),
    ("e", "settings of the project"),
    ("m", "mute or unmute"),
    ("/", "filter"),
    ("+", "add a project"),
    ("-", "forget a project that is not running"),
    ("i", "details pane"),
    ("< / >", "narrower / wider sidebar"),
    ("space", "find a session"),
    ("?", "help"),
    ("q", "quit; guests go on"),
)
"""The tree's keys as the help shows them."""


def shown_key(key: str) -> str:
    """The config's spelling for people: ``Ctrl+\\``, ``Space``, ``d``."""
    words = key.split("-") if len(key) > 1 and key.startswith(("ctrl-", "alt-")) else [key]
    if key.endswith("--"):
        words = [*key[:-2].split("-"), "-"]
    *modifiers, last = words
    last = last.capitalize() if len(last) > 1 else last.upper() if modifiers else last
    return "+".join([*(word.capitalize() for word in modifiers), last])


class LeaderKeys(Leader):
    """The leader, with the bindings of its second key."""

    def __init__(self, leader: str, bindings: tuple[Binding, ...]) -> None:
        super().__init__(leader, {binding.key: binding.action for binding in bindings})
        self.bindings = bindings
