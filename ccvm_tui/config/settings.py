r"""The table of settings: name, type, default, variable and description of each.

The dataclasses in this module are the table, and ``SCHEMA`` is the same table as a flat mapping. The configuration
file, the ``CCVM_*`` variables, ``ccvm-tui config``, the table in docs/configuration.md (which ``./dev docs generate``
updates) and the manual page are derived from it. To add a setting, add a field. To add a group, add a dataclass and a
field of that type.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from ccvm_tui.config import kinds
from ccvm_tui.config.kinds import Kind

T = TypeVar("T")

BUILT_IN = "built-in"
"""The value of ``extra_claude_md`` that selects the built-in text."""


def setting(
    default: T,
    kind: Kind,
    about: str,
    *,
    variable: str = "",
    group_variable: str = "",
    empty_counts: bool = False,
    per_project: bool = True,
) -> T:
    """Return a dataclass field for one setting. ``kind`` validates values from the file, variables and flags.

    ``group_variable`` is a variable that several settings share; ``variable`` overrides it. ``empty_counts`` is true if
    an empty variable is a value. ``per_project`` is false for settings of the dashboard as a whole, which a project's
    section must not contain.
    """
    meta = {
        "kind": kind,
        "about": about,
        "variable": variable,
        "group_variable": group_variable,
        "empty_counts": empty_counts,
        "per_project": per_project,
    }
    entry: T = field(default=default, metadata=meta)
    return entry


def _key(default: str, about: str) -> str:
    return setting(default, kinds.KEY, about, per_project=False)


@dataclass(frozen=True, slots=True)
class Keys:
    """The keys after the leader. ``attach`` supports detach and help, the dashboard supports all of them."""

    detach: str = _key("d", "leave the session running")
    help: str = _key("?", "show the keys")
    switch: str = _key("space", "find a session by name")
    next: str = _key("n", "next session")
    previous: str = _key("p", "previous session")
    last: str = _key("tab", "the previously shown session")
    attention: str = _key("a", "next session that is waiting for you")
    shell: str = _key("c", "new shell in this guest")
    agent: str = _key("g", "new agent in this guest")
    zoom: str = _key("z", "give the whole terminal to the session, and back")
    scrollback: str = _key("[", "read, search and copy the scrollback")
    sidebar: str = _key("s", "hide or show the sidebar")
    tile: str = _key("t", "show sessions side by side")
    page: str = _key("o", "open the page that a program wants to show")
    end: str = _key("x", "end the session")
    palette: str = _key(":", "command palette")


SHARE_VARIABLE = "CCVM_SHARE_CLAUDE_CONFIG"
"""The variable that sets all of ``share`` except ``share.git_config``."""


def _item(default: bool, variable: str, about: str) -> bool:
    return setting(default, kinds.BOOLEAN, about, variable=variable, group_variable=SHARE_VARIABLE)


@dataclass(frozen=True, slots=True)
class Share:
    """The parts of the user's configuration that are copied into a guest.

    The names are those of Claude Code. The table in ``ccvm_tui.agents`` lists the files of each agent.
    """

    settings: bool = _item(True, "CCVM_SHARE_SETTINGS", "the agent's settings, without keys")
    claude_md: bool = _item(True, "CCVM_SHARE_CLAUDEMD", "the user's instructions for all projects, such as CLAUDE.md")
    keybindings: bool = _item(True, "CCVM_SHARE_KEYBINDINGS", "key bindings of the agent")
    commands: bool = _item(True, "CCVM_SHARE_COMMANDS", "custom commands")
    agents: bool = _item(True, "CCVM_SHARE_AGENTS", "custom subagents")
    skills: bool = _item(True, "CCVM_SHARE_SKILLS", "skills")
    output_styles: bool = _item(True, "CCVM_SHARE_OUTPUTSTYLES", "output styles and themes")
    plugins: bool = _item(False, "CCVM_SHARE_PLUGINS", "installed plugins")
    config: bool = _item(False, "CCVM_SHARE_CONFIG", "the directory ~/.claude/config")
    claude_json: bool = _item(
        True,
        "CCVM_SHARE_CLAUDE_JSON",
        "~/.claude.json without secrets and other projects, so that no question of the first start is repeated",
    )
    git_config: bool = setting(
        True,
        kinds.BOOLEAN,
        "the global configuration of Git, without credentials and signing",
        variable="CCVM_SHARE_GIT_CONFIG",
    )


@dataclass(frozen=True, slots=True)
class Clipboard:
    """The parts of the host's clipboard that programs in a guest can read."""

    images: bool = setting(
        True,
        kinds.BOOLEAN,
        "whether programs in the guest can read images from your clipboard, but no text",
        variable="CCVM_CLIPBOARD_IMAGES",
    )


