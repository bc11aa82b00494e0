"""The table of agents: what ccvm knows about each coding agent, as data. To support another agent, add an entry.

The name of an agent is the value of the setting ``agent``. A recipe can define further layers, or other sources for
these; guests with an agent that is not in this table receive only the configuration of Git.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from ccvm_tui.agents import hooks, logins, sanitize
from ccvm_tui.agents.logins import Login
from ccvm_tui.agents.sanitize import HOME, Sanitizer
from ccvm_tui.guest import Activity

Additions = Callable[[bytes | None], bytes | None]
"""A function that adds to a file for the guest, or creates it; see ``hooks``."""


@dataclass(frozen=True, slots=True)
class Layer:
    """The source of an agent's layer; see ``ccvm_tui.image.recipe``.

    ``program`` is the name of the executable on the host, ``npm`` the package to download if it is not installed there,
    ``binary`` the executable in that package. ``version`` is a suffix of the version for packages that are published
    under one name for all architectures. ``runtime`` is a package with the interpreter ``bin/node`` for ``binary``.
    """

    program: str
    npm: str
    binary: str
    version: str = ""
    runtime: str = ""


@dataclass(frozen=True, slots=True)
class Directory:
    """The configuration directory of an agent.

    On the host it is the value of ``variable``, or ``below_config`` in ``$XDG_CONFIG_HOME``, or else ``default`` in the
    home directory. In the guest it is always ``default``.
    """

    default: str
    variable: str = ""
    below_config: str = ""

    @property
    def target(self) -> str:
        """The path of the directory in the guest."""
        return f"{HOME}/{self.default}"

    def on_host(self, environ: Mapping[str, str], home: str) -> str:
        """Return the path of the directory on the host."""
        if self.variable and environ.get(self.variable):
            return str(PurePosixPath(home, environ[self.variable]))
        if self.below_config and (config := environ.get("XDG_CONFIG_HOME")):
            return str(PurePosixPath(home, config, self.below_config))
        return f"{home}/{self.default}"


@dataclass(frozen=True, slots=True)
class Item:
    """A file or a directory that is copied into the guest.

    ``setting`` is the name in the group ``share`` that controls it. ``source`` is the path below the agent's directory
    on the host, ``target`` the path below that in the guest, by default the same. ``sanitizer`` applies to a file.
    ``inner`` are the sanitizers for the files of a directory, by their names at any depth. With ``beside``, the file is
    in the home directory unless the variable of the agent's directory is set; in the guest it is in the home directory.
    """

    setting: str
    source: str
    target: str = ""
    sanitizer: Sanitizer | None = None
    inner: Mapping[str, Sanitizer] = field(default_factory=dict)
    beside: bool = False


@dataclass(frozen=True, slots=True)
class Sign:
    """A text on the screen of an agent that shows its state, for states that no hook reports.

    ``pattern`` is a regular expression for a line. ``activity`` is the state, and ``text`` the reason why the user is
    needed, or empty. The screen is only examined when an agent that reports to be working prints nothing.
    """

    pattern: str
    activity: Activity
    text: str = ""


@dataclass(frozen=True, slots=True)
class Agent:
    """One agent.

    ``credentials`` are the names of files that never cross, wherever they are. ``private`` are the names below the
    agent's directory, files and directories, that never cross even if a directory that is copied leads there. ``keys``
    are the variables with the agent's API keys. ``hosts`` are the hosts that it needs, which are always reachable.
    ``instructions`` is the file with the user's instructions, to which the text about the guest is appended.
    ``additions`` are files to which the hooks for attention are added; they and ``instructions`` are below the agent's
    directory. ``variables`` are set in the guest's sessions, for instance to stop updates. ``history`` is the directory
    below it with conversations, for guests that share it. ``signs`` are texts on the screen for what has no hook; the
    first one that matches counts. ``login`` describes the credentials that the keeper can hold for it.
    """

    name: str
    title: str
    layer: Layer
    directory: Directory
    items: tuple[Item, ...]
    instructions: str
    credentials: frozenset[str]
    private: frozenset[str]
    keys: tuple[str, ...]
    additions: Mapping[str, Additions]
    hosts: tuple[str, ...]
    variables: Mapping[str, str] = field(default_factory=dict)
    history: str = ""
    signs: tuple[Sign, ...] = ()
    login: Login = field(default_factory=lambda: Login(()))


_MCP = {".mcp.json": sanitize.json_file}

CLAUDE = Agent(
    name="claude",
    title="Claude Code",
    layer=Layer("claude", "@anthropic-ai/claude-code-linux-{arch}", "claude"),
    directory=Directory(".claude", "CLAUDE_CONFIG_DIR"),
    items=(
        Item("settings", "settings.json", sanitizer=sanitize.claude_settings),
        Item("claude_md", "CLAUDE.md"),
        Item("claude_md", "rules"),
        Item("keybindings", "keybindings.json"),
        Item("commands", "commands"),
        Item("agents", "agents"),
        Item("skills", "skills", inner=_MCP),
        Item("output_styles", "output-styles"),
        Item("output_styles", "themes"),
        Item(
            "plugins",
            "plugins",
            inner={
                **_MCP,
                "installed_plugins.json": sanitize.json_file,
                "known_marketplaces.json": sanitize.json_file,
                "config.json": sanitize.json_file,
            },
        ),
        Item("config", "config", inner={"config.json": sanitize.json_file, **_MCP}),
        Item("claude_json", ".claude.json", sanitizer=sanitize.claude_json, beside=True),
    ),
    instructions="CLAUDE.md",
    credentials=frozenset({".credentials.json"}),
    private=frozenset({"projects", "sessions", "history.jsonl", "file-history", "shell-snapshots", "backups"}),
    keys=("ANTHROPIC_API_KEY", "CLAUDE_CODE_OAUTH_TOKEN"),
    additions={"settings.json": hooks.claude},
    hosts=(
        *("api.anthropic.com", "claude.ai", "claude.com", "platform.claude.com", "console.anthropic.com"),
        "mcp-proxy.anthropic.com",
    ),
    variables={"DISABLE_AUTOUPDATER": "1"},
    history="projects",
    signs=(
        Sign(r"(Do you want|Would you like) to (proceed|make this edit|create)\b", Activity.WAITING, "question"),
        # While it works, it draws a clock and a moving sign. A silent screen with its prompt is that of an interrupt,
        # which leaves no text if there was no answer yet.
        Sign(r"^❯", Activity.IDLE),
    ),
    login=logins.CLAUDE,
)

CODEX = Agent(
    name="codex",
    title="Codex",
    layer=Layer("codex", "@openai/codex", "vendor/{machine}-unknown-linux-musl/bin/codex", version="-linux-{arch}"),
    directory=Directory(".codex", "CODEX_HOME"),
    items=(
        Item("settings", "config.toml", sanitizer=sanitize.codex_config),
        Item("settings", "rules"),
        Item("claude_md", "AGENTS.md"),
        Item("commands", "prompts"),
        Item("agents", "agents"),
        Item("skills", "skills", inner=_MCP),
        Item("output_styles", "themes"),
    ),
    instructions="AGENTS.md",
    credentials=frozenset({"auth.json"}),
    private=frozenset({"sessions", "archived_sessions", "history.jsonl", "log", "shell_snapshots", "memories"}),
    keys=("OPENAI_API_KEY", "CODEX_API_KEY"),
    additions={"config.toml": hooks.codex},
    hosts=("api.openai.com", "auth.openai.com", "chatgpt.com"),
    signs=(
        Sign(r"Conversation interrupted", Activity.IDLE),
        Sign(r"Would you like to (run the following|make the following)", Activity.WAITING, "question"),
    ),
    login=logins.CODEX,
)

GEMINI = Agent(
    name="gemini",
    title="Gemini CLI",
    layer=Layer("", "@google/gemini-cli", "bundle/gemini.js", runtime="node-linux-{arch}"),
    directory=Directory(".gemini"),
    items=(
        Item("settings", "settings.json", sanitizer=sanitize.json_with_comments),
        Item("claude_md", "GEMINI.md"),
        Item("keybindings", "keybindings.json"),
        Item("commands", "commands"),
        Item("agents", "agents"),
        Item("skills", "skills", inner=_MCP),
        Item("plugins", "extensions", inner={"gemini-extension.json": sanitize.json_file}),
        Item("claude_json", "trustedFolders.json", sanitizer=sanitize.gemini_trust),
    ),
    instructions="GEMINI.md",
    credentials=frozenset(
        {
            *("oauth_creds.json", "google_accounts.json", "mcp-oauth-tokens.json", "mcp-oauth-tokens-v2.json"),
            *("gemini-credentials.json", "a2a-oauth-tokens.json"),
        }
    ),
    private=frozenset({"tmp", "history", "antigravity"}),
    keys=("GEMINI_API_KEY", "GOOGLE_API_KEY"),
    additions={"settings.json": hooks.gemini},
    hosts=(
        *("generativelanguage.googleapis.com", "cloudcode-pa.googleapis.com", "oauth2.googleapis.com"),
        *("accounts.google.com", "www.googleapis.com"),
    ),
    variables={"GEMINI_CLI_NO_RELAUNCH": "true"},  # it starts itself again for a larger heap, which doubles the start
    signs=(Sign(r"Request cancelled\.", Activity.IDLE),),
    login=logins.GEMINI,
)

OPENCODE = Agent(
    name="opencode",
    title="OpenCode",
    layer=Layer("opencode", "opencode-linux-{arch}", "bin/opencode"),
    directory=Directory(".config/opencode", "OPENCODE_CONFIG_DIR", "opencode"),
    items=(
        *(
            Item("settings", name, sanitizer=sanitize.json_with_comments)
            for name in ("config.json", "opencode.json", "opencode.jsonc", "tui.json", "tui.jsonc")
        ),
        Item("claude_md", "AGENTS.md"),
        *(Item("commands", name) for name in ("command", "commands")),
        *(Item("agents", name) for name in ("agent", "agents")),
        *(Item("skills", name, inner=_MCP) for name in ("skill", "skills")),
        Item("output_styles", "themes"),
        *(Item("plugins", name) for name in ("plugin", "plugins", "tool", "tools")),
    ),
    instructions="AGENTS.md",
    credentials=frozenset({"auth.json", "mcp-auth.json"}),
    private=frozenset({"node_modules"}),
    keys=("ANTHROPIC_API_KEY", "OPENAI_API_KEY", "OPENROUTER_API_KEY", "OPENCODE_API_KEY"),
    additions={"plugin/ccvm.js": hooks.opencode},
    hosts=("opencode.ai", "models.opencode.ai", "models.dev", "api.anthropic.com", "api.openai.com", "openrouter.ai"),
    variables={
        "OPENCODE_DISABLE_AUTOUPDATE": "1",
        # It waits for a package of its plugins: for 70 s with npm's defaults, if the npm registry is not reachable.
        "npm_config_fetch_retry_mintimeout": "1000",
        "npm_config_fetch_retry_maxtimeout": "2000",
    },
    login=logins.OPENCODE,
)

AGENTS: dict[str, Agent] = {agent.name: agent for agent in (CLAUDE, CODEX, GEMINI, OPENCODE)}
"""The agents by name."""

ALWAYS_REACHABLE = ("api.anthropic.com",)
"""Hosts that every guest can reach unless it has no network, whatever its agent."""

CREDENTIALS: frozenset[str] = frozenset().union(*(agent.credentials for agent in AGENTS.values()), {".env", ".netrc"})
"""Names of files that are in no copy of a directory, whichever agent it belongs to."""
