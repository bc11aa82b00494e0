"""Pure functions for requests to an OAuth token endpoint and their responses (RFC 6749, 4.1.3, 5 and 6).

A response is not edited but written anew, from the members that are known. So nothing passes that is not understood.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl

from ccvm_tui.agents.secrets import is_secret_name, redacted

BODY_MAX = 1 << 20
"""Maximum length of a response with tokens in bytes."""

REQUEST_MAX = 1 << 16
"""Maximum length of a request for tokens in bytes."""

FAR = 10 * 365 * 86400
"""Seconds for which placeholders are valid, as far as programs in the guest know."""

_FACTS_MAX = 50
_TEXT_MAX = 300


class UnknownForm(ValueError):
    """The request or the response is not of a known form. The text does not contain any of it."""


@dataclass(frozen=True, slots=True)
class Grant:
    """The tokens of a successful response. ``expires_in`` is in seconds, and ``scope`` is empty if it is missing.

    ``about`` are the members about the account, which are not secret.
    """

    access: str = field(repr=False)
    refresh: str = field(repr=False)
    expires_in: float
    scope: str = ""
    about: dict[str, Any] = field(default_factory=dict)


def parse_request(body: bytes) -> dict[str, str]:
    """Return the parameters of a request, which is JSON or a form. Raises UnknownForm."""
    try:
        text = body.decode()
        if not text.lstrip().startswith("{"):
            return dict(parse_qsl(text, strict_parsing=True, max_num_fields=_FACTS_MAX))
        parsed = json.loads(text)
    except (ValueError, RecursionError):
        raise UnknownForm("the request is neither JSON nor a form") from None
    return {key: value for key, value in parsed.items() if isinstance(value, str)}


def refresh_request(refresh: str, client: str, scopes: list[str]) -> bytes:
    """Return the body of a request for new tokens."""
    request = {"grant_type": "refresh_token", "refresh_token": refresh, "client_id": client}
    if scopes:
        request["scope"] = " ".join(scopes)
    return json.dumps(request).encode()


def parse_grant(body: bytes, *, previous_refresh: str = "") -> Grant:
    """Return the tokens in a response. Without a new refresh token, ``previous_refresh`` stays valid (RFC 6749, 6).

    Raises UnknownForm if the form is not known, or if a token is where none is expected.
    """
    response = _object(body)
    access, refresh = response.get("access_token"), response.get("refresh_token", previous_refresh)
    expires, scope = response.get("expires_in"), response.get("scope", "")
    if not isinstance(access, str) or not access or not isinstance(refresh, str) or not isinstance(scope, str):
        raise UnknownForm("the response has no tokens, or in another form")
    if not isinstance(expires, int | float) or isinstance(expires, bool) or not 0 < expires < 1e10:
        raise UnknownForm("the response has no expiry")
    if not _is_plain(access) or (refresh and not _is_plain(refresh)):
        raise UnknownForm("the response has tokens with unexpected characters")
    about: dict[str, Any] = {
        key: _facts(response[key], (access, refresh)) for key in ("account", "organization") if key in response
    }
    _check_text(scope, (access, refresh))
    return Grant(access, refresh, float(expires), scope, about)


def grant_response(grant_scope: str, about: dict[str, Any], access_sentinel: str, refresh_sentinel: str) -> bytes:
    """Return the body of the response for the guest, with placeholders."""
    response: dict[str, Any] = {
        "token_type": "Bearer",
        "access_token": access_sentinel,
        "refresh_token": refresh_sentinel,
        "expires_in": FAR,
        "refresh_token_expires_in": FAR,
        **about,
    }
    if grant_scope:
        response["scope"] = grant_scope
    return json.dumps(response).encode()


def parse_minted(body: bytes, member: str) -> str:
    """Return the API key in a response. Raises UnknownForm."""
    key = _object(body).get(member)
    if not isinstance(key, str) or not _is_plain(key):
        raise UnknownForm("the response has no key, or in another form")
    return key


def error_response(body: bytes) -> bytes:
    """Return the body of an error for the guest, with the known members of the host's error only.

    Raises UnknownForm if it is not an error, or could contain a token.
    """
    response = _object(body)
    error, description = response.get("error"), response.get("error_description")
    if any(name.endswith(("token", "key")) for name in response):
        raise UnknownForm("the error contains a token")
    if isinstance(error, dict):
        error = {key: error[key] for key in ("type", "message") if isinstance(error.get(key), str)}
        for text in error.values():
            _check_text(text, ())
    elif isinstance(error, str):
        _check_text(error, ())
    else:
        raise UnknownForm("the response is neither a success nor an error")
    kept: dict[str, Any] = {"error": error}
    if isinstance(description, str):
        _check_text(description, ())
        kept["error_description"] = description
    return json.dumps(kept).encode()


def error_code(body: bytes) -> str:
    """Return the code of an error (RFC 6749, 5.2), or an empty text."""
    try:
        error = _object(body).get("error")
    except UnknownForm:
        return ""
    code = error.get("type") if isinstance(error, dict) else error
    return code[:100] if isinstance(code, str) else ""


def _object(body: bytes) -> dict[str, Any]:
    try:
        parsed = json.loads(body)
    except (ValueError, RecursionError):
        raise UnknownForm("the response is not JSON") from None
    if not isinstance(parsed, dict):
        raise UnknownForm("the response is not an object")
    return parsed


def _is_plain(token: str) -> bool:
    """Return whether a token consists of characters that a header can have."""
    return all("!" <= sign <= "~" for sign in token) and len(token) < BODY_MAX


def _facts(value: Any, tokens: tuple[str, str]) -> dict[str, Any]:
    """Return the members of an object that are simple and no secrets. Raises UnknownForm if one contains a token."""
    if not isinstance(value, dict) or len(value) > _FACTS_MAX:
        raise UnknownForm("the response has an account in another form")
    kept = {}
    for name, fact in value.items():
        _check_text(name, tokens)
        if is_secret_name(name):
            raise UnknownForm("the response has a further secret")
        if isinstance(fact, str):
            _check_text(fact, tokens)
        if isinstance(fact, str | int | float | bool) or fact is None:
            kept[name] = fact
    return kept


def _check_text(text: str, tokens: tuple[str, ...]) -> None:
    """Check a text. Raises UnknownForm if it contains a token."""
    if len(text) > _TEXT_MAX * 10 or redacted(text) != text or any(token and token in text for token in tokens):
        raise UnknownForm("the response has a token in an unexpected place")