@dataclass(frozen=True, slots=True)
class Theme:
    """The appearance of the dashboard."""

    name: str = setting("ccvm", kinds.WORD, "theme of the dashboard", variable="CCVM_THEME", per_project=False)


@dataclass(frozen=True, slots=True)
class Settings:
    """The settings of one project."""

    memory: int = setting(
        4096, kinds.POSITIVE, "memory of the guest in MiB, at most the host's memory", variable="CCVM_MEMORY"
    )
    cores: int = setting(4, kinds.POSITIVE, "number of virtual CPUs, at most the host's", variable="CCVM_CORES")
    accel: str = setting(
        "auto",
        kinds.choice("auto", "kvm", "tcg"),
        "accelerator; auto uses KVM only after a guest has run on it",
        variable="CCVM_ACCEL",
    )
    machine: str = setting("microvm", kinds.choice("microvm", "q35"), "QEMU machine type", variable="CCVM_MACHINE")
    runtime: str = setting(
        "host",
        kinds.choice("host", "own"),
        "QEMU that runs guests: the host's, or ccvm's own, unpacked next to the image",
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
        "directories below the project that are kept in the guest's memory instead of being shared",
        variable="CCVM_LOCAL_DIRS",
    )
    attempt_include: tuple[str, ...] = setting(
        (),
        kinds.FILE_PATTERNS,
        "untracked files that attempts receive, as patterns like those of .gitignore, besides those in the project's "
        ".worktreeinclude",
        variable="CCVM_ATTEMPT_INCLUDE",
    )
    agent: str = setting("claude", kinds.WORD, 'agent layer of the image, or "none" for a shell', variable="CCVM_AGENT")
    agent_sudo: bool = setting(
        True, kinds.BOOLEAN, "whether sudo works without a password in the guest", variable="CCVM_AGENT_SUDO"
    )
    api_key_variables: tuple[str, ...] = setting(
        ("ANTHROPIC_API_KEY", "CLAUDE_CODE_OAUTH_TOKEN"),
        kinds.VARIABLES,
        "environment variables that are passed to the guest's sessions, over SSH only; other agents than claude have "
        "their own by default",
    )
    login: str = setting(
        "auto",
        kinds.choice("auto", "broker", "key", "none"),
        "use of your logins: broker (the keeper holds them), key (sessions receive API keys) or none; "
        "auto is broker unless egress is open",
        variable="CCVM_LOGIN",
    )
    login_keep: bool = setting(
        False,
        kinds.BOOLEAN,
        "whether a login made in a guest with the broker is stored on the host, in the agent's own credentials file",
        variable="CCVM_LOGIN_KEEP",
    )
    login_git: tuple[str, ...] = setting(
        (),
        kinds.REPOSITORIES,
        "Git hosts, or repositories on them, that the guest uses over HTTPS with the login of your credential helper",
        variable="CCVM_LOGIN_GIT",
    )
    extra_claude_md: str = setting(
        BUILT_IN,
        kinds.TEXT_OR_FILE,
        "text for the agent about working in a guest, appended to the user's instructions; empty for none; the "
        "variable is the path of a file",
        variable="CCVM_CLAUDE_MD",
        empty_counts=True,
    )
    persist_claude_projects: bool = setting(
        False,
        kinds.BOOLEAN,
        "whether the guest shares ~/.claude/projects with the host, which contains Claude Code's conversations",
        variable="CCVM_PERSIST_PROJECTS",
    )
    vm_disk_size: int = setting(
        0,
        kinds.DISK_SIZE,
        "size in GiB of an encrypted disk at /scratch, which is lost with the guest; 0 for none",
        variable="CCVM_VM_DISK_SIZE",
    )
    lock_guest_memory: bool = setting(
        False,
        kinds.BOOLEAN,
        "whether the guest's memory is locked, so that it is never written to swap",
        variable="CCVM_MLOCK",
    )
    network: str = setting(
        "user", kinds.choice("user", "none"), "network of the guest: outgoing connections, or none",
        variable="CCVM_NETWORK",
    )  # fmt: skip
    egress: str = setting(
        "auto",
        kinds.choice("auto", "open", "public", "allowlist", "ask", "none"),
        "hosts that the guest can reach; auto is allowlist if there is an egress_allowlist, and public otherwise",
        variable="CCVM_EGRESS",
    )
    egress_allowlist: tuple[str, ...] = setting(
        (),
        kinds.HOSTS,
        "hosts, addresses and presets that the guest can reach; those of its agent are always reachable",
        variable="CCVM_EGRESS_ALLOWLIST",
    )
    egress_proxy: str = setting(
        "auto",
        kinds.choice("auto", "none"),
        "whether connections of guests go through the proxy that http_proxy, https_proxy and no_proxy name",
        variable="CCVM_EGRESS_PROXY",
    )
    egress_denylist: tuple[str, ...] = setting(
        (), kinds.HOSTS, "hosts and addresses that the guest cannot reach", variable="CCVM_EGRESS_DENYLIST"
    )
    egress_ports: tuple[int, ...] = setting(
        (443,), kinds.PORTS, "TCP ports of hosts that are listed without a port", variable="CCVM_EGRESS_PORTS"
    )
    image: str = setting(
        "",
        kinds.PATH,
        "recipe (TOML) of the guest image, or the directory of an image; empty for the built-in recipe",
        variable="CCVM_IMAGE",
    )
    image_url: str = setting(
        "",
        kinds.URL,
        "index of an image that is downloaded instead of being built; {version} and {machine} are replaced",
        variable="CCVM_IMAGE_URL",
    )
    image_key: str = setting(
        "", kinds.PUBLIC_KEY, "public Ed25519 key of that index, in base64", variable="CCVM_IMAGE_KEY"
    )
    linger: bool = setting(
        False, kinds.BOOLEAN, "whether a guest keeps running after its last session has ended", variable="CCVM_LINGER"
    )
    scrollback: int = setting(
        10_000, kinds.LINES, "number of scrollback lines kept for each session", variable="CCVM_SCROLLBACK"
    )
    seccomp: bool = setting(
        True, kinds.BOOLEAN, "whether QEMU and the file server run with system call filters",
        variable="CCVM_QEMU_SANDBOX",
    )  # fmt: skip
    confine: bool = setting(
        True,
        kinds.BOOLEAN,
        "whether Landlock confines QEMU to the image, and the file server to the project",
        variable="CCVM_CONFINE",
    )
    require_confinement: bool = setting(
        False,
        kinds.BOOLEAN,
        "whether a guest is refused if Landlock or system call filters are missing or off",
        variable="CCVM_REQUIRE_CONFINEMENT",
    )
    guard: str = setting(
        "block",
        kinds.choice("block", "warn", "off"),
        "changes of files that the host runs: block those of Git and report the others, report all, or do nothing",
        variable="CCVM_GUARD",
    )
    osc52: str = setting(
        "ask", kinds.choice("allow", "ask", "refuse"), "what to do when a guest's program copies to your clipboard"
    )
    notifications: bool = setting(True, kinds.BOOLEAN, "whether your terminal is notified when a session needs you")
    waiting_titles: tuple[str, ...] = setting(
        ("(?i)action required", "(?i)approval required", "(?i)waiting for you", "^✋"),
        kinds.PATTERNS,
        "regular expressions for the titles of programs that are waiting for you",
    )
    leader: str = setting(
        "ctrl-\\", kinds.LEADER, "the one key that attach and the dashboard do not pass on to the program",
        variable="CCVM_LEADER", per_project=False,
    )  # fmt: skip
    share: Share = field(default_factory=Share)
    clipboard: Clipboard = field(default_factory=Clipboard)
    keys: Keys = field(default_factory=Keys)
    theme: Theme = field(default_factory=Theme)


@dataclass(frozen=True, slots=True)
class Setting:
    """One row of the table. ``name`` contains a dot for settings in a group (``keys.detach``)."""

    name: str
    kind: Kind
    default: Any
    about: str
    variable: str
    group_variable: str
    empty_counts: bool
    per_project: bool

    def from_variables(self, environ: Mapping[str, str]) -> tuple[str, str] | None:
        """Return the name and the text of the variable that sets the value, or None if there is none."""
        text = environ.get(self.variable) if self.variable else None
        if text or (text is not None and self.empty_counts):
            return self.variable, text
        text = environ.get(self.group_variable) if self.group_variable else None
        return (self.group_variable, text) if text else None

    @property
    def flag(self) -> str:
        """The command line's flag for the setting."""
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
    """Return the settings with the validated ``values``, by name, in place of the defaults."""
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
