"""The logins of agents, as data: where each credential is used, and in which form. ``ccvm_tui.broker`` uses it."""

from __future__ import annotations

from dataclasses import dataclass

HTTPS = 443

BEARER = "authorization"
"""The header whose value is ``Bearer`` and the credential (RFC 6750, 2.1). In others, the value is the credential."""


@dataclass(frozen=True, slots=True)
class Place:
    """A host, and the paths below which a credential is used there.

    A path that ends with a slash covers everything below it. Any other covers itself and what is below it.
    """

    host: str
    paths: tuple[str, ...]
    port: int = HTTPS

    def covers(self, host: str, port: int, path: str) -> bool:
        """Return whether ``path`` of a host is one of these. The path must be canonical, and without a query."""
        return (host, port) == (self.host, self.port) and any(_is_at_or_below(path, prefix) for prefix in self.paths)


def _is_at_or_below(path: str, prefix: str) -> bool:
    return path == prefix or path.startswith(prefix if prefix.endswith("/") else f"{prefix}/")


@dataclass(frozen=True, slots=True)
class Key:
    """A credential that does not change, in an environment variable.

    ``form`` is the beginning by which programs recognize the credential. ``headers`` are the names, in lower case, of
    the headers in which it is sent.
    """

    variable: str
    form: str
    headers: tuple[str, ...]
    places: tuple[Place, ...]


@dataclass(frozen=True, slots=True)
class Subscription:
    """A login by OAuth, with an access token that expires and a refresh token that changes with each use.

    ``file`` is the name of the credentials file in the agent's directory, and ``member`` the key of the tokens in it.
    ``facts`` are the other members, which are not secret. ``places`` are where the access token is used. ``endpoints``
    return tokens, and the first is used to refresh them; ``client`` is the agent's public client id (RFC 6749, 2.2).
    ``minting`` returns an API key, of the login ``minted``, in the member ``minted_member``. ``locks`` are the
    directories, relative to the agent's directory, by which its program locks the file.
    """

    file: str
    member: str
    facts: tuple[str, ...]
    access_form: str
    refresh_form: str
    places: tuple[Place, ...]
    endpoints: tuple[Place, ...]
    client: str
    minting: Place
    minted: Key
    minted_member: str
    locks: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Login:
    """The logins of an agent.

    ``base`` is the variable with a URL that the user wants in place of the agent's own, and ``subscription`` the login
    by OAuth, if it is supported.
    """

    keys: tuple[Key, ...]
    base: str = ""
    subscription: Subscription | None = None


_MESSAGES = ("/v1/messages", "/v1/complete", "/v1/models", "/v1/files", "/v1/skills")
"""Paths of Anthropic's API. Those of sessions in the cloud are missing, because they return further credentials."""

_ACCOUNT = (
    *("/api/oauth/usage", "/api/oauth/profile", "/api/oauth/account", "/api/oauth/organizations", "/api/oauth/org"),
    *("/api/oauth/validate", "/api/oauth/claude_cli/roles", "/api/oauth/file_upload", "/api/oauth/files"),
    *("/api/claude_code", "/api/claude_code_penguin_mode", "/api/claude_cli", "/api/claude_cli_profile"),
    *("/api/claude_cli_feedback", "/api/event_logging", "/api/eval", "/api/hello", "/api/directory", "/api/web"),
    "/v1/oauth/hello",
)
"""Paths of the account that Claude Code requests with its access token."""

_ANTHROPIC = "api.anthropic.com"

ANTHROPIC_KEY = Key(
    "ANTHROPIC_API_KEY", "sk-ant-api03-", ("x-api-key", BEARER), (Place(_ANTHROPIC, (*_MESSAGES, *_ACCOUNT)),)
)

_CLAUDE_PLACES = (Place(_ANTHROPIC, (*_MESSAGES, *_ACCOUNT)), Place("mcp-proxy.anthropic.com", ("/v1/mcp/",)))

CLAUDE = Login(
    keys=(
        ANTHROPIC_KEY,
        Key("CLAUDE_CODE_OAUTH_TOKEN", "sk-ant-oat01-", (BEARER,), _CLAUDE_PLACES),
        Key("ANTHROPIC_AUTH_TOKEN", "", (BEARER,), ANTHROPIC_KEY.places),
    ),
    base="ANTHROPIC_BASE_URL",
    subscription=Subscription(
        file=".credentials.json",
        member="claudeAiOauth",
        facts=("scopes", "subscriptionType", "rateLimitTier"),
        access_form="sk-ant-oat01-",
        refresh_form="sk-ant-ort01-",
        places=_CLAUDE_PLACES,
        endpoints=(
            Place("platform.claude.com", ("/v1/oauth/token",)),
            Place("console.anthropic.com", ("/v1/oauth/token",)),
            Place(_ANTHROPIC, ("/v1/oauth/token",)),
        ),
        client="9d1c250a-e61b-44d9-88ed-5944d1962f5e",
        minting=Place(_ANTHROPIC, ("/api/oauth/claude_cli/create_api_key",)),
        minted=ANTHROPIC_KEY,
        minted_member="raw_key",
        locks=(".oauth_refresh.lock", "../{name}.lock"),
    ),
)

_OPENAI = (Place("api.openai.com", ("/v1/",)),)
_GOOGLE = (Place("generativelanguage.googleapis.com", ("/v1/", "/v1beta/", "/v1alpha/", "/upload/")),)

_OPENAI_KEY = Key("OPENAI_API_KEY", "sk-", (BEARER,), _OPENAI)

CODEX = Login((_OPENAI_KEY, Key("CODEX_API_KEY", "sk-", (BEARER,), _OPENAI)))

GEMINI = Login(
    tuple(Key(variable, "AIza", ("x-goog-api-key",), _GOOGLE) for variable in ("GEMINI_API_KEY", "GOOGLE_API_KEY"))
)

OPENCODE = Login(
    (
        ANTHROPIC_KEY,
        _OPENAI_KEY,
        Key("OPENROUTER_API_KEY", "sk-or-", (BEARER,), (Place("openrouter.ai", ("/api/v1/",)),)),
        Key("OPENCODE_API_KEY", "sk-", (BEARER, "x-api-key"), (Place("opencode.ai", ("/zen/",)),)),
    )
)
