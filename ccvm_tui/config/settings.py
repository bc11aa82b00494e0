r"""The settings: name, type, default, variable and meaning of each, in one table.

The dataclasses below *are* the table. ``SCHEMA`` flattens it, and everything else follows from it: reading
``config.toml`` and ``CCVM_*``, ``ccvm-tui config``, and the table of docs/configuration.md (a test compares).
To add a setting, add a field; to add a group, add a dataclass and a field that holds it.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any, TypeVar

from ccvm_tui.config import kinds
from ccvm_tui.config.kinds import Kind

T = TypeVar("T")


def setting(default: T, kind: Kind, about: str, *, variable: str = "", per_project: bool = True) -> T:
    """A field of the table. Its type is the default's; what comes from files and variables passes ``kind``."""
    meta = {"kind": kind, "about": about, "variable": variable, "per_project": per_project}
    made: T = field(default=default, metadata=meta)
    return made


def _key(default: str, about: str) -> str:
    return setting(default, kinds.KEY, about, per_project=False)


@dataclass(frozen=True, slots=True)
class Keys:
    """What the key after the leader does. ``attach`` knows detach and help, the dashboard all of them."""

    detach: str = _key("d", "leave the session running")
    help: str = _key("?", "show the keys")
    switch: str = _key("space", "find a session by name")
    next: str = _key("n", "next session")
    previous: str = _key("p", "previous session")
    last: str = _key("tab", "the session before this one")
    attention: str = _key("a", "next session that waits for you")
    shell: str = _key("c", "new shell in this guest")
    agent: str = _key("g", "new agent in this guest")
    zoom: str = _key("z", "give the whole terminal to the session, and back")
    scrollback: str = _key("[", "read, search and copy what scrolled away")
    sidebar: str = _key("s", "hide or show the sidebar")
    tile: str = _key("t", "show sessions side by side")
    end: str = _key("x", "end the session")
    palette: str = _key(":", "command palette")


@dataclass(frozen=True, slots=True)
class Theme:
    name: str = setting("ccvm", kinds.WORD, "theme of the dashboard", variable="CCVM_THEME", per_project=False)


@dataclass(frozen=True, slots=True)
class Settings:
    """What holds for one project. Memory in MiB, scrollback in lines, paths absolute or empty."""

    memory: int = setting(
        4096, kinds.POSITIVE, "memory of the guest in MiB, limited to what the host has", variable="CCVM_MEMORY"
    )
    cores: int = setting(4, kinds.POSITIVE, "virtual CPUs, limited to what the host has", variable="CCVM_CORES")
    accel: str = setting(
        "auto",
        kinds.choice("auto", "kvm", "tcg"),
        "acceleration; auto uses KVM only after a guest has run on it",
        variable="CCVM_ACCEL",
    )
    machine: str = setting("microvm", kinds.choice("microvm", "q35"), "QEMU machine type", variable="CCVM_MACHINE")
    runtime: str = setting(
        "host",
        kinds.choice("host", "own"),
        "QEMU that runs guests: the host's, or one of our own, unpacked next to the image",
        variable="CCVM_RUNTIME",
    )
    writable_cwd: bool = setting(
        True,
        kinds.BOOLEAN,
        "whether the guest may change the project; if not, its edits are kept in memory and lost when it stops",
        variable="CCVM_WRITABLE_CWD",
    )
    local_dirs: tuple[str, ...] = setting(
        (),
        kinds.DIRECTORIES,
        "directories below the project that the guest keeps in its own memory instead of sharing them",
        variable="CCVM_LOCAL_DIRS",
    )
    agent: str = setting("claude", kinds.WORD, 'agent layer of the image, or "none" for a shell', variable="CCVM_AGENT")
    agent_sudo: bool = setting(
        True, kinds.BOOLEAN, "whether sudo works without a password in the guest", variable="CCVM_AGENT_SUDO"
    )
    api_key_variables: tuple[str, ...] = setting(
        ("ANTHROPIC_API_KEY", "CLAUDE_CODE_OAUTH_TOKEN"),
        kinds.VARIABLES,
        "environment variables that the guest's sessions receive, over SSH only",
    )
    network: str = setting(
        "user", kinds.choice("user", "none"), "network of the guest: outgoing connections, or none",
        variable="CCVM_NETWORK",
    )  # fmt: skip
    image: str = setting(
        "", kinds.PATH, "recipe (TOML) of the guest image; empty for the built-in one", variable="CCVM_IMAGE"
    )
    linger: bool = setting(
        False, kinds.BOOLEAN, "whether a guest stays when its last session has ended", variable="CCVM_LINGER"
    )
    scrollback: int = setting(
        10_000, kinds.LINES, "lines kept of what scrolled off a session's screen", variable="CCVM_SCROLLBACK"
    )
    seccomp: bool = setting(
        True, kinds.BOOLEAN, "QEMU's own system call filter", variable="CCVM_QEMU_SANDBOX"
    )  # fmt: skip
    confine: bool = setting(
        True, kinds.BOOLEAN, "Landlock around QEMU: it opens the image and the project only", variable="CCVM_CONFINE"
    )
    osc52: str = setting(
        "ask", kinds.choice("allow", "ask", "refuse"), "when a guest's program copies to your clipboard"
    )
    notifications: bool = setting(True, kinds.BOOLEAN, "pass on a guest's notifications to your desktop")
    waiting_titles: tuple[str, ...] = setting(
        ("(?i)action required", "(?i)approval required", "(?i)waiting for you", "^✋"),
        kinds.PATTERNS,
        "titles by which a program says that it waits for you, as regular expressions",
    )
    leader: str = setting(
        "ctrl-\\", kinds.LEADER, "the one key that attach and the dashboard keep for themselves",
        variable="CCVM_LEADER", per_project=False,
    )  # fmt: skip
    keys: Keys = field(default_factory=Keys)
    theme: Theme = field(default_factory=Theme)


@dataclass(frozen=True, slots=True)
class Setting:
    """One row of the table. ``name`` has a dot for settings in a group (``keys.detach``)."""

    name: str
    kind: Kind
    default: Any
    about: str
    variable: str
    per_project: bool

    @property
    def flag(self) -> str:
        return "--" + self.name.replace("_", "-").replace(".", "-")


def _flatten(table: type, prefix: str = "") -> dict[str, Setting]:
    rows: dict[str, Setting] = {}
    for entry in dataclasses.fields(table):
        name = prefix + entry.name
        if entry.metadata:
            rows[name] = Setting(name, default=entry.default, **entry.metadata)
        else:
            group = entry.default_factory
            assert isinstance(group, type)
            rows |= _flatten(group, f"{name}.")
    return rows


SCHEMA: dict[str, Setting] = _flatten(Settings)
"""All settings by name, in the order of the documentation."""


def build(values: dict[str, object]) -> Settings:
    """The settings with ``values`` (checked ones, by name) in place of defaults."""
    return _build(Settings, values, "")


def _build(table: type[T], values: dict[str, object], prefix: str) -> T:
    given: dict[str, Any] = {}
    for entry in dataclasses.fields(table):  # type: ignore[arg-type]
        name = prefix + entry.name
        if not entry.metadata:
            assert isinstance(entry.default_factory, type)
            given[entry.name] = _build(entry.default_factory, values, f"{name}.")
        elif name in values:
            given[entry.name] = values[name]
    return table(**given)
