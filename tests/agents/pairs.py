"""Hypothesis strategies for pairs of a value with secrets and the same value without them."""

from __future__ import annotations

import string
from typing import Any

from hypothesis import strategies as st

MARK = "hunter2mark"
"""A part of every secret."""

Pair = tuple[Any, Any]

_SECRET_NAMES = st.sampled_from(
    [
        *("apiKey", "primaryApiKey", "ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN", "accessToken", "refresh_token"),
        *("password", "client_secret", "GITHUB_TOKEN", "Authorization", "secretAccessKey", "AWS_SECRET_ACCESS_KEY"),
        *("DB_PASSWORD", "cookie", "apikey", "experimental_bearer_token", "x-api-key", "credentials", "GH_PAT"),
    ]
)
_NAMES = st.sampled_from(
    [
        *(
            "theme",
            "model",
            "keys",
            "tokenizer",
            "maxTokens",
            "keyboard key",
            "pattern",
            "env",
            "path",
            "hooks",
            "author",
        ),
        *("env_key", "bearer_token_env_var", "env_http_headers", "editorMode", "secretary", "MAX_THINKING_TOKENS"),
    ]
)
_SECRETS = st.text(string.ascii_letters + "-_ ", max_size=8).map(lambda text: f"{MARK}{text}")
_LEAVES = st.one_of(
    st.booleans(),
    st.integers(-99, 99),
    st.text(string.ascii_letters + " .,/~äß€", max_size=12).map(lambda text: f"{text}!"),
)
_NUMBERS = st.integers(0, 10**6)


def _same(strategy: st.SearchStrategy[Any]) -> st.SearchStrategy[Pair]:
    return strategy.map(lambda value: (value, value))


def _in_text() -> st.SearchStrategy[Pair]:
    """Secrets inside longer texts: in a URL, and with the form of a token."""
    return st.sampled_from(
        [
            (f"https://me:{MARK}@host/x", "https://host/x"),
            (f"run --key sk-ant-{MARK}-0123456789 now", "run --key REMOVED now"),
            (f"ghp_{MARK}0123456789", "REMOVED"),
        ]
    )


@st.composite
def _tables(draw: st.DrawFn, children: st.SearchStrategy[Pair]) -> Pair:
    before: dict[str, Any] = {}
    after: dict[str, Any] = {}
    for name in draw(st.lists(_NAMES, max_size=3, unique=True)):
        # a number is no secret under any name, and a name for which all other values are removed needs one
        before[name], after[name] = draw(_same(_NUMBERS) if name.lower().endswith("tokens") else children)
    for name in draw(st.lists(_SECRET_NAMES, max_size=2, unique=True)):
        before[name] = draw(
            st.one_of(_SECRETS, _SECRETS.map(lambda text: [text]), _SECRETS.map(lambda text: {"x": text}))
        )
    if draw(st.booleans()):
        servers = draw(st.sampled_from(["mcpServers", "mcp_servers", "mcp"]))
        field = draw(st.sampled_from(["env", "headers", "http_headers", "environment", "oauth"]))
        kept = draw(children)
        before[servers] = {"one": {"command": "run", "args": [kept[0]], field: {"X": draw(_SECRETS)}}}
        after[servers] = {"one": {"command": "run", "args": [kept[1]]}}
    return before, after


def _lists(children: st.SearchStrategy[Pair]) -> st.SearchStrategy[Pair]:
    return st.lists(children, max_size=3).map(
        lambda pairs: ([before for before, _ in pairs], [after for _, after in pairs])
    )


VALUES: st.SearchStrategy[Pair] = st.recursive(
    st.one_of(_same(_LEAVES), _in_text()), lambda inner: st.one_of(_tables(inner), _lists(inner)), max_leaves=20
)
"""Pairs of any value."""

TABLES: st.SearchStrategy[Pair] = _tables(VALUES)
"""Pairs of objects."""
