"""Addresses of web pages that programs in guests want to open. They are hostile input."""

from __future__ import annotations

from urllib.parse import parse_qs, urlsplit

ADDRESS_MAX = 2900
"""Maximum length of an address in characters."""

_LOOPBACK = ("localhost", "127.0.0.1", "::1")


def web_address(text: str) -> str:
    """Return ``text`` if it is the address of a web page that may be shown and opened, or else an empty string.

    Addresses with a user name are refused, because it can be mistaken for the name of the host.
    """
    if len(text) > ADDRESS_MAX or not all("!" <= character <= "~" for character in text):
        return ""
    try:
        parts = urlsplit(text)
        valid = parts.scheme in ("http", "https") and parts.hostname and "@" not in parts.netloc and "\\" not in text
    except ValueError:
        return ""
    return text if valid else ""


def host_of(address: str) -> str:
    """Return the name of the host in a valid address."""
    return urlsplit(address).hostname or ""


def callback_port(address: str) -> int:
    """Return the port to which the page of a login will send the browser back, or 0 if there is none.

    It is the port of an OAuth 2.0 redirect URI on the loopback interface (RFC 8252, 7.3).
    """
    try:
        for redirect in parse_qs(urlsplit(address).query).get("redirect_uri", []):
            parts = urlsplit(redirect)
            if parts.scheme == "http" and parts.hostname in _LOOPBACK and parts.port:
                return parts.port
    except ValueError:
        pass
    return 0
